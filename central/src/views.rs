//! What people see of the hub: read-only rows, shaped for the HTTP API and the hub's page.

mod db;
mod home;
mod page;
mod rows;
mod seats;

pub use db::{all_companies, keys, leases, nodes, tickets, trip, trips};
pub use home::{CompanyHome, TripHome, home};
pub use page::{Cursor, Page, ROWS_MAX};
pub use rows::{
    FareView, KeyView, LeaseView, NodeView, SeatClaimView, StopView, TicketView, TripView,
    not_bookable,
};
pub use seats::{SeatRun, SeatView, SeatsView, seats};

use domain::time::Instant;

/// An instant as the API writes it: RFC 3339, UTC.
pub(crate) fn time(at_ms: i64) -> String {
    Instant(at_ms).to_string()
}
