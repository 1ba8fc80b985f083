//! A feed as read: the values of its files, with the faults that belong to one trip kept beside
//! them, so that the judge of trips can weigh them.

mod fare_files;
mod network;
mod shapes;
mod timetable;

use std::collections::BTreeMap;

use domain::ids::StopCode;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::Zone;

use super::calendar::{self, Service};
use super::error::GtfsError;
use super::layout::{self, Layouts};
use super::own::{self, Own};
use super::report::{FileState, Note, Recorder};
use super::source::Source;
use super::table::{FileSpec, Table};

pub(super) use shapes::{Shape, Shapes};

const FEED_INFO: FileSpec = FileSpec {
    name: "feed_info.txt",
    required: &[],
    optional: &["feed_version"],
};

/// Everything of a feed that the planner looks at.
pub struct Feed {
    pub(super) version: Option<String>,
    pub(super) agencies: Vec<Agency>,
    pub(super) stops: BTreeMap<String, Stop>,
    pub(super) routes: BTreeMap<String, Route>,
    pub(super) trips: Vec<TripRow>,
    pub(super) times: BTreeMap<String, Times>,
    pub(super) frequencies: BTreeMap<String, Frequencies>,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) fares: Fares,
    pub(super) layouts: Layouts,
    pub(super) own: Own,
    pub(super) shapes: Shapes,
}

#[derive(Debug, Clone)]
pub(super) struct Agency {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) zone: Zone,
}

#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) code: StopCode,
    pub(super) name: String,
    /// Degrees north and east.
    pub(super) position: Option<(f64, f64)>,
    /// The fare zone; the stop's own id when the feed names none.
    pub(super) fare_zone: String,
    /// The stop's own zone; the agency's when absent.
    pub(super) zone: Option<Zone>,
    /// Passengers can get on and off here: a stop or platform, not a station or an entrance.
    pub(super) boarding: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) agency_id: String,
    pub(super) short_name: String,
    pub(super) long_name: String,
    /// `route_type`.
    pub(super) kind: Option<u16>,
    pub(super) colour: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct TripRow {
    pub(super) line: u64,
    pub(super) id: String,
    pub(super) route_id: String,
    pub(super) service_id: String,
    pub(super) headsign: String,
    /// `shape_id`, may be empty.
    pub(super) shape_id: String,
    /// Why the row cannot be used at all.
    pub(super) fault: Option<Note>,
}

/// The stop times of one trip, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub(super) rows: Vec<StopTime>,
    pub(super) mends: Vec<Note>,
    pub(super) fault: Option<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StopTime {
    pub(super) sequence: u32,
    pub(super) stop_id: String,
    /// Seconds after the service day's start.
    pub(super) arrives_s: Option<u32>,
    /// Seconds after the service day's start.
    pub(super) departs_s: Option<u32>,
    pub(super) board: bool,
    pub(super) alight: bool,
    /// `shape_dist_traveled`, in millionths of the feed's unit.
    pub(super) distance: Option<i64>,
}

impl StopTime {
    /// Whether two lines say the same of the call; how exact a distance is written tells nothing.
    pub(super) fn is_same_call(&self, other: &Self) -> bool {
        let call = |s: &Self| (s.sequence, s.arrives_s, s.departs_s, s.board, s.alight);
        call(self) == call(other) && self.stop_id == other.stop_id
    }
}

/// The headways of one trip.
#[derive(Debug, Clone, Default)]
pub(super) struct Frequencies {
    pub(super) rows: Vec<Headway>,
    pub(super) fault: Option<Note>,
}

/// Departures every `every_s` from `from_s` until before `until_s`, in seconds of the service day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headway {
    pub(super) from_s: u32,
    pub(super) until_s: u32,
    pub(super) every_s: u32,
    pub(super) exact: bool,
}

/// Prices as the feed states them, in one currency.
#[derive(Debug, Clone, Default)]
pub(super) struct Fares {
    pub(super) currency: Option<Currency>,
    /// GTFS fares: what an adult pays.
    pub(super) general: Vec<GeneralFare>,
    /// Prices by zone pair and class from the extension file.
    pub(super) classed: BTreeMap<(String, String, PassengerClass), Minor>,
}

/// A fare of `fare_attributes.txt` with one rule; an absent condition holds everywhere.
#[derive(Debug, Clone)]
pub(super) struct GeneralFare {
    pub(super) price: Minor,
    pub(super) route_id: Option<String>,
    pub(super) from_zone: Option<String>,
    pub(super) to_zone: Option<String>,
}

impl Feed {
    pub(super) fn read(source: &mut Source, recorder: &mut Recorder) -> Result<Self, GtfsError> {
        let agencies = network::agencies(source, recorder)?;
        let stops = network::stops(source, recorder)?;
        let routes = network::routes(source, recorder, &agencies)?;
        let trips = timetable::trips(source, recorder)?;
        let times = timetable::stop_times(source, recorder, &trips)?;
        let services = calendar::read(source, recorder)?;
        let frequencies = timetable::frequencies(source, recorder, &trips)?;
        let fares = fare_files::read(source, recorder, &stops, &routes)?;
        let layouts = layout::read(source, recorder)?;
        let own = own::read(source, recorder, &stops, &routes, fares.currency)?;
        let version = Table::optional(source, &FEED_INFO, recorder)?.and_then(|table| {
            let row = table.rows().next()?;
            let version = row.get("feed_version");
            (!version.is_empty()).then(|| version.to_owned())
        });
        // After the others: a feed of large shapes is short of nothing else.
        let shapes = shapes::read(source, recorder, &trips, &own);
        note_other_files(source, recorder)?;
        Ok(Self {
            version,
            agencies,
            stops,
            routes,
            trips,
            times,
            frequencies,
            services,
            fares,
            layouts,
            own,
            shapes,
        })
    }
}

fn note_other_files(source: &Source, recorder: &mut Recorder) -> Result<(), GtfsError> {
    for file in source.files()? {
        if !recorder.knows(&file) {
            let entry = recorder.file(&file, FileState::NotRead, 0);
            let text = "this importer has no use for the file";
            entry.notes.push(Note::new("file_not_read", text));
        }
    }
    Ok(())
}
