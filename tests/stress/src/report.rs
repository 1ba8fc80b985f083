//! What a case found, as text and as JSON.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// What a case found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The case.
    case: String,
    /// At a tenth of its full size.
    tenth: bool,
    /// How long it took, in seconds.
    took_s: f64,
    /// What was counted and measured, units last in the names.
    figures: Map<String, Value>,
    /// What was promised.
    goals: Vec<Goal>,
}

/// A promise and what this run makes of it.
#[derive(Debug, Serialize)]
struct Goal {
    /// The promise in words.
    promise: String,
    /// What was found.
    found: Value,
    /// Whether that keeps it.
    met: bool,
}

impl Report {
    /// Adds a figure.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Adds a promise, and whether what was found keeps it.
    pub fn goal(&mut self, promise: &str, found: impl Into<Value>, met: bool) {
        self.goals.push(Goal {
            promise: promise.to_owned(),
            found: found.into(),
            met,
        });
    }

    /// Whether every promise was kept.
    pub fn is_met(&self) -> bool {
        self.goals.iter().all(|goal| goal.met)
    }

    pub(crate) fn finish(&mut self, case: &str, tenth: bool, took: Duration) {
        case.clone_into(&mut self.case);
        self.tenth = tenth;
        self.took_s = tenths(took.as_secs_f64());
    }

    pub(crate) fn text(&self) -> String {
        let size = if self.tenth { ", a tenth" } else { "" };
        let mut lines = vec![format!("{}{size}: {} s", self.case, self.took_s)];
        for (name, value) in &self.figures {
            lines.push(format!("  {name:<28} {value}"));
        }
        for goal in &self.goals {
            let verdict = if goal.met { "met   " } else { "MISSED" };
            lines.push(format!("  {verdict} {}: {}", goal.promise, goal.found));
        }
        lines.join("\n")
    }
}

/// With one decimal.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The value that so many in 100 do not exceed (nearest rank); 0 of nothing.
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut values: Vec<f64> = (1..=20).map(f64::from).collect();
        for (percent, expected) in [(95.0, "19"), (100.0, "20"), (1.0, "1")] {
            assert_eq!(percentile(&mut values, percent).to_string(), expected);
        }
        assert_eq!(percentile(&mut [], 95.0).to_string(), "0");
    }

    #[test]
    fn one_missed_goal_is_a_missed_report() {
        let mut report = Report::default();
        report.goal("no seat twice", 0, true);
        assert!(report.is_met());
        report.goal("no 5xx", 1, false);
        assert!(!report.is_met());
        assert!(report.text().contains("MISSED no 5xx: 1"));
    }
}
