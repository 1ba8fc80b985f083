//! Where along a line the stops of a trip are.
//!
//! A line may pass a stop's place twice: out and back on one road, a loop into a town and out
//! again. So the stops are placed together, in their order, such that they lie as near to the
//! line as they can; of two passes that are as near, the first one counts, and for the last stop
//! the last one.

use super::geo::Place;
use super::line::{Beside, Line};

/// A stop that is farther from the line does not belong to it, in metres: stations stand in
/// towns that the road passes by.
pub const STOP_OFF_M_MAX: u32 = 2_000;
/// Nearer than this every pass is as near as another, in metres: a stop has a place, not a lane.
const AS_NEAR_M: f64 = 30.0;
/// So far stops may lie against their order: their places are not that exact; in metres.
const BACK_M: f64 = 50.0;

/// Why a line is not that of some stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// Too few stops whose place is known.
    #[error("two stops need a place in degrees before a line can lead along them")]
    NoPlaces,
    /// Too far from it.
    #[error("it is {off_m} m beside the line, and {STOP_OFF_M_MAX} m are the most")]
    Beside {
        /// Which, from 0.
        stop: usize,
        /// How far, in metres.
        off_m: u64,
    },
    /// On it, but not behind the stop before.
    #[error(
        "the line does not come by it behind the stop before: turn the line around, or draw the whole way"
    )]
    OutOfOrder {
        /// Which, from 0.
        stop: usize,
    },
}

impl Misplaced {
    /// Which stop it is about, from 0.
    pub const fn stop(self) -> Option<usize> {
        match self {
            Self::NoPlaces => None,
            Self::Beside { stop, .. } | Self::OutOfOrder { stop } => Some(stop),
        }
    }
}

/// A way to place the stops up to one: how far along it is, what it costs, on which piece the
/// stop before lies.
#[derive(Debug, Clone, Copy)]
struct Way {
    along_m: f64,
    cost: f64,
    before: usize,
}

/// How far along a line each stop with a place is, in metres. `stated` is what is known of it
/// already; it counts where the stop is not far from there.
pub(super) fn placed(
    line: &Line,
    stops: &[Option<Place>],
    stated: &[Option<u32>],
) -> Result<Vec<Option<f64>>, Misplaced> {
    let known: Vec<(usize, Place)> = stops
        .iter()
        .enumerate()
        .filter_map(|(stop, place)| Some((stop, (*place)?)))
        .collect();
    if known.len() < 2 {
        return Err(Misplaced::NoPlaces);
    }
    let whole = (0.0, line.length_m());
    let mut rounds: Vec<Vec<Option<Way>>> = Vec::with_capacity(known.len());
    for (no, (stop, place)) in known.iter().enumerate() {
        let stated = stated.get(*stop).copied().flatten();
        let beside: Vec<Beside> = line.beside(*place, whole).collect();
        let near = candidates(line, &beside, *place, stated);
        if near.iter().all(Option::is_none) {
            let nearest = beside.iter().map(|b| b.off_m).fold(f64::MAX, f64::min);
            let off_m = nearest.round() as u64;
            return Err(Misplaced::Beside { stop: *stop, off_m });
        }
        let round = ways(&near, rounds.last());
        if round.iter().all(Option::is_none) {
            return Err(Misplaced::OutOfOrder { stop: *stop });
        }
        debug_assert_eq!(no, rounds.len());
        rounds.push(round);
    }
    let alongs = traced(line, &rounds, &known, stated);
    let mut placed = vec![None; stops.len()];
    for ((stop, _), along_m) in known.iter().zip(alongs) {
        if let Some(slot) = placed.get_mut(*stop) {
            *slot = Some(along_m);
        }
    }
    Ok(placed)
}

