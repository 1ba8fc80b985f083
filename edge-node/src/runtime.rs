//! The running node: the writer thread that owns the engine, the sync loop, the local API.
//!
//! Everything asynchronous of the node is in this folder; the engine below knows no task.

pub mod clock;
pub mod enrol;
mod http;
mod link;
pub mod node;
mod positions;
pub mod writer;

pub use enrol::{EnrolError, enrol};
pub use http::RUN_FILE;
pub use link::LinkStatus;
pub use node::{DataDir, Node, NodeOptions, RuntimeError, open_engine};
pub use positions::Positions;
pub use writer::{EngineHandle, News, Stopped};

#[cfg(test)]
mod tests;
