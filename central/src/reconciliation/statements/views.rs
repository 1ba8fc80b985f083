//! What statements show.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What became of a file.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"statement": "0197f2a0-0000-4000-8000-000000000005", "lines": 120,
    "duplicates": 3, "matched": 112, "posted": 118}))]
pub struct Imported {
    /// The statement; absent when every line was here before.
    pub statement: Option<Uuid>,
    /// Lines taken.
    pub lines: usize,
    /// Lines that were here before.
    pub duplicates: usize,
    /// Lines of the account that were matched by themselves.
    pub matched: usize,
    /// Entries made for fees and payouts.
    pub posted: usize,
}

/// A line of a statement.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatementLine {
    /// Its id.
    pub line: Uuid,
    /// Its statement.
    pub statement: Uuid,
    /// Its place in the file.
    pub line_no: i32,
    /// Whose: `mobile_money_clearing`, `bank`, ….
    pub account: String,
    /// `payment`, `refund`, `fee`, `payout` or `other`.
    pub kind: String,
    /// RFC 3339 UTC.
    pub at: String,
    /// Theirs.
    pub reference: String,
    /// What we had told them.
    pub our_reference: String,
    /// To us positive.
    pub amount_minor: i64,
    /// Kept of it.
    pub fee_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// `unmatched`, `matched`, or `posted` by itself.
    pub state: String,
    /// `payment`, `refund` or `entry`.
    pub matched_kind: Option<String>,
    /// Which.
    pub matched: Option<Uuid>,
    /// `reference`, `amount` or `person`.
    pub matched_by: Option<String>,
    /// The entry that it made.
    pub entry: Option<Uuid>,
}

/// A movement of ours that no statement explains.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Unstated {
    /// `payment`, `refund` or `entry`.
    pub kind: &'static str,
    /// Which.
    pub id: Uuid,
    /// What it is known by.
    pub references: String,
    /// To us positive.
    pub amount_minor: i64,
    /// RFC 3339 UTC.
    pub at: String,
}
