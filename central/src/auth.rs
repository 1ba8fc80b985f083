//! People: accounts, roles, sign-in, tokens, API keys.
//!
//! A person belongs to the hub and may work for several companies, for one of them at a time. An
//! access token says for which, and as what, for ten minutes; a session gives the next one until
//! it ends. How it all fits together: `docs/auth.md`.

mod account;
pub mod admin;
mod api_keys;
mod audit_view;
pub mod codes;
pub(crate) mod contact;
pub(crate) mod db;
mod error;
mod factor;
pub mod http;
pub mod jobs;
mod keyring;
mod password;
pub(crate) mod person;
pub(crate) mod rules;
mod session;
mod staff;
mod standing;
mod throttle;
pub mod token;
mod totp;

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
