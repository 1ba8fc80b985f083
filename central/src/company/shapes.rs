//! The road of a route: a line along the stops that its schedules are made of.

use domain::ids::StopCode;
use domain::time::Instant;
use domain::tracking::{Line, Place, Route as Way, of_polyline, to_polyline};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::records::OfficeError;
use super::{Route, db};
use crate::audit::{self, Actor, Change};
use crate::csvio::Fault;
use crate::db::DbError;
use crate::gtfs::{PatternKey, PlanShape};
use crate::tenant::TenantTx;

/// The longest polyline that is read, in characters.
const POLYLINE_CHARS_MAX: usize = 600_000;
/// The most places that are kept of a line; what a road needs is a tenth of it.
const KEPT_POINTS_MAX: usize = 20_000;

/// A GeoJSON line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GeoLine {
    /// What it is.
    #[serde(rename = "type")]
    kind: GeoKind,
    /// Longitude and latitude in degrees, in order, 50,000 at most.
    #[schema(value_type = Vec<Vec<f64>>, min_items = 2, max_items = 50_000)]
    coordinates: Vec<Vec<f64>>,
}

/// What a GeoJSON geometry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
enum GeoKind {
    /// A line; no other geometry is a road.
    LineString,
}

/// A road as it is given: one of the two.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"polyline": "vob}AwfrkDfjb@ftDf_`@fnL"}))]
pub struct ShapeWish {
    /// An encoded polyline with five decimals.
    #[serde(default)]
    #[schema(max_length = 600_000)]
    polyline: Option<String>,
    /// A GeoJSON line.
    #[serde(default)]
    line: Option<GeoLine>,
}

/// A stop on the road.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"stop": "KAF", "along_m": 40_556}))]
pub struct ShapeStop {
    /// Its code.
    stop: String,
    /// How far along the road it is, in metres; null where its place is unknown.
    along_m: Option<u32>,
}

/// The road of a route.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"route": "LUN-SIA", "polyline": "vob}AwfrkDfjb@ftDf_`@fnL", "points": 3,
    "length_m": 40_556, "stops": [{"stop": "LUN", "along_m": 0}, {"stop": "KAF", "along_m": 40_556}]}))]
pub struct ShapeView {
    /// The route's code.
    route: String,
    /// An encoded polyline with five decimals; null where the road is not known, and buses are
    /// followed along straight lines.
    polyline: Option<String>,
    /// How many places it is made of.
    points: usize,
    /// How long it is, in metres.
    length_m: u32,
    /// The route's stops.
    stops: Vec<ShapeStop>,
}

fn wrong(member: &str, wrong: impl Into<String>, remedy: &str) -> OfficeError {
    Fault::new(member, wrong, remedy).into()
}

impl ShapeWish {
    /// What tells of the road.
    fn checked(&self) -> Result<Line, OfficeError> {
        let (member, places) = match (&self.polyline, &self.line) {
            (Some(text), None) => ("polyline", read_polyline(text)?),
            (None, Some(line)) => ("line", read_geo(line)?),
            _ => {
                let remedy = "give `polyline` or `line`, one of them";
                return Err(wrong("polyline", "not one road was given", remedy));
            }
        };
        let remedy = "draw the road from its first stop to its last";
        let whole = Line::new(&places).map_err(|error| wrong(member, error.to_string(), remedy))?;
        let road = whole.picked(&whole.telling());
        let kept = road.filter(|road| road.point_count() <= KEPT_POINTS_MAX);
        kept.ok_or_else(|| {
            let text = format!("more than {KEPT_POINTS_MAX} of its places tell of the road");
            wrong(member, text, "leave out what a map does not show")
        })
    }
}

fn read_polyline(text: &str) -> Result<Vec<Place>, OfficeError> {
    let remedy = "give an encoded polyline with five decimals, or `line`";
    if text.len() > POLYLINE_CHARS_MAX {
        let text = format!("it has more than {POLYLINE_CHARS_MAX} characters");
        return Err(wrong("polyline", text, remedy));
    }
    of_polyline(text).map_err(|error| wrong("polyline", error.to_string(), remedy))
}

