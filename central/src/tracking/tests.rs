//! Buses on a road of stops that lie eleven kilometres apart, on a real Postgres.

mod road;
mod seeing;
mod shape;
mod sharing;

use domain::ids::TripId;
use prost::Message as _;
use serde_json::json;

use super::gtfs_rt::FeedMessage;
use super::tracker::NotTaken;
use super::{Sender, jobs};
use crate::access::Role;
use crate::clock;
use crate::testing::{TestCompany, person_with};
use road::{Road, fix};

#[tokio::test]
async fn the_newest_fix_stands_and_each_is_kept_once() {
    let road = Road::new().await;
    let now = clock::now();
    let trip = road.trip.id;
    let fixes = vec![fix(trip, 2, 0, 500.0), fix(trip, 1, -60, 0.0)];
    for _ in 0..2 {
        let taken = road.take(fixes.clone()).await;
        assert_eq!(
            (taken.counted.as_slice(), taken.refused.len()),
            (&[2, 1][..], 0)
        );
        assert!(taken.written.await, "it was written");
    }
    assert_eq!(road.number("SELECT count(*) FROM trip_position").await, 2);
    let newest = road.number("SELECT seq FROM trip_track").await;
    assert_eq!(newest, 2, "the late one does not stand");
    let standing = road.api.tracking.standing(trip).await.unwrap().unwrap();
    assert_eq!(standing.1.newest().unwrap().seq, 2);
    let live = road.api.tracking.0.live.latest(trip).await.unwrap();
    assert_eq!(live.unwrap().fix.seq, 2);
    assert!(standing.2 >= now);
    let today = format!("trip_position_d{}", super::db::day_of(now));
    let parts = road
        .number("SELECT count(*) FROM pg_class WHERE relname ~ '^trip_position_d[0-9]+$' AND relforcerowsecurity")
        .await;
    assert!(parts >= 1, "{today} is not there, or unprotected");
    assert_eq!(
        road.number("SELECT count(*) FROM trip_position_rest").await,
        0
    );
}

#[tokio::test]
async fn what_is_not_the_trips_own_or_not_on_its_way_does_not_count() {
    let road = Road::new().await;
    let trip = road.trip.id;
    let refused = async |sender, fix| {
        let taken = road
            .api
            .tracking
            .take(road.company.id, sender, vec![fix], clock::now());
        taken.await.unwrap().refused.first().map(|(_, why)| *why)
    };
    let bus = Sender::Node(road.bus.id());
    assert_eq!(refused(bus, fix(trip, 1, 0, 0.0)).await, None);
    let other = road.company.onboard(9).await.unwrap();
    let stranger = refused(Sender::Node(other.id()), fix(trip, 2, 0, 0.0)).await;
    assert_eq!(stranger, Some(NotTaken::NotOnBoard(trip)));
    let nowhere = TripId(999_999);
    let unknown = refused(bus, fix(nowhere, 3, 0, 0.0)).await;
    assert_eq!(unknown, Some(NotTaken::UnknownTrip(nowhere)));
    let jump = refused(bus, fix(trip, 4, 1, 30_000.0)).await;
    assert!(matches!(jump, Some(NotTaken::Implausible(_))), "{jump:?}");
    let early = refused(bus, fix(trip, 5, -3 * 3_600, 0.0)).await;
    assert_eq!(
        early,
        Some(NotTaken::NotOnTrip(trip)),
        "before it is followed"
    );
    for state in ["scheduled", "cancelled", "arrived"] {
        road.set_state(state).await;
        let after = refused(bus, fix(trip, 6, 2, 0.0)).await;
        assert_eq!(after, Some(NotTaken::NotOnTrip(trip)), "{state}");
    }
    // Another company's node names this company's trip.
    let foreign = TestCompany::new(&road.test.db, 2).await.unwrap();
    let taken = road
        .api
        .tracking
        .take(foreign.id, bus, vec![fix(trip, 7, 3, 0.0)], clock::now());
    let taken = taken.await.unwrap();
    assert_eq!(taken.refused, [(7, NotTaken::UnknownTrip(trip))]);
}

#[tokio::test]
async fn a_departure_that_fixes_show_is_told_and_moves_the_trip_only_where_that_is_wanted() {
    for moves in [false, true] {
        let road = Road::new().await;
        if moves {
            road.settings(
                &json!({"before_min": 60, "keep_days": 30, "moves_trips": true,
                "publish_positions": false}),
            )
            .await;
        }
        let trip = road.trip.id;
        road.drive(0, 60).await;
        let told = "SELECT count(*) FROM outbox WHERE kind = 'trip.departure_seen'";
        assert_eq!(road.number(told).await, 1, "once");
        let calls = "SELECT count(*) FROM trip_call WHERE stop_seq = 0
             AND arrived_at_ms < left_at_ms";
        assert_eq!(road.number(calls).await, 1);
        let departed = "SELECT count(*) FROM trip WHERE state = 'departed'";
        if moves {
            road.until(departed, 1).await;
        } else {
            assert_eq!(road.number(departed).await, 0, "nobody wanted that");
        }
        // On to the next stop: the leg's time is learned.
        road.drive(60, 600).await;
        assert_eq!(
            road.number("SELECT count(*) FROM leg_time WHERE from_stop = 'S0' AND drives = 1")
                .await,
            1
        );
        let standing = road.api.tracking.standing(trip).await.unwrap().unwrap();
        assert_eq!(standing.1.next().0, 2, "it has left the second stop too");
        assert_eq!(road.number(told).await, 1, "and no second time");
    }
}

