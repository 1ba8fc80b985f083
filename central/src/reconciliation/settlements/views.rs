//! What a settlement shows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A device whose log has not all come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// Which.
    pub node: Uuid,
    /// Its name.
    pub name: String,
    /// Events it told of that the hub does not have.
    pub events: i64,
    /// What they may be worth, by its average so far, in minor units.
    pub estimate_minor: i64,
}

/// One kind of account in a settlement.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Category {
    /// As `revenue` or `commission_payable`.
    pub category: String,
    /// Lines.
    pub lines: i64,
    /// Earned or owed positive.
    pub amount_minor: i64,
}

/// A settlement.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"settlement": "0197f2a0-0000-4000-8000-000000000003", "number": 7,
    "kind": "party", "party": "0197f2a0-0000-4000-8000-000000000004", "party_name": "Mutinta",
    "from": "2026-10-01", "to": "2026-10-31", "currency": "ZMW", "state": "proposed",
    "net_minor": 45000, "categories": [{"category": "commission_payable", "lines": 30,
    "amount_minor": 45000}], "provisional": false, "missing": [], "missing_minor": 0,
    "proposed_by": null, "signed_by": null, "paid_reference": null, "paid_entry": null,
    "version": 2}))]
pub struct SettlementView {
    /// Its id.
    pub settlement: Uuid,
    /// Its number.
    pub number: i64,
    /// `company` or `party`.
    pub kind: String,
    /// Of a party's: whose.
    pub party: Option<Uuid>,
    /// The party's name.
    pub party_name: Option<String>,
    /// First posting day.
    pub from: String,
    /// Last posting day.
    pub to: String,
    /// ISO 4217.
    pub currency: String,
    /// `draft`, `proposed`, `signed_off` or `paid`.
    pub state: String,
    /// The sum of its lines: earned, or owed to the party.
    pub net_minor: i64,
    /// By kind of account.
    pub categories: Vec<Category>,
    /// Whether logs were missing when it was last looked at.
    pub provisional: bool,
    /// Whose.
    pub missing: Vec<Missing>,
    /// What they may be worth.
    pub missing_minor: i64,
    /// Who proposed it.
    pub proposed_by: Option<Uuid>,
    /// Who signed it off.
    pub signed_by: Option<Uuid>,
    /// Of the transfer.
    pub paid_reference: Option<String>,
    /// The entry that paid it.
    pub paid_entry: Option<Uuid>,
    /// For `If-Match`.
    pub version: i32,
}

/// A settlement in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettlementRow {
    /// Its number.
    pub number: i64,
    /// Its id.
    pub settlement: Uuid,
    /// `company` or `party`.
    pub kind: String,
    /// Of a party's: whose.
    pub party: Option<Uuid>,
    /// The party's name.
    pub party_name: Option<String>,
    /// First posting day.
    pub from: String,
    /// Last posting day.
    pub to: String,
    /// ISO 4217.
    pub currency: String,
    /// `draft`, `proposed`, `signed_off` or `paid`.
    pub state: String,
    /// Earned, or owed to the party.
    pub net_minor: i64,
}

/// A line of a settlement.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettlementLine {
    /// The entry.
    pub entry: Uuid,
    /// The line of it.
    pub line: i16,
    /// Why the entry was made.
    pub kind: String,
    /// The account's kind.
    pub category: String,
    /// The day it counts to.
    pub business_date: String,
    /// The day whose period it is in.
    pub posting_date: String,
    /// Earned or owed positive.
    pub amount_minor: i64,
}
