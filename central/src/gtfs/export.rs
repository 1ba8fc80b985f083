//! The other direction: a company's network as a GTFS feed that reads back as the same network.
//!
//! Pure: rows in, files out, the same bytes for the same rows. What GTFS cannot say stands in the
//! `mwimule_*.txt` files; strangers do without them.

mod calendar;
mod files;
mod shapes;
mod trips;
mod zipped;

use std::collections::BTreeMap;

use domain::fare::FareTable;
use domain::layout::SeatLayout;
use domain::time::{ServiceDate, Zone};
use domain::tracking::Line;
use domain::trip::Trip;

use crate::company::{Route, Stop};

pub use files::{FeedFile, files};
pub use zipped::zipped;

/// Everything of a company that goes into a feed.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its agency.
    pub agency: Agency,
    /// By code.
    pub stops: Vec<Stop>,
    /// The newest version of each layout, with the first rows of its upper decks.
    pub layouts: Vec<(SeatLayout, Vec<u16>)>,
    /// By id.
    pub fare_tables: Vec<FareTable>,
    /// By code.
    pub routes: Vec<Route>,
    /// By stop sequence: the name of its pattern.
    pub shapes: BTreeMap<String, NetworkShape>,
    /// The trips of the days asked for, without the cancelled.
    pub trips: Vec<NetworkTrip>,
}

/// The road of a stop sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkShape {
    /// Its line.
    pub line: Line,
    /// How far along it each stop is, in metres; absent for stops without a place.
    pub stops_along_m: Vec<Option<u32>>,
}

/// Who runs the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agency {
    /// `agency_id`.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The zone that service days count in.
    pub zone: Zone,
    /// May be empty.
    pub website: String,
    /// May be empty.
    pub phone: String,
    /// May be empty.
    pub email: String,
    /// BCP 47.
    pub language: String,
}

/// A trip as stored.
#[derive(Debug, Clone)]
pub struct NetworkTrip {
    /// With its stops and times.
    pub trip: Trip,
    /// Its route.
    pub route: String,
    /// Its run: with pattern and date its name for ever.
    pub run: String,
    /// Per stop: whether passengers may get on.
    pub board: Vec<bool>,
}

/// A call of a group of trips: stop, seconds of arrival and departure, whether one may board.
type Call = (String, u32, u32, bool);

/// Trips that differ in their day only.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    trip_id: String,
    route: String,
    run: String,
    headsign: String,
    calls: Vec<Call>,
    service: String,
}

/// Services by id: the days of each, never empty.
type Services = BTreeMap<String, Vec<ServiceDate>>;
