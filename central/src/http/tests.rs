//! The API over real HTTP and a real Postgres.

mod bookings;
mod books;
mod holds;
mod lists;
pub(crate) mod site;
