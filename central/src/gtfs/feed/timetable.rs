//! `trips.txt`, `stop_times.txt`, `frequencies.txt`.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::gtfs::error::GtfsError;
use crate::gtfs::report::{Note, Recorder, quote};
use crate::gtfs::source::Source;
use crate::gtfs::table::{FileSpec, Row, Table};
use crate::gtfs::value;

use super::{Frequencies, Headway, StopTime, Times, TripRow};

const TRIPS: FileSpec = FileSpec {
    name: "trips.txt",
    required: &["trip_id", "route_id", "service_id"],
    optional: &["trip_headsign", "shape_id"],
};

const STOP_TIMES: FileSpec = FileSpec {
    name: "stop_times.txt",
    required: &["trip_id", "stop_id", "stop_sequence"],
    optional: &[
        "arrival_time",
        "departure_time",
        "pickup_type",
        "drop_off_type",
        "shape_dist_traveled",
    ],
};

const FREQUENCIES: FileSpec = FileSpec {
    name: "frequencies.txt",
    required: &["trip_id", "start_time", "end_time", "headway_secs"],
    optional: &["exact_times"],
};

/// The longest trip id, in characters.
const TRIP_ID_CHARS_MAX: usize = 200;
/// The most lines of one trip; a trip that is sold has at most 65.
const TRIP_LINES_MAX: usize = 1_000;
/// The shortest headway, in seconds.
const HEADWAY_S_MIN: u32 = 60;

/// Every row keeps its place, so that every row gets an outcome.
pub(super) fn trips(
    source: &mut Source,
    recorder: &mut Recorder,
) -> Result<Vec<TripRow>, GtfsError> {
    let table = Table::required(source, &TRIPS, recorder)?;
    let mut first_lines: HashMap<&str, u64> = HashMap::new();
    let mut trips = Vec::new();
    for row in table.rows() {
        let id = row.get("trip_id");
        let fault = if id.is_empty() || id.chars().count() > TRIP_ID_CHARS_MAX {
            let text = format!(
                "trip_id {} needs 1 to {TRIP_ID_CHARS_MAX} characters",
                quote(id)
            );
            Some(Note::new("bad_trip_id", text))
        } else if let Some(first) = first_lines.get(id) {
            let text = format!(
                "trip_id {} is on line {first} already, which stays",
                quote(id)
            );
            Some(Note::new("duplicate_trip_id", text))
        } else {
            first_lines.insert(id, row.line);
            None
        };
        if let Some(note) = &fault {
            recorder.refused(TRIPS.name, row.line, note.clone());
        }
        trips.push(TripRow {
            line: row.line,
            id: id.to_owned(),
            route_id: row.get("route_id").to_owned(),
            service_id: row.get("service_id").to_owned(),
            headsign: row.get("trip_headsign").to_owned(),
            shape_id: row.get("shape_id").to_owned(),
            fault,
        });
    }
    Ok(trips)
}

fn known_ids(trips: &[TripRow]) -> HashSet<&str> {
    trips.iter().map(|t| t.id.as_str()).collect()
}

pub(super) fn stop_times(
    source: &mut Source,
    recorder: &mut Recorder,
    trips: &[TripRow],
) -> Result<BTreeMap<String, Times>, GtfsError> {
    let table = Table::required(source, &STOP_TIMES, recorder)?;
    let known = known_ids(trips);
    let mut times: BTreeMap<String, Times> = BTreeMap::new();
    for row in table.rows() {
        let id = row.get("trip_id");
        if !known.contains(id) {
            let text = format!("trip {} is not in trips.txt", quote(id));
            recorder.refused(STOP_TIMES.name, row.line, Note::new("unknown_trip", text));
            continue;
        }
        let entry = times.entry(id.to_owned()).or_default();
        let mut mends = Vec::new();
        let parsed = if entry.rows.len() < TRIP_LINES_MAX {
            stop_time(&row, &mut mends)
        } else {
            let text = format!("the trip has more than {TRIP_LINES_MAX} lines");
            Err(Note::new("too_many_stops", text))
        };
        match parsed {
            Ok(stop_time) => {
                for note in mends {
                    recorder.mended(STOP_TIMES.name, row.line, note.clone());
                    entry.mends.push(note);
                }
                if entry.rows.iter().any(|row| row.is_same_call(&stop_time)) {
                    let text = format!(
                        "stop_times.txt line {} repeats an earlier line and was dropped",
                        row.line
                    );
                    let note = Note::new("duplicate_row", text);
                    recorder.mended(STOP_TIMES.name, row.line, note.clone());
                    entry.mends.push(note);
                } else {
                    entry.rows.push(stop_time);
                }
            }
            Err(note) => {
                recorder.refused(STOP_TIMES.name, row.line, note.clone());
                entry.fault.get_or_insert_with(|| {
                    Note::new(
                        note.code,
                        format!("stop_times.txt line {}: {}", row.line, note.text),
                    )
                });
            }
        }
    }
    Ok(times)
}

