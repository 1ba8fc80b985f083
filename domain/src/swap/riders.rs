//! Who and what has seats when a bus is swapped.

use uuid::Uuid;

use crate::ids::{SeatNo, TicketId};
use crate::lease::SeatClaim;
use crate::passenger::PassengerClass;
use crate::trip::Legs;

/// A live ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rider {
    /// Which.
    pub ticket: TicketId,
    /// Where its passenger sits, in the numbering before the swap.
    pub seat: SeatNo,
    /// On which legs.
    pub legs: Legs,
    /// Who travels.
    pub class: PassengerClass,
    /// Travels in a wheelchair: gets a wheelchair place or none.
    pub wheelchair: bool,
    /// Sits in the bus by now.
    pub boarded: bool,
    /// Those with the same number want to sit together.
    pub party: Option<Uuid>,
    /// Offered to give the seat up: is seated last.
    pub volunteer: bool,
}

/// A seat of a booking that is not paid yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which booking, or which offer.
    pub holder: Uuid,
    /// What it holds.
    pub claim: SeatClaim,
}
