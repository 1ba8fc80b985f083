//! The pure half: what is true of trips, seats, fares, money, leases, tickets and ingest.
//!
//! No IO, no clock, no randomness: time and entropy come in as arguments. Hub, edge nodes and
//! the simulated world all run this code to grant a lease, judge an event and decide a scan.

pub mod base32;
pub mod codec;
pub mod counter;
pub mod event;
pub mod fare;
pub mod ids;
pub mod ingest;
pub mod layout;
pub mod lease;
pub mod ledger;
pub mod money;
pub mod passenger;
pub mod restore;
pub mod scan;
pub mod seatmap;
pub mod signature;
pub mod swap;
pub mod ticket;
pub mod time;
pub mod tracking;
pub mod trip;
pub mod typ;
pub mod weaken;
