//! The hub: one folder per service, over one database.

pub mod access;
pub mod aftersale;
pub mod audit;
pub mod auth;
pub mod booking;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod company;
pub mod config;
pub mod csvio;
pub mod db;
pub mod documents;
pub mod gtfs;
pub mod http;
pub mod idempotency;
pub mod keys;
pub mod ledger;
pub mod nodes;
pub mod operations;
pub mod outbox;
pub mod payment;
pub mod postgres;
pub mod pricing;
pub mod reconciliation;
pub mod sync;
pub mod tenant;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod ticketing;
pub mod tracking;
pub mod vault;
pub mod views;
pub mod waiting;
pub mod wake;
pub mod worker;
