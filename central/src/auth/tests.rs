//! The service over real HTTP and a real Postgres.

mod account;
mod bearer;
mod client;
mod cookies;
mod factor;
mod forged;
mod import;
mod keys;
mod people;
mod refresh;
mod sign_in;
