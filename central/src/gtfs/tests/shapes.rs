//! Shapes: which of them becomes the road of which stops.

use std::fmt::Write as _;

use domain::tracking::{LINE_POINTS_MAX, Line, Place, of_polyline};

use crate::gtfs::{FileState, Plan, Report};

use super::{Files, STOP_TIMES};

const HEAD: &str = "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence,shape_dist_traveled\n";
/// By `A` 1, 1 to `B` 2, 2 to `C` 3, 3.
const ROAD: &str = "s,1,1,1,0\ns,1.5,1.2,2,60\ns,2,2,3,160\ns,2.5,2.4,4,265\ns,3,3,5,325\n";

fn with(shapes: &str) -> Files {
    Files::good()
        .with(
            "trips.txt",
            "trip_id,route_id,service_id,shape_id\nt,R,daily,s\n",
        )
        .with("shapes.txt", format!("{HEAD}{shapes}"))
}

fn note(report: &Report, code: &str) -> Option<String> {
    let files = report.files.iter().flat_map(|file| &file.notes);
    let lines = report.lines.iter().map(|line| &line.note);
    let found = files.chain(lines).find(|note| note.code == code);
    found.map(|note| note.text.clone())
}

fn road(plan: &Plan) -> Line {
    let line = &plan.shapes.first().unwrap().line;
    Line::new(&of_polyline(line).unwrap()).unwrap()
}

#[test]
fn a_shape_is_the_road_of_its_stops_and_distances_say_where_they_are() {
    let (plan, report) = with(ROAD).import().unwrap();
    assert!(report.lines.is_empty(), "{:?}", report.lines);
    assert_eq!(report.planned.shapes, 1);
    let road = road(&plan);
    let alongs: Vec<f64> = road.alongs_m().collect();
    let stops = &plan.shapes[0].stops_along_m;
    let wanted = [0.0, alongs[2], alongs[4]].map(|m: f64| Some(m.round() as u32));
    assert_eq!(stops.as_slice(), wanted, "looked for");
    // A kilometre before the third point, as the feed has it in its own unit.
    let times = STOP_TIMES
        .replace("stop_sequence", "stop_sequence,shape_dist_traveled")
        .replace("A,1", "A,1,0")
        .replace("B,2", "B,2,159.2")
        .replace("C,3", "C,3,325");
    let (plan, _) = with(ROAD).with("stop_times.txt", times).import().unwrap();
    let before_m = alongs[2] - f64::from(plan.shapes[0].stops_along_m[1].unwrap());
    let unit_m = (alongs[2] - alongs[1]) / 100.0;
    assert!(
        (before_m - 0.8 * unit_m).abs() < 1.0,
        "{before_m} of {unit_m}"
    );
    // Distances that fall are none.
    let times = STOP_TIMES
        .replace("stop_sequence", "stop_sequence,shape_dist_traveled")
        .replace("A,1", "A,1,300")
        .replace("B,2", "B,2,159.2")
        .replace("C,3", "C,3,0");
    let (plan, _) = with(ROAD).with("stop_times.txt", times).import().unwrap();
    assert_eq!(plan.shapes[0].stops_along_m.as_slice(), wanted);
}

#[test]
fn what_tells_nothing_of_the_road_is_left_out_and_the_next_import_finds_the_same() {
    let mut rows = String::new();
    for n in 0..=20_000 {
        let part = f64::from(n) / 10_000.0;
        // Within two metres of a straight road.
        let beside = if n % 2 == 0 { 0.0 } else { 0.00002 };
        writeln!(rows, "s,{},{},{n},", 1.0 + part, 1.0 + part + beside).unwrap();
    }
    let (plan, report) = with(&rows).import().unwrap();
    assert!(report.lines.is_empty(), "{:?}", report.lines);
    let thin = road(&plan);
    assert_eq!(thin.point_count(), 2);
    let again: Vec<String> = thin
        .places()
        .enumerate()
        .map(|(no, place)| format!("s,{:.5},{:.5},{no},\n", place.lat(), place.lon()))
        .collect();
    let (same, _) = with(&again.concat()).import().unwrap();
    assert_eq!(same.shapes, plan.shapes);
}

#[test]
fn no_shapes_file_stops_an_import() {
    let (whole, _) = Files::good().import().unwrap();
    let no_column = "shape_id,shape_pt_lat\ns,1\n".as_bytes().to_vec();
    let not_utf8 = b"shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n\xFF,1,1,1\n".to_vec();
    for bytes in [no_column, not_utf8] {
        let files = with("").with("shapes.txt", bytes);
        let (plan, report) = files.import().unwrap();
        assert_eq!((plan.runs, plan.shapes), (whole.runs.clone(), vec![]));
        let file = report
            .files
            .iter()
            .find(|f| f.file == "shapes.txt")
            .unwrap();
        assert_eq!(file.outcome, FileState::NotRead);
        assert_eq!(file.notes[0].code, "shapes_not_read");
    }
    let mut long = String::new();
    for n in 0..=LINE_POINTS_MAX {
        writeln!(long, "s,{},1,{n},", 1.0 + n as f64 / 50_000.0).unwrap();
    }
    let (plan, report) = with(&long).import().unwrap();
    assert_eq!(plan.shapes, []);
    assert!(note(&report, "bad_shape").unwrap().contains("50001 points"));
    assert_eq!(report.trip_counts.taken, 1);
}

#[test]
fn stops_have_one_road_and_most_trips_say_which() {
    let other = ROAD.replace("s,", "z,").replace("1.5,1.2", "1.4,1.7");
    let trips = "trip_id,route_id,service_id,shape_id\nt,R,daily,s\nu,R,daily,z\nv,R,daily,z\n";
    let times: Vec<String> = ["t,", "u,", "v,"]
        .iter()
        .map(|trip| STOP_TIMES.replace("t,0", &format!("{trip}0")))
        .collect();
    let times = times.concat().replace(
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n",
        "",
    );
    let head = STOP_TIMES.lines().next().unwrap();
    let files = with(&format!("{ROAD}{other}"))
        .with("trips.txt", trips)
        .with("stop_times.txt", format!("{head}\n{times}"));
    let (plan, report) = files.import().unwrap();
    assert_eq!(plan.runs.len(), 3, "{:?}", report.trips);
    let bend = Place::of_degrees(1.4, 1.7).unwrap();
    assert!(road(&plan).places().any(|place| place == bend));
    let text = note(&report, "other_shape").unwrap();
    assert!(text.starts_with("1 trips"), "{text}");
    // The road the other way round is not that of these stops.
    let turned: Vec<String> = ROAD
        .lines()
        .rev()
        .enumerate()
        .map(|(no, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("s,{},{},{no},\n", cells[1], cells[2])
        })
        .collect();
    let (plan, report) = with(&turned.concat()).import().unwrap();
    assert_eq!((plan.shapes.len(), plan.runs.len()), (0, 1));
    let text = note(&report, "not_its_shape").unwrap();
    assert!(text.contains("turn the line around"), "{text}");
}
