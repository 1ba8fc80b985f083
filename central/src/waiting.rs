//! Waiting for seats of a trip that is sold out.
//!
//! A party waits for one journey, in order of arrival. When seats come free they are held for the
//! first in line that fits, as an ordinary hold with half an hour to decide; taking them is the
//! ordinary booking, so that money and tickets go one way only. A party that does not fit is
//! passed by a smaller one that does: seats are never saved up for it.
//!
//! Offers are made by a job within seconds, and by every sale from the pool of a trip that
//! somebody waits for, before it picks its own seats: nobody passes the line by asking at the
//! right moment. Exchanges, rebookings and leases leave what the line would be offered
//! ([`set_aside`]). All of them work under the trip's lock, which orders the line too. Only
//! who has lost a seat that was paid for comes before the line.
//!
//! An entry's own secret opens the hold that it is offered, so that only who waits may take it.

mod db;
mod decide;
pub mod http;
mod jobs;
mod serve;
mod service;

pub(crate) use jobs::jobs;
pub(crate) use serve::{serve, set_aside};
pub(crate) use service::open_contact;

/// What the token of an entry begins with.
const TOKEN_PREFIX: &str = "wait_";

#[cfg(test)]
mod tests;
