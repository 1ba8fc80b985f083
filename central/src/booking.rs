//! The hub's own sales, out of the pool: search, quotes, holds, bookings, retrieval.
//!
//! A booking is one row from the first hold to its tickets. While it waits for money its seats
//! are claims; the transaction that takes the money deletes the claims and inserts the tickets.
//! Every wish is one transaction: the trips' rows are locked in order, seats are picked, and the
//! answer is kept for ever under the request's idempotency key. A seat that is taken all the same
//! is refused by the database.

pub mod catalog;
pub mod contact;
mod db;
mod decide;
pub mod http;
mod issue;
mod list;
mod load;
pub mod pay;
mod prices;
mod quote;
mod read;
mod search;
mod service;
mod state;
mod sweep;

pub use decide::{CONNECTION_MIN_MS, FROZEN, Journey, Refusal, Wish};
pub(crate) use load::{Stock, company_of, lock_stocks};
pub use pay::release;
pub(crate) use read::{held as look_at_hold, read_token};
pub use service::{
    BookingError, Decision, Made, Seats, Wanted, Who, looked_again, make, secret_hash,
};
pub(crate) use service::{OfferedTo, free_what_ran_out, offer, try_out};
pub use state::{Deadline, HOLD_LIMIT_MS, HOLD_MS, PAYMENT_GRACE_MS, State};
pub(crate) use sweep::jobs;
#[cfg(test)]
pub(crate) use sweep::{seal as seal_contacts, sweep};

/// What a hold's token begins with.
pub const TOKEN_PREFIX: &str = "hold_";

/// What a company is paid in: tells the country of a phone number without one.
pub(crate) async fn office_currency(
    api: &crate::http::Api,
    company: domain::ids::CompanyId,
) -> Result<domain::money::Currency, crate::db::DbError> {
    if let Some(known) = api.db.catalog().currency(company) {
        return Ok(known);
    }
    let (_, currency) = crate::company::zone_and_currency(&api.db, company).await?;
    api.db.catalog().keep_currency(company, currency);
    Ok(currency)
}

#[cfg(test)]
mod tests;
