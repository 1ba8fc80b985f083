//! After the sale: cancel, refund, exchange, rebook, travel.
//!
//! Whoever wants tickets taken back is told first what that comes to: an offer, stored with every
//! ticket and amount. Confirming it does exactly that or, where something has changed meanwhile,
//! nothing.

mod db;
mod extras;
pub mod http;
mod jobs;
pub(crate) mod lost;
mod manifest;
mod names;
mod offer;
pub(crate) mod paying;
pub mod rules;
mod service;
mod trips;
mod undo;

pub use jobs::jobs;
pub use offer::{AftersaleError, Kind, Offer, Refused};
pub use trips::trip_cancelled;
pub(crate) use trips::{seats_found, seats_lost};

#[cfg(test)]
mod tests;
