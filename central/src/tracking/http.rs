//! The routes: fixes in, positions out, links, settings, GTFS-Realtime.

mod gtfs_rt;
mod links;
mod near;
mod phone;
mod positions;
mod settings;
mod shape;
mod stream;

use axum::http::StatusCode;
use domain::ids::TripId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::known::Facts;
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(positions::show, phone::take))
        .routes(routes!(stream::stream))
        .routes(routes!(near::near))
        .routes(routes!(shape::show))
        .routes(routes!(links::list, links::create))
        .routes(routes!(links::revoke))
        .routes(routes!(settings::show, settings::change))
        .routes(routes!(gtfs_rt::vehicle_positions))
        .routes(routes!(gtfs_rt::trip_updates))
        .routes(routes!(gtfs_rt::alerts))
}

fn unknown(trip: TripId) -> Problem {
    Problem::not_found(format!("there is no trip {trip}"))
}

/// The trip's number, where it can be one.
fn number(trip: u64) -> Result<TripId, Problem> {
    i64::try_from(trip).map_err(|_| unknown(TripId(trip)))?;
    Ok(TripId(trip))
}

/// The refusal to show a trip that is not on its way.
fn not_followed(facts: &Facts) -> Problem {
    let detail = format!(
        "trip {} is {}: its bus is shown from boarding until it arrives",
        facts.trip, facts.state
    );
    Problem::new(
        StatusCode::CONFLICT,
        "not-followed",
        "Not on its way",
        detail,
    )
    .with("state", facts.state.as_str())
}
