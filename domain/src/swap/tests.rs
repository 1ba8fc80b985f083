use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::codec::{from_cbor, to_cbor};
use crate::ids::{StopSeq, TicketId};
use crate::layout::{Seat, SeatAttributes, SeatLayout};
use crate::lease::SeatClaim;
use crate::passenger::PassengerClass;
use crate::restore::Owned;
use crate::trip::Legs;

fn legs(from: u8, to: u8) -> Legs {
    Legs::new(StopSeq(from), StopSeq(to)).unwrap()
}

/// Rows of four with an aisle, labelled like `3A`; the first `wheelchairs` seats are wheelchair
/// places, the last `standing` are for standing.
fn coach(id: &str, seats: u16, wheelchairs: u16, standing: u16) -> SeatLayout {
    let seat = |n: u16| {
        let (row, side) = ((n - 1) / 4 + 1, (n - 1) % 4);
        let mut attributes = SeatAttributes(0);
        let mut add = |a, wanted: bool| {
            if wanted {
                attributes = attributes.with(a);
            }
        };
        add(SeatAttributes::WINDOW, side == 0 || side == 3);
        add(SeatAttributes::AISLE, side == 1 || side == 2);
        add(SeatAttributes::FRONT, row == 1);
        add(SeatAttributes::WHEELCHAIR, n <= wheelchairs);
        add(SeatAttributes::STANDING, n > seats - standing);
        Seat {
            label: format!("{row}{}", ['A', 'B', 'C', 'D'][usize::from(side)]),
            row,
            column: [1, 2, 4, 5][usize::from(side)],
            attributes,
        }
    };
    SeatLayout::new(id, LayoutVersion(1), (1..=seats).map(seat).collect()).unwrap()
}

fn rider(n: u128, seat: u16, over: Legs) -> Rider {
    Rider {
        ticket: TicketId(Uuid::from_u128(n)),
        seat: SeatNo(seat),
        legs: over,
        class: PassengerClass::Adult,
        wheelchair: false,
        boarded: false,
        party: None,
        volunteer: false,
    }
}

fn state(old: SeatLayout, new: SeatLayout, riders: Vec<Rider>) -> SwapState {
    SwapState {
        old,
        new,
        leg_count: 4,
        riders,
        leases: vec![],
        holds: vec![],
        blocks: vec![],
    }
}

fn full(seats: u16) -> Vec<Rider> {
    (1..=seats)
        .map(|n| rider(u128::from(n), n, legs(0, 4)))
        .collect()
}

fn seat_of(plan: &SwapPlan, ticket: u128) -> Result<SeatNo, NoPlace> {
    let id = TicketId(Uuid::from_u128(ticket));
    plan.placements.iter().find(|p| p.ticket == id).unwrap().new
}

#[test]
fn the_same_bus_moves_nobody() {
    let bus = coach("a", 49, 2, 0);
    let plan = plan_swap(&state(bus.clone(), bus, full(49))).unwrap();
    assert!(
        plan.placements
            .iter()
            .all(|p| p.new == Ok(p.old) && !p.renamed)
    );
}

#[test]
fn a_wheelchair_user_gets_the_wheelchair_place_and_whoever_sat_there_moves() {
    let mut riders = full(8);
    riders[0].wheelchair = true;
    riders[1].wheelchair = true;
    let mut new = coach("b", 8, 0, 0);
    for at in [4, 7] {
        let seat = &mut new.seats[at];
        seat.attributes = seat.attributes.with(SeatAttributes::WHEELCHAIR);
    }
    let plan = plan_swap(&state(coach("a", 8, 2, 0), new.clone(), riders.clone())).unwrap();
    let mut seats = vec![seat_of(&plan, 1).unwrap(), seat_of(&plan, 2).unwrap()];
    seats.sort();
    assert_eq!(seats, [SeatNo(5), SeatNo(8)]);
    assert!(plan.placements.iter().all(|p| p.new.is_ok()));
    let seat = &mut new.seats[4];
    seat.attributes = SeatAttributes::WINDOW;
    let plan = plan_swap(&state(coach("a", 8, 2, 0), new, riders)).unwrap();
    let without = plan.placements.iter().filter(|p| p.new.is_err());
    let why: Vec<_> = without.map(|p| p.new).collect();
    assert_eq!(why, [Err(NoPlace::NoWheelchairPlace)]);
}

