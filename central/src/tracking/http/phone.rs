//! Fixes of the phone of a trip's crew.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::TripId;
use domain::time::Instant;
use domain::tracking::{Fix, Place, Source};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{number, unknown};
use crate::access::{Caller, Identity, Permission};
use crate::clock;
use crate::company;
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem};
use crate::tracking::{NotTaken, Sender, db};

/// The most fixes of one request.
const FIXES_MAX: usize = 500;

/// Where a phone was at a moment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"seq": 41, "at": "2026-11-23T04:31:07Z", "lat": -15.61, "lon": 28.18,
    "speed_kmh": 78.1, "bearing_deg": 187.0, "accuracy_m": 6.0}))]
pub struct FixAsked {
    /// The phone's own count, rising.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    seq: u64,
    /// By the phone's clock, RFC 3339.
    at: String,
    /// Degrees north.
    lat: f64,
    /// Degrees east.
    lon: f64,
    /// Over the ground.
    speed_kmh: Option<f64>,
    /// Clockwise from north.
    bearing_deg: Option<f64>,
    /// The true place is within so many metres, mostly.
    accuracy_m: Option<f64>,
}

/// Where a phone was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"fixes": [{"seq": 41, "at": "2026-11-23T04:31:07Z", "lat": -15.61,
    "lon": 28.18, "speed_kmh": 78.1, "bearing_deg": 187.0, "accuracy_m": 6.0}]}))]
pub struct FixesAsked {
    /// 1 to 500, in any order.
    #[schema(min_items = 1, max_items = 500)]
    fixes: Vec<FixAsked>,
}

/// A fix that does not count.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"seq": 40, "why": "it is 5210 m from the fix beside it, 1000 ms apart: no bus is so fast"}))]
pub struct RefusedView {
    /// Which.
    seq: u64,
    /// In words.
    why: String,
}

/// What came of fixes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"taken": 1, "refused": []}))]
pub struct TakenView {
    /// How many count; those that came before too.
    taken: usize,
    /// Those that never will. Do not send them again.
    refused: Vec<RefusedView>,
}

fn whole(value: Option<f64>, most: f64) -> Option<u16> {
    let value = value.filter(|v| v.is_finite() && *v >= 0.0)?;
    Some(value.min(most).round() as u16)
}

impl FixAsked {
    fn fix(&self, trip: TripId) -> Result<Fix, Problem> {
        let wrong =
            |what: &str| Problem::unprocessable(format!("the fix with `seq` {}: {what}", self.seq));
        let at: jiff::Timestamp = self
            .at
            .parse()
            .map_err(|_| wrong("`at` is no RFC 3339 moment"))?;
        let place = Place::of_degrees(self.lat, self.lon)
            .ok_or_else(|| wrong("`lat` is -90 to 90, `lon` -180 to 180"))?;
        if self.seq > 1 << 53 {
            return Err(wrong("`seq` is at most 2^53"));
        }
        if self
            .bearing_deg
            .is_some_and(|d| !(0.0..=360.0).contains(&d))
        {
            return Err(wrong("`bearing_deg` is 0 to 360"));
        }
        Ok(Fix {
            trip,
            seq: self.seq,
            at: Instant(at.as_millisecond()),
            lat_e7: place.lat_e7(),
            lon_e7: place.lon_e7(),
            speed_cm_s: whole(self.speed_kmh.map(|kmh| kmh / 0.036), 65_535.0),
            bearing_deg: whole(self.bearing_deg, 360.0).map(|degrees| degrees % 360),
            accuracy_m: whole(self.accuracy_m, 65_535.0),
            source: Source::Phone,
        })
    }
}

/// Says where the bus of a trip is, from the phone of somebody of its crew. The same fixes again
/// change nothing; late ones never stand before newer ones.
#[utoipa::path(post, path = "/trips/{trip}/positions", operation_id = "tracking_take",
    tag = "tracking", params(("trip" = u64, Path)), request_body = FixesAsked,
    security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = TakenView),
        (status = 403, body = Problem, description = "`not-crew`: the caller does not work on the trip, or may not operate trips."),
        (status = 404, body = Problem),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn take(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    body: Body<FixesAsked>,
) -> Result<Json<TakenView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let trip = number(trip)?;
    let asked = body.value.fixes;
    if !(1..=FIXES_MAX).contains(&asked.len()) {
        let detail = format!("1 to {FIXES_MAX} fixes at once, not {}", asked.len());
        return Err(Problem::unprocessable(detail));
    }
    let fixes: Result<Vec<Fix>, Problem> = asked.iter().map(|fix| fix.fix(trip)).collect();
    let fixes = fixes?;
    let company = company::company_of_trip(&api.db, trip).await?;
    if company != Some(staff.company) {
        return Err(unknown(trip));
    }
    let works = match staff.identity {
        Identity::Person(person) => {
            let mut tx = api.db.tenant(staff.company).await?;
            db::is_crew(&mut tx, person, trip).await?
        }
        Identity::Key(_) | Identity::Anonymous => false,
    };
    if !works {
        let detail = "only who works on this trip says where it is: have the office name you";
        let status = StatusCode::FORBIDDEN;
        return Err(Problem::new(status, "not-crew", "Not of its crew", detail));
    }
    let now = clock::now();
    let taken = api
        .tracking
        .take(staff.company, Sender::Crew, fixes, now)
        .await?;
    let count = taken.counted.len();
    let refused = taken
        .refused
        .iter()
        .map(|(seq, why): &(u64, NotTaken)| RefusedView {
            seq: *seq,
            why: why.to_string(),
        });
    let refused = refused.collect();
    if !taken.written.await {
        return Err(Problem::unavailable());
    }
    Ok(Json(TakenView {
        taken: count,
        refused,
    }))
}
