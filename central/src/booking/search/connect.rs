//! Journeys with one change: pure.

use std::collections::BTreeMap;

use domain::ids::TripId;
use domain::time::Instant;

/// One bus of a journey with a change: from where one gets on to where one changes, or from there
/// to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece<'a> {
    pub(super) trip: TripId,
    /// Whose, and where one changes.
    pub(super) change: (uuid::Uuid, &'a str),
    /// When it leaves the stop where one gets on.
    pub(super) departs: Instant,
    /// When it comes to the stop where one gets off.
    pub(super) arrives: Instant,
}

/// How long one waits for the second bus, in ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
}

/// Pairs of a first and a second bus, by their places in the lists: for each first bus the second
/// that is earliest at the end; nothing that another pair leaves later and reaches sooner. At
/// most so many, by departure.
pub(super) fn connect(
    firsts: &[Piece<'_>],
    seconds: &[Piece<'_>],
    wait: Wait,
    most: usize,
) -> Vec<(usize, usize)> {
    let mut at_stop: BTreeMap<(uuid::Uuid, &str), Vec<usize>> = BTreeMap::new();
    for (i, second) in seconds.iter().enumerate() {
        at_stop.entry(second.change).or_default().push(i);
    }
    let mut best: BTreeMap<TripId, (Instant, usize, usize)> = BTreeMap::new();
    for (i, first) in firsts.iter().enumerate() {
        let earliest = first.arrives.plus_ms(wait.min_ms);
        let latest = first.arrives.plus_ms(wait.max_ms);
        let here = at_stop.get(&first.change).map_or(&[][..], Vec::as_slice);
        for j in here.iter().copied() {
            let Some(second) = seconds.get(j) else {
                continue;
            };
            let fits = second.departs >= earliest && second.departs <= latest;
            if !fits || second.trip == first.trip {
                continue;
            }
            let found = (second.arrives, i, j);
            let known = best.entry(first.trip).or_insert(found);
            if found < *known {
                *known = found;
            }
        }
    }
    let mut pairs: Vec<(Instant, Instant, usize, usize)> = best
        .into_values()
        .filter_map(|(arrives, i, j)| Some((firsts.get(i)?.departs, arrives, i, j)))
        .collect();
    // From the latest departure back: a pair has to be at the end sooner than all that leave later.
    pairs.sort_by_key(|(departs, arrives, ..)| (core::cmp::Reverse(*departs), *arrives));
    let mut soonest = Instant(i64::MAX);
    pairs.retain(|(_, arrives, ..)| {
        let better = *arrives < soonest;
        soonest = soonest.min(*arrives);
        better
    });
    pairs.reverse();
    pairs.truncate(most);
    pairs.into_iter().map(|(_, _, i, j)| (i, j)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const STOPS: [&str; 4] = ["A", "B", "C", "D"];

    fn piece(first_trip: u64) -> impl Strategy<Value = Piece<'static>> {
        (0u64..6, 0usize..4, 0i64..1000, 1i64..500).prop_map(move |(trip, stop, departs, takes)| {
            Piece {
                trip: TripId(first_trip + trip),
                change: (Uuid::nil(), STOPS[stop]),
                departs: Instant(departs),
                arrives: Instant(departs + takes),
            }
        })
    }

    proptest! {
        #[test]
        fn every_change_can_be_made_and_none_is_pointless(
            firsts in prop::collection::vec(piece(0), 0..20),
            seconds in prop::collection::vec(piece(3), 0..20),
        ) {
            let wait = Wait { min_ms: 15, max_ms: 300 };
            let pairs = connect(&firsts, &seconds, wait, 5);
            prop_assert!(pairs.len() <= 5);
            let ends: Vec<(Instant, Instant)> =
                pairs.iter().map(|(i, j)| (firsts[*i].departs, seconds[*j].arrives)).collect();
            for (i, j) in &pairs {
                let (first, second) = (firsts[*i], seconds[*j]);
                prop_assert_eq!(first.change, second.change);
                prop_assert!(first.trip != second.trip);
                let waits = second.departs.0 - first.arrives.0;
                prop_assert!((15..=300).contains(&waits));
            }
            for pair in ends.windows(2) {
                prop_assert!(pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1);
            }
            let any = firsts.iter().any(|f| seconds.iter().any(|s| {
                let waits = s.departs.0 - f.arrives.0;
                f.change == s.change && f.trip != s.trip && (15..=300).contains(&waits)
            }));
            prop_assert_eq!(pairs.is_empty(), !any);
        }
    }
}
