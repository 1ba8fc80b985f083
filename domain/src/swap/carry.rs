//! What becomes of a trip and of every ticket when its bus is swapped, and when that is taken back.
//!
//! A plan speaks of live tickets. The others keep a seat too, for whatever is decided over them
//! later, and so does what was sold between a swap and its undoing.

use std::collections::BTreeMap;

use super::{NO_SEAT, NoPlace, SeatMoves, SeatSwap, SwapPlan};
use crate::ids::{HubIncarnation, LayoutVersion, SeatNo, TicketId};
use crate::ingest::TicketState;
use crate::layout::SeatLayout;
use crate::lease::SeatClaim;
use crate::restore::{Owned, first_numbering};
use crate::trip::Trip;
use crate::weaken::{Weakness, weakened};

/// The highest numbering: the hub's rows hold it with a sign.
const NUMBERING_MAX: u32 = i32::MAX as u32;

/// A ticket of the trip, in whatever state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub ticket: TicketId,
    /// As numbered today; [`NO_SEAT`] where it has no place.
    pub seat: SeatNo,
    /// Live, void or disputed.
    pub state: TicketState,
    /// The seat as it says itself.
    pub printed: SeatNo,
    /// Which numbering that is in.
    pub numbering: LayoutVersion,
    /// An earlier swap left it without a place, and its passenger has nothing else yet.
    pub displaced: bool,
}

/// Where a swap took a ticket that was live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Before it.
    pub old: SeatNo,
    /// After it; [`NO_SEAT`] where it had no place.
    pub new: SeatNo,
}

/// Where one ticket goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Going {
    /// Its seat afterwards; [`NO_SEAT`] for none.
    pub seat: SeatNo,
    /// How it stands afterwards.
    pub state: TicketState,
    /// Why it lost its place.
    pub no_place: Option<NoPlace>,
    /// Whether it stands among those that the swap is about: live before or after.
    pub recorded: bool,
}

/// A live ticket on a seat that the former bus does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("seat {0} was sold after the swap, and the former bus does not have it")]
pub struct InTheWay(pub SeatNo);

impl Trip {
    /// The trip as it goes on in another bus, by a swap of this installation of the hub; `None`
    /// after too many swaps.
    pub fn in_other_bus(
        &self,
        bus: &SeatLayout,
        moves: SeatMoves,
        hub: HubIncarnation,
    ) -> Option<Self> {
        let mut trip = self.clone();
        trip.swaps.push(self.swap_of(moves, None, hub)?)?;
        trip.layout.clone_from(&bus.id);
        trip.layout_version = bus.version;
        trip.seat_count = bus.seat_count();
        Some(trip)
    }

    /// The trip without its last swap that stands; `None` where none does, or after too many.
    pub fn in_former_bus(&self, hub: HubIncarnation) -> Option<Self> {
        let standing = self.swaps.standing()?;
        let back = standing.moves.inverse(self.seat_count);
        let mut trip = self.clone();
        trip.swaps
            .push(self.swap_of(back, Some(standing.numbering), hub)?)?;
        trip.layout.clone_from(&standing.layout);
        trip.layout_version = standing.layout_version;
        trip.seat_count = standing.moves.seat_count();
        Some(trip)
    }

    fn swap_of(
        &self,
        moves: SeatMoves,
        undoes: Option<LayoutVersion>,
        hub: HubIncarnation,
    ) -> Option<SeatSwap> {
        Some(SeatSwap {
            numbering: self.next_numbering(hub)?,
            layout: self.layout.clone(),
            layout_version: self.layout_version,
            moves,
            undoes,
        })
    }

    /// The numbering that the next swap begins: of a restored hub, by its installation and the
    /// swap's place among the trip's. Later than all before; `None` where there is none.
    fn next_numbering(&self, hub: HubIncarnation) -> Option<LayoutVersion> {
        let last = self.numbering();
        let next = match first_numbering(hub) {
            Some(first) => first + self.swaps.iter().count() as u64 + 1,
            None => u64::from(last.0) + 1,
        };
        let next = u32::try_from(next)
            .ok()
            .filter(|next| *next <= NUMBERING_MAX)?;
        // A ticket names both, and its code has no room for two long numbers.
        let fits = next <= u16::MAX.into() || self.id.0 <= u32::MAX.into();
        (fits && next > last.0).then_some(LayoutVersion(next))
    }
}

