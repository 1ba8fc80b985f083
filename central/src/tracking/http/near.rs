//! Which buses are near a place.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use domain::ids::TripId;
use domain::tracking::Place;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::extract::Asked;
use crate::http::{Api, Problem};
use crate::tracking::db;
use crate::tracking::live::{Kept, Near};

/// The most trips of an answer.
const NEAR_MAX: usize = 100;
const RADIUS_M_MAX: u32 = 500_000;

/// Around which place.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NearAsked {
    /// Degrees north.
    #[param(example = -15.419)]
    lat: f64,
    /// Degrees east.
    #[param(example = 28.282)]
    lon: f64,
    /// Within so many metres, 500 km at most.
    #[param(minimum = 1, maximum = 500_000, example = 5000)]
    radius_m: u32,
}

/// A trip near a place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "distance_m": 812, "lat": -15.42, "lon": 28.289,
    "at": "2026-11-23T04:31:07Z", "age_ms": 1200}))]
pub struct NearView {
    /// The trip's number.
    trip: u64,
    /// How far.
    distance_m: u64,
    /// Degrees north.
    lat: f64,
    /// Degrees east.
    lon: f64,
    /// By the device's clock, RFC 3339 UTC.
    at: String,
    /// How old that is.
    age_ms: i64,
}

/// Trips near a place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"items": [{"trip": 4711, "distance_m": 812, "lat": -15.42,
    "lon": 28.289, "at": "2026-11-23T04:31:07Z", "age_ms": 1200}]}))]
pub struct NearPage {
    /// The nearest first, 100 at most.
    items: Vec<NearView>,
}

/// The company's buses on their way near a place, the nearest first.
#[utoipa::path(get, path = "/tracking/near", operation_id = "tracking_near", tag = "tracking",
    params(NearAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = NearPage),
        (status = "default", body = Problem)))]
pub async fn near(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<NearAsked>,
) -> Result<Json<NearPage>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let place = Place::of_degrees(asked.lat, asked.lon)
        .ok_or_else(|| Problem::bad_request("`lat` is -90 to 90, `lon` -180 to 180"))?;
    if !(1..=RADIUS_M_MAX).contains(&asked.radius_m) {
        return Err(Problem::bad_request("`radius_m` is 1 to 500000"));
    }
    let mut tx = api.db.tenant(staff.company).await?;
    let on_way = db::newest_of_all(&mut tx).await?;
    let by_trip: BTreeMap<TripId, Kept> = on_way.into_iter().map(|k| (k.fix.trip, k)).collect();
    let live = &api.tracking.0.live;
    let found = live
        .near(staff.company, place, asked.radius_m, NEAR_MAX)
        .await;
    let now = clock::now();
    let mut items = vec![];
    for near in found.unwrap_or_else(|_| measured(&by_trip, place, asked.radius_m)) {
        let latest = live.latest(near.trip).await.ok().flatten();
        // Whoever has arrived is not shown, whatever is remembered.
        let Some(written) = by_trip.get(&near.trip) else {
            continue;
        };
        let kept = latest.as_ref().unwrap_or(written);
        let Some(there) = kept.fix.place() else {
            continue;
        };
        items.push(NearView {
            trip: near.trip.0,
            distance_m: near.metres.round() as u64,
            lat: there.lat(),
            lon: there.lon(),
            at: kept.fix.at.to_string(),
            age_ms: (now.0 - kept.fix.at.0).max(0),
        });
    }
    Ok(Json(NearPage { items }))
}

/// The same from the database, while Redis is away.
fn measured(by_trip: &BTreeMap<TripId, Kept>, place: Place, radius_m: u32) -> Vec<Near> {
    let all = by_trip.iter().filter_map(|(trip, kept)| {
        let metres = place.metres_to(kept.fix.place()?);
        Some(Near {
            trip: *trip,
            metres,
        })
    });
    let mut near: Vec<Near> = all.filter(|n| n.metres <= f64::from(radius_m)).collect();
    near.sort_by(|a, b| a.metres.total_cmp(&b.metres));
    near.truncate(NEAR_MAX);
    near
}
