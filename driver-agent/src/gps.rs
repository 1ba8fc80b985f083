//! Where this bus is: a receiver through gpsd, a file of NMEA sentences, or a drive made up.
//!
//! Readings are kept only while a trip is boarding here and near its time; the ring and the link
//! are the edge node's.

pub mod drive;
pub mod gpsd;
pub mod nmea;

use std::path::PathBuf;
use std::str::FromStr;

use domain::ids::TripId;
use domain::time::Instant;
use domain::tracking::{Fix, Place, Source};
use domain::trip::Trip;
use edge_node::runtime::{EngineHandle, Positions, clock};
use tokio::sync::mpsc;

/// A trip is followed for so long after its timetable, in ms.
const LATE_MS_MAX: i64 = 12 * 3_600_000;
/// Readings that wait to be kept.
const READINGS_MAX: usize = 64;
/// A receiver that says more is thinned to one reading in so many ms.
const EVERY_MS: i64 = 900;

/// What a receiver says of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When; the device's clock where the receiver does not say.
    pub at: Option<Instant>,
    /// Where.
    pub place: Place,
    /// Over the ground, in centimetres a second.
    pub speed_cm_s: Option<u16>,
    /// Clockwise from north, 0 to 359.
    pub bearing_deg: Option<u16>,
    /// The true place is within so many metres, mostly.
    pub accuracy_m: Option<u16>,
}

/// Where readings come from.
#[derive(Debug, Clone, PartialEq)]
pub enum GpsSource {
    /// gpsd at HOST:PORT.
    Gpsd(String),
    /// A file of NMEA sentences, or a device that writes them.
    Nmea(PathBuf),
    /// A drive at so many km/h along the trip's stops, whose places a GTFS `stops.txt` has.
    Drive {
        /// In km/h.
        kmh: f64,
        /// The file.
        stops: PathBuf,
    },
}

/// A source that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no source of positions: write gpsd://HOST:PORT, nmea:FILE or drive:KMH@STOPS.TXT"
)]
pub struct BadSource(String);

impl FromStr for GpsSource {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        let bad = || BadSource(text.chars().take(200).collect());
        if let Some(address) = text.strip_prefix("gpsd://") {
            let address = address.trim_end_matches('/');
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) => (host, port),
                None => (address, gpsd::PORT),
            };
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(bad());
            }
            return Ok(Self::Gpsd(format!("{host}:{port}")));
        }
        if let Some(file) = text.strip_prefix("nmea:").filter(|f| !f.is_empty()) {
            return Ok(Self::Nmea(PathBuf::from(file)));
        }
        let (kmh, stops) = text
            .strip_prefix("drive:")
            .and_then(|rest| rest.split_once('@'))
            .ok_or_else(bad)?;
        let kmh: f64 = kmh.parse().map_err(|_| bad())?;
        if !(kmh > 0.0 && kmh <= 100_000.0) || stops.is_empty() {
            return Err(bad());
        }
        Ok(Self::Drive {
            kmh,
            stops: PathBuf::from(stops),
        })
    }
}

/// What a boarding trip means for its readings.
#[derive(Debug, Clone)]
pub struct Boarding {
    /// Which trip.
    pub trip: TripId,
    /// From this moment on it is followed.
    begins: Instant,
    /// Until this one.
    ends: Instant,
}

impl Boarding {
    /// Of a trip that is followed from so long before it leaves, in ms.
    pub fn of(trip: &Trip, before_ms: i64) -> Option<Self> {
        Some(Self {
            trip: trip.id,
            begins: trip.stops.first()?.departs.plus_ms(-before_ms),
            ends: trip.stops.last()?.arrives.plus_ms(LATE_MS_MAX),
        })
    }

    /// The fix of a reading, if the trip is on its way.
    pub fn fix(&self, reading: Reading, source: Source, now: Instant) -> Option<Fix> {
        let at = reading.at.unwrap_or(now);
        if at < self.begins || at > self.ends {
            return None;
        }
        Some(Fix {
            trip: self.trip,
            seq: 0,
            at,
            lat_e7: reading.place.lat_e7(),
            lon_e7: reading.place.lon_e7(),
            speed_cm_s: reading.speed_cm_s,
            bearing_deg: reading.bearing_deg,
            accuracy_m: reading.accuracy_m,
            source,
        })
    }
}

/// The trip that is boarding on this bus.
async fn boarding_trip(engine: &EngineHandle) -> Option<Trip> {
    let trip = engine
        .call(|engine| {
            let trip = engine.boarding()?;
            engine.catalogue().trips.get(&trip).cloned()
        })
        .await;
    trip.ok().flatten()
}

/// Reads a source and keeps what it says, until it is aborted.
pub async fn follow(source: GpsSource, engine: EngineHandle, positions: Positions, before_ms: i64) {
    let (readings, mut said) = mpsc::channel(READINGS_MAX);
    let kind = match &source {
        GpsSource::Drive { .. } => Source::Simulated,
        GpsSource::Gpsd(_) | GpsSource::Nmea(_) => Source::Receiver,
    };
    let reader = match source {
        GpsSource::Gpsd(address) => tokio::spawn(gpsd::read(address, readings)),
        GpsSource::Nmea(path) => tokio::spawn(nmea::read(path, readings)),
        GpsSource::Drive { kmh, stops } => {
            let engine = engine.clone();
            tokio::spawn(drive::read(engine, kmh, stops, readings))
        }
    };
    // Dropped with this task, so that no reader outlives it.
    let _reader = AbortOnDrop(reader);
    let mut last: Option<(TripId, Instant)> = None;
    while let Some(reading) = said.recv().await {
        let now = clock::now();
        let boarding = boarding_trip(&engine).await;
        let boarding = boarding.and_then(|trip| Boarding::of(&trip, before_ms));
        let Some(fix) = boarding.and_then(|b| b.fix(reading, kind, now)) else {
            continue;
        };
        let too_soon = |(trip, at): (TripId, Instant)| {
            trip == fix.trip && (0..EVERY_MS).contains(&(fix.at.0 - at.0))
        };
        if last.is_some_and(too_soon) {
            continue;
        }
        last = Some((fix.trip, fix.at));
        if let Err(error) = positions.record(fix).await {
            tracing::warn!(%error, "a position was not kept");
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_or_named_with_what_to_write() {
        let read = |text: &str| text.parse::<GpsSource>();
        assert_eq!(
            read("gpsd://localhost:2948"),
            Ok(GpsSource::Gpsd("localhost:2948".to_owned()))
        );
        assert_eq!(
            read("gpsd://bus"),
            Ok(GpsSource::Gpsd("bus:2947".to_owned()))
        );
        assert_eq!(
            read("nmea:/dev/ttyUSB0"),
            Ok(GpsSource::Nmea("/dev/ttyUSB0".into()))
        );
        let drive = GpsSource::Drive {
            kmh: 80.5,
            stops: "stops.txt".into(),
        };
        assert_eq!(read("drive:80.5@stops.txt"), Ok(drive));
        for bad in [
            "",
            "gpsd://",
            "gpsd://h:x",
            "nmea:",
            "drive:80",
            "drive:-1@s",
            "drive:x@s",
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("gpsd://HOST:PORT"), "{bad}: {error}");
        }
    }
}
