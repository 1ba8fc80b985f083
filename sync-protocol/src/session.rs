//! The two session machines. A driver feeds inputs and deadlines, and does what outputs ask.
//!
//! ```text
//! handle_input(input, now)   handle_timeout(now)   poll_output()   poll_timeout()
//! ```

pub mod edge;
pub mod hub;

/// The most pieces of one node's grants.
pub(crate) const REPORT_PIECES_MAX: u32 = 64;

pub use edge::{Budget, EdgeInput, EdgeOutput, EdgeSession};
pub use hub::{HubInput, HubOutput, HubSession};

#[cfg(test)]
mod tests;
