//! Online bookings: the hub's own sales, out of the pool.
//!
//! Everything of one booking happens in one transaction: the trip's row is locked, seats are
//! picked, tickets signed and stored, money posted, and the answer kept for ever under the
//! request's idempotency key. A seat that is taken all the same is refused by the database.

mod db;
mod decide;
mod issue;
pub mod pay;
mod service;
mod state;

pub use decide::{Contact, NewBooking, Refusal, SeatSale};
pub use pay::release;
pub use service::{Booked, BookedTicket, BookingError, Decision, book, looked_again};
pub use state::{Deadline, HOLD_LIMIT_MS, HOLD_MS, PAYMENT_GRACE_MS, State};

#[cfg(test)]
mod tests;

pub(crate) use db::find_booking;
