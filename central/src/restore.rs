//! A hub that was restored from a backup.
//!
//! The last hours before a loss are in no backup: leases were granted, seats sold, sales of
//! stations heard. So the pool of every trip that is still to run freezes until every device of
//! the company has told what it holds ([`take_grants`]) and its log has been judged up to there;
//! then [`jobs`] thaws the trips. A trip may be thawed before by a person who accepts the risk.
//! The rules are `domain::restore`.

mod begin;
mod cover;
mod db;
pub mod http;
mod jobs;
mod report;
mod thaw;
mod unknown;

pub use begin::{Begun, begin_after, begin_incarnation, restore_point};
pub(crate) use cover::{cover_trip, keep_seats};
pub(crate) use db::{Restoring, may_be_taken_back, note_greeting, refuse_frozen, unlisted_among};
pub(crate) use jobs::jobs;
pub use report::take_grants;
pub use thaw::{Accepted, NotThawed, accept_risk, settle};
pub use unknown::NotTaken;
#[cfg(test)]
pub(crate) use unknown::admit;
pub(crate) use unknown::{hear_stranger, hears_strangers};

#[cfg(test)]
mod tests;