#[tokio::test]
async fn only_the_crews_phone_says_where_the_bus_is() {
    let road = Road::new().await;
    let driver = person_with(&road.api, road.company.id, Role::Driver)
        .await
        .unwrap();
    let path = format!("/trips/{}/positions", road.trip.id);
    let at = clock::now().to_string();
    let body = json!({"fixes": [
        {"seq": 1, "at": at, "lat": -15.0, "lon": 28.0, "speed_kmh": 36.0, "bearing_deg": 360.0},
        {"seq": 2, "at": at, "lat": 0.0, "lon": 0.0},
    ]});
    let post = async |token: &str, body: &serde_json::Value| road.post(&path, token, body).await;
    let (status, said) = post(&driver.token, &body).await;
    assert_eq!(
        (status, said["type"].as_str()),
        (403, Some("urn:mwimule:problem:not-crew"))
    );
    road.crew(driver.person).await;
    for _ in 0..2 {
        let (status, said) = post(&driver.token, &body).await;
        assert_eq!((status, said["taken"].as_u64()), (200, Some(1)), "{said}");
        assert_eq!(said["refused"][0]["seq"], 2, "{said}");
    }
    assert_eq!(road.number("SELECT count(*) FROM trip_position").await, 1);
    let row = "SELECT count(*) FROM trip_position WHERE source = 1 AND bearing_deg = 0
         AND speed_cm_s = 1000";
    assert_eq!(road.number(row).await, 1);
    for (wrong, status) in [
        (json!({"fixes": []}), 422),
        (
            json!({"fixes": [{"seq": 1, "at": "noon", "lat": 1.0, "lon": 1.0}]}),
            422,
        ),
        (
            json!({"fixes": [{"seq": 1, "at": at, "lat": 91.0, "lon": 1.0}]}),
            422,
        ),
    ] {
        assert_eq!(post(&driver.token, &wrong).await.0, status, "{wrong}");
    }
    let foreign = TestCompany::new(&road.test.db, 2).await.unwrap();
    let stranger = person_with(&road.api, foreign.id, Role::Driver)
        .await
        .unwrap();
    assert_eq!(post(&stranger.token, &body).await.0, 404);
}

#[tokio::test]
async fn days_that_nobody_wants_are_dropped_and_others_kept() {
    let road = Road::new().await;
    let now = clock::now();
    road.take(vec![fix(road.trip.id, 1, 0, 0.0)])
        .await
        .written
        .await;
    let db = &road.test.db;
    let old = super::db::day_of(now) - 31;
    super::db::make_days(db, &[old, old + 1]).await.unwrap();
    let days = "SELECT count(*) FROM pg_class WHERE relname ~ '^trip_position_d[0-9]+$'";
    let before = road.number(days).await;
    assert_eq!(jobs::tidy_days(db, now).await.unwrap(), 1);
    // Tomorrow was made, one old day dropped.
    assert_eq!(road.number(days).await, before);
    road.settings(
        &json!({"before_min": 60, "keep_days": 365, "moves_trips": false,
        "publish_positions": false}),
    )
    .await;
    super::db::make_days(db, &[old]).await.unwrap();
    assert_eq!(
        jobs::tidy_days(db, now).await.unwrap(),
        0,
        "somebody wants a year"
    );
    assert_eq!(road.number("SELECT count(*) FROM trip_position").await, 1);
}

#[tokio::test]
async fn feeds_say_what_the_company_publishes_and_no_more() {
    let road = Road::new().await;
    road.take(vec![fix(road.trip.id, 1, 0, 0.0)])
        .await
        .written
        .await;
    let feed = async |name: &str| {
        let path = format!("/gtfs-rt/Company%201/{name}");
        let (status, kind, bytes) = road.get_bytes(&path).await;
        assert_eq!((status, kind.as_str()), (200, "application/x-protobuf"));
        FeedMessage::decode(bytes.as_slice()).unwrap()
    };
    assert_eq!(feed("vehicle-positions").await.entity, [], "not published");
    road.settings(
        &json!({"before_min": 60, "keep_days": 30, "moves_trips": false,
        "publish_positions": true}),
    )
    .await;
    let vehicles = feed("vehicle-positions").await;
    let vehicle = vehicles.entity[0].vehicle.as_ref().unwrap();
    let position = vehicle.position.unwrap();
    assert!((position.latitude + 15.0).abs() < 0.001, "{position:?}");
    let descriptor = vehicle.trip.as_ref().unwrap();
    assert_eq!(descriptor.trip_id.as_deref(), Some("road"));
    let updates = feed("trip-updates").await;
    let update = updates.entity[0].trip_update.as_ref().unwrap();
    assert_eq!(update.stop_time_update.len(), 4, "{update:?}");
    assert_eq!(feed("alerts").await.entity, []);
    road.set_state("cancelled").await;
    assert_eq!(feed("vehicle-positions").await.entity, []);
    let alerts = feed("alerts").await;
    let alert = alerts.entity[0].alert.as_ref().unwrap();
    assert_eq!(alert.effect, Some(1), "no service");
    let cancelled = feed("trip-updates").await;
    let trip = &cancelled.entity[0].trip_update.as_ref().unwrap().trip;
    assert_eq!(trip.schedule_relationship, Some(3));
    assert_eq!(road.get_bytes("/gtfs-rt/Nobody/alerts").await.0, 404);
    let (status, kind, _) = road
        .get_bytes("/gtfs-rt/Company%201/alerts?format=json")
        .await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
}
