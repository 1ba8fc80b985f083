//! Online bookings: the hub's own sales, out of the pool.
//!
//! Everything of one booking happens in one transaction: the trip's row is locked, seats are
//! picked, tickets signed and stored, money posted, and the answer kept for ever under the
//! request's idempotency key. A seat that is taken all the same is refused by the database.

mod db;
mod decide;
mod service;

pub use decide::{Contact, NewBooking, Refusal, SeatSale};
pub use service::{Booked, BookedTicket, BookingError, Decision, book, looked_again};

pub(crate) use db::find_booking;
