//! The API over real HTTP and a real Postgres.

mod bookings;
mod books;
mod holds;
mod lists;
mod search;
pub(crate) mod site;
