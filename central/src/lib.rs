//! The hub: one folder per service, over one database.

pub mod booking;
pub mod cli;
pub mod clock;
pub mod company;
pub mod config;
pub mod db;
pub mod gtfs;
pub mod http;
pub mod keys;
pub mod ledger;
pub mod nodes;
pub mod postgres;
pub mod reconciliation;
pub mod sync;
pub mod tenant;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod ticketing;
pub mod views;
pub mod wake;
