//! Who sits where in the other bus, decided over one trip.
//!
//! Two steps. Old seats, with all that is sold or may be sold of them, are matched to new ones at
//! the least cost: the map. It keeps a seat for every right, used or not, because its holder may
//! have sold it and cannot be asked. Whoever's seat got no place is then put on legs that are free
//! in the other bus, by best fit. Who finds nothing there either has no place, with the reason.
//!
//! The matching sums costs of single seats, so it cannot see who belongs together. Its costs grow
//! with the distance between the places in both buses, which keeps neighbours near each other;
//! afterwards exchanges of two places, or moves to an empty one, go on as long as the whole gets
//! cheaper, with what parties pay for being torn apart counted in. That is a local optimum for
//! parties; without any the matching is the optimum.

use std::collections::{BTreeMap, BTreeSet};

use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;
use uuid::Uuid;

use super::riders::{Held, Rider};
use super::{NO_SEAT, SeatMoves};
use crate::ids::{SeatNo, StopSeq, TicketId};
use crate::layout::{Seat, SeatAttributes, SeatLayout};
use crate::lease::SeatClaim;
use crate::seatmap::SeatMap;
use crate::trip::Legs;

/// A step between two ranks of who gets a place at all: more than all that comes below can cost.
const RANK: i64 = 1_000_000_000_000_000;
/// A leg more that is without a place: 64 of them are less than a rank.
const LEG: i64 = RANK / 100;
/// A place that may not be taken costs more than none.
const FORBIDDEN: i64 = 8 * RANK;
/// Somebody in the bus has to get up.
const BOARDED_MOVES: i64 = 1_000_000_000_000;
/// A row, or a gap, between people who belong together.
const APART: i64 = 100_000;
/// The seat is called otherwise.
const OTHER_LABEL: i64 = 100;
/// Each of window, aisle, front that is lost.
const LOST: i64 = 10;
/// A wheelchair place is given to somebody who needs none.
const WASTED: i64 = 40;
/// A wheelchair place that is leased, and may be sold to a wheelchair user, becomes another one.
const PERHAPS_NEEDED: i64 = 50_000;
/// The most rounds of looking for exchanges.
const ROUNDS_MAX: usize = 100;

/// Everything that the plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapState {
    /// The bus of today.
    pub old: SeatLayout,
    /// The other one.
    pub new: SeatLayout,
    /// Legs of the trip.
    pub leg_count: u8,
    /// Live tickets.
    pub riders: Vec<Rider>,
    /// What is leased, sold or not, in the numbering of today.
    pub leases: Vec<SeatClaim>,
    /// What is held for unpaid bookings.
    pub holds: Vec<Held>,
    /// What waits until the validator has heard of a void.
    pub blocks: Vec<SeatClaim>,
}

/// Why somebody has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Gave it up.
    #[error("offered to give the seat up")]
    Volunteered,
    /// Needs one that is not there.
    #[error("the other bus has no wheelchair place left")]
    NoWheelchairPlace,
    /// Nobody who paid for a seat has to stand.
    #[error("the other bus has only standing places left")]
    OnlyStanding,
    /// More people than seats.
    #[error("on leg {leg} {needed} seats are needed and the other bus has {seats}")]
    Full {
        /// The fullest leg of the journey.
        leg: u8,
        /// What is sold, leased or held there.
        needed: u16,
        /// What there is.
        seats: u16,
    },
}

impl NoPlace {
    /// The word it is stored and shown under.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Volunteered => "volunteered",
            Self::NoWheelchairPlace => "no-wheelchair-place",
            Self::OnlyStanding => "only-standing-places",
            Self::Full { .. } => "bus-full",
        }
    }
}

/// Where one passenger goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Which ticket.
    pub ticket: TicketId,
    /// Where they sit.
    pub old: SeatNo,
    /// Where they will, or why nowhere.
    pub new: Result<SeatNo, NoPlace>,
    /// Whether the seat is called otherwise.
    pub renamed: bool,
    /// What the new seat has not: window, aisle, front.
    pub lost: SeatAttributes,
}

/// How full one leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegLoad {
    /// Which.
    pub leg: u8,
    /// Seats that are sold, leased, held or blocked.
    pub needed: u16,
    /// Seats of the other bus.
    pub seats: u16,
}