#[test]
fn whoever_sits_in_the_bus_stays_and_others_move_around_them() {
    let mut riders = full(8);
    riders[2].boarded = true;
    let mut new = coach("b", 8, 0, 0);
    new.seats.rotate_left(3);
    let plan = plan_swap(&state(coach("a", 8, 0, 0), new.clone(), riders)).unwrap();
    assert_eq!(new.label(seat_of(&plan, 3).unwrap()), "1C");
}

#[test]
fn a_party_stays_together_though_its_labels_do_not() {
    // The other bus calls its seats by numbers: no label helps anybody.
    let mut new = coach("b", 24, 0, 0);
    for (n, seat) in new.seats.iter_mut().enumerate() {
        seat.label = (n + 1).to_string();
    }
    let mut riders = full(20);
    for at in [2, 7, 12, 17] {
        riders[at].party = Some(Uuid::from_u128(1));
    }
    let plan = plan_swap(&state(coach("a", 20, 0, 0), new.clone(), riders)).unwrap();
    let rows: Vec<u16> = [3, 8, 13, 18]
        .into_iter()
        .map(|t| new.seat(seat_of(&plan, t).unwrap()).unwrap().row)
        .collect();
    assert!(rows.windows(2).all(|w| w[0] == w[1]), "{rows:?}");
}

#[test]
fn rights_that_may_have_been_sold_come_before_tickets_that_the_hub_can_ask() {
    let mut state = state(coach("a", 8, 0, 0), coach("b", 6, 0, 0), full(6));
    state.leases = (7..=8)
        .map(|seat| SeatClaim {
            seat: SeatNo(seat),
            legs: legs(0, 4),
        })
        .collect();
    let plan = plan_swap(&state).unwrap();
    assert!(plan.lost_leases.is_empty());
    let without = plan.placements.iter().filter(|p| p.new.is_err());
    let full = NoPlace::Full {
        leg: 0,
        needed: 8,
        seats: 6,
    };
    assert!(without.clone().all(|p| p.new == Err(full)));
    assert_eq!(without.count(), 2);
}

#[test]
fn who_volunteers_is_seated_last_and_told_so() {
    let mut riders = full(8);
    riders[3].volunteer = true;
    let plan = plan_swap(&state(coach("a", 8, 0, 0), coach("b", 7, 0, 0), riders)).unwrap();
    assert_eq!(seat_of(&plan, 4), Err(NoPlace::Volunteered));
    let placed = plan.placements.iter().filter(|p| p.new.is_ok());
    assert_eq!(placed.count(), 7);
}

#[test]
fn nobody_who_paid_for_a_seat_has_to_stand() {
    let plan = plan_swap(&state(coach("a", 8, 0, 0), coach("b", 8, 0, 1), full(8))).unwrap();
    let without: Vec<_> = plan.placements.iter().filter(|p| p.new.is_err()).collect();
    assert_eq!(without.len(), 1);
    assert_eq!(without[0].new, Err(NoPlace::OnlyStanding));
}

#[test]
fn two_who_travel_one_after_the_other_share_a_seat_where_there_are_too_few() {
    let riders = vec![
        rider(1, 1, legs(0, 2)),
        rider(2, 2, legs(2, 4)),
        rider(3, 3, legs(0, 4)),
    ];
    let plan = plan_swap(&state(coach("a", 4, 0, 0), coach("b", 2, 0, 0), riders)).unwrap();
    assert!(plan.placements.iter().all(|p| p.new.is_ok()));
    assert_eq!(plan.legs.iter().map(|l| l.needed).max(), Some(2));
}

