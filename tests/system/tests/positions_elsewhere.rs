//! A bus on a drive that is made up, and the hub's GTFS-Realtime feeds as a reader in another
//! language sees them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::http::{list, number, text};
use system_tests::{Edge, Hub, Place, Ran, hub::COMPANY, python, story, until};

/// The specification's own reader, from PyPI.
const LIBRARY: &str = "gtfs-realtime-bindings>=1,<3";
const DEADLINE: Duration = Duration::from_mins(1);

/// Says what it sees of three feeds.
const READER: &str = r#"
import json, sys, urllib.parse, urllib.request
from google.protobuf.unknown_fields import UnknownFieldSet
from google.transit import gtfs_realtime_pb2

base, company = sys.argv[1], urllib.parse.quote(sys.argv[2])
def feed(name):
    url = f"{base}/gtfs-rt/{company}/{name}"
    with urllib.request.urlopen(url) as answer:
        assert answer.headers["content-type"] == "application/x-protobuf", answer.headers
        message = gtfs_realtime_pb2.FeedMessage()
        message.ParseFromString(answer.read())
    assert message.IsInitialized()
    assert message.header.gtfs_realtime_version == "2.0"
    assert len(UnknownFieldSet(message)) == 0
    return message
vehicles, trips, alerts = feed("vehicle-positions"), feed("trip-updates"), feed("alerts")
Trip = gtfs_realtime_pb2.TripDescriptor
print(json.dumps({
    "vehicles": [{"trip": v.vehicle.trip.trip_id, "lat": v.vehicle.position.latitude,
        "lon": v.vehicle.position.longitude, "stop": v.vehicle.stop_id,
        "status": gtfs_realtime_pb2.VehiclePosition.VehicleStopStatus.Name(v.vehicle.current_status),
        "at": v.vehicle.timestamp} for v in vehicles.entity],
    "updates": {t.trip_update.trip.trip_id + "/" + t.trip_update.trip.start_date: {
        "relation": Trip.ScheduleRelationship.Name(t.trip_update.trip.schedule_relationship),
        "stops": [[s.stop_id, s.stop_sequence, s.arrival.time, s.departure.time]
            for s in t.trip_update.stop_time_update]} for t in trips.entity},
    "alerts": [{"effect": gtfs_realtime_pb2.Alert.Effect.Name(a.alert.effect),
        "text": a.alert.header_text.translation[0].text,
        "why": a.alert.description_text.translation[0].text} for a in alerts.entity],
}))
"#;

fn settings(hub: &Hub) -> Result<()> {
    hub.sql(
        "INSERT INTO tracking_settings (company_id, before_min, publish_positions)
         SELECT company_id, 10080, true FROM company",
    )
}

fn bus(place: &Place, hub: &Hub, trip: u64) -> Result<Edge> {
    let trip = trip.to_string();
    let words = ["--name", "bus", "--kind", "onboard", "--trip", &trip];
    let code = hub.code(hub.quic(), &words)?;
    let mut bus = Edge::enrol(place, "mwimule-driver", "bus", &code)?;
    let stops = Place::fixture("zambia-gtfs").join("stops.txt");
    let drive = format!("drive:72@{}", stops.display());
    bus.run_with(&["--gps", &drive, "--gps-before-min", "10080"]);
    bus.start()?;
    Ok(bus)
}

#[test]
fn a_reader_in_another_language_sees_a_bus_its_times_and_what_is_cancelled() -> Result<()> {
    story(|place| {
        let library = python::library(place, "python-gtfs-realtime", LIBRARY)?;
        let hub = Hub::found(place, "hub")?;
        settings(&hub)?;
        let trips = hub.trips_from("LUN")?;
        let (driven, dropped) = (&trips[0], trips.last().context("two trips")?);
        let office = hub.office();
        let board = format!("/operations/trips/{}/boarding", driven.id);
        let cancel = format!("/operations/trips/{}/cancellation", dropped.id);
        let any = [("if-match", "*")];
        office.post_with(&board, &any, &json!({}))?.good()?;
        let why = json!({"reason": "the bridge at Kafue is closed"});
        office.post_with(&cancel, &any, &why)?.good()?;
        let mut bus = bus(place, &hub, driven.id)?;
        let path = format!("/trips/{}/positions", driven.id);
        until("the bus to drive", DEADLINE, || {
            let answer = office.get(&path)?;
            let along = answer.body["along_m"].as_u64().unwrap_or(0);
            Ok(if along > 20 {
                Ok(())
            } else {
                Err(format!("{answer:?}"))
            })
        })?;
        let seen = office.fetch(&path)?;
        ensure!(seen["position"]["source"] == "simulated", "{seen}");
        ensure!(number(&seen, "age_ms")? < 30_000, "{seen}");
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", library).args(["-B", "-c", READER]);
        let read: Value = Ran::good(python.arg(hub.base()).arg(COMPANY))?.json()?;
        let vehicle = &list(&read, "vehicles")?[0];
        let lat = vehicle["lat"].as_f64().context("a latitude")?;
        ensure!((lat + 15.419).abs() < 0.1, "{read}");
        ensure!(list(&read, "vehicles")?.len() == 1, "{read}");
        let updates = read["updates"].as_object().context("updates")?;
        let of_trip = text(vehicle, "trip")?;
        let update = updates
            .iter()
            .find(|(key, _)| key.starts_with(&format!("{of_trip}/")));
        let (_, update) = update.with_context(|| format!("no update of {of_trip}: {read}"))?;
        let stops = list(update, "stops")?;
        ensure!(stops.len() >= driven.stops.len() - 1, "{update}");
        for pair in stops.windows(2) {
            ensure!(pair[0][3].as_i64() <= pair[1][2].as_i64(), "{update}");
        }
        let cancelled = updates.values().filter(|u| u["relation"] == "CANCELED");
        ensure!(cancelled.count() == 1, "{read}");
        let alert = &list(&read, "alerts")?[0];
        ensure!(alert["effect"] == "NO_SERVICE", "{read}");
        ensure!(alert["why"] == "the bridge at Kafue is closed", "{read}");
        bus.check()?;
        bus.stop()
    })
}
