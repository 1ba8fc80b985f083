//! Reconciliation: what the drawers should hold, what was counted, and what does not add up.

pub(crate) mod case_rows;
pub mod case_views;
pub mod cases;
mod db;
pub mod http;
pub mod jobs;
pub mod rules;
pub mod settlements;
pub(crate) mod shift_rows;
pub mod shifts;
pub mod standing;
pub mod statements;
#[cfg(test)]
mod tests;

pub use db::{ledger, shifts as shift_list};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// One shift of one agent, closed or not.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ShiftView {
    /// The company's name.
    pub company: String,
    /// Where.
    pub node: Uuid,
    /// The node's name.
    pub node_name: String,
    /// Its number, per node.
    pub shift: i32,
    /// Who sold.
    pub agent: String,
    /// The day it counts to, YYYY-MM-DD.
    pub business_date: String,
    /// ISO 4217.
    pub currency: String,
    /// RFC 3339 UTC.
    pub opened_at: String,
    /// RFC 3339 UTC; absent while it is open.
    pub closed_at: Option<String>,
    /// What lay in the drawer at the start, in minor units.
    pub float_minor: i64,
    /// Cash taken less returned, without the float.
    pub cash_minor: i64,
    /// What the drawer should hold by what the hub knows, float included.
    pub expected_minor: i64,
    /// What was counted, float included; absent while the shift is open.
    pub declared_minor: Option<i64>,
    /// Declared less expected; absent while the shift is open.
    pub difference_minor: Option<i64>,
    /// What the node itself expected at the close; another sum than `expected_minor` means that
    /// hub and node disagree.
    pub expected_by_node_minor: Option<i64>,
    /// Tickets sold, void and disputed ones too.
    pub tickets_sold: i64,
    /// Of these, taken back.
    pub tickets_void: i64,
    /// Of these, sold against a rule.
    pub tickets_disputed: i64,
    /// Events of the node, of any shift, that wait for a person.
    pub node_quarantined: i64,
    /// Open cases about the node.
    pub node_conflicts: i64,
}

/// One kind of account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountSum {
    /// As `agent_cash` or `deferred_revenue`.
    pub kind: String,
    /// ISO 4217.
    pub currency: String,
    /// Debit positive, credit negative.
    pub balance_minor: i64,
}

/// The company's ledger in sums.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LedgerView {
    /// The company's name.
    pub company: String,
    /// Of all postings: 0, always.
    pub ledger_sum_minor: i64,
    /// Entries of all kinds.
    pub entries: i64,
    /// Entries that a sale made: one per sale event or booking.
    pub sale_entries: i64,
    /// Tickets that a sale credited.
    pub tickets_in_ledger: i64,
    /// Per kind of account and currency.
    pub accounts: Vec<AccountSum>,
}

/// A case that waits for a person.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConflictView {
    /// Its number.
    pub case: i64,
    /// Whose event.
    pub node: Uuid,
    /// Which installation.
    pub incarnation: i32,
    /// At which position of its log.
    pub seq: i64,
    /// As `seat_taken` or `stale_epoch`.
    pub reason: String,
    /// The tickets it is about.
    pub tickets: Vec<Uuid>,
    /// The tickets they stand against.
    pub against: Vec<Uuid>,
    /// RFC 3339 UTC.
    pub opened_at: String,
    /// RFC 3339 UTC; absent while it is open.
    pub closed_at: Option<String>,
    /// `open`, `decided` by a person, or `settled` by itself.
    pub state: String,
    /// Of a decided one: the ticket whose sale keeps the seat.
    pub winner: Option<Uuid>,
    /// Of a decided one: what happens to the others.
    pub consequence: Option<String>,
    /// Of a decided one: why.
    pub decision_reason: Option<String>,
    /// Of a decided one: by whom.
    pub decided_by: Option<Uuid>,
    /// The entry that moved its money.
    pub entry: Option<Uuid>,
}

/// A case as a row of a file.
#[derive(Debug, Clone, Serialize)]
pub struct ConflictRow {
    case: i64,
    state: String,
    reason: String,
    node: Uuid,
    incarnation: i32,
    seq: i64,
    tickets: String,
    against: String,
    opened_at: String,
    closed_at: Option<String>,
    winner: Option<Uuid>,
    consequence: Option<String>,
    decision_reason: Option<String>,
    entry: Option<Uuid>,
}

impl From<ConflictView> for ConflictRow {
    fn from(c: ConflictView) -> Self {
        let list = |ids: Vec<Uuid>| {
            let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            ids.join(" ")
        };
        Self {
            case: c.case,
            state: c.state,
            reason: c.reason,
            node: c.node,
            incarnation: c.incarnation,
            seq: c.seq,
            tickets: list(c.tickets),
            against: list(c.against),
            opened_at: c.opened_at,
            closed_at: c.closed_at,
            winner: c.winner,
            consequence: c.consequence,
            decision_reason: c.decision_reason,
            entry: c.entry,
        }
    }
}
