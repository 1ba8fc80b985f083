//! The extension files of an export: which routes are ours whatever runs on them, their exact
//! fares and stops, and the runs of trips that share a name.

use std::collections::{BTreeMap, BTreeSet};

use domain::fare::{FareRow, FareTable};
use domain::ids::StopCode;
use domain::money::Currency;

use super::error::GtfsError;
use super::feed::{Route, Stop};
use super::report::{Note, Recorder, quote};
use super::source::Source;
use super::table::{FileSpec, Row, Table};
use super::value;
use crate::company::{RouteStop, stops_fault};

const ROUTES: FileSpec = FileSpec {
    name: "mwimule_routes.txt",
    required: &["route_id", "fare_table"],
    optional: &["shape_id"],
};

const ROUTE_STOPS: FileSpec = FileSpec {
    name: "mwimule_route_stops.txt",
    required: &[
        "route_id",
        "stop_sequence",
        "stop_id",
        "arrives_after",
        "departs_after",
    ],
    optional: &["pickup_type"],
};

const FARE_TABLES: FileSpec = FileSpec {
    name: "mwimule_fare_tables.txt",
    required: &[
        "fare_table",
        "from_stop",
        "to_stop",
        "class",
        "price",
        "currency",
    ],
    optional: &[],
};

const TRIPS: FileSpec = FileSpec {
    name: "mwimule_trips.txt",
    required: &["trip_id", "run"],
    optional: &[],
};

/// The longest run, in characters.
const RUN_CHARS_MAX: usize = 210;

/// What the extension files say.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The fare table of each route that the feed vouches for.
    pub(super) routes: BTreeMap<String, String>,
    pub(super) route_stops: BTreeMap<String, Vec<RouteStop>>,
    /// The shape of a route's own stops.
    pub(super) route_shapes: BTreeMap<String, String>,
    pub(super) fare_tables: BTreeMap<String, FareTable>,
    /// The run of a trip, where it is not its id.
    pub(super) runs: BTreeMap<String, String>,
}

/// Reads the files that are there.
pub(super) fn read(
    source: &mut Source,
    recorder: &mut Recorder,
    stops: &BTreeMap<String, Stop>,
    routes: &BTreeMap<String, Route>,
    currency: Option<Currency>,
) -> Result<Own, GtfsError> {
    let mut own = Own::default();
    let Some(table) = Table::optional(source, &ROUTES, recorder)? else {
        return Ok(own);
    };
    for row in table.rows() {
        let (route, fares) = (row.get("route_id"), row.get("fare_table"));
        if !routes.contains_key(route) || fares.is_empty() || fares.chars().count() > 64 {
            let text = format!(
                "route {} is not in routes.txt, or its fare table has no name of 1 to 64 characters",
                quote(route)
            );
            recorder.refused(ROUTES.name, row.line, Note::new("unknown_route", text));
            continue;
        }
        own.routes.insert(route.to_owned(), fares.to_owned());
        let shape = row.get("shape_id");
        if !shape.is_empty() {
            own.route_shapes.insert(route.to_owned(), shape.to_owned());
        }
    }
    if let Some(table) = Table::optional(source, &ROUTE_STOPS, recorder)? {
        own.route_stops = read_stops(&table, stops, &own.routes, recorder);
    }
    if let Some(table) = Table::optional(source, &FARE_TABLES, recorder)? {
        own.fare_tables = read_fares(&table, stops, currency, recorder);
    }
    if let Some(table) = Table::optional(source, &TRIPS, recorder)? {
        for row in table.rows() {
            let run = row.get("run");
            if run.is_empty() || run.chars().count() > RUN_CHARS_MAX {
                let text = format!("run {} needs 1 to {RUN_CHARS_MAX} characters", quote(run));
                recorder.refused(TRIPS.name, row.line, Note::new("bad_trip_id", text));
                continue;
            }
            own.runs
                .insert(row.get("trip_id").to_owned(), run.to_owned());
        }
    }
    Ok(own)
}

