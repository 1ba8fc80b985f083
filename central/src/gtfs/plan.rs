//! What is to be written: the network, its patterns and the runs on their service days.

mod build;
mod shapes;

use std::collections::BTreeMap;
use std::fmt;

use domain::codec::to_hex;
use domain::fare::FareTable;
use domain::ids::StopCode;
use domain::layout::SeatLayout;
use domain::time::{ServiceDate, Zone};
use sha2::{Digest, Sha256};

use super::report::PlanSize;
use crate::company::RouteStop;

pub(super) use build::build;

/// Names a pattern for ever: a hash of its route and its stops in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternKey(pub [u8; 16]);

impl PatternKey {
    /// The key of a route's stop sequence.
    pub fn of(route_id: &str, stops: &[StopCode]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"mwimule pattern 1");
        for part in std::iter::once(route_id).chain(stops.iter().map(|s| s.0.as_str())) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(key)
    }
}

impl fmt::Display for PatternKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for PatternKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatternKey({self})")
    }
}

/// The operator that the feed describes.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanCompany {
    /// `agency_id`, may be empty.
    pub agency_id: String,
    /// `agency_name`.
    pub name: String,
    /// The zone that every time of the feed counts in.
    pub zone: Zone,
}

/// A stop that passengers use.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanStop {
    /// `stop_id`.
    pub code: StopCode,
    /// Its name for people, never empty.
    pub name: String,
    /// Degrees north and east, where the feed gives them.
    pub position: Option<(f64, f64)>,
    /// Its fare zone; its own code when the feed names none.
    pub fare_zone: String,
    /// Whose local time it shows.
    pub zone: Zone,
}

/// A route with at least one pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRoute {
    /// `route_id`, at most 64 characters.
    pub id: String,
    /// The short name, or the id when there is none.
    pub short_name: String,
    /// The long name, or the short one when there is none.
    pub long_name: String,
    /// As the feed says, even where it was read as a coach.
    pub route_type: u16,
    /// Six hexadecimal digits.
    pub colour: Option<String>,
    /// The seat layout of its buses; it is among the plan's layouts.
    pub layout: String,
    /// The fare table of its trips; it is among the plan's fare tables.
    pub fare_table: String,
}

/// A distinct stop sequence of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanPattern {
    /// Its name for ever.
    pub key: PatternKey,
    /// Its route.
    pub route_id: String,
    /// Its stops, 2 to 65.
    pub stops: Vec<StopCode>,
}

/// The road of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanShape {
    /// Its pattern.
    pub pattern: PatternKey,
    /// The pattern's route.
    pub route_id: String,
    /// An encoded polyline with five decimals.
    pub line: String,
    /// How far along it each stop of the pattern is, in metres; absent for stops without a place.
    pub stops_along_m: Vec<Option<u32>>,
}

/// A run's call at one stop of its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Seconds after the service day's start (noon minus 12 hours, in the company's zone).
    pub arrives_s: u32,
    /// Seconds after the service day's start, never before `arrives_s`.
    pub departs_s: u32,
    /// Passengers may get on.
    pub board: bool,
    /// Passengers may get off.
    pub alight: bool,
}

/// A pattern's run with all its service days in the window. A trip is (pattern, date, run), the
/// same after every re-import that keeps the route, the stops and the GTFS trip id.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRun {
    /// Its pattern.
    pub pattern: PatternKey,
    /// Unique within pattern and date: the GTFS trip id, and for a headway trip `@` and the
    /// departure time behind it; at most 210 characters.
    pub run: String,
    /// `trip_id`.
    pub gtfs_trip_id: String,
    /// Where the bus says it goes; the last stop's name when the feed does not say.
    pub headsign: String,
    /// One per stop of the pattern.
    pub calls: Vec<Call>,
    /// Its service days inside the window, ascending, possibly none.
    pub dates: Vec<ServiceDate>,
}

/// Everything an import writes, in a fixed order.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The operator.
    pub company: PlanCompany,
    /// Window: first service day.
    pub from: ServiceDate,
    /// Window: how many days.
    pub days: u16,
    /// By code.
    pub stops: Vec<PlanStop>,
    /// Those that routes use, by id.
    pub layouts: Vec<SeatLayout>,
    /// By layout, the first rows of its upper decks; absent for one deck.
    pub deck_rows: BTreeMap<String, Vec<u16>>,
    /// Those that routes use, by id.
    pub fare_tables: Vec<FareTable>,
    /// The stops that the feed states for a route itself, beside those of its trips.
    pub route_stops: BTreeMap<String, Vec<RouteStop>>,
    /// By id.
    pub routes: Vec<PlanRoute>,
    /// By key.
    pub patterns: Vec<PlanPattern>,
    /// By pattern; not every pattern has one.
    pub shapes: Vec<PlanShape>,
    /// By pattern and run.
    pub runs: Vec<PlanRun>,
}

impl Plan {
    /// Every trip of the window: a run on one of its days.
    pub fn trips(&self) -> impl Iterator<Item = (&PlanRun, ServiceDate)> {
        self.runs
            .iter()
            .flat_map(|run| run.dates.iter().map(move |date| (run, *date)))
    }

    pub(super) fn size(&self) -> PlanSize {
        PlanSize {
            stops: self.stops.len(),
            routes: self.routes.len(),
            patterns: self.patterns.len(),
            shapes: self.shapes.len(),
            departures: self.trips().count(),
            fares: self.fare_tables.iter().map(|t| t.rows.len()).sum(),
            layouts: self.layouts.len(),
        }
    }
}
