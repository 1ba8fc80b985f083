//! Nodes: who they are, where they stand, how they come in, which trips they validate.

pub mod assignment;
pub mod enrolment;
pub mod silence;
mod standing;

pub use standing::{
    NodeContext, NodeError, NodeKind, freeze, load_node, revoke, subscriptions, touch_contact,
};
