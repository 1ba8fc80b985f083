//! The Zambian network with made-up roads: between two stops they wind, so that thousands of
//! their points tell.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// So many points has a road, its stops not counted.
pub const POINTS: usize = 4_000;
/// How far it winds to each side, in degrees: about 200 m.
const WINDS: f64 = 0.002;

/// The fields of a file's rows; the fixture quotes none.
fn rows(feed: &Path, name: &str) -> Result<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(feed.join(name)).with_context(|| name.to_owned())?;
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    Ok(text.lines().map(fields).collect())
}

fn column(head: Option<&Vec<String>>, name: &str) -> Result<usize> {
    let found = head.and_then(|head| head.iter().position(|h| h == name));
    found.with_context(|| format!("the fixture has no {name}"))
}

/// Writes the feed with a road for each of its stop sequences; gives where.
pub fn drawn(feed: &Path, folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&folder)?;
    for entry in std::fs::read_dir(feed)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let stops = rows(feed, "stops.txt")?;
    let at = |name| column(stops.first(), name);
    let (id, lat, lon) = (at("stop_id")?, at("stop_lat")?, at("stop_lon")?);
    let mut places: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in stops.iter().skip(1) {
        places.insert(&row[id], (row[lat].parse()?, row[lon].parse()?));
    }
    let times = rows(feed, "stop_times.txt")?;
    let at = |name| column(times.first(), name);
    let (trip, no, stop) = (at("trip_id")?, at("stop_sequence")?, at("stop_id")?);
    let mut calls: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
    for row in times.iter().skip(1) {
        let of_trip = calls.entry(&row[trip]).or_default();
        of_trip.insert(row[no].parse()?, &row[stop]);
    }
    let trips = rows(feed, "trips.txt")?;
    let trip = column(trips.first(), "trip_id")?;
    let mut with_shapes = String::new();
    let mut roads: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for row in &trips {
        let shape = match calls.get(row[trip].as_str()) {
            None => "shape_id".to_owned(),
            Some(calls) => {
                let stops: Vec<&str> = calls.values().copied().collect();
                let known = stops.iter().filter_map(|stop| places.get(stop).copied());
                let id = stops.join(">");
                roads.insert(id.clone(), winding(&known.collect::<Vec<_>>()));
                id
            }
        };
        writeln!(with_shapes, "{},{shape}", row.join(","))?;
    }
    std::fs::write(folder.join("trips.txt"), with_shapes)?;
    let mut shapes = "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n".to_owned();
    for (id, points) in roads {
        for (no, (lat, lon)) in points.iter().enumerate() {
            writeln!(shapes, "{id},{lat:.6},{lon:.6},{no}")?;
        }
    }
    std::fs::write(folder.join("shapes.txt"), shapes)?;
    Ok(folder)
}

fn winding(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let per_leg = POINTS / places.len().saturating_sub(1).max(1);
    let mut points = vec![];
    for pair in places.windows(2) {
        let ((lat, lon), (to_lat, to_lon)) = (pair[0], pair[1]);
        points.extend((0..=per_leg).map(|n| {
            let part = n as f64 / (per_leg + 1) as f64;
            let side = if n % 2 == 0 { 0.0 } else { WINDS };
            (
                lat + (to_lat - lat) * part + side,
                lon + (to_lon - lon) * part,
            )
        }));
    }
    points.extend(places.last());
    points
}
