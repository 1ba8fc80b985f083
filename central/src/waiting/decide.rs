//! Whose turn it is, and how long an offer stands. Nothing but the arguments counts.

use domain::ids::SeatNo;
use domain::seatmap::SeatMap;
use domain::time::Instant;
use domain::trip::Legs;

use crate::booking::{Deadline, HOLD_LIMIT_MS, PAYMENT_GRACE_MS};

/// An offer that stands for less is none: its reader could not book in time.
pub(super) const OFFER_MIN_MS: i64 = 5 * 60 * 1000;

/// The first party in line that has seats for everybody; who does not fit is passed.
pub(super) fn next_in_line(
    pool: &SeatMap,
    line: impl IntoIterator<Item = (Legs, usize)>,
) -> Option<usize> {
    line.into_iter()
        .position(|(legs, seats)| pool.free_seats(legs).count() >= seats)
}

/// The seats that a line would be offered out of a pool, party by party.
pub(super) fn seats_of_line(pool: &SeatMap, mut line: Vec<(Legs, usize)>) -> Vec<(SeatNo, Legs)> {
    let mut pool = pool.clone();
    let mut aside = vec![];
    while let Some(turn) = next_in_line(&pool, line.iter().copied()) {
        let (legs, count) = line.remove(turn);
        for seat in pool.best_fit_party(legs, count, None).unwrap_or_default() {
            pool.mark_taken(seat, legs);
            aside.push((seat, legs));
        }
    }
    aside
}

/// How long seats offered at this moment are held: half an hour, but not beyond the close of
/// boarding nor beyond what the party wants. A payment that is under way may keep them a little
/// longer, not beyond the close either. `None` where too little is left.
pub(super) fn offer_deadline(
    now: Instant,
    closes: Instant,
    accept_until: Option<Instant>,
) -> Option<Deadline> {
    let wanted = accept_until.unwrap_or(closes).min(closes);
    let until = now.plus_ms(HOLD_LIMIT_MS).min(wanted);
    (until >= now.plus_ms(OFFER_MIN_MS)).then(|| Deadline {
        expires_at: until,
        last: until.plus_ms(PAYMENT_GRACE_MS).min(closes),
    })
}

/// Why nobody waits for a journey any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The trip is cancelled, or has arrived.
    NotRunning,
    /// Boarding at its stop has closed.
    BoardingClosed,
    /// The party does not want it any more.
    NotWanted,
}

impl Over {
    /// The state that it leads to.
    pub(super) const fn state(self) -> &'static str {
        match self {
            Self::NotRunning | Self::BoardingClosed => "closed",
            Self::NotWanted => "lapsed",
        }
    }

    /// The word it is stored under.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::NotRunning => "trip-not-running",
            Self::BoardingClosed => "boarding-closed",
            Self::NotWanted => "not-wanted",
        }
    }
}

/// Whether waiting is over for a party, by the state of its trip and the close of boarding at its
/// stop.
pub(super) fn over(
    trip_state: &str,
    closes: Option<Instant>,
    accept_until: Option<Instant>,
    now: Instant,
) -> Option<Over> {
    if matches!(trip_state, "cancelled" | "arrived") {
        return Some(Over::NotRunning);
    }
    if closes.is_none_or(|closes| now > closes) {
        return Some(Over::BoardingClosed);
    }
    (accept_until.is_some_and(|until| now >= until)).then_some(Over::NotWanted)
}

#[cfg(test)]
mod tests {
    use domain::ids::StopSeq;
    use proptest::prelude::*;

    use super::*;

    fn legs(from: u8, to: u8) -> Legs {
        Legs::new(StopSeq(from), StopSeq(to)).unwrap()
    }

    #[test]
    fn a_small_party_that_fits_passes_a_big_one_that_does_not() {
        let mut pool = SeatMap::whole(2);
        pool.mark_taken(domain::ids::SeatNo(1), legs(0, 4));
        let line = [(legs(0, 4), 2), (legs(0, 4), 1), (legs(0, 4), 1)];
        assert_eq!(next_in_line(&pool, line), Some(1));
        let whole = SeatMap::whole(2);
        assert_eq!(next_in_line(&whole, line), Some(0));
    }

