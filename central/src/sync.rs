//! Synchronisation: events up, buckets down, over one session machine per connection.

pub mod buckets;
pub mod bus;
mod connection;
pub mod hello;
pub mod ingest;
pub mod server;
mod stranger;

#[cfg(test)]
mod tests;
