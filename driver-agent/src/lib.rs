//! The onboard validator: a shell over an embedded edge-node.
//!
//! Store, engine, link and local API are the edge node's; here is only what a driver needs on top:
//! a scanner that types lines, answers that can be read from two metres away, and a receiver that
//! says where the bus is.

pub mod banner;
pub mod gps;
pub mod scanner;
