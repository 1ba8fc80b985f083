//! `agency.txt`, `stops.txt`, `routes.txt`.

use std::collections::BTreeMap;

use crate::gtfs::error::GtfsError;
use crate::gtfs::report::{Note, Recorder, quote};
use crate::gtfs::source::Source;
use crate::gtfs::table::{FileSpec, Row, Table};
use crate::gtfs::value;

use super::{Agency, Route, Stop};

const AGENCY: FileSpec = FileSpec {
    name: "agency.txt",
    required: &["agency_name", "agency_timezone"],
    optional: &["agency_id"],
};

const STOPS: FileSpec = FileSpec {
    name: "stops.txt",
    required: &["stop_id"],
    optional: &[
        "stop_name",
        "stop_lat",
        "stop_lon",
        "zone_id",
        "stop_timezone",
        "location_type",
        "parent_station",
    ],
};

const ROUTES: FileSpec = FileSpec {
    name: "routes.txt",
    required: &["route_id", "route_type"],
    optional: &[
        "agency_id",
        "route_short_name",
        "route_long_name",
        "route_color",
    ],
};

/// The longest route id, in characters.
const ROUTE_ID_CHARS_MAX: usize = 64;

/// Keeps the first of several rows with one id; says which were dropped.
pub(super) struct FirstWins<'t>(BTreeMap<&'t str, Row<'t>>);

impl<'t> FirstWins<'t> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether the row is the first with its id.
    pub(super) fn admits(
        &mut self,
        spec: &FileSpec,
        id: &'t str,
        row: Row<'t>,
        recorder: &mut Recorder,
    ) -> bool {
        let Some(first) = self.0.get(id) else {
            self.0.insert(id, row);
            return true;
        };
        if first.same_as(&row) {
            let text = format!("the row repeats line {} and was dropped", first.line);
            recorder.mended(spec.name, row.line, Note::new("duplicate_row", text));
        } else {
            let text = format!(
                "{} was defined on line {} already; the first one stays",
                quote(id),
                first.line
            );
            recorder.refused(spec.name, row.line, Note::new("duplicate_id", text));
        }
        false
    }
}

pub(super) fn agencies(
    source: &mut Source,
    recorder: &mut Recorder,
) -> Result<Vec<Agency>, GtfsError> {
    let table = Table::required(source, &AGENCY, recorder)?;
    let mut seen = FirstWins::new();
    let mut agencies = Vec::new();
    for row in table.rows() {
        let id = row.get("agency_id");
        if !seen.admits(&AGENCY, id, row, recorder) {
            continue;
        }
        let named = row.get("agency_timezone");
        let Some((zone, was_old)) = value::zone(named) else {
            return Err(GtfsError::Value {
                file: AGENCY.name.to_owned(),
                line: row.line,
                what: format!(
                    "agency_timezone {} is not a known time zone; a name like Africa/Lusaka is needed",
                    quote(named)
                ),
            });
        };
        if was_old {
            let text = format!("{} is an old name of {zone}, which is used", quote(named));
            recorder.mended(AGENCY.name, row.line, Note::new("old_zone_name", text));
        }
        agencies.push(Agency {
            id: id.to_owned(),
            name: row.get("agency_name").to_owned(),
            zone,
        });
    }
    if agencies.is_empty() {
        return Err(GtfsError::Value {
            file: AGENCY.name.to_owned(),
            line: 1,
            what: "the file names no agency; one row is needed".to_owned(),
        });
    }
    Ok(agencies)
}

pub(super) fn stops(
    source: &mut Source,
    recorder: &mut Recorder,
) -> Result<BTreeMap<String, Stop>, GtfsError> {
    let table = Table::required(source, &STOPS, recorder)?;
    let mut seen = FirstWins::new();
    let mut stops = BTreeMap::new();
    let mut own_zone = 0u64;
    for row in table.rows() {
        let id = row.get("stop_id");
        let Ok(code) = id.parse() else {
            let text = format!("stop_id {} needs 1 to 64 characters", quote(id));
            recorder.refused(STOPS.name, row.line, Note::new("bad_stop_id", text));
            continue;
        };
        if !seen.admits(&STOPS, id, row, recorder) {
            continue;
        }
        let boarding = matches!(row.get("location_type"), "" | "0");
        let fare_zone = match row.get("zone_id") {
            "" => {
                own_zone += u64::from(boarding);
                id
            }
            zone => zone,
        };
        let stop = Stop {
            code,
            name: stop_name(&row, recorder),
            position: position(&row, recorder),
            fare_zone: fare_zone.to_owned(),
            zone: stop_zone(&row, recorder),
            boarding,
        };
        stops.insert(id.to_owned(), stop);
    }
    for row in table.rows() {
        let parent = row.get("parent_station");
        if !parent.is_empty() && !stops.contains_key(parent) {
            let text = format!(
                "parent_station {} does not exist; the stop stands alone",
                quote(parent)
            );
            recorder.mended(
                STOPS.name,
                row.line,
                Note::new("unknown_parent_station", text),
            );
        }
    }
    if own_zone > 0 {
        let text = format!(
            "{own_zone} stops name no fare zone; each is a zone of its own, named like the stop"
        );
        recorder.file_note(STOPS.name, Note::new("stop_is_its_zone", text));
    }
    Ok(stops)
}