fn swap(numbering: u32, moves: &SeatMoves, undoes: Option<u32>) -> SeatSwap {
    SeatSwap {
        numbering: LayoutVersion(numbering),
        layout: format!("before {numbering}"),
        layout_version: LayoutVersion(1),
        moves: moves.clone(),
        undoes: undoes.map(LayoutVersion),
    }
}

#[test]
fn an_undone_swap_changes_nothing_not_even_for_seats_without_a_place() {
    let to = |seats: &[u16]| {
        let seats = seats.iter().map(|s| Some(SeatNo(*s)).filter(|s| s.0 > 0));
        SeatMoves::new(&seats.collect::<Vec<_>>()).unwrap()
    };
    let small = to(&[2, 1, 0]);
    let other = to(&[3, 4]);
    let mut swaps = Swaps::default();
    swaps.push(swap(2, &small, None)).unwrap();
    assert_eq!(swaps.place(SeatNo(1), LayoutVersion(1)), Some(SeatNo(2)));
    assert_eq!(swaps.place(SeatNo(3), LayoutVersion(1)), None);
    assert_eq!(swaps.place(SeatNo(2), LayoutVersion(2)), Some(SeatNo(2)));
    swaps.push(swap(3, &small.inverse(2), Some(2))).unwrap();
    for seat in 1..=3 {
        let today = swaps.place(SeatNo(seat), LayoutVersion(1));
        assert_eq!(today, Some(SeatNo(seat)));
    }
    assert_eq!(swaps.place(SeatNo(2), LayoutVersion(2)), Some(SeatNo(1)));
    assert_eq!(swaps.standing(), None);
    swaps.push(swap(4, &other, None)).unwrap();
    assert_eq!(swaps.place(SeatNo(2), LayoutVersion(1)), Some(SeatNo(4)));
    assert_eq!(swaps.place(SeatNo(2), LayoutVersion(2)), Some(SeatNo(3)));
    assert_eq!(swaps.place(SeatNo(2), LayoutVersion(3)), Some(SeatNo(4)));
    assert_eq!(
        swaps.layout_under(LayoutVersion(2)),
        Some(("before 3", LayoutVersion(1)))
    );
    assert_eq!(swaps.layout_under(LayoutVersion(4)), None);
    assert_eq!(from_cbor::<Swaps>(&to_cbor(&swaps)).unwrap(), swaps);
    assert_eq!(swaps.push(swap(4, &other, None)), None);
}

#[test]
fn a_map_that_gives_one_seat_twice_is_none() {
    let twice = [Some(SeatNo(1)), Some(SeatNo(1))];
    assert_eq!(SeatMoves::new(&twice), None);
    assert!(from_cbor::<SeatMoves>(&to_cbor(&vec![1u16, 1])).is_err());
    assert!(from_cbor::<SeatMoves>(&to_cbor(&vec![0u16; SEATS_MAX + 1])).is_err());
    assert!(from_cbor::<SeatMoves>(&to_cbor(&vec![u16::MAX])).is_err());
    assert!(from_cbor::<SeatMoves>(&to_cbor(&vec![0u16, 0, 7])).is_ok());
}

