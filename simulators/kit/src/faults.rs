//! What goes wrong, and when: by magic numbers in a request, or as told by the control endpoint.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What an operator does wrong with one charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Decides late: after `slow_ms`.
    Slow,
    /// Decides, and never calls back.
    LostCallback,
    /// Calls back twice.
    DuplicateCallback,
    /// Charges, and answers 500.
    ErrorAfterCharging,
    /// Takes the request like any other; the status then answers 200 with a failed charge.
    FailedBut200,
    /// Says no to the request.
    Refusal,
    /// Charges, and never answers.
    Timeout,
    /// Never decides.
    Undecided,
}

/// Faults that are planned for the next charges.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Which.
    pub fault: Fault,
    /// For how many of the next charges; absent: one.
    #[serde(default = "one")]
    pub times: u32,
    /// Only for refunds instead of charges.
    #[serde(default)]
    pub refunds: bool,
}

fn one() -> u32 {
    1
}

/// Percentages of charges that go wrong, and what is planned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Before anything else, in this order.
    pub planned: VecDeque<Planned>,
    /// Of 100 charges so many have this fault; chosen by the charge's number, so that the same
    /// number always has the same one.
    pub percent: Vec<(Fault, u8)>,
    /// How long a slow decision takes, in milliseconds.
    pub slow_ms: u64,
}

impl Faults {
    /// The fault of a charge or refund, if it has one. `number` is the operator's own or the
    /// caller's reference.
    pub fn next(&mut self, number: &str, refund: bool) -> Option<Fault> {
        let at = self.planned.iter().position(|p| p.refunds == refund);
        if let Some(planned) = at.and_then(|at| self.planned.get_mut(at)) {
            let fault = planned.fault;
            planned.times = planned.times.saturating_sub(1);
            self.planned.retain(|p| p.times > 0);
            return Some(fault);
        }
        if refund {
            return None;
        }
        let mut rest = u8::try_from(spread(number) % 100).unwrap_or(0);
        for (fault, percent) in &self.percent {
            if rest < *percent {
                return Some(*fault);
            }
            rest -= percent;
        }
        None
    }
}

/// FNV-1a: the same text, the same number.
fn spread(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_faults_come_first_and_shares_are_kept_roughly_and_repeatably() {
        let mut faults: Faults = serde_json::from_str(
            r#"{"planned": [{"fault": "refusal", "times": 2}, {"fault": "timeout", "refunds": true}],
                "percent": [["lost_callback", 20], ["duplicate_callback", 10]]}"#,
        )
        .unwrap();
        assert_eq!(faults.next("a", true), Some(Fault::Timeout));
        assert_eq!(faults.next("a", false), Some(Fault::Refusal));
        assert_eq!(faults.next("a", false), Some(Fault::Refusal));
        assert_eq!(faults.next("a", true), None);
        let mut lost = 0;
        for n in 0..1_000 {
            let (first, second) = (
                faults.next(&n.to_string(), false),
                faults.next(&n.to_string(), false),
            );
            assert_eq!(first, second);
            lost += u32::from(first == Some(Fault::LostCallback));
        }
        assert!((120..280).contains(&lost), "{lost}");
    }
}
