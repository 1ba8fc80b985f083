//! The figures, as a table and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// The figure in the middle; of an even number the mean of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// How many a second, to a tenth.
pub fn per_s(count: usize, took: Duration) -> f64 {
    rounded(count as f64 / took.as_secs_f64().max(f64::EPSILON), 1)
}

/// With so many decimals.
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// What the bench found. Rates are medians of the rounds; a ratio is one median over the other.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Few repetitions: good for a look, not for a comparison.
    pub quick: bool,
    /// What the random names, numbers and journeys were drawn from.
    pub seed: u64,
    /// One-row commits to a bare SQLite table.
    pub bare_commit_per_s: f64,
    /// Strict Ed25519 checks of the tickets' bytes.
    pub bare_verify_per_s: f64,
    /// Sales: decided, signed, committed, QR texts made.
    pub sale_per_s: f64,
    /// `sale_per_s` over `bare_commit_per_s`.
    pub sale_ratio: f64,
    /// Tickets read from their QR text and checked.
    pub verify_per_s: f64,
    /// `verify_per_s` over `bare_verify_per_s`.
    pub verify_ratio: f64,
    /// Scans decided and recorded.
    pub scan_per_s: f64,
    /// `scan_per_s` over `bare_commit_per_s`.
    pub scan_ratio: f64,
    /// Queued sales that a node brings to the hub: from the welcome to the last verdict.
    pub drain_sales_per_s: f64,
    /// The same final rows by raw set-based SQL.
    pub raw_sales_per_s: f64,
    /// `drain_sales_per_s` over `raw_sales_per_s`.
    pub drain_ratio: f64,
    /// UDP payload bytes, both ways, while draining, over sales; without the handshake.
    pub wire_bytes_per_sale: f64,
    /// The rounds behind the medians.
    pub rounds: Rounds,
    /// What each round left in Postgres, counted there.
    pub drains: Vec<DrainRound>,
    /// Settings in force, read back.
    pub settings: BTreeMap<String, String>,
    /// Each goal and whether this run met it.
    pub goals: Vec<Goal>,
}

/// Figures per second, one a round.
#[derive(Debug, Default, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the unit is part of a figure's name"
)]
pub struct Rounds {
    /// See [`Report`].
    pub bare_commit_per_s: Vec<f64>,
    /// See [`Report`].
    pub sale_per_s: Vec<f64>,
    /// See [`Report`].
    pub scan_per_s: Vec<f64>,
    /// See [`Report`].
    pub bare_verify_per_s: Vec<f64>,
    /// See [`Report`].
    pub verify_per_s: Vec<f64>,
}

/// One drain and the raw writing of its rows.
#[derive(Debug, Clone, Serialize)]
pub struct DrainRound {
    /// Sales queued, and found in Postgres afterwards.
    pub sales: u64,
    /// Tickets sold, and found live in Postgres afterwards.
    pub tickets: u64,
    /// Rows of each table that the drain wrote, counted in Postgres.
    pub rows: BTreeMap<String, u64>,
    /// Sum over all postings, in minor units; always 0.
    pub ledger_sum_minor: i64,
    /// From the welcome to the last verdict, in seconds.
    pub drain_s: f64,
    /// Sales a second.
    pub drain_sales_per_s: f64,
    /// The raw writing, in seconds.
    pub raw_s: f64,
    /// Sales a second.
    pub raw_sales_per_s: f64,
    /// Transactions of the raw writing: one for each that stored events.
    pub raw_transactions: u64,
    /// UDP payload bytes from the node to the hub.
    pub sent_bytes: u64,
    /// UDP payload bytes from the hub to the node.
    pub received_bytes: u64,
    /// Both, over sales.
    pub wire_bytes_per_sale: f64,
    /// Of the handshake and the greeting, both ways; not counted above.
    pub handshake_bytes: u64,
}

/// A goal and what this run makes of it.
#[derive(Debug, Clone, Serialize)]
pub struct Goal {
    /// The figure.
    pub figure: &'static str,
    /// In words: at least, at most.
    pub limit: String,
    /// What was measured.
    pub measured: f64,
    /// Whether that is enough.
    pub met: bool,
}

impl Report {
    /// Judges the goals.
    pub fn judge(&mut self) {
        let at_least = |figure, least: f64, measured: f64| Goal {
            figure,
            limit: format!(">= {least}"),
            measured,
            met: measured >= least,
        };
        let at_most = |figure, most: f64, measured: f64| Goal {
            figure,
            limit: format!("<= {most}"),
            measured,
            met: measured <= most,
        };
        self.goals = vec![
            at_least("sale_ratio", 0.7, self.sale_ratio),
            at_least("verify_ratio", 0.8, self.verify_ratio),
            at_least("scan_ratio", 0.7, self.scan_ratio),
            at_least("drain_ratio", 0.6, self.drain_ratio),
            at_least("drain_sales_per_s", 3_000.0, self.drain_sales_per_s),
            at_most("wire_bytes_per_sale", 300.0, self.wire_bytes_per_sale),
        ];
    }

    /// For people.
    pub fn table(&self) -> String {
        let row = |what: &str, here: f64, limit: f64, ratio: f64| {
            format!("{what:<34}{here:>12.0}{limit:>14.0}{ratio:>9.2}")
        };
        let mut lines = vec![
            String::new(),
            format!(
                "{:<34}{:>12}{:>14}{:>9}",
                "a second", "measured", "its limit", "ratio"
            ),
            row(
                "sale: decide, sign, commit, QR",
                self.sale_per_s,
                self.bare_commit_per_s,
                self.sale_ratio,
            ),
            row(
                "scan: decide, record",
                self.scan_per_s,
                self.bare_commit_per_s,
                self.scan_ratio,
            ),
            row(
                "verify: QR text to verdict",
                self.verify_per_s,
                self.bare_verify_per_s,
                self.verify_ratio,
            ),
            row(
                "drain: queued sales into Postgres",
                self.drain_sales_per_s,
                self.raw_sales_per_s,
                self.drain_ratio,
            ),
            format!(
                "wire: {:.0} UDP payload bytes a sale, both ways, without the handshake",
                self.wire_bytes_per_sale
            ),
            String::new(),
        ];
        for goal in &self.goals {
            let verdict = if goal.met { "met   " } else { "MISSED" };
            lines.push(format!(
                "  {verdict} {:<22}{:<9} measured {}",
                goal.figure, goal.limit, goal.measured
            ));
        }
        if self.quick {
            lines.push("  (--quick: few repetitions; take the full run for figures)".to_owned());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_and_one_outlier_does_not_move_it() {
        assert!((median(&[3.0, 1.0, 900.0]) - 3.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 2.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
