//! A bus along the road that its route was given.

use domain::tracking::{Fix, Place, to_polyline};
use serde_json::{Value, json};

use super::road::{Road, fix};
use crate::access::Role;

/// From `S0` by a village far beside the straight way to `S1`, then straight to `S3`.
const ROAD: [(f64, f64); 5] = [
    (-15.0, 28.0),
    (-15.05, 28.06),
    (-15.1, 28.0),
    (-15.2, 28.0),
    (-15.3, 28.0),
];

fn text(places: &[(f64, f64)]) -> String {
    let places = places.iter();
    to_polyline(places.map(|(lat, lon)| Place::of_degrees(*lat, *lon).unwrap()))
}

/// A fix at a place of the road, so many seconds from this moment.
fn at(road: &Road, seq: u64, secs: i64, (lat, lon): (f64, f64)) -> Fix {
    let place = Place::of_degrees(lat, lon).unwrap();
    Fix {
        lat_e7: place.lat_e7(),
        lon_e7: place.lon_e7(),
        bearing_deg: None,
        ..fix(road.trip.id, seq, secs, 0.0)
    }
}

/// The trip's route with its stops, as the office made it.
async fn with_route(road: &Road) {
    let mut owner = road.test.owner().await.unwrap();
    for sql in [
        "INSERT INTO route (company_id, route_code, name, layout_id, fare_table_id)
         VALUES ($1, 'R', 'Road', 'coach', 'fares')",
        "INSERT INTO route_stop (company_id, route_code, stop_no, stop_code, arrives_s, departs_s)
         SELECT $1, 'R', n, 'S' || n, n * 1200, n * 1200 FROM generate_series(0, 3) AS n",
    ] {
        let row = sqlx::query(sql).bind(road.company.id.0);
        row.execute(&mut owner).await.unwrap();
    }
}

/// A fix is taken, by what is known of the trip at this moment.
async fn tell(road: &Road, fix: Fix) {
    road.api.tracking.look_again(road.trip.id);
    let taken = road.take(vec![fix]).await;
    assert_eq!(taken.refused, []);
    assert!(taken.written.await);
}

async fn position(road: &Road) -> Value {
    road.api.tracking.look_again(road.trip.id);
    let office = road.token(Role::CompanyAdmin).await;
    let path = format!("/trips/{}/positions", road.trip.id);
    let (status, said) = road.get(&path, Some(&office)).await;
    assert_eq!(status, 200, "{said}");
    said
}

fn close(value: &Value, wanted: u64) {
    let metres = value.as_u64().unwrap();
    assert!(metres.abs_diff(wanted) < 60, "{metres}, not {wanted}");
}

