//! A drive that is made up: along the boarding trip's road, or straight from stop to stop, at one
//! speed from the first to the last, and there it stays. Shown as simulated wherever it is shown.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::ids::TripId;
use domain::tracking::{LINE_POINTS_MAX, Line, Place, Route};
use domain::trip::Trip;
use edge_node::runtime::{EngineHandle, clock};
use tokio::sync::mpsc;

use super::{Reading, boarding_trip};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Beside the file of stops, the roads.
const SHAPES_FILE: &str = "shapes.txt";
/// How often the bus says where it is.
const EVERY: Duration = Duration::from_secs(1);

/// Why a drive cannot be made up.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The file cannot be read.
    #[error(
        "{path}: {source}: give a GTFS stops.txt, and a shapes.txt beside it if there are roads"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It lacks a column.
    #[error("{path} has no column {column}: give a file of a GTFS feed")]
    NoColumn {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: &'static str,
    },
}

/// Places by `stop_id`.
pub type Places = BTreeMap<String, Place>;

/// Reads the places of a GTFS `stops.txt`; rows without one are passed over.
pub fn places(path: &Path) -> Result<Places, DriveError> {
    let rows = rows(path, ["stop_id", "stop_lat", "stop_lon"])?;
    let places = rows.into_iter().filter_map(|[id, lat, lon]| {
        let place = Place::of_degrees(lat.parse().ok()?, lon.parse().ok()?)?;
        Some((id, place))
    });
    Ok(places.collect())
}

/// Reads the roads of the `shapes.txt` beside a file of stops; none where there is no such file.
pub fn roads(stops: &Path) -> Result<Vec<Line>, DriveError> {
    let path = stops.with_file_name(SHAPES_FILE);
    if !path.exists() {
        return Ok(vec![]);
    }
    let columns = [
        "shape_id",
        "shape_pt_sequence",
        "shape_pt_lat",
        "shape_pt_lon",
    ];
    let mut shapes: BTreeMap<String, BTreeMap<u32, Place>> = BTreeMap::new();
    for [id, no, lat, lon] in rows(&path, columns)? {
        let place = lat.parse().ok().zip(lon.parse().ok());
        let place = place.and_then(|(lat, lon)| Place::of_degrees(lat, lon));
        let points = shapes.entry(id).or_default();
        if let (Ok(no), Some(place)) = (no.parse(), place)
            && points.len() < LINE_POINTS_MAX
        {
            points.insert(no, place);
        }
    }
    let lines = shapes.into_values().filter_map(|points| {
        let places: Vec<Place> = points.into_values().collect();
        Line::new(&places).ok()
    });
    Ok(lines.collect())
}

/// Some columns of a file of a feed.
fn rows<const N: usize>(
    path: &Path,
    columns: [&'static str; N],
) -> Result<Vec<[String; N]>, DriveError> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|source| DriveError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(fields);
    let head = lines.next().unwrap_or_default();
    let mut at = [0; N];
    for (at, column) in at.iter_mut().zip(columns) {
        let found = head.iter().position(|name| name.trim() == column);
        *at = found.ok_or_else(|| DriveError::NoColumn {
            path: path.to_owned(),
            column,
        })?;
    }
    let cell = |row: &Vec<String>, at: usize| row.get(at).map_or("", |c| c.trim()).to_owned();
    Ok(lines.map(|row| at.map(|at| cell(&row, at))).collect())
}

/// The fields of a line; a quoted one may hold commas, and quotes doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if let Some(field) = fields.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => {
                if let Some(field) = fields.last_mut() {
                    field.push(other);
                }
            }
        }
    }
    fields
}

/// The way of a trip over the stops whose place is known.
pub fn route(trip: &Trip, places: &Places, roads: &[Line]) -> Route {
    let stops: Vec<Option<Place>> = trip
        .stops
        .iter()
        .map(|stop| places.get(&stop.code.0).copied())
        .collect();
    way(&stops, roads)
}

/// Along the shortest road that leads by the stops in their order, straight where none does.
fn way(stops: &[Option<Place>], roads: &[Line]) -> Route {
    let fitting = roads.iter();
    let fitting = fitting.filter_map(|road| Route::along(road, stops, &[]).ok());
    let shortest = fitting.min_by(|a, b| a.length_m().total_cmp(&b.length_m()));
    shortest.unwrap_or_else(|| Route::new(stops))
}

