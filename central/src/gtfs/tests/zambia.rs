//! The Zambian network: every route both ways every day, and the rule of its fares.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{StopCode, TripId};
use domain::layout::SeatAttributes;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::Instant;

use crate::gtfs::{Plan, Report, import};

use super::{fixture, options};

/// Kwacha of an adult's fare: 0.75 per km, rounded up to 5.
fn adult_zmw(km: u32) -> u32 {
    (km * 75).div_ceil(500) * 5
}

fn zambia() -> (Plan, Report) {
    import(&fixture("zambia-gtfs"), &options()).unwrap()
}

/// Kilometres from the trip's start by trip and stop, from the fixture's own stop times.
fn distances_km() -> BTreeMap<String, Vec<(StopCode, u32)>> {
    let path = fixture("zambia-gtfs").join("stop_times.txt");
    let mut trips: BTreeMap<String, Vec<(StopCode, u32)>> = BTreeMap::new();
    for record in csv::Reader::from_path(path).unwrap().records() {
        let record = record.unwrap();
        let call = (StopCode(record[3].to_owned()), record[5].parse().unwrap());
        trips.entry(record[0].to_owned()).or_default().push(call);
    }
    trips
}

#[test]
fn the_feed_is_taken_whole_and_without_a_fault() {
    let (_, report) = zambia();
    assert_eq!(report.lines, []);
    assert_eq!(report.trip_counts.taken, report.trip_counts.in_feed);
    assert!(report.trips.iter().all(|t| t.remarks.is_empty()));
    assert_eq!(
        (
            report.planned.routes,
            report.planned.patterns,
            report.planned.stops
        ),
        (8, 16, 34)
    );
}

#[test]
fn every_route_runs_both_ways_on_every_day_of_the_window() {
    let (plan, _) = zambia();
    for route in &plan.routes {
        let patterns: Vec<_> = plan
            .patterns
            .iter()
            .filter(|p| p.route_id == route.id)
            .collect();
        let [there, back] = patterns[..] else {
            panic!("{} has {} patterns", route.id, patterns.len());
        };
        let reversed: Vec<_> = back.stops.iter().rev().cloned().collect();
        assert_eq!(there.stops, reversed, "{}", route.id);
        for pattern in patterns {
            let runs: Vec<_> = plan
                .runs
                .iter()
                .filter(|r| r.pattern == pattern.key)
                .collect();
            assert!(runs.len() >= 2, "{}", route.id);
            assert!(runs.iter().all(|r| r.dates.len() == 14));
        }
    }
}

#[test]
fn lusaka_to_solwezi_leaves_six_times_a_day_and_twice_arrives_past_midnight() {
    let (plan, _) = zambia();
    let ends = |stops: &[StopCode]| (stops[0].0.clone(), stops[stops.len() - 1].0.clone());
    let wanted = ("LUN".to_owned(), "SOL".to_owned());
    let pattern = plan
        .patterns
        .iter()
        .find(|p| ends(&p.stops) == wanted)
        .unwrap();
    let runs: Vec<_> = plan
        .runs
        .iter()
        .filter(|r| r.pattern == pattern.key)
        .collect();
    assert_eq!(runs.len(), 6);
    let late = runs
        .iter()
        .filter(|r| r.calls[7].arrives_s > 24 * 3600)
        .count();
    assert_eq!(late, 2);
    assert_eq!(plan.company.zone.as_str(), "Africa/Lusaka");
}

#[test]
fn every_pair_of_stops_has_its_fare_for_every_class() {
    let (plan, _) = zambia();
    let distances = distances_km();
    let mut checked = BTreeSet::new();
    for run in &plan.runs {
        let pattern = plan.patterns.iter().find(|p| p.key == run.pattern).unwrap();
        let table = plan
            .fare_tables
            .iter()
            .find(|t| t.id == pattern.route_id)
            .unwrap();
        assert_eq!(table.currency, Currency::ZMW);
        let fares: BTreeMap<_, _> = table
            .rows
            .iter()
            .map(|r| ((&r.from, &r.to, r.class), r.fare_minor))
            .collect();
        let calls = &distances[&run.gtfs_trip_id];
        for (i, (from, from_km)) in calls.iter().enumerate() {
            for (to, to_km) in &calls[i + 1..] {
                let adult = adult_zmw(to_km - from_km);
                let fare = |class| fares[&(from, to, class)];
                let zmw = |amount: u32| Minor(i64::from(amount) * 100);
                assert_eq!(fare(PassengerClass::Adult), zmw(adult), "{from} {to}");
                assert_eq!(fare(PassengerClass::Prm), zmw(adult), "{from} {to}");
                assert_eq!(
                    fare(PassengerClass::Child),
                    zmw(adult.div_ceil(10) * 5),
                    "{from} {to}"
                );
                assert_eq!(
                    fare(PassengerClass::Infant),
                    Minor(i64::from(adult) * 10),
                    "{from} {to}"
                );
                checked.insert((from.clone(), to.clone()));
            }
        }
    }
    assert!(checked.len() > 200, "{}", checked.len());
}

#[test]
fn three_layouts_serve_the_routes_and_each_has_a_wheelchair_place() {
    let (plan, _) = zambia();
    let sizes: Vec<_> = plan
        .layouts
        .iter()
        .map(|l| (l.id.as_str(), l.seat_count()))
        .collect();
    assert_eq!(sizes, [("COACH-49", 49), ("COACH-65", 65), ("MIDI-29", 29)]);
    for layout in &plan.layouts {
        let places = layout
            .seats
            .iter()
            .filter(|s| s.attributes.has(SeatAttributes::WHEELCHAIR));
        assert_eq!(places.count(), 1, "{}", layout.id);
    }
    let layout_of = |id: &str| {
        plan.routes
            .iter()
            .find(|r| r.id == id)
            .unwrap()
            .layout
            .as_str()
    };
    assert_eq!(layout_of("LUN-SOL"), "COACH-65");
    assert_eq!(layout_of("LUN-SIA"), "MIDI-29");
}

#[test]
fn a_night_bus_arrives_on_the_next_day_of_its_zone() {
    let (plan, _) = zambia();
    let run = plan
        .runs
        .iter()
        .find(|r| r.gtfs_trip_id == "LUN-SOL-2030")
        .unwrap();
    let trip = plan.trip(run, plan.from, TripId(7)).unwrap();
    assert_eq!(
        (trip.id, trip.leg_count(), trip.seat_count),
        (TripId(7), 7, 65)
    );
    assert_eq!(
        trip.title(),
        "Lusaka Intercity Terminus – Solwezi, 2026-11-23 20:30"
    );
    let last = trip.stops.last().unwrap();
    assert_eq!(last.arrives.local_minute(&last.zone), "2026-11-24 06:00");
    let closes = plan.boarding_closes(run, plan.from).unwrap();
    assert_eq!(closes[0], trip.stops[0].departs);
    assert_eq!(closes[7], Instant(0));
}

#[test]
fn every_planned_run_makes_a_trip_whose_times_never_fall() {
    let (plan, _) = zambia();
    for (run, date) in plan.trips() {
        let trip = plan.trip(run, date, TripId(1)).unwrap();
        assert_eq!(trip.stops.len(), run.calls.len());
        let times: Vec<Instant> = trip
            .stops
            .iter()
            .flat_map(|s| [s.arrives, s.departs])
            .collect();
        assert!(times.is_sorted(), "{}", run.run);
    }
}