fn stop_name(row: &Row<'_>, recorder: &mut Recorder) -> String {
    let name = row.get("stop_name");
    if !name.is_empty() {
        return name.to_owned();
    }
    let text = "stop_name is empty; the stop is called by its id";
    recorder.mended(STOPS.name, row.line, Note::new("no_stop_name", text));
    row.get("stop_id").to_owned()
}

fn position(row: &Row<'_>, recorder: &mut Recorder) -> Option<(f64, f64)> {
    let (lat, lon) = (row.get("stop_lat"), row.get("stop_lon"));
    let position = value::degrees(lat, 90.0).zip(value::degrees(lon, 180.0));
    if position.is_none() {
        let text = format!(
            "{} {} is no position in degrees; the stop is kept without one",
            quote(lat),
            quote(lon)
        );
        recorder.mended(STOPS.name, row.line, Note::new("bad_position", text));
    }
    position
}

fn stop_zone(row: &Row<'_>, recorder: &mut Recorder) -> Option<domain::time::Zone> {
    let named = row.get("stop_timezone");
    if named.is_empty() {
        return None;
    }
    match value::zone(named) {
        Some((zone, false)) => Some(zone),
        Some((zone, true)) => {
            let text = format!("{} is an old name of {zone}, which is used", quote(named));
            recorder.mended(STOPS.name, row.line, Note::new("old_zone_name", text));
            Some(zone)
        }
        None => {
            let text = format!(
                "stop_timezone {} is not known; the agency's is used",
                quote(named)
            );
            recorder.mended(STOPS.name, row.line, Note::new("unknown_zone_name", text));
            None
        }
    }
}

pub(super) fn routes(
    source: &mut Source,
    recorder: &mut Recorder,
    agencies: &[Agency],
) -> Result<BTreeMap<String, Route>, GtfsError> {
    let table = Table::required(source, &ROUTES, recorder)?;
    let mut seen = FirstWins::new();
    let mut routes = BTreeMap::new();
    for row in table.rows() {
        let id = row.get("route_id");
        if id.is_empty() || id.chars().count() > ROUTE_ID_CHARS_MAX {
            let text = format!(
                "route_id {} needs 1 to {ROUTE_ID_CHARS_MAX} characters",
                quote(id)
            );
            recorder.refused(ROUTES.name, row.line, Note::new("bad_route_id", text));
            continue;
        }
        if !seen.admits(&ROUTES, id, row, recorder) {
            continue;
        }
        let kind = row.get("route_type").parse().ok();
        if kind.is_none() {
            let text = format!(
                "route_type {} is not a number; the route's trips are refused",
                quote(row.get("route_type"))
            );
            recorder.refused(ROUTES.name, row.line, Note::new("bad_route_type", text));
        }
        let route = Route {
            agency_id: route_agency(&row, recorder, agencies),
            short_name: row.get("route_short_name").to_owned(),
            long_name: row.get("route_long_name").to_owned(),
            kind,
            colour: route_colour(&row, recorder),
        };
        if route.short_name.is_empty() && route.long_name.is_empty() {
            let text = "the route has no name; it is called by its id";
            recorder.mended(ROUTES.name, row.line, Note::new("no_route_name", text));
        }
        routes.insert(id.to_owned(), route);
    }
    Ok(routes)
}

fn route_agency(row: &Row<'_>, recorder: &mut Recorder, agencies: &[Agency]) -> String {
    let id = row.get("agency_id");
    let first = agencies.first().map_or("", |a| a.id.as_str());
    if agencies.iter().any(|a| a.id == id) {
        return id.to_owned();
    }
    if !id.is_empty() || agencies.len() > 1 {
        let text = format!(
            "agency {} is not in agency.txt; the route is counted to the first agency",
            quote(id)
        );
        recorder.mended(ROUTES.name, row.line, Note::new("unknown_agency", text));
    }
    first.to_owned()
}

fn route_colour(row: &Row<'_>, recorder: &mut Recorder) -> Option<String> {
    let text = row.get("route_color");
    if text.is_empty() {
        return None;
    }
    match value::colour(text) {
        Some((colour, false)) => Some(colour),
        Some((colour, true)) => {
            let text = format!("route_color {} was read as {colour}", quote(text));
            recorder.mended(ROUTES.name, row.line, Note::new("colour_with_hash", text));
            Some(colour)
        }
        None => {
            let text = format!(
                "route_color {} is not six hexadecimal digits and was dropped",
                quote(text)
            );
            recorder.mended(ROUTES.name, row.line, Note::new("bad_colour", text));
            None
        }
    }
}
