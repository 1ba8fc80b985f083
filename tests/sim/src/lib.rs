//! The deterministic world: one hub, two stations, one bus, and everything that can go wrong.
//!
//! Real: the edge engine on SQLite in memory, both session machines, the grantor, ingest and bus swaps.
//! Made up: the network, the clocks and the hub's tables. The same seed gives the same trace.

pub mod dice;
pub mod hub;
pub mod invariants;
pub mod model;
pub mod network;
pub mod node;
pub mod ops;
pub mod script;
pub mod trace;
pub mod world;

#[cfg(test)]
mod tests;
