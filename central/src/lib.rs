//! The hub: one folder per service, over one database.

pub mod gtfs;
pub mod postgres;
