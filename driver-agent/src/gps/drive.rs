//! A drive that is made up: along the boarding trip's stops at one speed, from the first to the
//! last, and there it stays. Shown as simulated wherever it is shown.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::ids::TripId;
use domain::tracking::{Place, Route};
use domain::trip::Trip;
use edge_node::runtime::{EngineHandle, clock};
use tokio::sync::mpsc;

use super::{Reading, boarding_trip};

/// The largest file of stops that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often the bus says where it is.
const EVERY: Duration = Duration::from_secs(1);

/// Why a drive cannot be made up.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The file cannot be read.
    #[error("{path}: {source}: give a GTFS stops.txt")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It lacks a column.
    #[error("{path} has no column {column}: give a GTFS stops.txt")]
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
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|source| DriveError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(fields);
    let head = lines.next().unwrap_or_default();
    let column = |column: &'static str| {
        let found = head.iter().position(|name| name.trim() == column);
        found.ok_or_else(|| DriveError::NoColumn {
            path: path.to_owned(),
            column,
        })
    };
    let (id, lat, lon) = (column("stop_id")?, column("stop_lat")?, column("stop_lon")?);
    let rows = lines.filter_map(|row| {
        let number = |at: usize| row.get(at)?.trim().parse::<f64>().ok();
        let place = Place::of_degrees(number(lat)?, number(lon)?)?;
        Some((row.get(id)?.trim().to_owned(), place))
    });
    Ok(rows.collect())
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
pub fn route(trip: &Trip, places: &Places) -> Route {
    let stops: Vec<Option<Place>> = trip
        .stops
        .iter()
        .map(|stop| places.get(&stop.code.0).copied())
        .collect();
    Route::new(&stops)
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
    let loaded = tokio::task::spawn_blocking(move || places(&stops)).await;
    let places = match loaded {
        Ok(Ok(places)) => places,
        Ok(Err(error)) => {
            tracing::error!(%error, "no drive is made up: this bus is not seen");
            return;
        }
        Err(_) => return,
    };
    let mut driving: Option<(TripId, u64)> = None;
    while !readings.is_closed() {
        tokio::time::sleep(EVERY).await;
        let Some(trip) = boarding_trip(&engine).await else {
            continue;
        };
        let now_ms = clock::uptime().0;
        let began_ms = match driving {
            Some((same, began_ms)) if same == trip.id => began_ms,
            Some(_) | None => now_ms,
        };
        driving = Some((trip.id, began_ms));
        let route = route(&trip, &places);
        let Some(reading) = reading(&route, kmh, now_ms.saturating_sub(began_ms)) else {
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
        std::fs::write(&file, "stop_id,stop_name\n").unwrap();
        let error = super::places(&file).unwrap_err().to_string();
        assert!(error.contains("stop_lat"), "{error}");
    }
}
