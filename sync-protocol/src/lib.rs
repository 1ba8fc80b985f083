//! What two nodes say to each other: frames, and two sans-IO session machines.
//!
//! This is the pure half. It knows no sockets, no clock, no database and no seats: a transport
//! carries its frames, a driver does what its outputs ask for and answers with inputs. Frames
//! may be lost, doubled or reordered; both sides are level-triggered and converge.

pub mod batch;
pub mod frame;
pub mod resume;
pub mod session;
pub mod uptime;

#[cfg(test)]
mod golden;

pub use frame::{BucketId, Channel, EdgeFrame, HubFrame, Item};
pub use uptime::Uptime;
