//! Bus swaps: a trip goes on in another bus, and everybody keeps a seat or hears why not.
//!
//! `domain::swap` decides who sits where; this previews it, carries it out, takes it back. What is
//! signed stays as it is: grants and tickets keep the numbering that they name, and are looked up
//! through the maps that the trip carries. What the hub itself keeps (claims, tickets, coupons) is
//! numbered as the bus of today is.
//!
//! Lock order: the bookings with seats on the trip, the logs of the nodes that hold leases on it,
//! those leases, the trip. So nothing that is sold meanwhile is overlooked: an event is judged
//! before or after, and a booking is issued before or after.

mod carry;
mod db;
pub mod http;
mod late;
mod scene;
mod service;
mod undo;

#[cfg(test)]
mod tests;

use domain::ids::{SeatNo, TripId};
use domain::swap::SwapError;
use uuid::Uuid;

use crate::aftersale::AftersaleError;
use crate::booking::Refusal;
use crate::db::DbError;
use crate::operations::crew::AssignError;
use crate::operations::{State, trips::TripError};

/// Why a bus is not swapped.
#[derive(Debug, thiserror::Error)]
pub enum SwapFault {
    /// Nobody knows the trip.
    #[error("there is no trip {0}")]
    UnknownTrip(TripId),
    /// Nobody knows the swap.
    #[error("trip {trip} has no swap {swap}")]
    UnknownSwap {
        /// The trip.
        trip: TripId,
        /// Its number.
        swap: i16,
    },
    /// It is over.
    #[error("a trip that is {0} takes no other bus")]
    Over(State),
    /// The hub was restored: rights that it has not heard of would have no say in who sits where.
    #[error(transparent)]
    Frozen(Refusal),
    /// Neither or both.
    #[error("name the other `layout`, or the other `bus` by its registration: one of the two")]
    Which,
    /// No such layout.
    #[error("there is no seat layout {0:?}")]
    UnknownLayout(String),
    /// The trip's own layout is not there to compare with.
    #[error("the seats of trip {0} are not known as a layout: they cannot be renumbered")]
    NoLayout(TripId),
    /// Nothing would change.
    #[error("that bus has the very seats that trip {0} is sold on: there is nothing to swap")]
    SameSeats(TripId),
    /// Not a ticket of the trip.
    #[error("ticket {0} is no live ticket of this trip, so its passenger cannot volunteer")]
    NoVolunteer(Uuid),
    /// Too many.
    #[error("the bus of this trip was swapped too often: sell the rest of its seats as they are")]
    TooMany,
    /// Somebody bought, cancelled or boarded.
    #[error("something was sold or changed since the preview: look at a new one")]
    Changed,
    /// Too much is going on.
    #[error("too much is being sold on this trip at this moment: ask again")]
    Busy,
    /// Taken back before, or not the last one.
    #[error("only the last swap that stands can be undone, and this is another")]
    NotStanding,
    /// What came later stands on a seat that the former bus has not.
    #[error(
        "seat {seat} was {what} after the swap, and the former bus does not have it: take that \
         back first"
    )]
    InTheWay {
        /// As the bus of today calls it.
        seat: String,
        /// Sold, leased, held.
        what: &'static str,
    },
    /// The plan failed.
    #[error(transparent)]
    Plan(#[from] SwapError),
    /// The bus cannot be sent.
    #[error(transparent)]
    Bus(#[from] AssignError),
    /// Passengers without a place could not be offered anything.
    #[error(transparent)]
    Aftersale(#[from] AftersaleError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<TripError> for SwapFault {
    fn from(error: TripError) -> Self {
        match error {
            TripError::Unknown(trip) => Self::UnknownTrip(trip),
            TripError::Aftersale(error) => Self::Aftersale(error),
            TripError::Db(error) => Self::Db(error),
            // Locking a trip refuses nothing.
            TripError::Refused(_) => Self::Busy,
        }
    }
}

/// A seat as it is stored; 0 for none.
const fn stored(seat: SeatNo) -> i32 {
    seat.0 as i32
}