#[tokio::test]
async fn a_bus_is_followed_along_the_road_that_the_office_draws() {
    let road = Road::new().await;
    with_route(&road).await;
    let office = road.token(Role::CompanyAdmin).await;
    let village = ROAD[1];
    tell(&road, at(&road, 1, -400, village)).await;
    let straight = position(&road).await;
    close(&straight["along_m"], 5_560);
    assert_eq!(straight["off_route"], Value::Null, "its road is not known");

    let (_, none) = road.get("/routes/R/shape", Some(&office)).await;
    assert_eq!(
        (&none["polyline"], &none["length_m"]),
        (&Value::Null, &json!(0))
    );
    let coordinates: Vec<[f64; 2]> = ROAD.iter().map(|(lat, lon)| [*lon, *lat]).collect();
    let wish = json!({"line": {"type": "LineString", "coordinates": coordinates}});
    let (status, drawn) = road
        .ask("PUT", "/routes/R/shape", &office, Some(&wish))
        .await;
    assert_eq!(status, 200, "{drawn}");
    // What lies between `S1` and `S3` on a straight road tells nothing.
    assert_eq!(drawn["points"], 4);
    close(&drawn["stops"][1]["along_m"], 17_030);
    close(&drawn["length_m"], 17_030 + 22_240);
    let kept = text(&[ROAD[0], ROAD[1], ROAD[2], ROAD[4]]);
    assert_eq!(drawn["polyline"], kept);
    let (_, read) = road.get("/routes/R/shape", Some(&office)).await;
    assert_eq!(read, drawn);

    // The village is half of the leg, and the bus is due when half of the leg's time has passed.
    tell(&road, at(&road, 2, 0, village)).await;
    let along = position(&road).await;
    close(&along["along_m"], 8_515);
    assert_eq!(along["off_route"], false);
    close(&along["length_m"], 17_030 + 22_240);
    let public = format!("/trips/{}/shape", road.trip.id);
    let (status, shape) = road.get(&public, None).await;
    assert_eq!((status, &shape["polyline"]), (200, &json!(kept)));
    close(&shape["stops"][3]["along_m"], 17_030 + 22_240);
    assert_eq!(road.get("/trips/999999/shape", None).await.0, 404);

    // On a road that is not its own it is off route, and its progress waits.
    for n in 0..4_i32 {
        let beside = (-15.05 - 0.0001 * f64::from(n), 28.07);
        let fix = at(&road, 3 + n as u64, 60 + i64::from(n), beside);
        tell(&road, fix).await;
    }
    let off = position(&road).await;
    assert_eq!(off["off_route"], true, "{off}");
    close(&off["along_m"], 8_515);
    let stored = road.number("SELECT count(*) FROM trip_track").await;
    assert_eq!((stored, road.api.tracking.0.roads.count()), (1, 1));

    // Another road is followed within seconds, and none again once it is taken away.
    let other = [ROAD[0], (-15.05, 28.07), ROAD[2], ROAD[4]];
    let wish = json!({"polyline": text(&other)});
    let (status, said) = road
        .ask("PUT", "/routes/R/shape", &office, Some(&wish))
        .await;
    assert_eq!(status, 200, "{said}");
    tell(&road, at(&road, 9, 90, other[1])).await;
    assert_eq!(position(&road).await["off_route"], false);
    let (status, said) = road.ask("DELETE", "/routes/R/shape", &office, None).await;
    assert_eq!((status, &said["polyline"]), (200, &Value::Null), "{said}");
    let gone = position(&road).await;
    assert_eq!(gone["off_route"], Value::Null);
    close(&gone["length_m"], 33_360);
    assert_eq!(road.get(&public, None).await.1["polyline"], Value::Null);
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'route.shape'";
    assert_eq!(road.number(audited).await, 3);
}

#[tokio::test]
async fn what_is_no_road_of_the_route_is_refused_and_says_why() {
    let road = Road::new().await;
    with_route(&road).await;
    let office = road.token(Role::CompanyAdmin).await;
    let mut turned = ROAD;
    turned.reverse();
    let far = [ROAD[0], (-15.1, 28.5), (-15.2, 28.0), ROAD[4]];
    for (wish, names) in [
        (json!({}), "one of them"),
        (json!({"polyline": "?", "line": null}), "five decimals"),
        (json!({"polyline": "????"}), "two places"),
        (json!({"polyline": text(&turned)}), "turn the line around"),
        (json!({"polyline": text(&far)}), "S1"),
        (
            json!({"line": {"type": "LineString", "coordinates": [[28.0, -15.0], [200.0, 1.0]]}}),
            "position 1",
        ),
        (
            json!({"line": {"type": "Point", "coordinates": [[28.0, -15.0]]}}),
            "LineString",
        ),
    ] {
        let (status, said) = road
            .ask("PUT", "/routes/R/shape", &office, Some(&wish))
            .await;
        assert_eq!(status, 422, "{wish}: {said}");
        assert!(said.to_string().contains(names), "{wish}: {said}");
    }
    let good = json!({"polyline": text(&ROAD)});
    let agent = road.token(Role::Agent).await;
    assert_eq!(
        road.ask("PUT", "/routes/R/shape", &agent, Some(&good))
            .await
            .0,
        403
    );
    assert_eq!(
        road.ask("PUT", "/routes/X/shape", &office, Some(&good))
            .await
            .0,
        404
    );
    assert_eq!(road.number("SELECT count(*) FROM pattern_shape").await, 0);
    let (status, _) = road
        .ask("PUT", "/routes/R/shape", &office, Some(&good))
        .await;
    assert_eq!(status, 200);
    // A stop that is moved away from the road leaves the trip straight lines.
    let mut owner = road.test.owner().await.unwrap();
    let moved = "UPDATE stop SET lon = 28.3 WHERE stop_code = 'S2'";
    sqlx::query(moved).execute(&mut owner).await.unwrap();
    tell(&road, at(&road, 1, 0, ROAD[1])).await;
    assert_eq!(position(&road).await["off_route"], Value::Null);
}
