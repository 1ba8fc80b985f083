//! GTFS-Realtime: what the published specification (version 2.0) says of vehicles, trips and
//! alerts, for readers of the company's GTFS feed. Field numbers are the specification's.

mod build;

pub(super) use build::{alerts, trip_updates, vehicle_positions};

use serde::Serialize;

/// The whole of a feed.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct FeedMessage {
    /// Version and time.
    #[prost(message, required, tag = "1")]
    pub header: FeedHeader,
    /// What there is to say.
    #[prost(message, repeated, tag = "2")]
    pub entity: Vec<FeedEntity>,
}

/// Version and time.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct FeedHeader {
    /// Of the specification.
    #[prost(string, required, tag = "1")]
    pub gtfs_realtime_version: String,
    /// 0: the whole feed.
    #[prost(int32, optional, tag = "2")]
    pub incrementality: Option<i32>,
    /// When it was made, in seconds since 1970.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
}

/// One thing to say.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct FeedEntity {
    /// Unique in the feed.
    #[prost(string, required, tag = "1")]
    pub id: String,
    /// How a trip runs.
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip_update: Option<TripUpdate>,
    /// Where a vehicle is.
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehiclePosition>,
    /// What passengers should know.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
}

/// Which trip of the GTFS feed.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct TripDescriptor {
    /// As in `trips.txt`.
    #[prost(string, optional, tag = "1")]
    pub trip_id: Option<String>,
    /// The service day, YYYYMMDD.
    #[prost(string, optional, tag = "3")]
    pub start_date: Option<String>,
    /// 0 as scheduled, 3 cancelled.
    #[prost(int32, optional, tag = "4")]
    pub schedule_relationship: Option<i32>,
    /// As in `routes.txt`.
    #[prost(string, optional, tag = "5")]
    pub route_id: Option<String>,
}

/// Which vehicle; nobody in it.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct VehicleDescriptor {
    /// Of this trip only.
    #[prost(string, optional, tag = "1")]
    pub id: Option<String>,
    /// What passengers read on it.
    #[prost(string, optional, tag = "2")]
    pub label: Option<String>,
}

/// How a trip runs.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct TripUpdate {
    /// Which trip.
    #[prost(message, required, tag = "1")]
    pub trip: TripDescriptor,
    /// Stops ahead, in order.
    #[prost(message, repeated, tag = "2")]
    pub stop_time_update: Vec<StopTimeUpdate>,
    /// When that was known, in seconds since 1970.
    #[prost(uint64, optional, tag = "4")]
    pub timestamp: Option<u64>,
    /// How late the trip is, in seconds.
    #[prost(int32, optional, tag = "5")]
    pub delay: Option<i32>,
}

/// A stop ahead.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct StopTimeUpdate {
    /// As in `stop_times.txt`.
    #[prost(uint32, optional, tag = "1")]
    pub stop_sequence: Option<u32>,
    /// When the vehicle comes.
    #[prost(message, optional, tag = "2")]
    pub arrival: Option<StopTimeEvent>,
    /// When it leaves.
    #[prost(message, optional, tag = "3")]
    pub departure: Option<StopTimeEvent>,
    /// As in `stops.txt`.
    #[prost(string, optional, tag = "4")]
    pub stop_id: Option<String>,
}

/// A moment at a stop.
#[derive(Clone, Copy, PartialEq, prost::Message, Serialize)]
pub struct StopTimeEvent {
    /// Against the timetable, in seconds; late is positive.
    #[prost(int32, optional, tag = "1")]
    pub delay: Option<i32>,
    /// In seconds since 1970.
    #[prost(int64, optional, tag = "2")]
    pub time: Option<i64>,
}

/// Where a vehicle is.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct VehiclePosition {
    /// Which trip it runs.
    #[prost(message, optional, tag = "1")]
    pub trip: Option<TripDescriptor>,
    /// Where.
    #[prost(message, optional, tag = "2")]
    pub position: Option<Position>,
    /// The stop that it comes to or is at, as in `stop_times.txt`.
    #[prost(uint32, optional, tag = "3")]
    pub current_stop_sequence: Option<u32>,
    /// 1 stands at that stop, 2 is on its way there.
    #[prost(int32, optional, tag = "4")]
    pub current_status: Option<i32>,
    /// When it was there, in seconds since 1970.
    #[prost(uint64, optional, tag = "5")]
    pub timestamp: Option<u64>,
    /// That stop, as in `stops.txt`.
    #[prost(string, optional, tag = "7")]
    pub stop_id: Option<String>,
    /// Which vehicle.
    #[prost(message, optional, tag = "8")]
    pub vehicle: Option<VehicleDescriptor>,
}

/// A place.
#[derive(Clone, Copy, PartialEq, prost::Message, Serialize)]
pub struct Position {
    /// Degrees north.
    #[prost(float, required, tag = "1")]
    pub latitude: f32,
    /// Degrees east.
    #[prost(float, required, tag = "2")]
    pub longitude: f32,
    /// Degrees clockwise from north.
    #[prost(float, optional, tag = "3")]
    pub bearing: Option<f32>,
    /// Metres a second.
    #[prost(float, optional, tag = "5")]
    pub speed: Option<f32>,
}

/// What passengers should know.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Alert {
    /// Whom it concerns.
    #[prost(message, repeated, tag = "5")]
    pub informed_entity: Vec<EntitySelector>,
    /// 1 unknown.
    #[prost(int32, optional, tag = "6")]
    pub cause: Option<i32>,
    /// 1 no service, 3 significant delays.
    #[prost(int32, optional, tag = "7")]
    pub effect: Option<i32>,
    /// In a few words.
    #[prost(message, optional, tag = "10")]
    pub header_text: Option<TranslatedString>,
    /// The reason as the company gave it.
    #[prost(message, optional, tag = "11")]
    pub description_text: Option<TranslatedString>,
}

/// Whom an alert concerns.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct EntitySelector {
    /// As in `routes.txt`.
    #[prost(string, optional, tag = "2")]
    pub route_id: Option<String>,
    /// Which trip.
    #[prost(message, optional, tag = "4")]
    pub trip: Option<TripDescriptor>,
}

/// A text in some languages.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct TranslatedString {
    /// One for each.
    #[prost(message, repeated, tag = "1")]
    pub translation: Vec<Translation>,
}

/// A text in one language.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Translation {
    /// The text.
    #[prost(string, required, tag = "1")]
    pub text: String,
    /// BCP-47.
    #[prost(string, optional, tag = "2")]
    pub language: Option<String>,
}
