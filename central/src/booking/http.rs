//! Holds, bookings, quotes and search over HTTP.

mod bookings;
mod holds;
mod proof;
mod quotes;
mod search;
mod views;
mod wishes;

pub use proof::Proof;
pub(crate) use proof::locate;
pub(crate) use views::HoldView;
pub(crate) use wishes::{ContactAsked, account, channel, class_of, contact, text};

use axum::http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{BookingError, Refusal};
use crate::http::{Api, Problem};
use crate::pricing::PriceRefusal;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(search::find))
        .routes(routes!(search::places))
        .routes(routes!(quotes::create))
        .routes(routes!(holds::create))
        .routes(routes!(holds::show, holds::release))
        .routes(routes!(holds::extend))
        .routes(routes!(bookings::create, bookings::list))
        .routes(routes!(bookings::show))
        .routes(routes!(bookings::mine))
}

impl From<BookingError> for Problem {
    fn from(error: BookingError) -> Self {
        if let BookingError::Db(error) = error {
            return error.into();
        }
        if let BookingError::Frozen(trip) = error {
            return (&Refusal::Frozen(trip)).into();
        }
        tracing::error!(%error, "a booking failed");
        Self::unavailable()
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |kind, title| Self::new(StatusCode::CONFLICT, kind, title, &detail);
        let wrong = |kind, title| {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Self::new(status, kind, title, &detail)
        };
        match refusal {
            Refusal::UnknownTrip(_) | Refusal::UnknownHold => Self::not_found(&detail),
            Refusal::OtherCompany(_) => wrong("other-company", "Two companies"),
            Refusal::NotRunning { state, .. } => {
                conflict("trip-not-running", "Trip not running").with("state", state.as_str())
            }
            Refusal::Frozen(trip) => {
                conflict("trip-frozen", "Not sold for now").with("trip", trip.0)
            }
            Refusal::NoSuchJourney { .. } => wrong("no-such-journey", "No such journey"),
            Refusal::BoardingClosed { stop } => {
                conflict("boarding-closed", "Boarding has closed").with("stop", stop.0.as_str())
            }
            Refusal::TooShort {
                minutes, wanted, ..
            } => wrong("connection-too-short", "Too short to change")
                .with("minutes", *minutes)
                .with("wanted", *wanted),
            Refusal::NotTogether { .. } => wrong("not-together", "Not one journey"),
            Refusal::NoPrice(PriceRefusal::NoFare { .. }) => wrong("no-fare", "Not on sale"),
            Refusal::NoPrice(PriceRefusal::TwoCurrencies(..)) => {
                wrong("two-currencies", "Two currencies")
            }
            Refusal::NoPrice(PriceRefusal::Voucher(_)) => wrong("voucher", "Voucher not taken"),
            Refusal::NoSuchSeat { seat, .. } => {
                wrong("no-such-seat", "No such seat").with("seat", seat.0)
            }
            Refusal::SeatTaken { trip, seat } => conflict("seat-taken", "Seat taken")
                .with("trip", trip.0)
                .with("seat", seat.0),
            Refusal::NoSuchAttributes { trip } => {
                conflict("no-such-seat-free", "No such seat free").with("trip", trip.0)
            }
            Refusal::SoldOut {
                trip,
                from,
                to,
                wanted,
                seats_left,
            } => conflict("sold-out", "Sold out")
                .with("trip", trip.0)
                .with("from", from.0.as_str())
                .with("to", to.0.as_str())
                .with("wanted", json!(wanted))
                .with("seats_left", json!(seats_left)),
            Refusal::HoldOver => conflict("hold-over", "Hold over"),
            Refusal::HoldLimit { until } => {
                conflict("hold-limit", "Held long enough").with("until", until.to_string())
            }
            Refusal::OtherCount { given, held } => wrong("other-count", "Other number")
                .with("given", json!(given))
                .with("held", json!(held)),
        }
    }
}
