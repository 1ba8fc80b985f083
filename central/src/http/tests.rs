//! The API over real HTTP and a real Postgres.

mod bookings;
mod books;
mod document;
mod holds;
mod lists;
mod roles;
mod scenario;
mod search;
pub(crate) mod site;
