//! What a company's trips say as GTFS-Realtime.

use domain::time::Instant;

use super::{
    Alert, EntitySelector, FeedEntity, FeedHeader, FeedMessage, Position, StopTimeEvent,
    StopTimeUpdate, TranslatedString, Translation, TripDescriptor, TripUpdate, VehicleDescriptor,
    VehiclePosition,
};
use crate::operations::State;
use crate::tracking::known::{Facts, Standing};
use crate::tracking::view::ahead;

const SCHEDULED: i32 = 0;
const CANCELED: i32 = 3;
const STOPPED_AT: i32 = 1;
const IN_TRANSIT_TO: i32 = 2;
const UNKNOWN_CAUSE: i32 = 1;
const NO_SERVICE: i32 = 1;
const SIGNIFICANT_DELAYS: i32 = 3;

fn seconds(at: Instant) -> u64 {
    u64::try_from(at.0.div_euclid(1_000)).unwrap_or(0)
}

fn feed(entity: Vec<FeedEntity>, now: Instant) -> FeedMessage {
    FeedMessage {
        header: FeedHeader {
            gtfs_realtime_version: "2.0".to_owned(),
            incrementality: Some(0),
            timestamp: Some(seconds(now)),
        },
        entity,
    }
}

/// The run is the `trip_id` of the GTFS feed.
fn descriptor(facts: &Facts) -> TripDescriptor {
    let cancelled = facts.state == State::Cancelled;
    TripDescriptor {
        trip_id: Some(facts.run.clone()),
        start_date: Some(facts.service_date.to_string().replace('-', "")),
        schedule_relationship: Some(if cancelled { CANCELED } else { SCHEDULED }),
        route_id: Some(facts.route_code.clone()),
    }
}

fn entity(facts: &Facts) -> FeedEntity {
    FeedEntity {
        id: facts.trip.to_string(),
        trip_update: None,
        vehicle: None,
        alert: None,
    }
}

/// Places on a trip count from 0, `stop_sequence` of the feed from 1.
fn sequence(place: u8) -> u32 {
    u32::from(place) + 1
}

/// Vehicles on their way, where the company shows them to everybody.
pub(in crate::tracking) fn vehicle_positions(trips: &[Standing], now: Instant) -> FeedMessage {
    let shown = trips
        .iter()
        .filter(|s| s.facts.settings.publish_positions && s.facts.is_on_trip(now));
    let vehicles = shown.filter_map(|Standing { facts, track, .. }| {
        let fix = track.newest()?;
        let place = fix.place()?;
        let next = track.next();
        let stop = facts.stops.get(usize::from(next.0));
        let stands = track.there_since().is_some();
        Some(FeedEntity {
            vehicle: Some(VehiclePosition {
                trip: Some(descriptor(facts)),
                position: Some(Position {
                    latitude: place.lat() as f32,
                    longitude: place.lon() as f32,
                    bearing: fix.bearing_deg.map(f32::from),
                    speed: fix.speed_cm_s.map(|cm_s| f32::from(cm_s) / 100.0),
                }),
                current_stop_sequence: stop.map(|_| sequence(next.0)),
                current_status: Some(if stands { STOPPED_AT } else { IN_TRANSIT_TO }),
                timestamp: Some(seconds(fix.at)),
                stop_id: stop.map(|stop| stop.code.0.clone()),
                vehicle: Some(VehicleDescriptor {
                    id: Some(format!("trip-{}", facts.trip)),
                    label: Some(facts.headsign.clone()),
                }),
            }),
            ..entity(facts)
        })
    });
    feed(vehicles.collect(), now)
}

/// When the stops ahead are reached, and which trips do not run.
pub(in crate::tracking) fn trip_updates(trips: &[Standing], now: Instant) -> FeedMessage {
    let updates = trips.iter().map(|standing| {
        let Standing { facts, track, .. } = standing;
        let cancelled = facts.state == State::Cancelled;
        let ahead = if cancelled {
            vec![]
        } else {
            ahead(facts, track, now)
        };
        let event = |at: Instant, planned: Instant| StopTimeEvent {
            delay: i32::try_from((at.0 - planned.0) / 1_000).ok(),
            time: Some(at.as_secs()),
        };
        let stops = ahead.iter().filter_map(|told| {
            let stop = facts.stops.get(usize::from(told.stop.0))?;
            Some(StopTimeUpdate {
                stop_sequence: Some(sequence(told.stop.0)),
                arrival: Some(event(told.arrives, stop.arrives)),
                departure: Some(event(told.departs, stop.departs)),
                stop_id: Some(stop.code.0.clone()),
            })
        });
        let delay_s = i32::try_from(facts.delay_ms / 1_000).ok();
        FeedEntity {
            trip_update: Some(TripUpdate {
                trip: descriptor(facts),
                stop_time_update: stops.collect(),
                timestamp: Some(track.newest().map_or(seconds(now), |fix| seconds(fix.at))),
                delay: delay_s.filter(|_| !cancelled),
            }),
            ..entity(facts)
        }
    });
    feed(updates.collect(), now)
}

/// Why trips are late or do not run.
pub(in crate::tracking) fn alerts(trips: &[Standing], now: Instant) -> FeedMessage {
    let alerts = trips.iter().filter_map(|Standing { facts, .. }| {
        let (effect, header) = match facts.state {
            State::Cancelled => (NO_SERVICE, format!("{} does not run", facts.headsign)),
            State::Scheduled | State::Boarding | State::Departed if facts.delay_ms > 0 => {
                let minutes = facts.delay_ms / 60_000;
                let late = format!("{} is {minutes} min late", facts.headsign);
                (SIGNIFICANT_DELAYS, late)
            }
            State::Scheduled | State::Boarding | State::Departed | State::Arrived => return None,
        };
        let text = |text: String, language: Option<&str>| TranslatedString {
            translation: vec![Translation {
                text,
                language: language.map(str::to_owned),
            }],
        };
        Some(FeedEntity {
            alert: Some(Alert {
                informed_entity: vec![EntitySelector {
                    route_id: None,
                    trip: Some(descriptor(facts)),
                }],
                cause: Some(UNKNOWN_CAUSE),
                effect: Some(effect),
                header_text: Some(text(header, Some("en"))),
                // In whatever language the company wrote it.
                description_text: facts.reason.clone().map(|reason| text(reason, None)),
            }),
            ..entity(facts)
        })
    });
    feed(alerts.collect(), now)
}
