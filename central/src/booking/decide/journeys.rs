//! Two trips of one booking: there and back, or one after the other.

use domain::time::Instant;
use domain::trip::{Legs, Trip};

use super::{Journey, Refusal};

/// How long changing buses takes, at least, in ms.
pub const CONNECTION_MIN_MS: i64 = 15 * 60 * 1000;

const MINUTE_MS: i64 = 60_000;

/// Whether the journeys make one booking: each later trip leaves late enough after the one before
/// came in, from where that one ended, or to where it began.
pub fn check_together(journeys: &[(&Journey, &Trip, Legs)]) -> Result<(), Refusal> {
    for pair in journeys.windows(2) {
        let [(first, a, a_legs), (second, b, b_legs)] = pair else {
            continue;
        };
        let goes_on = second.from == first.to;
        let comes_back = second.to == first.from;
        if !goes_on && !comes_back {
            return Err(Refusal::NotTogether {
                from: second.from.clone(),
                to: first.to.clone(),
            });
        }
        let arrives = a.stop(a_legs.to()).map_or(Instant(i64::MAX), |s| s.arrives);
        let departs = b.stop(b_legs.from()).map_or(Instant(0), |s| s.departs);
        let between_ms = departs.0.saturating_sub(arrives.0);
        if between_ms < CONNECTION_MIN_MS {
            return Err(Refusal::TooShort {
                stop: second.from.clone(),
                minutes: between_ms.div_euclid(MINUTE_MS),
                wanted: CONNECTION_MIN_MS / MINUTE_MS,
            });
        }
    }
    Ok(())
}
