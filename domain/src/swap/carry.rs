//! What becomes of a trip and of every ticket when its bus is swapped, and when that is taken back.
//!
//! A plan speaks of live tickets. The others keep a seat too, for whatever is decided over them
//! later, and so does what was sold between a swap and its undoing.

use std::collections::BTreeMap;

use super::{NO_SEAT, NoPlace, SeatMoves, SeatSwap, SwapPlan};
use crate::ids::{LayoutVersion, SeatNo, TicketId};
use crate::ingest::TicketState;
use crate::layout::SeatLayout;
use crate::trip::Trip;
use crate::weaken::{Weakness, weakened};

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
    /// The trip as it goes on in another bus; `None` after too many swaps. So many numberings are
    /// passed over, because an earlier installation of the hub may have given them.
    pub fn in_other_bus(&self, bus: &SeatLayout, moves: SeatMoves, skipped: u16) -> Option<Self> {
        let mut trip = self.clone();
        trip.swaps.push(self.swap_of(moves, None, skipped))?;
        trip.layout.clone_from(&bus.id);
        trip.layout_version = bus.version;
        trip.seat_count = bus.seat_count();
        Some(trip)
    }

    /// The trip without its last swap that stands; `None` where none does, or after too many.
    /// Numberings are passed over as in another bus.
    pub fn in_former_bus(&self, skipped: u16) -> Option<Self> {
        let standing = self.swaps.standing()?;
        let back = standing.moves.inverse(self.seat_count);
        let mut trip = self.clone();
        trip.swaps
            .push(self.swap_of(back, Some(standing.numbering), skipped))?;
        trip.layout.clone_from(&standing.layout);
        trip.layout_version = standing.layout_version;
        trip.seat_count = standing.moves.seat_count();
        Some(trip)
    }

    fn swap_of(&self, moves: SeatMoves, undoes: Option<LayoutVersion>, skipped: u16) -> SeatSwap {
        let next = self.numbering().0.saturating_add(1);
        SeatSwap {
            numbering: LayoutVersion(next.checked_add(skipped).unwrap_or(next)),
            layout: self.layout.clone(),
            layout_version: self.layout_version,
            moves,
            undoes,
        }
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