/// An unpaid booking that has to go: one of its seats has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnplacedHold(pub Uuid);

/// What a swap does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapPlan {
    /// The map, for every seat of the old bus.
    pub moves: SeatMoves,
    /// Every passenger, in the order given.
    pub placements: Vec<Placement>,
    /// Every leg.
    pub legs: Vec<LegLoad>,
    /// Rights whose seat has no place.
    pub lost_leases: Vec<SeatClaim>,
    /// Holds whose seat has none.
    pub lost_holds: BTreeSet<UnplacedHold>,
    /// What all of it costs, for comparing plans.
    pub cost: i64,
}

/// Why there is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// Something sits where the old bus has no seat.
    #[error("seat {0} is taken, and the bus of today does not have it: swap it back first")]
    UnknownSeat(SeatNo),
    /// The matching was no map.
    #[error("the seats could not be matched")]
    Unmatched,
}

/// What one old seat needs.
#[derive(Debug, Clone, Default)]
struct Need {
    rank: i64,
    wheelchair: bool,
    boarded: bool,
    leased: bool,
    parties: BTreeSet<Uuid>,
    legs: u64,
}

/// Decides.
pub fn plan_swap(state: &SwapState) -> Result<SwapPlan, SwapError> {
    let needs = needs_of(state)?;
    let floor = Floor { state, needs };
    let mut to = floor.match_seats()?;
    floor.bring_together(&mut to);
    let cost = floor.cost(&to);
    let moves = SeatMoves::new(&to).ok_or(SwapError::Unmatched)?;
    let filled = floor.fill(&moves);
    let placements = state
        .riders
        .iter()
        .map(|rider| floor.placement(rider, &moves, &filled))
        .collect();
    let unplaced = |claim: &&SeatClaim| moves.get(claim.seat).is_none();
    Ok(SwapPlan {
        placements,
        legs: floor.loads(),
        lost_leases: state.leases.iter().filter(unplaced).copied().collect(),
        lost_holds: state
            .holds
            .iter()
            .filter(|held| unplaced(&&held.claim))
            .map(|held| UnplacedHold(held.holder))
            .collect(),
        cost,
        moves,
    })
}

/// What the seats of the old bus need, by index.
fn needs_of(state: &SwapState) -> Result<Vec<Need>, SwapError> {
    let mut needs = vec![Need::default(); state.old.seats.len()];
    let mut at = |seat: SeatNo, legs: Legs, rank: i64| {
        let index = usize::from(seat.0).wrapping_sub(1);
        let need = needs.get_mut(index).ok_or(SwapError::UnknownSeat(seat))?;
        need.rank = need.rank.max(rank);
        need.legs |= legs.mask();
        Ok(index)
    };
    for block in &state.blocks {
        at(block.seat, block.legs, 1)?;
    }
    for held in &state.holds {
        at(held.claim.seat, held.claim.legs, 3)?;
    }
    let mut leased = Vec::with_capacity(state.leases.len());
    for lease in &state.leases {
        leased.push(at(lease.seat, lease.legs, 5)?);
    }
    let mut of_riders = Vec::with_capacity(state.riders.len());
    for rider in &state.riders {
        let rank = match (rider.wheelchair || rider.boarded, rider.volunteer) {
            (true, _) => 6,
            (false, true) => 2,
            (false, false) => 4,
        };
        of_riders.push(at(rider.seat, rider.legs, rank)?);
    }
    for index in leased {
        if let Some(need) = needs.get_mut(index) {
            need.leased = true;
        }
    }
    for (rider, index) in state.riders.iter().zip(of_riders) {
        if let Some(need) = needs.get_mut(index) {
            need.wheelchair |= rider.wheelchair;
            need.boarded |= rider.boarded;
            need.parties.extend(rider.party);
        }
    }
    Ok(needs)
}

/// Why a seat cannot be given to what sits on another.
fn forbidden(old: &Seat, new: &Seat, wheelchair: bool) -> Option<NoPlace> {
    if wheelchair && !new.attributes.has(SeatAttributes::WHEELCHAIR) {
        return Some(NoPlace::NoWheelchairPlace);
    }
    let stands = |seat: &Seat| seat.attributes.has(SeatAttributes::STANDING);
    (stands(new) && !stands(old)).then_some(NoPlace::OnlyStanding)
}

