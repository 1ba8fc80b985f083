//! The fixture that shows the faults of published coach feeds: each trip's exact outcome.

use std::collections::BTreeMap;

use domain::tracking::{Line, of_polyline};

use crate::gtfs::{FileState, Outcome, Report, dry_run, import};

use super::{fixture, options};

const TAKEN: Outcome = Outcome::Taken;
const MENDED: Outcome = Outcome::Mended;
const REFUSED: Outcome = Outcome::Refused;

/// Trip id, outcome, codes of its notes, departures in 14 days.
const EXPECTED: &[(&str, Outcome, &[&str], u64)] = &[
    ("plain", TAKEN, &[], 14),
    ("past-midnight", TAKEN, &[], 14),
    ("one-digit-hour", TAKEN, &[], 14),
    ("no-time-leg", TAKEN, &[], 14),
    ("unsorted", MENDED, &["sorted_by_sequence"], 14),
    ("gaps", MENDED, &["sequence_gaps"], 14),
    (
        "unsorted-gaps-past-midnight",
        MENDED,
        &["sorted_by_sequence", "sequence_gaps"],
        14,
    ),
    (
        "day-first-service",
        MENDED,
        &["date_day_first", "date_day_first"],
        8,
    ),
    ("one-time", MENDED, &["one_time_for_both"], 14),
    ("blank-times", MENDED, &["times_interpolated"], 14),
    ("repeated-line", MENDED, &["duplicate_row"], 14),
    (
        "no-seconds",
        MENDED,
        &["time_without_seconds", "time_without_seconds"],
        14,
    ),
    ("short-lines", TAKEN, &[], 14),
    ("extended-type", TAKEN, &[], 14),
    ("typed-as-tram", MENDED, &["tram_read_as_coach"], 14),
    ("headway", MENDED, &["headway_made_fixed"], 56),
    ("headway-exact", TAKEN, &[], 28),
    ("service-in-the-past", TAKEN, &[], 0),
    ("speed-boat", REFUSED, &["not_road_transport"], 0),
    ("ferry-headway", REFUSED, &["not_road_transport"], 0),
    ("railway", REFUSED, &["not_road_transport"], 0),
    ("type-in-words", REFUSED, &["bad_route_type"], 0),
    ("backwards", REFUSED, &["time_runs_backwards"], 0),
    (
        "leaves-before-it-comes",
        REFUSED,
        &["time_runs_backwards"],
        0,
    ),
    ("one-stop", REFUSED, &["too_few_stops"], 0),
    ("no-lines", REFUSED, &["no_stop_times"], 0),
    ("unknown-stop", REFUSED, &["unknown_stop"], 0),
    ("unknown-route", REFUSED, &["unknown_route"], 0),
    ("unknown-service", REFUSED, &["unknown_service"], 0),
    ("never-runs", REFUSED, &["service_never_runs"], 0),
    ("service-without-dates", REFUSED, &["service_unusable"], 0),
    (
        "two-stops-one-sequence",
        REFUSED,
        &["duplicate_sequence"],
        0,
    ),
    ("stop-twice-in-a-row", REFUSED, &["stop_repeated"], 0),
    ("at-a-station", REFUSED, &["not_a_boarding_stop"], 0),
    ("no-first-time", REFUSED, &["no_first_or_last_time"], 0),
    ("bad-time", REFUSED, &["bad_time"], 0),
    ("bad-sequence", REFUSED, &["bad_stop_sequence"], 0),
    ("bad-headway", REFUSED, &["bad_headway"], 0),
    ("plain", REFUSED, &["duplicate_trip_id"], 0),
    ("", REFUSED, &["bad_trip_id"], 0),
];

fn report() -> Report {
    dry_run(&fixture("faulty-gtfs"), &options()).unwrap()
}

