//! Companies: the tenants, who may speak for them, and the trips that they run.

mod admin;
mod buses;
pub mod csv;
mod db;
mod fares;
pub mod http;
mod layouts;
mod network;
pub(crate) mod records;
mod routes;
mod rules;
mod settings;
mod shapes;
mod stations;
mod stops;
mod timetable;

pub(crate) use admin::fresh_uuid;
pub use admin::{
    CompanyError, NewCompany, NewToken, TOKEN_PREFIX, company_named, create, create_token,
};
pub use buses::{Bus, BusState};
pub(crate) use db::shapes::stop_places;
pub use db::{caller_of_token, company_of_trip, find_by_name, zone_and_currency};
pub(crate) use db::{fares_of, layout_of, lock_settings, zone_of};
pub use layouts::{Deck, Generator, LayoutView, LayoutWish, Place, SeatWord, VersionView};
pub use network::network;
pub use records::{OfficeError, Use};
pub(crate) use routes::stops_fault;
pub use routes::{Route, RouteStop};
pub use settings::{Settings, SettingsChange};
pub use stations::Station;
pub use stops::Stop;
pub(crate) use timetable::trip_facts;
pub use timetable::{Applied, Counts, KeptTrip, TimetableError, TripChanges, apply};

#[cfg(test)]
mod tests;
