//! The API over real HTTP and a real Postgres.

mod bookings;
mod lists;
mod site;
