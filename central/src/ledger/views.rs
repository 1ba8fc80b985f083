//! What the ledger shows.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An account and what moved over it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"account": 12, "kind": "agent_cash",
    "node": "0197f2a0-0000-7000-8000-000000000001", "node_name": "Lusaka 1", "shift": 3,
    "trip": null, "party": null, "party_name": null, "currency": "ZMW", "debit_minor": 45000,
    "credit_minor": 45000, "balance_minor": 0}))]
pub struct AccountRow {
    /// Its number.
    pub account: i64,
    /// As `agent_cash` or `deferred_revenue`.
    pub kind: String,
    /// Of a drawer or vault: where.
    pub node: Option<Uuid>,
    /// The node's name.
    pub node_name: Option<String>,
    /// Of a drawer: which shift.
    pub shift: Option<i32>,
    /// Of deferred revenue: which trip.
    pub trip: Option<i64>,
    /// Of commission: to whom it is owed.
    pub party: Option<Uuid>,
    /// The party's name.
    pub party_name: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// Sum of its debits.
    pub debit_minor: i64,
    /// Sum of its credits.
    pub credit_minor: i64,
    /// Debits less credits.
    pub balance_minor: i64,
}

/// One line of an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountLine {
    /// The entry it belongs to.
    pub entry: Uuid,
    /// Its place there.
    pub line: i16,
    /// Why: `sale`, `void`, `recognition`, …
    pub kind: String,
    /// The day it counts to, YYYY-MM-DD.
    pub business_date: String,
    /// The day whose period it is in; another one only when the business date was locked.
    pub posting_date: String,
    /// When the hub wrote it, RFC 3339 UTC.
    pub posted_at: String,
    /// The same, for the cursor.
    #[serde(skip)]
    #[schema(ignore)]
    pub posted_at_ms: i64,
    /// Debit positive, credit negative.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The ticket it is about.
    pub ticket: Option<Uuid>,
    /// What the person wrote who made it.
    pub reason: Option<String>,
}

/// An account over some days.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountStatement {
    /// Which account.
    pub account: i64,
    /// Its kind.
    pub kind: String,
    /// ISO 4217.
    pub currency: String,
    /// First posting day.
    pub from: String,
    /// Last posting day.
    pub to: String,
    /// Held before the first day.
    pub opening_minor: i64,
    /// Debits of these days.
    pub debit_minor: i64,
    /// Credits of these days.
    pub credit_minor: i64,
    /// Held after the last day.
    pub closing_minor: i64,
    /// How many lines these days have.
    pub lines: i64,
}

/// One kind of account in a trial balance.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TrialRow {
    /// ISO 4217.
    pub currency: String,
    /// The kind of account.
    pub kind: String,
    /// Sum of debits.
    pub debit_minor: i64,
    /// Sum of credits.
    pub credit_minor: i64,
    /// Debits less credits; all of a currency sum to 0.
    pub balance_minor: i64,
}

/// A line of an entry.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntryLine {
    /// Its place.
    pub line: i16,
    /// The account's number.
    pub account: i64,
    /// The account's kind.
    pub kind: String,
    /// Debit positive, credit negative.
    pub amount_minor: i64,
    /// The ticket it is about.
    pub ticket: Option<Uuid>,
}

/// An entry with its lines.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntryView {
    /// Its number.
    pub entry: Uuid,
    /// Why it was made.
    pub kind: String,
    /// ISO 4217.
    pub currency: String,
    /// The day it counts to.
    pub business_date: String,
    /// The day whose period it is in.
    pub posting_date: String,
    /// RFC 3339 UTC.
    pub posted_at: String,
    /// Of a person's entry: why.
    pub reason: Option<String>,
    /// Of a person's entry: whose.
    pub actor: Option<Uuid>,
    /// The entry that it takes back.
    pub reverses: Option<Uuid>,
    /// The entry that took it back.
    pub reversed_by: Option<Uuid>,
    /// They sum to zero.
    pub lines: Vec<EntryLine>,
}

/// Days that take no more entries.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PeriodRow {
    /// Its number.
    pub period: i64,
    /// First day.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Why.
    pub reason: String,
    /// RFC 3339 UTC.
    pub locked_at: String,
    /// Who.
    pub actor: Option<Uuid>,
}

/// Somebody who earns commission.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PartyRow {
    /// Its number.
    pub party: Uuid,
    /// `station`, `agent`, `person` or `key`.
    pub kind: String,
    /// Its name.
    pub name: String,
}
