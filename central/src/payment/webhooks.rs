//! Webhooks to companies: what happened, signed as Standard Webhooks asks for it.
//!
//! Every event of the outbox becomes one delivery per endpoint that wants it. A delivery is tried
//! for about three days; when it is given up and nothing else got through, the endpoint is
//! switched off.

pub(super) mod db;
pub(super) mod deliver;
mod guard;
pub(super) mod sign;

pub(crate) use db::prune;
pub(super) use guard::{Forbidden, check_address};

/// How long to wait after each failed attempt, in milliseconds: about three days in all.
const WAITS_MS: [i64; 10] = [
    5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000,
    86_400_000, 0,
];

/// When to try again after so many failed attempts; `None`: not any more.
pub(super) fn next_try_ms(attempts: i32) -> Option<i64> {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
    WAITS_MS.get(index).copied().filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_for_about_three_days_and_then_given_up() {
        let waits: Vec<i64> = (1..).map_while(next_try_ms).collect();
        assert!(waits.windows(2).all(|w| w[0] < w[1]), "{waits:?}");
        let days = waits.iter().sum::<i64>() / 86_400_000;
        assert_eq!(days, 3);
    }
}