fn stop_time(row: &Row<'_>, mends: &mut Vec<Note>) -> Result<StopTime, Note> {
    let text = row.get("stop_sequence");
    let sequence = text.parse().map_err(|_| {
        let text = format!("stop_sequence {} is not a whole number", quote(text));
        Note::new("bad_stop_sequence", text)
    })?;
    Ok(StopTime {
        sequence,
        stop_id: row.get("stop_id").to_owned(),
        arrives_s: optional_time(row, "arrival_time", mends)?,
        departs_s: optional_time(row, "departure_time", mends)?,
        board: row.get("pickup_type") != "1",
        alight: row.get("drop_off_type") != "1",
        distance: value::distance(row.get("shape_dist_traveled")),
    })
}

fn optional_time(row: &Row<'_>, column: &str, mends: &mut Vec<Note>) -> Result<Option<u32>, Note> {
    let text = row.get(column);
    if text.is_empty() {
        return Ok(None);
    }
    let (secs, no_seconds) = value::time_s(text).ok_or_else(|| {
        let text = format!("{column} {} is not a time like 06:30:00", quote(text));
        Note::new("bad_time", text)
    })?;
    if no_seconds {
        let text = format!("{column} {} has no seconds; :00 was added", quote(text));
        mends.push(Note::new("time_without_seconds", text));
    }
    Ok(Some(secs))
}

pub(super) fn frequencies(
    source: &mut Source,
    recorder: &mut Recorder,
    trips: &[TripRow],
) -> Result<BTreeMap<String, Frequencies>, GtfsError> {
    let Some(table) = Table::optional(source, &FREQUENCIES, recorder)? else {
        return Ok(BTreeMap::new());
    };
    let known = known_ids(trips);
    let mut all: BTreeMap<String, Frequencies> = BTreeMap::new();
    for row in table.rows() {
        let id = row.get("trip_id");
        if !known.contains(id) {
            let text = format!("trip {} is not in trips.txt", quote(id));
            recorder.refused(FREQUENCIES.name, row.line, Note::new("unknown_trip", text));
            continue;
        }
        let entry = all.entry(id.to_owned()).or_default();
        match headway(&row) {
            Ok(headway) => entry.rows.push(headway),
            Err(note) => {
                recorder.refused(FREQUENCIES.name, row.line, note.clone());
                entry.fault = Some(Note::new(
                    note.code,
                    format!("frequencies.txt line {}: {}", row.line, note.text),
                ));
            }
        }
    }
    Ok(all)
}

fn headway(row: &Row<'_>) -> Result<Headway, Note> {
    let time = |column: &str| {
        value::time_s(row.get(column))
            .map(|(s, _)| s)
            .ok_or_else(|| {
                let text = format!(
                    "{column} {} is not a time like 06:30:00",
                    quote(row.get(column))
                );
                Note::new("bad_time", text)
            })
    };
    let (from_s, until_s) = (time("start_time")?, time("end_time")?);
    let text = row.get("headway_secs");
    let every_s = text
        .parse()
        .ok()
        .filter(|s| *s >= HEADWAY_S_MIN)
        .ok_or_else(|| {
            let text = format!(
                "headway_secs {} must be {HEADWAY_S_MIN} or more",
                quote(text)
            );
            Note::new("bad_headway", text)
        })?;
    if until_s <= from_s {
        let text = "end_time is not after start_time";
        return Err(Note::new("bad_headway", text));
    }
    Ok(Headway {
        from_s,
        until_s,
        every_s,
        exact: row.get("exact_times") == "1",
    })
}
