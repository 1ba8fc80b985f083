//! A feed with made-up roads between its stops.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use csv::StringRecord;

/// So many bends between two stops.
const BENDS: i32 = 24;

struct Table {
    head: StringRecord,
    rows: Vec<StringRecord>,
}

impl Table {
    fn read(folder: &Path, name: &str) -> Self {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_path(folder.join(name))
            .unwrap();
        let head = reader.headers().unwrap().clone();
        let rows = reader.records().map(Result::unwrap).collect();
        Self { head, rows }
    }

    fn at(&self, name: &str) -> Option<usize> {
        let clean = |h: &str| h.trim_start_matches('\u{feff}').trim() == name;
        self.head.iter().position(clean)
    }

    fn cell<'r>(&self, row: &'r StringRecord, name: &str) -> &'r str {
        row.get(self.at(name).unwrap()).unwrap_or_default().trim()
    }
}

/// Copies a feed and draws a winding road for each of its trips; those of one stop sequence share
/// one.
pub fn with_roads(feed: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(feed).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        fs::write(folder.path().join(entry.file_name()), bytes).unwrap();
    }
    let (stops, times) = (
        Table::read(feed, "stops.txt"),
        Table::read(feed, "stop_times.txt"),
    );
    let places: BTreeMap<&str, (f64, f64)> = stops
        .rows
        .iter()
        .filter_map(|row| {
            let number = |name: &str| stops.cell(row, name).parse::<f64>().ok();
            let place = (number("stop_lat")?, number("stop_lon")?);
            Some((stops.cell(row, "stop_id"), place))
        })
        .collect();
    let mut calls: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
    for row in &times.rows {
        let Ok(no) = times.cell(row, "stop_sequence").parse() else {
            continue;
        };
        let of_trip = calls.entry(times.cell(row, "trip_id")).or_default();
        of_trip.insert(no, times.cell(row, "stop_id"));
    }
    let mut trips = Table::read(feed, "trips.txt");
    let column = trips.at("shape_id");
    let mut head = trips.head.clone();
    if column.is_none() {
        head.push_field("shape_id");
    }
    let mut shapes: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut rows = vec![head];
    for row in std::mem::take(&mut trips.rows) {
        let stops: Vec<&str> = calls
            .get(trips.cell(&row, "trip_id"))
            .map(|calls| calls.values().copied().collect())
            .unwrap_or_default();
        let id = format!("{}:{}", trips.cell(&row, "route_id"), stops.join(">"));
        let known: Vec<(f64, f64)> = stops
            .iter()
            .filter_map(|s| places.get(s).copied())
            .collect();
        let id = if known.len() < 2 { String::new() } else { id };
        let mut cells: Vec<String> = row.iter().map(str::to_owned).collect();
        // The last of a row's cells where the feed has no such column.
        let at = column.unwrap_or(trips.head.len());
        cells.resize(cells.len().max(at + 1), String::new());
        cells[at].clone_from(&id);
        rows.push(StringRecord::from(cells));
        if !id.is_empty() {
            shapes.entry(id).or_insert_with(|| winding(&known));
        }
    }
    write(&folder.path().join("trips.txt"), rows);
    write(&folder.path().join("shapes.txt"), rows_of(shapes));
    folder
}

fn rows_of(shapes: BTreeMap<String, Vec<(f64, f64)>>) -> Vec<StringRecord> {
    let mut rows = vec![StringRecord::from(vec![
        "shape_id",
        "shape_pt_lat",
        "shape_pt_lon",
        "shape_pt_sequence",
    ])];
    for (id, points) in shapes {
        rows.extend(points.into_iter().enumerate().map(|(no, (lat, lon))| {
            let cells = [id.clone(), lat.to_string(), lon.to_string(), no.to_string()];
            StringRecord::from(cells.to_vec())
        }));
    }
    rows
}

/// By each place, and up to a kilometre beside the straight way between two.
fn winding(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points = vec![];
    for pair in places.windows(2) {
        let ((lat, lon), (to_lat, to_lon)) = (pair[0], pair[1]);
        points.extend((0..BENDS).map(|n| {
            let part = f64::from(n) / f64::from(BENDS);
            let beside = 0.009 * (f64::from(n) * 1.7).sin() * (part * std::f64::consts::PI).sin();
            (
                lat + (to_lat - lat) * part + beside,
                lon + (to_lon - lon) * part - beside,
            )
        }));
    }
    points.extend(places.last());
    points
}

fn write(path: &Path, rows: Vec<StringRecord>) {
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_path(path)
        .unwrap();
    for row in rows {
        writer.write_record(&row).unwrap();
    }
    writer.flush().unwrap();
}
