//! The shell around the rules: a node that sells and validates without a network.
//!
//! - [`engine`]: decides and commits, synchronously, over
//! - [`store`]: SQLite, and [`sidecar`]: the head of the log outside every backup.
//! - [`runtime`]: owns the tasks: the writer thread, the sync loop, the local API.

pub mod api;
pub mod client;
pub mod doctor;
pub mod engine;
pub mod export;
pub mod identity;
pub mod keys;
pub mod logging;
pub mod print;
pub mod runtime;
pub mod sidecar;
pub mod store;

pub use engine::{Command, Engine, EngineConfig, EngineError, Outcome};
