//! A trip keeps its name over re-imports.

use std::collections::BTreeSet;

use crate::gtfs::{Plan, import};

use super::{Files, STOP_TIMES, fixture, options};

fn names(plan: &Plan) -> BTreeSet<(String, String, String)> {
    plan.trips()
        .map(|(run, date)| (run.pattern.to_string(), date.to_string(), run.run.clone()))
        .collect()
}

const TRIPS: &str = "trip_id,route_id,service_id\n";

#[test]
fn no_two_trips_share_pattern_date_and_run() {
    for feed in ["zambia-gtfs", "faulty-gtfs"] {
        let (plan, report) = import(&fixture(feed), &options()).unwrap();
        assert_eq!(names(&plan).len(), plan.trips().count());
        assert_eq!(report.planned.departures, plan.trips().count());
    }
}

#[test]
fn a_second_import_plans_the_same() {
    for feed in ["zambia-gtfs", "faulty-gtfs"] {
        let first = import(&fixture(feed), &options()).unwrap();
        assert_eq!(import(&fixture(feed), &options()).unwrap(), first);
    }
}

#[test]
fn the_order_of_rows_and_another_time_leave_the_names_alone() {
    let other = "u,09:00:00,09:00:00,A,1\nu,10:00:00,10:00:00,B,2\nu,11:00:00,11:00:00,C,3\n";
    let (before, _) = Files::good()
        .with("trips.txt", format!("{TRIPS}t,R,daily\nu,R,daily\n"))
        .with("stop_times.txt", format!("{STOP_TIMES}{other}"))
        .import()
        .unwrap();
    let times =
        format!("{STOP_TIMES}{other}").replace("t,06:00:00,06:00:00", "t,05:45:00,05:50:00");
    let (after, _) = Files::good()
        .with("trips.txt", format!("{TRIPS}u,R,daily\nt,R,daily\n"))
        .with("stop_times.txt", times)
        .import()
        .unwrap();
    assert_eq!(before.patterns.len(), 1);
    assert_eq!(names(&before), names(&after));
    assert_ne!(before, after);
}

#[test]
fn a_later_window_names_the_days_that_overlap_alike() {
    let dir = Files::good().write();
    let (first, _) = import(dir.path(), &options()).unwrap();
    let mut later = options();
    later.from = later.from.plus_days(7).unwrap();
    let (second, _) = import(dir.path(), &later).unwrap();
    assert_eq!(names(&first).intersection(&names(&second)).count(), 7);
}

#[test]
fn two_trips_that_would_share_a_name_are_not_both_planned() {
    let other = STOP_TIMES.replace("\nt,", "\nt@06:00:00,");
    let times = format!("{STOP_TIMES}{}", other.split_once('\n').unwrap().1);
    let (plan, report) = Files::good()
        .with(
            "trips.txt",
            format!("{TRIPS}t,R,daily\nt@06:00:00,R,daily\n"),
        )
        .with("stop_times.txt", times)
        .with(
            "frequencies.txt",
            "trip_id,start_time,end_time,headway_secs\nt,06:00:00,07:00:00,3600\n",
        )
        .import()
        .unwrap();
    assert_eq!(plan.runs.len(), 1);
    assert_eq!(report.trips[1].notes[0].code, "run_named_twice");
}
