//! Feeds that cannot be read, and faults of single lines.

use std::fmt::Write as _;
use std::io::Write as _;

use domain::ids::{StopCode, TripId};
use domain::money::Minor;
use domain::passenger::PassengerClass;

use crate::gtfs::{Outcome, Report, Source, import, import_from};

use super::{CALENDAR, Files, STOP_TIMES, fixture, options};

fn only_trip(report: &Report) -> (Outcome, Vec<&str>) {
    assert_eq!(report.trips.len(), 1);
    let trip = &report.trips[0];
    (trip.outcome, trip.notes.iter().map(|n| n.code).collect())
}

#[test]
fn a_missing_file_or_column_is_named() {
    for file in [
        "agency.txt",
        "stops.txt",
        "routes.txt",
        "trips.txt",
        "stop_times.txt",
    ] {
        let error = Files::good().without(file).refusal();
        assert!(error.starts_with(&format!("{file} is missing")), "{error}");
    }
    let error = Files::good().without("calendar.txt").refusal();
    assert!(
        error.contains("calendar.txt (or calendar_dates.txt) is missing"),
        "{error}"
    );
    let error = Files::good()
        .with("trips.txt", "trip_id,route_id\nt,R\n")
        .refusal();
    assert!(
        error.starts_with("trips.txt has no column service_id"),
        "{error}"
    );
    let error = Files::good().with("stops.txt", "").refusal();
    assert!(
        error.starts_with("stops.txt has no column stop_id"),
        "{error}"
    );
}

#[test]
fn what_is_not_a_feed_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("feed.zip");
    std::fs::write(&path, b"this is no zip file").unwrap();
    let error = import(&path, &options()).unwrap_err().to_string();
    assert!(
        error.contains("give the feed's folder or its .zip"),
        "{error}"
    );
    let error = import(&dir.path().join("nothing"), &options())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot open"), "{error}");
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_line() {
    let error = Files::good()
        .with(
            "stops.txt",
            b"stop_id,stop_name\nA,Alpha\nB,Br\xe9vo\n".to_vec(),
        )
        .refusal();
    assert_eq!(
        error,
        "stops.txt line 3 is not UTF-8; save the file as UTF-8 and try again"
    );
}

#[test]
fn an_unknown_time_zone_stops_the_import() {
    let error = Files::good()
        .with(
            "agency.txt",
            "agency_name,agency_timezone\nEx,Moon/Crater\n",
        )
        .refusal();
    assert!(
        error.contains("\"Moon/Crater\" is not a known time zone"),
        "{error}"
    );
}

#[test]
fn a_field_of_many_kilobytes_is_refused() {
    let long = format!("stop_id,stop_name\nA,{}\n", "x".repeat(5_000));
    let error = Files::good().with("stops.txt", long).refusal();
    assert!(
        error.contains("line 2 has a field of more than 4096 bytes"),
        "{error}"
    );
}