/// What the bus would say after a time on its way, in ms.
pub fn reading(route: &Route, kmh: f64, gone_ms: u64) -> Option<Reading> {
    let m_s = kmh / 3.6;
    let along = m_s * gone_ms as f64 / 1_000.0;
    let place = route.at_m(along)?;
    let there = along >= route.length_m();
    let ahead = route.at_m(along + 1.0_f64.max(m_s));
    Some(Reading {
        at: None,
        place,
        speed_cm_s: Some(if there {
            0
        } else {
            (m_s * 100.0).min(65_535.0).round() as u16
        }),
        bearing_deg: ahead
            .filter(|_| !there)
            .map(|ahead| place.bearing_to(ahead)),
        accuracy_m: Some(5),
    })
}

/// Drives each trip that boards here, from its first stop.
pub async fn read(engine: EngineHandle, kmh: f64, stops: PathBuf, readings: mpsc::Sender<Reading>) {
    let load = move || Ok::<_, DriveError>((places(&stops)?, roads(&stops)?));
    let (places, roads) = match tokio::task::spawn_blocking(load).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(error)) => {
            tracing::error!(%error, "no drive is made up: this bus is not seen");
            return;
        }
        Err(_) => return,
    };
    let mut driving: Option<(TripId, u64, Route)> = None;
    while !readings.is_closed() {
        tokio::time::sleep(EVERY).await;
        let Some(trip) = boarding_trip(&engine).await else {
            continue;
        };
        let now_ms = clock::uptime().0;
        let (_, began_ms, route) = match driving.take() {
            Some(same) if same.0 == trip.id => driving.insert(same),
            Some(_) | None => driving.insert((trip.id, now_ms, route(&trip, &places, &roads))),
        };
        let Some(reading) = reading(route, kmh, now_ms.saturating_sub(*began_ms)) else {
            tracing::warn!(trip = %trip.id, "no stop of this trip is in the file: it is not driven");
            continue;
        };
        if readings.send(reading).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_goes_from_the_first_stop_to_the_last_at_its_speed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stops.txt");
        let text = "\u{feff}stop_id,stop_name,stop_lat,stop_lon\r\nA,\"Here, or there\",-15.0,28.0\r\n\
                    B,Far,-15.1,28.0\r\nC,Nowhere,,\r\n";
        std::fs::write(&file, text).unwrap();
        let places = places(&file).unwrap();
        assert_eq!(places.len(), 2);
        let route = Route::new(&[places.get("A").copied(), places.get("B").copied()]);
        let at = |secs: u64| reading(&route, 72.0, secs * 1_000).unwrap();
        assert_eq!(at(0).place, places["A"]);
        let metres = places["A"].metres_to(at(60).place);
        assert!((metres - 1_200.0).abs() < 2.0, "{metres}");
        assert_eq!(
            (at(60).speed_cm_s, at(60).bearing_deg),
            (Some(2_000), Some(180))
        );
        let end = at(3_600);
        assert_eq!(
            (end.place, end.speed_cm_s, end.bearing_deg),
            (places["B"], Some(0), None)
        );
        // Along the one of the roads beside it that leads by the stops.
        assert_eq!(roads(&file).unwrap(), []);
        let text = "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\nelsewhere,1,1,1\n\
                    elsewhere,2,2,2\nback,-15.1,28.0,1\nback,-15.0,28.0,2\n\
                    bend,-15.1,28.0,9\nbend,-15.05,28.05,5\nbend,-15.0,28.0,1\n";
        std::fs::write(folder.path().join("shapes.txt"), text).unwrap();
        let roads = roads(&file).unwrap();
        assert_eq!(roads.len(), 3);
        let bend = way(&[Some(places["A"]), Some(places["B"])], &roads);
        let half = bend.at_m(bend.length_m() / 2.0).unwrap();
        assert!(half.metres_to(Place::of_degrees(-15.05, 28.05).unwrap()) < 30.0);
        let unknown = way(&[Some(places["A"]), None], &roads);
        assert!(unknown.road().is_none());
        std::fs::write(&file, "stop_id,stop_name\n").unwrap();
        let error = super::places(&file).unwrap_err().to_string();
        assert!(error.contains("stop_lat"), "{error}");
    }
}