/// Any trip: riders on seats of their own or sharing one by legs, leases, parties, wheelchairs.
fn any_state() -> impl Strategy<Value = SwapState> {
    let bus = || (1u16..14, 0u16..3, 0u16..2);
    let riders = prop::collection::vec((1u16..14, 0u8..4, 1u8..4, 0u8..16, 0u8..4), 0..16);
    let leased = prop::collection::vec((1u16..14, 0u8..4), 0..6);
    (bus(), bus(), riders, leased).prop_map(|(old, new, riders, leased)| {
        let bus = |id, (seats, wheel, stand): (u16, u16, u16)| {
            coach(id, seats, wheel.min(seats), stand.min(seats - 1))
        };
        let (old, new) = (bus("a", old), bus("b", new));
        let mut state = state(old, new, vec![]);
        let mut taken = crate::seatmap::SeatMap::whole(state.old.seat_count());
        for (n, (seat, from, len, what, party)) in (1u128..).zip(riders) {
            let over = legs(from, (from + len).min(4));
            if taken.take(SeatNo(seat), over).is_ok() {
                let mut rider = rider(n, seat, over);
                let here = state.old.seat(SeatNo(seat)).unwrap();
                rider.wheelchair = what < 6 && here.attributes.has(SeatAttributes::WHEELCHAIR);
                rider.boarded = what == 7;
                rider.volunteer = what == 8;
                rider.party = (party > 0).then(|| Uuid::from_u128(party.into()));
                state.riders.push(rider);
            }
        }
        for (seat, from) in leased {
            let claim = SeatClaim {
                seat: SeatNo(seat),
                legs: legs(from, 4),
            };
            if seat <= state.old.seat_count() {
                state.leases.push(claim);
            }
        }
        state
    })
}

/// The least that a map of so few seats can cost, by trying them all.
fn cheapest(state: &SwapState, cost: &dyn Fn(&[Option<SeatNo>]) -> i64) -> i64 {
    fn go(
        at: usize,
        to: &mut Vec<Option<SeatNo>>,
        (old, new): (usize, u16),
        cost: &dyn Fn(&[Option<SeatNo>]) -> i64,
    ) -> i64 {
        if at == old {
            return cost(to);
        }
        let mut best = i64::MAX;
        for seat in (0..=new).map(SeatNo) {
            if seat.0 > 0 && to.contains(&Some(seat)) {
                continue;
            }
            to.push(Some(seat).filter(|s| s.0 > 0));
            best = best.min(go(at + 1, to, (old, new), cost));
            to.pop();
        }
        best
    }
    let sizes = (state.old.seats.len(), state.new.seat_count());
    go(0, &mut vec![], sizes, cost)
}