fn zip_of(files: &Files, folder: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = zip::ZipWriter::new(file.reopen().unwrap());
    let stored = zip::write::SimpleFileOptions::default();
    for (name, content) in &files.0 {
        zip.start_file(format!("{folder}{name}"), stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    file
}

#[test]
fn a_zip_gives_the_same_plan_as_its_folder() {
    let files = Files::good();
    let (from_folder, _) = files.import().unwrap();
    for inner in ["", "my-feed/"] {
        let (from_zip, _) = import(zip_of(&files, inner).path(), &options()).unwrap();
        assert_eq!(from_zip, from_folder);
    }
}

#[test]
fn a_zip_that_unpacks_without_end_is_cut_off() {
    let mut bomb = b"stop_id\n".to_vec();
    bomb.resize(2 << 20, b'\n');
    let zip = zip_of(&Files::good().with("stops.txt", bomb), "");
    assert!(zip.as_file().metadata().unwrap().len() < 64 << 10);
    let mut source = Source::open(zip.path()).unwrap();
    source.bytes_left = 1 << 20;
    let error = import_from(&mut source, &options())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("stops.txt is too large"), "{error}");
}

#[test]
fn a_control_character_never_reaches_the_plan() {
    let (plan, report) = Files::good()
        .with(
            "stops.txt",
            "stop_id,stop_name\nA,\"Al\u{0}pha\nmarket\"\nB,Bravo\nC,Charlie\n",
        )
        .import()
        .unwrap();
    assert_eq!(plan.stops[0].name, "Al pha market");
    let codes: Vec<&str> = report.lines.iter().map(|l| l.note.code).collect();
    assert!(codes.contains(&"control_characters"), "{codes:?}");
}

#[test]
fn a_trip_of_sixty_six_stops_is_refused_and_one_of_sixty_five_taken() {
    for (count, expected) in [
        (65, (Outcome::Taken, vec![])),
        (66, (Outcome::Refused, vec!["too_many_stops"])),
    ] {
        let mut stops = "stop_id,stop_name\n".to_owned();
        let mut times = "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n".to_owned();
        for i in 0..count {
            writeln!(stops, "S{i},Stop {i}").unwrap();
            writeln!(
                times,
                "t,{0:02}:{1:02}:00,{0:02}:{1:02}:00,S{i},{i}",
                6 + i / 60,
                i % 60
            )
            .unwrap();
        }
        let (_, report) = Files::good()
            .with("stops.txt", stops)
            .with("stop_times.txt", times)
            .import()
            .unwrap();
        assert_eq!(only_trip(&report), expected);
    }
}

#[test]
fn exceptions_add_and_remove_days() {
    let dates = "service_id,date,exception_type\ndaily,20261125,2\nextra,20261126,1\nextra,20261127,1\nextra,20261127,2\n";
    let (plan, report) = Files::good()
        .with("calendar_dates.txt", dates)
        .with(
            "trips.txt",
            "trip_id,route_id,service_id\nt,R,daily\nu,R,extra\n",
        )
        .with(
            "stop_times.txt",
            format!("{STOP_TIMES}u,09:00:00,09:00:00,A,1\nu,10:00:00,10:00:00,B,2\n"),
        )
        .import()
        .unwrap();
    assert_eq!(report.trip_counts.taken, 2);
    let days = |id: &str| -> Vec<String> {
        let run = plan.runs.iter().find(|r| r.gtfs_trip_id == id).unwrap();
        run.dates.iter().map(ToString::to_string).collect()
    };
    assert_eq!(days("u"), ["2026-11-26"]);
    assert_eq!(days("t").len(), 13);
    assert!(!days("t").contains(&"2026-11-25".to_owned()));
}

#[test]
fn a_feed_of_exceptions_only_needs_no_calendar() {
    let (plan, _) = Files::good()
        .without("calendar.txt")
        .with(
            "calendar_dates.txt",
            "service_id,date,exception_type\ndaily,20261201,1\n",
        )
        .import()
        .unwrap();
    assert_eq!(plan.trips().count(), 1);
}

#[test]
fn a_wrong_exception_stops_the_trips_of_its_service() {
    let (_, report) = Files::good()
        .with(
            "calendar_dates.txt",
            "service_id,date,exception_type\ndaily,20261201,3\n",
        )
        .import()
        .unwrap();
    assert_eq!(
        only_trip(&report),
        (Outcome::Refused, vec!["service_unusable"])
    );
}

#[test]
fn two_rhythms_under_one_service_are_refused() {
    let (_, report) = Files::good()
        .with(
            "calendar.txt",
            format!("{CALENDAR}daily,1,0,0,0,0,0,0,20260101,20351231\n"),
        )
        .import()
        .unwrap();
    assert_eq!(
        only_trip(&report),
        (Outcome::Refused, vec!["service_unusable"])
    );
}

#[test]
fn a_tram_among_trams_stays_refused() {
    let (_, report) = Files::good()
        .with(
            "routes.txt",
            "route_id,route_short_name,route_type\nR,R,0\n",
        )
        .import()
        .unwrap();
    assert_eq!(
        only_trip(&report),
        (Outcome::Refused, vec!["not_road_transport"])
    );
}

#[test]
fn fares_prefer_the_class_then_the_adult_then_the_lowest_general_one() {
    let (plan, report) = Files::good()
        .with("fare_attributes.txt", "fare_id,price,currency_type\nall,90.50,ZMW\nab,40,ZMW\nunused,1,ZMW\nusd,3,USD\n")
        .with("fare_rules.txt", "fare_id,route_id,origin_id,destination_id,contains_id\nab,R,A,B,\nunused,,,,A\nab,,ZZZ,B,\n")
        .with("mwimule_fares.txt", "from_zone,to_zone,class,price,currency\nA,B,child,20.00,ZMW\nB,C,adult,60,ZMW\nA,B,senior,1,ZMW\n")
        .import()
        .unwrap();
    let table = &plan.fare_tables[0];
    let fare = |from: &str, to: &str, class| {
        let at = |code: &str| StopCode(code.to_owned());
        let row = table
            .rows
            .iter()
            .find(|r| r.from == at(from) && r.to == at(to) && r.class == class);
        row.map(|r| r.fare_minor)
    };
    assert_eq!(fare("A", "B", PassengerClass::Child), Some(Minor(2_000)));
    assert_eq!(fare("A", "B", PassengerClass::Prm), Some(Minor(4_000)));
    assert_eq!(fare("B", "C", PassengerClass::Infant), Some(Minor(6_000)));
    assert_eq!(fare("A", "C", PassengerClass::Adult), Some(Minor(9_050)));
    assert_eq!(fare("B", "A", PassengerClass::Adult), None);
    let codes: Vec<&str> = report.lines.iter().map(|l| l.note.code).collect();
    assert_eq!(
        codes,
        [
            "other_currency",
            "contains_id_not_supported",
            "unknown_zone",
            "unknown_class"
        ]
    );
}

#[test]
fn an_unknown_layout_or_route_in_the_options_is_refused_with_the_choices() {
    let dir = Files::good().write();
    let mut wanted = options();
    wanted.default_layout = Some("BIG".to_owned());
    let error = import(dir.path(), &wanted).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no seat layout \"BIG\"; the feed offers COACH-49"
    );
    let mut wanted = options();
    wanted.layouts.insert("Q".to_owned(), "COACH-49".to_owned());
    let error = import(dir.path(), &wanted).unwrap_err().to_string();
    assert!(
        error.contains("route \"Q\", which is not in routes.txt"),
        "{error}"
    );
}

