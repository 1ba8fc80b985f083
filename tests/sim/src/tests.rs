//! The world itself is held to its word, and every bug that it found is told again.

use crate::ops::Op;
use crate::world::{Step, run_script, run_seed, script_of};

mod reproductions {
    include!("../reproductions/found.rs");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, again) = (run_seed(7), run_seed(7));
    assert_eq!(first.trace_hash, again.trace_hash);
    assert_ne!(first.trace_hash, run_seed(8).trace_hash);
}

#[test]
fn a_script_runs_as_its_seed_did() {
    assert_eq!(
        run_script(7, &script_of(7)).trace_hash,
        run_seed(7).trace_hash
    );
}

#[test]
fn no_law_breaks_in_twenty_seeds() {
    let (mut swapped, mut undone) = (0, 0);
    for seed in 1..=20 {
        let outcome = run_seed(seed);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.tickets > 0, "seed {seed} sold nothing");
        swapped += outcome.took_effect.get("swap_bus").copied().unwrap_or(0);
        undone += outcome.took_effect.get("undo_swap").copied().unwrap_or(0);
    }
    assert!(
        swapped > 0 && undone > 0,
        "{swapped} swaps, {undone} undone"
    );
}

/// Sixteen seats are sold at the hub, the bus becomes one of twelve, and is put back.
#[test]
fn a_smaller_bus_leaves_some_without_a_seat_until_it_is_taken_back() {
    let mut script = vec![];
    for at in 0..20 {
        let op = Op::Book {
            trip: 2,
            from: 0,
            to: 3,
        };
        script.push(Step {
            op,
            wait_ms: 10 + at,
        });
    }
    let swap = Op::SwapBus { trip: 2, layout: 1 };
    let (sell, undo) = (
        Op::Sell {
            node: 0,
            trip: 2,
            to: 3,
            party: 2,
        },
        Op::UndoSwap { nth: 0 },
    );
    let ops = [
        Op::Partition { node: 0 },
        swap,
        sell,
        undo,
        Op::UndoSwap { nth: 0 },
    ];
    script.extend(ops.map(|op| Step {
        op,
        wait_ms: 20_000,
    }));
    let outcome = run_script(5, &script);
    assert_eq!(outcome.violation, None);
    let count = |name| outcome.took_effect.get(name).copied();
    assert_eq!((count("swap_bus"), count("undo_swap")), (Some(1), Some(1)));
    assert_eq!(count("sell"), Some(1), "a dark station goes on selling");
}

#[test]
fn a_tree_of_buses_finds_every_seat_again() {
    use domain::ids::{LayoutVersion, SeatNo, TicketId, TripId};
    use std::collections::BTreeMap;

    use crate::model::{Buses, Held, Truth};

    let seats = |pairs: &[(u16, u16)]| -> BTreeMap<SeatNo, SeatNo> {
        let pairs = pairs.iter();
        pairs.map(|(a, b)| (SeatNo(*a), SeatNo(*b))).collect()
    };
    let (trip, mut truth) = (TripId(1), Truth::default());
    let mut buses = Buses::new(LayoutVersion(1));
    let (placed, none) = (TicketId::from_bytes([3; 16]), BTreeMap::new());
    let elsewhere = BTreeMap::from([(placed, SeatNo(9))]);
    buses.swap(
        LayoutVersion(2),
        seats(&[(1, 5), (2, 6)]),
        elsewhere,
        none.clone(),
    );
    buses.undo(LayoutVersion(3));
    buses.swap(LayoutVersion(4), seats(&[(1, 7)]), none.clone(), none);
    truth.buses.insert(trip, buses);
    let mut hand_out = |n: u8, seat, under| {
        let legs = domain::trip::Legs::new(domain::ids::StopSeq(0), domain::ids::StopSeq(1));
        let id = TicketId::from_bytes([n; 16]);
        let placed = (SeatNo(seat), LayoutVersion(under));
        let held = Held::new(String::new(), (trip, legs.unwrap()), placed, None);
        truth.hand_out(id, held);
        id
    };
    let (old, between, placed) = (hand_out(1, 1, 1), hand_out(2, 5, 2), hand_out(3, 3, 1));
    let by = |id, at| truth.seat_at(id, LayoutVersion(at)).map(|s| s.0);
    assert_eq!(
        [1, 2, 3, 4].map(|at| by(old, at)),
        [Some(1), Some(5), Some(1), Some(7)]
    );
    assert_eq!(
        [1, 2, 3, 4].map(|at| by(between, at)),
        [Some(5), Some(5), Some(1), Some(7)]
    );
    assert_eq!(
        [1, 2, 3, 4].map(|at| by(placed, at)),
        [Some(3), Some(9), Some(3), None]
    );
}