/// The seat of a ticket that is not live: as the map has it, or, where it had none, as what it says
/// itself is found in the bus of today.
fn seat_of_the_rest(ticket: &Standing, moves: &SeatMoves, after: &Trip) -> SeatNo {
    let seat = if ticket.seat == NO_SEAT {
        after.seat_now(ticket.printed, ticket.numbering)
    } else {
        moves.get(ticket.seat)
    };
    seat.unwrap_or(NO_SEAT)
}

/// Where every ticket goes by a plan, in the order given. `after` is the trip in the other bus.
pub fn carry(plan: &SwapPlan, after: &Trip, tickets: &[Standing]) -> Vec<Going> {
    let placed: BTreeMap<TicketId, Result<SeatNo, NoPlace>> =
        plan.placements.iter().map(|p| (p.ticket, p.new)).collect();
    tickets
        .iter()
        .map(|ticket| {
            let (seat, no_place) = match placed.get(&ticket.ticket) {
                Some(Ok(seat)) => (*seat, None),
                Some(Err(why)) => (NO_SEAT, Some(*why)),
                None => (seat_of_the_rest(ticket, &plan.moves, after), None),
            };
            Going {
                seat,
                state: if no_place.is_some() {
                    TicketState::Disputed
                } else {
                    ticket.state
                },
                no_place,
                recorded: ticket.state == TicketState::Live,
            }
        })
        .collect()
}

/// Where every ticket goes when a swap is taken back that moved these; what was sold later goes
/// where its seat was. `after` is the trip in its former bus.
pub fn carry_back(
    moved: &BTreeMap<TicketId, Moved>,
    after: &Trip,
    tickets: &[Standing],
) -> Result<Vec<Going>, InTheWay> {
    let nowhere = SeatMoves::default();
    let back = after.swaps.last().map_or(&nowhere, |swap| &swap.moves);
    tickets
        .iter()
        .map(|ticket| {
            let known = moved.get(&ticket.ticket);
            let found = ticket.displaced && known.is_some();
            let as_moved =
                known.filter(|m| m.new == ticket.seat && ticket.state != TicketState::Void);
            let seat = match as_moved {
                Some(m) => m.old,
                None if weakened(Weakness::UndoForgetsLaterSales) => ticket.seat,
                None if ticket.state == TicketState::Live => {
                    back.get(ticket.seat).ok_or(InTheWay(ticket.seat))?
                }
                None => seat_of_the_rest(ticket, back, after),
            };
            Ok(Going {
                seat,
                state: if found {
                    TicketState::Live
                } else {
                    ticket.state
                },
                no_place: None,
                recorded: ticket.state == TicketState::Live || found,
            })
        })
        .collect()
}

/// A late sale that is disputed because the swapped bus had no place for it, as a swap is taken
/// back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateSale {
    /// Where each of its tickets is in the former bus; `None` for one that is not there, or not in
    /// dispute.
    pub seats: Vec<Option<SeatClaim>>,
    /// What others own in the former bus: all but the lease that it was sold under.
    pub others: Owned,
}

/// Which of these sales, in order, have all their seats again, each for itself.
pub fn seated_again(late: &[LateSale]) -> Vec<bool> {
    let mut given = Owned::default();
    late.iter()
        .map(|sale| {
            let mut trial = given.clone();
            let seated = !sale.seats.is_empty()
                && sale.seats.iter().all(|seat| {
                    seat.is_some_and(|seat| {
                        let free = !trial.overlaps(seat) && !sale.others.overlaps(seat);
                        trial.add(seat);
                        free
                    })
                });
            if seated {
                given = trial;
            }
            seated
        })
        .collect()
}
