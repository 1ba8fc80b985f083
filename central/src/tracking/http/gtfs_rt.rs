//! GTFS-Realtime feeds: public, as protobuf, or as JSON to look at.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::time::Instant;
use prost::Message as _;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::clock;
use crate::http::extract::{Asked, Named};
use crate::http::{Api, Problem};
use crate::tracking::db;
use crate::tracking::gtfs_rt::{self, FeedMessage};
use crate::tracking::known::Standing;

const PROTOBUF: &str = "application/x-protobuf";
/// A feed holds trips from so long before its moment, in ms.
const BEFORE_MS: i64 = 36 * 3_600_000;
/// To so long after it, in ms.
const AFTER_MS: i64 = 48 * 3_600_000;
/// The most trips of a feed.
const TRIPS_MAX: i64 = 5_000;

/// How a feed is written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedAsked {
    /// `json` to look at it; protobuf otherwise.
    #[param(example = "json")]
    format: Option<String>,
}

async fn answer(
    api: &Api,
    company: &str,
    asked: &FeedAsked,
    build: fn(&[Standing], Instant) -> FeedMessage,
) -> Result<Response, Problem> {
    let json = match asked.format.as_deref() {
        None => false,
        Some("json") => true,
        Some(_) => return Err(Problem::bad_request("`format` is json, or not said")),
    };
    let company = db::company_named(&api.db, company).await?;
    let company = company.ok_or_else(|| Problem::not_found("there is no such company"))?;
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    let around = (now.plus_ms(-BEFORE_MS), now.plus_ms(AFTER_MS));
    let trips = db::standing_around(&mut tx, &api.tracking.0.roads, around, TRIPS_MAX).await?;
    let feed = build(&trips, now);
    if json {
        return Ok(axum::Json(feed).into_response());
    }
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    Ok(([kind], feed.encode_to_vec()).into_response())
}

/// Where a company's vehicles are, as GTFS-Realtime; empty unless the company publishes it. Trips
/// and stops are those of its GTFS feed.
#[utoipa::path(get, path = "/gtfs-rt/{company}/vehicle-positions",
    operation_id = "tracking_gtfs_rt_vehicles", tag = "tracking",
    params(("company" = String, Path, description = "Its name or id.", example = "Mwimule Coaches"), FeedAsked), security(()),
    responses((status = 200, description = "A FeedMessage.", content(
            (Vec<u8> = "application/x-protobuf", example = "binary"),
            (serde_json::Value = "application/json", example = json!({"header": {"gtfs_realtime_version": "2.0", "incrementality": 0, "timestamp": 1_795_494_667}, "entity": []})))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn vehicle_positions(
    State(api): State<Api>,
    Named(company): Named<String>,
    Asked(asked): Asked<FeedAsked>,
) -> Result<Response, Problem> {
    answer(&api, &company, &asked, gtfs_rt::vehicle_positions).await
}

/// When a company's trips reach the stops ahead, and which do not run, as GTFS-Realtime.
#[utoipa::path(get, path = "/gtfs-rt/{company}/trip-updates",
    operation_id = "tracking_gtfs_rt_trips", tag = "tracking",
    params(("company" = String, Path, description = "Its name or id.", example = "Mwimule Coaches"), FeedAsked), security(()),
    responses((status = 200, description = "A FeedMessage.", content(
            (Vec<u8> = "application/x-protobuf", example = "binary"),
            (serde_json::Value = "application/json", example = json!({"header": {"gtfs_realtime_version": "2.0", "incrementality": 0, "timestamp": 1_795_494_667}, "entity": []})))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn trip_updates(
    State(api): State<Api>,
    Named(company): Named<String>,
    Asked(asked): Asked<FeedAsked>,
) -> Result<Response, Problem> {
    answer(&api, &company, &asked, gtfs_rt::trip_updates).await
}

/// Why a company's trips are late or do not run, as GTFS-Realtime.
#[utoipa::path(get, path = "/gtfs-rt/{company}/alerts",
    operation_id = "tracking_gtfs_rt_alerts", tag = "tracking",
    params(("company" = String, Path, description = "Its name or id.", example = "Mwimule Coaches"), FeedAsked), security(()),
    responses((status = 200, description = "A FeedMessage.", content(
            (Vec<u8> = "application/x-protobuf", example = "binary"),
            (serde_json::Value = "application/json", example = json!({"header": {"gtfs_realtime_version": "2.0", "incrementality": 0, "timestamp": 1_795_494_667}, "entity": []})))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn alerts(
    State(api): State<Api>,
    Named(company): Named<String>,
    Asked(asked): Asked<FeedAsked>,
) -> Result<Response, Problem> {
    answer(&api, &company, &asked, gtfs_rt::alerts).await
}