    #[test]
    fn a_line_is_set_aside_what_it_would_be_offered_and_no_seat_more() {
        let line = vec![(legs(0, 4), 2), (legs(2, 4), 1), (legs(0, 4), 3)];
        let mut pool = SeatMap::whole(4);
        pool.mark_taken(SeatNo(1), legs(0, 2));
        let aside = seats_of_line(&pool, line);
        // The pair, then the one who fits beside the seat that is sold halfway.
        assert_eq!(aside.len(), 3, "{aside:?}");
        assert_eq!(aside[2], (SeatNo(1), legs(2, 4)));
        for (seat, legs) in &aside {
            pool.take(*seat, *legs).unwrap();
        }
        assert_eq!(pool.free_seats(legs(0, 4)).count(), 1);
        assert_eq!(seats_of_line(&pool, vec![]), []);
    }

    #[test]
    fn waiting_ends_with_the_trip_with_boarding_and_with_the_wish() {
        let (now, closes) = (Instant(100), Some(Instant(100)));
        assert_eq!(over("scheduled", closes, None, now), None);
        assert_eq!(over("departed", closes, Some(Instant(101)), now), None);
        let cases = [
            ("cancelled", closes, None, Over::NotRunning),
            ("scheduled", Some(Instant(99)), None, Over::BoardingClosed),
            ("scheduled", None, None, Over::BoardingClosed),
            ("scheduled", closes, Some(now), Over::NotWanted),
        ];
        for (state, closes, until, why) in cases {
            assert_eq!(over(state, closes, until, now), Some(why));
        }
    }

    proptest! {
        #[test]
        fn offers_go_in_order_to_who_fits_until_nobody_does_and_no_seat_twice(
            taken in prop::collection::vec((1u16..=6, 0u8..5, 1u8..5), 0..12),
            line in prop::collection::vec((0u8..5, 1u8..5, 1usize..5), 0..12),
        ) {
            let mut pool = SeatMap::whole(6);
            for (seat, from, long) in taken {
                pool.mark_taken(domain::ids::SeatNo(seat), legs(from, from + long));
            }
            let mut line: Vec<(Legs, usize)> = line
                .into_iter()
                .map(|(from, long, seats)| (legs(from, from + long), seats))
                .collect();
            let fits = |pool: &SeatMap, (legs, seats): &(Legs, usize)| {
                pool.free_seats(*legs).count() >= *seats
            };
            while let Some(turn) = next_in_line(&pool, line.iter().copied()) {
                prop_assert!(line[..turn].iter().all(|earlier| !fits(&pool, earlier)));
                let (legs, seats) = line.remove(turn);
                let party = pool.best_fit_party(legs, seats, None);
                prop_assert!(party.is_some());
                for seat in party.into_iter().flatten() {
                    prop_assert!(pool.take(seat, legs).is_ok());
                }
            }
            prop_assert!(line.iter().all(|left| !fits(&pool, left)));
        }

        #[test]
        fn an_offer_never_outlives_boarding_the_wish_or_a_hold(
            now in 0i64..4_000_000_000_000,
            closes in -3_600_000i64..7_200_000,
            until in prop::option::of(-3_600_000i64..7_200_000),
        ) {
            let now = Instant(now);
            let closes = now.plus_ms(closes);
            let until = until.map(|ms| now.plus_ms(ms));
            let long = until.unwrap_or(closes).min(closes);
            match offer_deadline(now, closes, until) {
                Some(offer) => {
                    prop_assert!(offer.expires_at >= now.plus_ms(OFFER_MIN_MS));
                    prop_assert!(offer.expires_at <= long);
                    prop_assert!(offer.last <= closes && offer.last >= offer.expires_at);
                    let hold = Deadline::starting(now);
                    prop_assert!(offer.expires_at <= hold.customers_last());
                    prop_assert!(offer.last <= hold.last);
                    prop_assert_eq!(offer.extended(now), None);
                }
                None => prop_assert!(long < now.plus_ms(OFFER_MIN_MS)),
            }
        }
    }
}
