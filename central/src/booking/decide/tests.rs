use domain::ids::{LayoutVersion, StopSeq};
use domain::layout::Seat;
use domain::money::Currency;
use domain::trip::TripStop;
use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn code(n: u8) -> StopCode {
    StopCode(format!("S{n}"))
}

fn trip(number: u64, stops: &[u8], departs: Instant, seats: u16) -> Trip {
    let stop = |(i, n): (usize, &u8)| TripStop {
        code: code(*n),
        name: format!("Stop {n}"),
        zone: "Africa/Lusaka".parse().unwrap(),
        arrives: departs.plus_ms(i as i64 * HOUR_MS),
        departs: departs.plus_ms(i as i64 * HOUR_MS),
    };
    Trip {
        id: TripId(number),
        route: "R".to_owned(),
        headsign: "North".to_owned(),
        service_date: "2026-11-22".parse().unwrap(),
        layout: "coach".to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: seats,
        fare_table: "fares".to_owned(),
        currency: Currency::ZMW,
        stops: stops.iter().enumerate().map(stop).collect(),
        swaps: domain::swap::Swaps::NONE,
    }
}

fn layout(seats: u16) -> SeatLayout {
    let seat = |n: u16| Seat {
        label: n.to_string(),
        row: (n - 1) / 4 + 1,
        column: ((n - 1) % 4 + 1) as u8,
        attributes: if n % 4 < 2 {
            SeatAttributes::WINDOW
        } else {
            SeatAttributes::AISLE
        },
    };
    SeatLayout::new("coach", LayoutVersion(1), (1..=seats).map(seat).collect()).unwrap()
}

fn legs(a: u8, b: u8) -> Legs {
    Legs::new(StopSeq(a), StopSeq(b)).unwrap()
}

fn journey(number: u64, from: u8, to: u8, passengers: Vec<Wish>) -> Journey {
    Journey {
        trip: TripId(number),
        from: code(from),
        to: code(to),
        passengers,
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let attributes = prop_oneof![
        3 => Just(SeatAttributes::default()),
        1 => Just(SeatAttributes::WINDOW),
        1 => Just(SeatAttributes::AISLE),
    ];
    let seat = prop_oneof![3 => Just(None), 1 => (0u16..25).prop_map(|n| Some(SeatNo(n)))];
    (attributes, seat).prop_map(|(attributes, seat)| Wish {
        class: PassengerClass::Adult,
        seat,
        attributes,
    })
}

proptest! {
    #[test]
    fn a_party_gets_every_seat_as_wished_or_none(
        sold in prop::collection::vec((1u16..=20, 0u8..4, 1u8..3), 0..40),
        wishes in prop::collection::vec(wish(), 1..8),
        from in 0u8..3, len in 1u8..3,
    ) {
        let trip = trip(1, &[0, 1, 2, 3, 4], Instant(0), 20);
        let layout = layout(20);
        let mut pool = SeatMap::whole(20);
        for (seat, from, len) in sold {
            pool.mark_taken(SeatNo(seat), legs(from, (from + len).min(5).max(from + 1)));
        }
        let legs = legs(from, (from + len).min(4));
        let sale = ForSale {
            trip: &trip, state: "scheduled", boarding_closes: &[], pool: &pool,
            layout: Some(&layout),
        };
        let wish = journey(1, legs.from().0, legs.to().0, wishes);
        let Ok(seats) = seats(&sale, &wish, legs) else {
            // Whoever takes any seat is refused only when there are too few.
            let easy = wish.passengers.iter().all(|w| *w == Wish::any(PassengerClass::Adult));
            prop_assert!(!easy || pool.free_seats(legs).count() < wish.passengers.len());
            return Ok(());
        };
        prop_assert_eq!(seats.len(), wish.passengers.len());
        for (seat, w) in seats.iter().zip(&wish.passengers) {
            prop_assert!(pool.take(*seat, legs).is_ok(), "seat {} twice, or not free", seat);
            prop_assert!(w.seat.is_none_or(|chosen| chosen == *seat));
            let has = layout.seat(*seat).unwrap().attributes.has(w.attributes);
            prop_assert!(w.seat.is_some() || has);
        }
    }

    #[test]
    fn two_trips_make_one_booking_only_with_time_to_change(
        gap_ms in -5 * HOUR_MS..5 * HOUR_MS, back in any::<bool>(),
    ) {
        let first = trip(1, &[0, 1, 2], Instant(0), 20);
        let arrives = 2 * HOUR_MS;
        let stops: [u8; 3] = if back { [2, 1, 0] } else { [2, 3, 4] };
        let second = trip(2, &stops, Instant(arrives + gap_ms), 20);
        let there = journey(1, 0, 2, vec![]);
        let on = journey(2, stops[0], stops[2], vec![]);
        let both = [(&there, &first, legs(0, 2)), (&on, &second, legs(0, 2))];
        prop_assert_eq!(check_together(&both).is_ok(), gap_ms >= CONNECTION_MIN_MS);
        let elsewhere = journey(2, stops[1], 9, vec![]);
        let apart = [(&there, &first, legs(0, 2)), (&elsewhere, &second, legs(1, 2))];
        let refused = matches!(check_together(&apart), Err(Refusal::NotTogether { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn what_has_closed_or_was_cancelled_is_not_sold() {
    let trip = trip(1, &[0, 1, 2], Instant(0), 4);
    let pool = SeatMap::whole(4);
    let closes = [Instant(10), Instant(20), Instant(0)];
    let mut sale = ForSale {
        trip: &trip,
        state: "scheduled",
        boarding_closes: &closes,
        pool: &pool,
        layout: None,
    };
    let there = journey(1, 0, 2, vec![]);
    assert_eq!(open_legs(&sale, &there, Instant(10)), Ok(legs(0, 2)));
    let closed = Refusal::BoardingClosed { stop: code(0) };
    assert_eq!(open_legs(&sale, &there, Instant(11)), Err(closed));
    sale.state = "cancelled";
    let refused = open_legs(&sale, &there, Instant(10));
    assert!(matches!(refused, Err(Refusal::NotRunning { .. })));
    sale.state = "departed";
    let later = journey(1, 1, 2, vec![]);
    assert_eq!(open_legs(&sale, &later, Instant(15)), Ok(legs(1, 2)));
    let backwards = open_legs(&sale, &journey(1, 2, 0, vec![]), Instant(0));
    assert!(matches!(backwards, Err(Refusal::NoSuchJourney { .. })));
}