#[test]
fn every_trip_has_exactly_the_outcome_it_deserves() {
    let report = report();
    let found: Vec<_> = report
        .trips
        .iter()
        .map(|t| {
            let codes: Vec<&str> = t.notes.iter().map(|n| n.code).collect();
            (t.trip_id.as_str(), t.outcome, codes, t.departures)
        })
        .collect();
    let expected: Vec<_> = EXPECTED
        .iter()
        .map(|(id, outcome, codes, departures)| (*id, *outcome, codes.to_vec(), *departures))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_outcomes_add_up_to_the_trips_of_the_feed() {
    let counts = report().trip_counts;
    assert_eq!(counts.in_feed, EXPECTED.len() as u64);
    assert_eq!(
        counts.taken + counts.mended + counts.refused,
        counts.in_feed
    );
    assert_eq!((counts.taken, counts.mended, counts.refused), (8, 10, 22));
}

#[test]
fn every_faulty_line_is_named_with_its_file_and_its_fault() {
    let report = report();
    let mut found: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for line in &report.lines {
        found
            .entry(&line.file)
            .or_default()
            .push((line.line, line.note.code));
    }
    assert_eq!(found["agency.txt"], [(2, "old_zone_name")]);
    assert_eq!(
        found["stops.txt"],
        [
            (5, "bad_position"),
            (6, "no_stop_name"),
            (7, "old_zone_name"),
            (8, "unknown_zone_name"),
            (10, "duplicate_row"),
            (11, "duplicate_id"),
            (4, "unknown_parent_station"),
        ]
    );
    assert_eq!(
        found["routes.txt"],
        [
            (2, "colour_with_hash"),
            (3, "bad_colour"),
            (3, "no_route_name"),
            (9, "bad_route_type"),
        ]
    );
    assert_eq!(
        found["calendar.txt"],
        [
            (3, "date_day_first"),
            (3, "date_day_first"),
            (6, "bad_date")
        ]
    );
    assert_eq!(
        found["trips.txt"],
        [(40, "duplicate_trip_id"), (41, "bad_trip_id")]
    );
    assert_eq!(
        found["frequencies.txt"],
        [(5, "bad_headway"), (6, "unknown_trip")]
    );
    assert_eq!(
        found["shapes.txt"],
        [
            (8, "bad_position"),
            (9, "bad_shape_sequence"),
            (15, "bad_position"),
            (16, "bad_position"),
            (17, "bad_shape_id"),
            (4, "sorted_by_sequence"),
            (6, "duplicate_row"),
            (7, "duplicate_sequence"),
            (13, "bad_shape"),
            (11, "not_its_shape"),
        ]
    );
    let stop_times: Vec<&str> = found["stop_times.txt"]
        .iter()
        .map(|(_, code)| *code)
        .collect();
    assert_eq!(
        stop_times,
        [
            "row_width",
            "row_width",
            "duplicate_row",
            "time_without_seconds",
            "time_without_seconds",
            "bad_time",
            "bad_stop_sequence",
            "unknown_trip",
        ]
    );
}

#[test]
fn every_file_has_an_outcome_and_unread_columns_are_named() {
    let report = report();
    let file = |name: &str| report.files.iter().find(|f| f.file == name).unwrap();
    assert_eq!(file("agency.txt").outcome, FileState::Mended);
    assert_eq!(
        file("agency.txt").columns_not_read,
        ["agency_lang", "agency_url"]
    );
    assert_eq!(file("stops.txt").outcome, FileState::PartlyRefused);
    assert_eq!(file("fare_rules.txt").notes[0].code, "empty_file");
    assert_eq!(file("calendar_dates.txt").rows, 0);
    assert_eq!(file("feed_info.txt").outcome, FileState::Absent);
    assert_eq!(file("shapes.txt").outcome, FileState::PartlyRefused);
    assert_eq!(file("shapes.txt").notes[0].code, "shapes_not_named");
    assert!(
        file("stops.txt")
            .notes
            .iter()
            .any(|n| n.code == "stop_is_its_zone")
    );
}

#[test]
fn the_mended_trips_read_in_order_and_with_their_times() {
    let (plan, _) = import(&fixture("faulty-gtfs"), &options()).unwrap();
    let run = |id: &str| plan.runs.iter().find(|r| r.gtfs_trip_id == id).unwrap();
    let stops = |id: &str| -> Vec<&str> {
        let key = run(id).pattern;
        let pattern = plan.patterns.iter().find(|p| p.key == key).unwrap();
        pattern.stops.iter().map(|s| s.0.as_str()).collect()
    };
    let departs =
        |id: &str| -> Vec<u32> { run(id).calls.iter().map(|c| c.departs_s / 60).collect() };
    assert_eq!(stops("unsorted-gaps-past-midnight"), ["A", "B", "C", "D"]);
    assert_eq!(
        departs("unsorted-gaps-past-midnight"),
        [1080, 1470, 1710, 1830]
    );
    assert_eq!(departs("blank-times"), [360, 420, 480, 540]);
    assert_eq!(departs("one-time"), [360, 420, 480]);
    let headway: Vec<&str> = plan
        .runs
        .iter()
        .filter(|r| r.gtfs_trip_id == "headway-exact")
        .map(|r| r.run.as_str())
        .collect();
    assert_eq!(
        headway,
        ["headway-exact@22:00:00", "headway-exact@24:00:00"]
    );
    let alpha = plan.stops.iter().find(|s| s.code.0 == "A").unwrap();
    assert_eq!(alpha.name, "Alpha, \"old\" market");
    assert_eq!(
        (alpha.zone.as_str(), alpha.fare_zone.as_str()),
        ("Asia/Yangon", "A")
    );
    assert_eq!(plan.company.name, "Faulty Coaches, Ltd");
}

#[test]
fn a_ferry_is_taken_when_its_route_type_is_asked_for() {
    let mut options = options();
    options.include_route_types.insert(4);
    let report = dry_run(&fixture("faulty-gtfs"), &options).unwrap();
    let outcome = |id: &str| report.trips.iter().find(|t| t.trip_id == id).unwrap();
    assert_eq!(outcome("speed-boat").outcome, TAKEN);
    assert_eq!(
        outcome("speed-boat").remarks[0].code,
        "route_type_by_option"
    );
    assert_eq!(outcome("ferry-headway").departures, 28 * 14);
}

#[test]
fn the_report_is_json_whose_counts_add_up() {
    let json = serde_json::to_value(report()).unwrap();
    let counts = &json["trip_counts"];
    let n = |key: &str| counts[key].as_u64().unwrap();
    assert_eq!(
        n("taken") + n("mended") + n("refused"),
        json["trips"].as_array().unwrap().len() as u64
    );
    assert_eq!(json["trips"][4]["outcome"], "mended");
    assert_eq!(json["trips"][4]["notes"][0]["code"], "sorted_by_sequence");
    assert_eq!(json["lines"][0]["file"], "agency.txt");
    assert_eq!(json["lines"][0]["code"], "old_zone_name");
}

#[test]
fn a_faulty_shape_costs_no_trip_and_a_mended_one_is_its_road() {
    let (plan, report) = import(&fixture("faulty-gtfs"), &options()).unwrap();
    let [shape] = plan.shapes.as_slice() else {
        panic!("{:?}", plan.shapes);
    };
    assert_eq!(shape.route_id, "COACH");
    let places = of_polyline(&shape.line).unwrap();
    // The third point lies on the way to the fourth.
    assert_eq!(places.len(), 4, "{places:?}");
    let road = Line::new(&places).unwrap();
    assert_eq!(shape.stops_along_m.len(), 3);
    assert_eq!(shape.stops_along_m[0], Some(0));
    assert_eq!(shape.stops_along_m[2], Some(road.length_m().round() as u32));
    let remarks = |id: &str| -> Vec<&str> {
        let trip = report.trips.iter().find(|t| t.trip_id == id).unwrap();
        trip.remarks.iter().map(|note| note.code).collect()
    };
    for id in ["unsorted-gaps-past-midnight", "one-digit-hour", "one-time"] {
        assert!(remarks(id).contains(&"unknown_shape"), "{id}");
    }
    assert!(!remarks("plain").contains(&"unknown_shape"));
}
