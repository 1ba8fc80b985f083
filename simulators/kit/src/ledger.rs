//! Every movement of money, once: what a test counts.

use serde::{Deserialize, Serialize};

/// Money that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// `capture` or `refund`.
    pub kind: String,
    /// The operator's number for it.
    pub id: String,
    /// The caller's reference.
    pub reference: String,
    /// The charge that a refund is of.
    pub of: Option<String>,
    /// As the caller wrote it.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// All of it, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Ledger {
    /// How many lines are of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.lines.iter().filter(|l| l.kind == kind).count()
    }
}
