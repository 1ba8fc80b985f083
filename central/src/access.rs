//! Who asks, for which company, and what they may do.
//!
//! A caller works for one company at a time: the one its token or key names. A route states the
//! permission that it needs in its OpenAPI `security`, and checks the same one with
//! [`Caller::may`]; a test holds the two together, route by route and role by role. Rows of another
//! company do not exist for a caller: row-level security answers 404, never 403.

mod caller;
mod permission;

pub use caller::{Caller, Identity, Staff};
pub use permission::{Permission, Permissions, Role, UnknownWord};