/// How far along a stop would be on each piece, and what that costs.
fn candidates(
    line: &Line,
    beside: &[Beside],
    place: Place,
    stated: Option<u32>,
) -> Vec<Option<(f64, f64)>> {
    let limit = f64::from(STOP_OFF_M_MAX);
    let stated = stated.map(|m| f64::from(m).min(line.length_m()));
    let stated = stated.filter(|m| {
        let there = line.at_m(*m).map(|there| there.metres_to(place));
        there.is_some_and(|off_m| off_m <= limit)
    });
    let mut near: Vec<Option<(f64, f64)>> = vec![None; beside.len()];
    if let Some(along_m) = stated {
        let before = line.alongs_m().take_while(|m| *m < along_m).count();
        if let Some(piece) = near.get_mut(before.saturating_sub(1)) {
            *piece = Some((along_m, 0.0));
        }
        return near;
    }
    for (slot, beside) in near.iter_mut().zip(beside) {
        let cost = beside.off_m.max(AS_NEAR_M).powi(2);
        *slot = (beside.off_m <= limit).then_some((beside.along_m, cost));
    }
    near
}

/// The cheapest way to each piece, by those to the pieces before.
fn ways(near: &[Option<(f64, f64)>], before: Option<&Vec<Option<Way>>>) -> Vec<Option<Way>> {
    let Some(before) = before else {
        let first = near.iter().map(|near| {
            near.map(|(along_m, cost)| Way {
                along_m,
                cost,
                before: 0,
            })
        });
        return first.collect();
    };
    let mut cheapest: Option<(f64, usize)> = None;
    let mut round = Vec::with_capacity(near.len());
    for (piece, (near, here)) in near.iter().zip(before).enumerate() {
        let way = near.and_then(|(along_m, cost)| {
            let same = here.filter(|way| along_m + BACK_M >= way.along_m);
            let same = same.map(|way| (way.cost, piece));
            let best = match (cheapest, same) {
                (Some(a), Some(b)) if b.0 < a.0 => Some(b),
                (a, b) => a.or(b),
            };
            best.map(|(so_far, before)| Way {
                along_m,
                cost: so_far + cost,
                before,
            })
        });
        round.push(way);
        if let Some(here) = here.filter(|here| cheapest.is_none_or(|(least, _)| here.cost < least))
        {
            cheapest = Some((here.cost, piece));
        }
    }
    round
}

/// Back from the cheapest way to the last stop; then each stop goes on to where the line is
/// nearest, for of pieces that are as near the first was taken.
fn traced(
    line: &Line,
    rounds: &[Vec<Option<Way>>],
    known: &[(usize, Place)],
    stated: &[Option<u32>],
) -> Vec<f64> {
    let last = rounds.last().map(Vec::as_slice).unwrap_or_default();
    let ends = last.iter().enumerate();
    let ends = ends.filter_map(|(piece, way)| way.map(|way| (piece, way.cost)));
    let end = ends.fold(
        None,
        |best: Option<(usize, f64)>, (piece, cost)| match best {
            Some((_, least)) if cost > least => best,
            _ => Some((piece, cost)),
        },
    );
    let mut piece = end.map_or(0, |(piece, _)| piece);
    let mut alongs = vec![0.0; rounds.len()];
    let mut limit_m = line.length_m();
    for (no, round) in rounds.iter().enumerate().rev() {
        let Some(way) = round.get(piece).copied().flatten() else {
            continue;
        };
        let (stop, place) = known[no];
        let mut along_m = way.along_m.min(limit_m);
        let is_last = no + 1 == rounds.len();
        if !is_last && stated.get(stop).copied().flatten().is_none() {
            along_m = gone_on(line, place, (along_m, piece), limit_m);
        }
        alongs[no] = along_m;
        limit_m = along_m;
        piece = way.before;
    }
    alongs
}

/// On along the line while it comes nearer.
fn gone_on(line: &Line, place: Place, (from_m, piece): (f64, usize), limit_m: f64) -> f64 {
    let (mut along_m, mut off_m) = (from_m, f64::MAX);
    for beside in line.beside(place, (from_m, limit_m)) {
        if beside.piece > piece && beside.off_m >= off_m {
            break;
        }
        (along_m, off_m) = (beside.along_m, beside.off_m);
    }
    along_m.min(limit_m)
}
