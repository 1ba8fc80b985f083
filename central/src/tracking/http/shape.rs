//! The road of a trip, for maps.

use axum::Json;
use axum::extract::State;
use domain::ids::StopSeq;
use domain::tracking::to_polyline;
use serde::Serialize;
use utoipa::ToSchema;

use super::{number, unknown};
use crate::company;
use crate::http::extract::Named;
use crate::http::{Api, Problem};
use crate::tracking::db;

/// The road of a trip.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "polyline": "vob}AwfrkDfjb@ftDf_`@fnL", "length_m": 40_556,
    "stops": [{"place": 0, "along_m": 0}, {"place": 1, "along_m": 40_556}]}))]
pub struct TripShapeView {
    /// The trip's number.
    trip: u64,
    /// From its first stop to its last: an encoded polyline with five decimals. Null where the
    /// road is not known: straight from stop to stop then.
    polyline: Option<String>,
    /// How long its way is, in metres, as positions count it.
    length_m: u32,
    /// Those of its stops whose place is known.
    stops: Vec<TripShapeStop>,
}

/// A stop on the way of a trip.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"place": 1, "along_m": 40_556}))]
pub struct TripShapeStop {
    /// Its place on the trip, from 0.
    place: u8,
    /// How far along it is, in metres.
    along_m: u32,
}

/// The road that a trip drives, whether it is on its way or not.
#[utoipa::path(get, path = "/trips/{trip}/shape", operation_id = "tracking_shape",
    tag = "tracking", params(("trip" = u64, Path)),
    responses((status = 200, body = TripShapeView),
        (status = 404, body = Problem, description = "No such trip."),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    Named(trip): Named<u64>,
) -> Result<Json<TripShapeView>, Problem> {
    let trip = number(trip)?;
    let company = company::company_of_trip(&api.db, trip).await?;
    let mut tx = api.db.tenant(company.ok_or_else(|| unknown(trip))?).await?;
    let standing = db::standing(&mut tx, &api.tracking.0.roads, trip).await?;
    let way = standing.ok_or_else(|| unknown(trip))?.facts.route;
    let stops = (0..=u8::MAX).take(way.stop_count()).filter_map(|place| {
        let along_m = way.along_m(StopSeq(place))?;
        Some(TripShapeStop { place, along_m })
    });
    Ok(Json(TripShapeView {
        trip: trip.0,
        polyline: way.road().map(|road| to_polyline(road.places())),
        length_m: way.length_m().round() as u32,
        stops: stops.collect(),
    }))
}