fn read_stops(
    table: &Table,
    stops: &BTreeMap<String, Stop>,
    routes: &BTreeMap<String, String>,
    recorder: &mut Recorder,
) -> BTreeMap<String, Vec<RouteStop>> {
    let mut by_route: BTreeMap<String, BTreeMap<u16, RouteStop>> = BTreeMap::new();
    let mut faulty: BTreeSet<String> = BTreeSet::new();
    for row in table.rows() {
        let route = row.get("route_id").to_owned();
        let time = |column: &str| {
            let (secs, _) = value::time_s(row.get(column))?;
            i32::try_from(secs).ok()
        };
        let no = row.get("stop_sequence").parse::<u16>().ok();
        let known = stops.get(row.get("stop_id")).filter(|s| s.boarding);
        let times = time("arrives_after").zip(time("departs_after"));
        let (Some(no), Some(stop), Some((arrives_s, departs_s)), true) =
            (no, known, times, routes.contains_key(&route))
        else {
            let text = "a route, a stop, a place in the order and two run times are needed";
            recorder.refused(
                ROUTE_STOPS.name,
                row.line,
                Note::new("bad_route_stop", text),
            );
            faulty.insert(route);
            continue;
        };
        let call = RouteStop {
            stop: stop.code.0.clone(),
            arrives_s,
            departs_s,
            board: row.get("pickup_type") != "1",
        };
        by_route.entry(route).or_default().insert(no, call);
    }
    by_route
        .into_iter()
        .map(|(route, stops)| (route, stops.into_values().collect::<Vec<_>>()))
        .filter(|(route, stops)| !faulty.contains(route) && stops_fault(stops).is_none())
        .collect()
}

fn read_fares(
    table: &Table,
    stops: &BTreeMap<String, Stop>,
    currency: Option<Currency>,
    recorder: &mut Recorder,
) -> BTreeMap<String, FareTable> {
    let mut tables: BTreeMap<String, FareTable> = BTreeMap::new();
    for row in table.rows() {
        match fare(&row, stops, currency) {
            Ok((currency, fare)) => {
                let id = row.get("fare_table");
                let table = tables.entry(id.to_owned()).or_insert_with(|| FareTable {
                    id: id.to_owned(),
                    currency,
                    rows: vec![],
                });
                table.rows.push(fare);
            }
            Err(note) => recorder.refused(FARE_TABLES.name, row.line, note),
        }
    }
    tables
}

fn fare(
    row: &Row<'_>,
    stops: &BTreeMap<String, Stop>,
    feed: Option<Currency>,
) -> Result<(Currency, FareRow), Note> {
    let stop = |column: &str| {
        let id = row.get(column);
        let known = stops.get(id).map(|s| s.code.clone());
        known.ok_or_else(|| {
            let text = format!("{column} {} is not in stops.txt", quote(id));
            Note::new("unknown_stop", text)
        })
    };
    let (from, to): (StopCode, StopCode) = (stop("from_stop")?, stop("to_stop")?);
    let class = row.get("class").parse().map_err(|_| {
        let text = format!("class {} is unknown", quote(row.get("class")));
        Note::new("unknown_class", text)
    })?;
    let code = row.get("currency");
    let currency: Currency = code.parse().map_err(|_| {
        let text = format!("currency {} is not three capital letters", quote(code));
        Note::new("bad_currency", text)
    })?;
    if feed.is_some_and(|feed| feed != currency) {
        let text = format!("the fare is in {currency}, the feed's others are not");
        return Err(Note::new("other_currency", text));
    }
    let fare_minor = value::price(row.get("price"), currency).ok_or_else(|| {
        let text = format!("price {} is not an amount", quote(row.get("price")));
        Note::new("bad_price", text)
    })?;
    Ok((
        currency,
        FareRow {
            from,
            to,
            class,
            fare_minor,
        },
    ))
}
