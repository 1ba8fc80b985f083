//! The service over real HTTP and a real Postgres.

mod bearer;
