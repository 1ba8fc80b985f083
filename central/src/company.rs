//! Companies: the tenants, who may speak for them, and the trips that they run.

mod admin;
mod db;
pub mod http;
mod timetable;

pub(crate) use admin::fresh_uuid;
pub use admin::{
    CompanyError, NewCompany, NewToken, TOKEN_PREFIX, company_named, create, create_token,
};
pub use db::{caller_of_token, company_of_trip, find_by_name, zone_and_currency};
pub(crate) use db::{fares_of, layout_of};
pub use timetable::{Applied, Counts, KeptTrip, TimetableError, TripChanges, apply};

#[cfg(test)]
mod tests;