fn read_geo(line: &GeoLine) -> Result<Vec<Place>, OfficeError> {
    let place = |(no, position): (usize, &Vec<f64>)| {
        let place = match position.as_slice() {
            // A third number is a height.
            [lon, lat] | [lon, lat, _] => Place::of_degrees(*lat, *lon),
            _ => None,
        };
        place.ok_or_else(|| {
            let remedy = "a position is longitude, then latitude, in degrees";
            wrong("line", format!("position {no} is none"), remedy)
        })
    };
    line.coordinates.iter().enumerate().map(place).collect()
}

/// Of the route's own stops, which are one of the sequences that its trips may have.
fn pattern(route: &Route) -> PatternKey {
    let stops: Vec<StopCode> = route
        .stops
        .iter()
        .map(|s| StopCode(s.stop.clone()))
        .collect();
    PatternKey::of(&route.code, &stops)
}

fn view(route: &Route, line: &str, alongs: &[Option<u32>]) -> Result<ShapeView, DbError> {
    let damaged = || DbError::damaged(format!("the shape of route {}", route.code));
    let places = of_polyline(line).map_err(|_| damaged())?;
    let road = match places.len() {
        0 => None,
        _ => Some(Line::new(&places).map_err(|_| damaged())?),
    };
    let stops = route.stops.iter().enumerate().map(|(no, stop)| ShapeStop {
        stop: stop.stop.clone(),
        along_m: alongs.get(no).copied().flatten(),
    });
    Ok(ShapeView {
        route: route.code.clone(),
        polyline: road.is_some().then(|| line.to_owned()),
        points: places.len(),
        length_m: road.map_or(0, |road| road.length_m().round() as u32),
        stops: stops.collect(),
    })
}

/// The road of a locked route with its version, 0 where it never had one.
pub(super) async fn show(
    tx: &mut TenantTx,
    route: &Route,
) -> Result<(i32, ShapeView), OfficeError> {
    let (version, line, alongs) = db::shapes::one(tx, pattern(route)).await?;
    Ok((version, view(route, &line, &alongs)?))
}

/// Gives a locked route its road, or takes it away; gives the road with its version.
pub(super) async fn change(
    tx: &mut TenantTx,
    (route, before): (&Route, &ShapeView),
    wish: Option<&ShapeWish>,
    (by, now): (Actor, Instant),
) -> Result<(i32, ShapeView), OfficeError> {
    let (line, stops_along_m) = match wish {
        None => (String::new(), vec![]),
        Some(wish) => {
            let road = wish.checked()?;
            let alongs = placed(tx, route, &road).await?;
            (to_polyline(road.places()), alongs)
        }
    };
    let shape = PlanShape {
        pattern: pattern(route),
        route_id: route.code.clone(),
        line,
        stops_along_m,
    };
    let version = db::shapes::put(tx, &shape).await?;
    let after = view(route, &shape.line, &shape.stops_along_m)?;
    let said = |view: &ShapeView| json!({"points": view.points, "length_m": view.length_m});
    let change = Change {
        action: "route.shape",
        subject: &format!("route:{}", route.code),
        before: Some(said(before)),
        after: Some(said(&after)),
    };
    audit::note(tx, by, change, now).await?;
    Ok((version, after))
}

async fn placed(
    tx: &mut TenantTx,
    route: &Route,
    road: &Line,
) -> Result<Vec<Option<u32>>, OfficeError> {
    let codes: Vec<String> = route.stops.iter().map(|s| s.stop.clone()).collect();
    if codes.is_empty() {
        let remedy = "give the route its stops first: the road leads along them";
        return Err(wrong("stops", "the route has no stops", remedy));
    }
    let known = db::shapes::stop_places(tx, &codes).await?;
    let places: Vec<Option<Place>> = codes.iter().map(|code| known.get(code).copied()).collect();
    Way::stops_along_m(road, &places, &[]).map_err(|error| {
        let stop = error.stop().and_then(|stop| codes.get(stop));
        let text = stop.map_or_else(
            || error.to_string(),
            |code| format!("stop {code:?}: {error}"),
        );
        wrong(
            "stops",
            text,
            "draw the road by the route's stops in their order",
        )
    })
}