proptest! {
    #[test]
    fn nobody_is_lost_and_no_two_share_a_seat_leg(state in any_state()) {
        let plan = plan_swap(&state).unwrap();
        prop_assert_eq!(plan.placements.len(), state.riders.len());
        let mut map = crate::seatmap::SeatMap::whole(state.new.seat_count());
        for (rider, placement) in state.riders.iter().zip(&plan.placements) {
            prop_assert_eq!(rider.ticket, placement.ticket);
            let Ok(seat) = placement.new else { continue };
            prop_assert!(map.take(seat, rider.legs).is_ok());
            let attributes = state.new.seat(seat).unwrap().attributes;
            if rider.wheelchair {
                prop_assert!(attributes.has(SeatAttributes::WHEELCHAIR));
            }
            let old = state.old.seat(rider.seat).unwrap().attributes;
            prop_assert!(old.has(SeatAttributes::STANDING)
                || !attributes.has(SeatAttributes::STANDING));
        }
        // Nobody was put on a seat that somebody may sell under a lease.
        for (rider, placement) in state.riders.iter().zip(&plan.placements) {
            for lease in &state.leases {
                let same_old = rider.seat == lease.seat;
                let today = plan.moves.get(lease.seat);
                prop_assert!(same_old || today.is_none() || placement.new.ok() != today
                    || !rider.legs.overlaps(lease.legs));
            }
        }
    }

    #[test]
    fn every_leased_seat_has_a_place_when_there_are_seats(state in any_state()) {
        let plan = plan_swap(&state).unwrap();
        let leased: std::collections::BTreeSet<_> = state.leases.iter().map(|l| l.seat).collect();
        let first = state.riders.iter().filter(|r| r.wheelchair || r.boarded);
        let before: std::collections::BTreeSet<_> =
            first.map(|r| r.seat).chain(leased.iter().copied()).collect();
        let standing = |l: &SeatLayout| {
            l.seats.iter().filter(|s| s.attributes.has(SeatAttributes::STANDING)).count()
        };
        let seats = state.new.seats.len() - standing(&state.new);
        let wheels = state.riders.iter().any(|r| r.wheelchair);
        if before.len() <= seats && !wheels {
            prop_assert!(plan.lost_leases.is_empty());
        }
    }

    #[test]
    fn without_parties_no_map_is_cheaper(mut state in any_state(), few in 1usize..5) {
        state.old.seats.truncate(few);
        state.new.seats.truncate(4);
        let last = state.old.seat_count();
        state.riders.retain(|r| r.seat.0 <= last);
        state.leases.retain(|l| l.seat.0 <= last);
        for rider in &mut state.riders {
            rider.party = None;
        }
        let plan = plan_swap(&state).unwrap();
        let cost = |to: &[Option<SeatNo>]| super::plan::cost_of_map(&state, to).unwrap();
        prop_assert_eq!(plan.cost, cheapest(&state, &cost));
    }

    #[test]
    fn exchanges_never_make_it_dearer(state in any_state()) {
        let plan = plan_swap(&state).unwrap();
        let matched = super::plan::matched_only(&state).unwrap();
        let before = super::plan::cost_of_map(&state, &matched).unwrap();
        prop_assert!(plan.cost <= before);
    }

    #[test]
    fn maps_compose_and_come_back(to in Just((1u16..=12).collect::<Vec<_>>()).prop_shuffle(),
        next in Just((0u16..=12).collect::<Vec<_>>()).prop_shuffle(), drop in 0usize..12)
    {
        let map = |seats: &[u16]| SeatMoves::new(&seats.iter()
            .map(|s| Some(SeatNo(*s)).filter(|s| s.0 > 0)).collect::<Vec<_>>()).unwrap();
        let mut first = to;
        first[drop] = 0;
        let (first, second) = (map(&first), map(&next));
        let both = first.then(&second);
        let mut swaps = Swaps::default();
        swaps.push(swap(2, &first, None)).unwrap();
        swaps.push(swap(3, &second, None)).unwrap();
        for seat in (1..=12).map(SeatNo) {
            prop_assert_eq!(both.get(seat), first.get(seat).and_then(|s| second.get(s)));
            prop_assert_eq!(swaps.place(seat, LayoutVersion(1)), both.get(seat));
            if let Some(to) = first.get(seat) {
                prop_assert_eq!(first.inverse(12).get(to), Some(seat));
                prop_assert_eq!(first.origin(to), Some(seat));
            }
        }
    }
}

#[test]
fn a_late_sale_is_seated_again_where_all_its_seats_are_free_and_the_first_has_them() {
    let claim = |seat: u16, from, to| SeatClaim {
        seat: SeatNo(seat),
        legs: legs(from, to),
    };
    let sale = |seats: &[Option<SeatClaim>], others: &[SeatClaim]| {
        let mut owned = Owned::default();
        for claim in others {
            owned.add(*claim);
        }
        LateSale {
            seats: seats.to_vec(),
            others: owned,
        }
    };
    let late = [
        sale(&[Some(claim(1, 0, 2))], &[claim(1, 2, 4), claim(2, 0, 4)]),
        sale(&[Some(claim(1, 1, 3))], &[]),
        sale(&[Some(claim(3, 0, 4)), None], &[]),
        sale(&[Some(claim(3, 0, 4)), Some(claim(3, 3, 4))], &[]),
        sale(&[Some(claim(3, 0, 4))], &[claim(3, 3, 4)]),
        sale(&[Some(claim(3, 0, 2)), Some(claim(3, 2, 4))], &[]),
        sale(&[], &[]),
    ];
    let seated = seated_again(&late);
    assert_eq!(seated, [true, false, false, false, false, true, false]);
}