/// A small generator (xorshift), so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

#[test]
fn a_garbled_feed_never_panics_and_its_outcomes_still_add_up() {
    const JUNK: &[&[u8]] = &[
        b",",
        b"\"",
        b"\n",
        b"\r\n",
        b"",
        b"-1",
        b"99999999999",
        b"\0",
        "é".as_bytes(),
        b":",
    ];
    let names = [
        "stops.txt",
        "routes.txt",
        "trips.txt",
        "stop_times.txt",
        "calendar.txt",
        "frequencies.txt",
    ];
    let folder = fixture("faulty-gtfs");
    let mut read = 0;
    for seed in 1..=300u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut files = Files::good().without("calendar_dates.txt");
        for name in names {
            let mut bytes = std::fs::read(folder.join(name)).unwrap();
            // A garbled header often costs a column, and with it the whole feed.
            let header = bytes.iter().position(|b| *b == b'\n').unwrap();
            let start = if seed % 4 == 0 { 0 } else { header };
            for _ in 0..dice.below(4) {
                let at = start + dice.below(bytes.len() - start);
                let end = (at + dice.below(6)).min(bytes.len());
                bytes.splice(at..end, JUNK[dice.below(JUNK.len())].iter().copied());
            }
            files = files.with(name, bytes);
        }
        if let Ok((plan, report)) = files.import() {
            let counts = report.trip_counts;
            let rows = report
                .files
                .iter()
                .find(|f| f.file == "trips.txt")
                .unwrap()
                .rows;
            assert_eq!(
                counts.taken + counts.mended + counts.refused,
                rows,
                "seed {seed}"
            );
            let departures: u64 = report.trips.iter().map(|t| t.departures).sum();
            assert_eq!(departures, plan.trips().count() as u64, "seed {seed}");
            assert!(
                plan.trips()
                    .all(|(run, date)| plan.trip(run, date, TripId(1)).is_some()),
                "seed {seed}"
            );
            read += 1;
        }
    }
    assert!(
        read > 150,
        "only {read} of 300 garbled feeds could be read at all"
    );
}
