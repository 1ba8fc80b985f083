//! People: accounts, roles, sign-in, tokens, API keys.
//!
//! A person belongs to the hub and may work for several companies, for one of them at a time. An
//! access token says for which, and as what, for ten minutes; a session gives the next one until
//! it ends. How it all fits together: `docs/auth.md`.

#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(dead_code, reason = "the routes that use it come next")
)]
pub(crate) mod contact;
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(dead_code, reason = "the routes that use it come next")
)]
pub(crate) mod db;
mod error;
pub mod http;
mod keyring;
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(dead_code, reason = "the routes that use it come next")
)]
pub(crate) mod person;
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(dead_code, reason = "the routes that use it come next")
)]
pub(crate) mod rules;
mod standing;
pub mod token;

use domain::ids::CompanyId;
use uuid::Uuid;

pub use error::AuthError;
pub use keyring::{Jwk, Keyring, TokenKey};
pub use rules::permissions_of;
pub use standing::{Auth, Standing, Transport, rotate};

/// Stands in the place of a company where a row is the hub's own.
pub(crate) const HUB: CompanyId = CompanyId(Uuid::nil());

#[cfg(test)]
mod tests;
