//! The hub: one folder per service, over one database.

pub mod clock;
pub mod db;
pub mod gtfs;
pub mod keys;
pub mod ledger;
pub mod nodes;
pub mod postgres;
pub mod sync;
pub mod tenant;
pub mod ticketing;