const COMFORTS: [SeatAttributes; 3] = [
    SeatAttributes::WINDOW,
    SeatAttributes::AISLE,
    SeatAttributes::FRONT,
];

/// What was there and is not any more.
fn lost(old: &Seat, new: &Seat) -> SeatAttributes {
    let gone = |a: &SeatAttributes| old.attributes.has(*a) && !new.attributes.has(*a);
    let gone = COMFORTS.into_iter().filter(gone);
    gone.fold(SeatAttributes::default(), SeatAttributes::with)
}

struct Floor<'a> {
    state: &'a SwapState,
    needs: Vec<Need>,
}

impl Floor<'_> {
    fn new_index(seat: SeatNo) -> usize {
        usize::from(seat.0).wrapping_sub(1)
    }

    fn new_seat(&self, seat: SeatNo) -> Option<&Seat> {
        self.state.new.seat(seat)
    }

    /// What it costs that an old seat gets no place; an empty one hardly anything.
    fn cost_of_none(&self, old: usize) -> i64 {
        let rank = self.needs.get(old).map_or(0, |n| n.rank);
        let legs = self.needs.get(old).map_or(0, |n| n.legs.count_ones());
        // The shorter the journeys on it, the sooner they fit in elsewhere.
        let legs = i64::from(legs) * LEG;
        if rank == 0 {
            RANK / 2
        } else {
            rank * RANK + legs
        }
    }

    /// What it costs that an old seat becomes a new one.
    fn cost_of(&self, old: usize, new: usize) -> i64 {
        let (Some(need), Some(from), Some(to)) = (
            self.needs.get(old),
            self.state.old.seats.get(old),
            self.state.new.seats.get(new),
        ) else {
            return FORBIDDEN;
        };
        if forbidden(from, to, need.wheelchair).is_some() {
            return FORBIDDEN;
        }
        let renamed = !from.label.eq_ignore_ascii_case(&to.label);
        let mut cost = self.distance(from, to);
        if renamed {
            cost += OTHER_LABEL;
            if need.boarded {
                cost += BOARDED_MOVES;
            }
        }
        let gone = lost(from, to);
        cost += LOST * COMFORTS.iter().filter(|a| gone.has(**a)).count() as i64;
        let wheelchair = |seat: &Seat| seat.attributes.has(SeatAttributes::WHEELCHAIR);
        match (wheelchair(from), wheelchair(to)) {
            (false, true) => cost += WASTED,
            // Whoever sells it may have sold it to a wheelchair user.
            (true, false) if need.leased => cost += PERHAPS_NEEDED,
            _ => {}
        }
        // A seat that nobody sits on may be called anything.
        if need.rank == 0 { cost.min(1) } else { cost }
    }

    /// How far apart two places are, from 0 to 9: rows as a share of the bus, and the side.
    fn distance(&self, from: &Seat, to: &Seat) -> i64 {
        let rows = |layout: &SeatLayout| layout.seats.iter().map(|s| s.row).max().unwrap_or(1);
        let (old_rows, new_rows) = (rows(&self.state.old), rows(&self.state.new));
        let share = |row: u16, rows: u16| i64::from(row) * 6 / i64::from(rows.max(1));
        let along = (share(from.row, old_rows) - share(to.row, new_rows)).abs();
        along + i64::from(from.column.abs_diff(to.column).min(3))
    }

    /// The cheapest map, parties left aside.
    fn match_seats(&self) -> Result<Vec<Option<SeatNo>>, SwapError> {
        let (old, new) = (self.state.old.seats.len(), self.state.new.seats.len());
        // Beyond the seats of the other bus are as many places as the old one has seats: to have
        // none costs the same on each.
        let costs = Matrix::from_fn(old, new + old, |(from, to)| {
            if to < new {
                self.cost_of(from, to)
            } else {
                self.cost_of_none(from)
            }
        });
        let (_, chosen) = kuhn_munkres_min(&costs);
        if chosen.len() != old {
            return Err(SwapError::Unmatched);
        }
        let seat = |to: usize| (to < new).then(|| SeatNo(to as u16 + 1));
        Ok(chosen.into_iter().map(seat).collect())
    }

    /// Exchanges places, and moves to empty ones, as long as the whole gets cheaper.
    fn bring_together(&self, to: &mut [Option<SeatNo>]) {
        let in_party: Vec<usize> = (0..to.len())
            .filter(|at| self.needs.get(*at).is_some_and(|n| !n.parties.is_empty()))
            .collect();
        for _ in 0..ROUNDS_MAX {
            let mut better = false;
            for &one in &in_party {
                better |= self.improve(one, to);
            }
            if !better {
                return;
            }
        }
    }

    /// Takes the best exchange of one seat's place, where it makes the whole cheaper.
    fn improve(&self, one: usize, to: &mut [Option<SeatNo>]) -> bool {
        let taken: BTreeSet<SeatNo> = to.iter().flatten().copied().collect();
        let mut best: Option<(i64, usize, Option<SeatNo>)> = None;
        let mut consider = |gain: i64, other: usize, seat: Option<SeatNo>| {
            if gain > 0 && best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, other, seat));
            }
        };
        for other in (0..to.len()).filter(|other| *other != one) {
            let before = self.local_cost(&[one, other], to);
            to.swap(one, other);
            consider(before - self.local_cost(&[one, other], to), other, None);
            to.swap(one, other);
        }
        let own = to.get(one).copied().flatten();
        let before = self.local_cost(&[one], to);
        for seat in (1..=self.state.new.seat_count()).map(SeatNo) {
            if own.is_some() && !taken.contains(&seat) {
                set(to, one, Some(seat));
                consider(before - self.local_cost(&[one], to), one, Some(seat));
                set(to, one, own);
            }
        }
        match best {
            None => false,
            Some((_, _, Some(seat))) => {
                set(to, one, Some(seat));
                true
            }
            Some((_, other, None)) => {
                to.swap(one, other);
                true
            }
        }
    }

    /// What some old seats cost, and the parties on them.
    fn local_cost(&self, of: &[usize], to: &[Option<SeatNo>]) -> i64 {
        let mut cost = 0;
        let mut parties: BTreeSet<&Uuid> = BTreeSet::new();
        for &old in of {
            cost += match to.get(old).copied().flatten() {
                Some(seat) => self.cost_of(old, Self::new_index(seat)),
                None => self.cost_of_none(old),
            };
            parties.extend(self.needs.get(old).into_iter().flat_map(|n| &n.parties));
        }
        let apart: i64 = parties.into_iter().map(|p| self.apart(*p, to)).sum();
        cost + apart
    }

    fn cost(&self, to: &[Option<SeatNo>]) -> i64 {
        let all: Vec<usize> = (0..to.len()).collect();
        self.local_cost(&all, to)
    }

    /// What a party pays for the rows and gaps between its places.
    fn apart(&self, party: Uuid, to: &[Option<SeatNo>]) -> i64 {
        let members: Vec<Option<SeatNo>> = self
            .needs
            .iter()
            .zip(to)
            .filter(|(need, _)| need.parties.contains(&party))
            .map(|(_, seat)| *seat)
            .collect();
        let places = members.iter().filter_map(|seat| self.new_seat((*seat)?));
        let places: Vec<(i64, i64)> = places
            .map(|s| (i64::from(s.row), i64::from(s.column)))
            .collect();
        let span = |pick: fn(&(i64, i64)) -> i64| {
            let least = places.iter().map(pick).min().unwrap_or(0);
            places.iter().map(pick).max().unwrap_or(0) - least
        };
        // From the row in the middle, so that one who comes nearer makes it cheaper.
        let mut rows: Vec<i64> = places.iter().map(|p| p.0).collect();
        rows.sort_unstable();
        let middle = rows.get(rows.len() / 2).copied().unwrap_or(0);
        let rows: i64 = rows.iter().map(|row| (row - middle).abs()).sum();
        let gaps = (span(|p| p.1) - places.len() as i64 + 1).max(0);
        // Who travels without the others is as far from them as can be.
        let without = members.len().saturating_sub(places.len()).min(places.len());
        APART * (4 * rows + gaps + 8 * without as i64)
    }

    /// Places on free legs for those whose seat has none, who has no choice first.
    fn fill(&self, moves: &SeatMoves) -> BTreeMap<TicketId, SeatNo> {
        let mut free = SeatMap::whole(self.state.new.seat_count());
        for (old, new) in moves.pairs() {
            let legs = self.needs.get(Self::new_index(old)).map_or(0, |n| n.legs);
            for leg in (0..64u8).filter(|leg| legs >> leg & 1 == 1) {
                if let (Some(new), Some(legs)) = (new, Legs::new(StopSeq(leg), StopSeq(leg + 1))) {
                    free.mark_taken(new, legs);
                }
            }
        }
        let mut waiting: Vec<&Rider> = self.state.riders.iter().collect();
        waiting.retain(|r| moves.get(r.seat).is_none() && !r.volunteer);
        waiting.sort_by_key(|r| (!r.wheelchair, !r.boarded, 64 - r.legs.count(), r.ticket));
        let mut filled = BTreeMap::new();
        for rider in waiting {
            let Some(from) = self.state.old.seat(rider.seat) else {
                continue;
            };
            let mut usable = free.clone();
            for (seat, to) in (1u16..).map(SeatNo).zip(&self.state.new.seats) {
                if forbidden(from, to, rider.wheelchair).is_some() {
                    usable.mark_taken(seat, rider.legs);
                }
            }
            if let Some(seat) = usable.best_fit(rider.legs) {
                free.mark_taken(seat, rider.legs);
                filled.insert(rider.ticket, seat);
            }
        }
        filled
    }

    fn placement(
        &self,
        rider: &Rider,
        moves: &SeatMoves,
        filled: &BTreeMap<TicketId, SeatNo>,
    ) -> Placement {
        let new = moves
            .get(rider.seat)
            .or_else(|| filled.get(&rider.ticket).copied())
            .ok_or_else(|| self.why_none(rider));
        let seats = new.ok().and_then(|new| self.new_seat(new));
        let seats = self.state.old.seat(rider.seat).zip(seats);
        Placement {
            ticket: rider.ticket,
            old: rider.seat,
            new,
            renamed: seats.is_none_or(|(a, b)| !a.label.eq_ignore_ascii_case(&b.label)),
            lost: seats.map_or(SeatAttributes::default(), |(a, b)| lost(a, b)),
        }
    }

    fn why_none(&self, rider: &Rider) -> NoPlace {
        if rider.volunteer {
            return NoPlace::Volunteered;
        }
        let loads = self.loads();
        let own = loads
            .iter()
            .filter(|l| rider.legs.mask() >> l.leg & 1 == 1)
            .max_by_key(|l| (l.needed, core::cmp::Reverse(l.leg)));
        let (leg, needed, seats) = own.map_or((0, 0, 0), |l| (l.leg, l.needed, l.seats));
        if rider.wheelchair {
            NoPlace::NoWheelchairPlace
        } else if needed <= seats {
            NoPlace::OnlyStanding
        } else {
            NoPlace::Full { leg, needed, seats }
        }
    }

    fn loads(&self) -> Vec<LegLoad> {
        let seats = self.state.new.seat_count();
        let on = |leg: u8| self.needs.iter().filter(|n| n.legs >> leg & 1 == 1).count() as u16;
        (0..self.state.leg_count.min(64))
            .map(|leg| LegLoad {
                leg,
                needed: on(leg),
                seats,
            })
            .collect()
    }
}

fn set(to: &mut [Option<SeatNo>], at: usize, seat: Option<SeatNo>) {
    debug_assert_ne!(seat, Some(NO_SEAT));
    if let Some(place) = to.get_mut(at) {
        *place = seat;
    }
}

/// What a map costs, for comparing all of them.
#[cfg(test)]
pub(super) fn cost_of_map(state: &SwapState, to: &[Option<SeatNo>]) -> Result<i64, SwapError> {
    let needs = needs_of(state)?;
    Ok(Floor { state, needs }.cost(to))
}

/// The matching before any exchange.
#[cfg(test)]
pub(super) fn matched_only(state: &SwapState) -> Result<Vec<Option<SeatNo>>, SwapError> {
    let needs = needs_of(state)?;
    Floor { state, needs }.match_seats()
}
