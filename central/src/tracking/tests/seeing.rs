//! Who sees a bus, and what.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::road::{Road, fix};
use crate::access::Role;
use crate::clock;
use crate::http::router;
use crate::testing::TestCompany;
use crate::tracking::links::Link;

const PATIENCE: Duration = Duration::from_secs(20);

/// The events of a stream, comments left out.
pub struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    pub async fn open(road: &Road, path: &str, token: &str) -> Self {
        let request = Request::get(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let response = router(road.api.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event's kind and data; none once the stream has ended.
    pub async fn next(&mut self) -> Option<(String, String)> {
        let next = tokio::time::timeout(PATIENCE, self.next_of_all()).await;
        next.expect("an event in time")
    }

    async fn next_of_all(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().find_map(|l| l.strip_prefix(name));
                    lines.unwrap_or_default().trim().to_owned()
                };
                let (kind, data) = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                if kind.is_empty() {
                    continue;
                }
                return Some((kind, data));
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(str::from_utf8(&chunk).unwrap());
        }
    }

    pub async fn position(&mut self) -> Value {
        let (kind, data) = self.next().await.expect("an event");
        assert_eq!(kind, "position", "{data}");
        serde_json::from_str(&data).unwrap()
    }
}

#[tokio::test]
async fn a_trip_is_seen_with_a_ticket_or_a_link_and_by_nobody_else() {
    let road = Road::new().await;
    road.take(vec![fix(road.trip.id, 1, -5, 0.0)])
        .await
        .written
        .await;
    let path = format!("/trips/{}/positions", road.trip.id);
    let seen = async |query: &str| road.get(&format!("{path}?{query}"), None).await;
    assert_eq!(road.get(&path, None).await.0, 400, "nothing was shown");
    let ticket = Uuid::from_u128(77);
    let mut owner = road.test.owner().await.unwrap();
    sqlx::query(
        "INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal,
             layout_version, issued_at_ms, kid, suite, tag, fare_minor, currency, state, change_no)
         VALUES ($1, $2, $3, 1, '[0,3)', 0, 1, 1, 0, '\\x00000000', 0, '\\x00', 1, 'ZMW', 0, 1)",
    )
    .bind(road.company.id.0)
    .bind(ticket)
    .bind(road.trip.id.0 as i64)
    .execute(&mut owner)
    .await
    .unwrap();
    let (status, said) = seen(&format!("ticket={ticket}")).await;
    assert_eq!(status, 200, "{said}");
    assert!(said["age_ms"].as_i64().unwrap() >= 5_000, "{said}");
    assert_eq!(said["position"]["source"], "receiver");
    assert_eq!(said["stops"].as_array().unwrap().len(), 4);
    assert!(said["stops"][3]["expected_at"].is_string(), "{said}");
    for wrong in [
        format!("ticket={}", Uuid::from_u128(78)),
        "ticket=MW1:ABC".to_owned(),
        "link=track_AAAA".to_owned(),
        "reference=7F3K22QX&phone=%2B260970000001".to_owned(),
    ] {
        assert_eq!(seen(&wrong).await.0, 404, "{wrong}");
    }
    assert_eq!(seen("tickets=1").await.0, 400, "an unknown name");
    let foreign = TestCompany::new(&road.test.db, 2).await.unwrap();
    let stranger = crate::testing::token_for(&road.api, foreign.id, Role::CompanyAdmin).await;
    assert_eq!(road.get(&path, Some(&stranger.unwrap())).await.0, 404);
    let agent = road.token(Role::Agent).await;
    assert_eq!(road.get(&path, Some(&agent)).await.0, 200);
    for state in ["scheduled", "arrived", "cancelled"] {
        road.set_state(state).await;
        let (status, said) = seen(&format!("ticket={ticket}")).await;
        assert_eq!(
            (status, said["type"].as_str()),
            (409, Some("urn:mwimule:problem:not-followed"))
        );
    }
    sqlx::query("UPDATE ticket SET state = 1")
        .execute(&mut owner)
        .await
        .unwrap();
    road.set_state("boarding").await;
    assert_eq!(
        seen(&format!("ticket={ticket}")).await.0,
        404,
        "a void ticket"
    );
}

#[tokio::test]
async fn a_link_shows_its_trip_until_it_ends_or_is_revoked() {
    let road = Road::new().await;
    road.take(vec![fix(road.trip.id, 1, 0, 0.0)])
        .await
        .written
        .await;
    let clerk = road.token(Role::Clerk).await;
    let trip = road.trip.id.0;
    let path = format!("/trips/{trip}/positions");
    let (status, link) = road
        .post("/tracking/links", &clerk, &json!({"trip": trip}))
        .await;
    assert_eq!(status, 201, "{link}");
    let token = link["token"].as_str().unwrap();
    assert_eq!(road.get(&format!("{path}?link={token}"), None).await.0, 200);
    let list = road
        .get(&format!("/tracking/links?trip={trip}"), Some(&clerk))
        .await
        .1;
    assert_eq!(list["items"][0]["token"], token);
    // A good link of another trip opens this one as little as one that is over.
    let key = road.company.keys.link_key();
    let mut other = Link::read(&key, token).unwrap();
    other.expires_at = clock::now().plus_ms(-1);
    let over = other.token(&key);
    assert_eq!(road.get(&format!("{path}?link={over}"), None).await.0, 404);
    for at in ["2026-01-01T00:00:00Z", "2126-01-01T00:00:00Z", "soon"] {
        let wish = json!({"trip": trip, "expires_at": at});
        assert_eq!(
            road.post("/tracking/links", &clerk, &wish).await.0,
            422,
            "{at}"
        );
    }
    let mut events = Events::open(&road, &format!("{path}/stream?link={token}"), &clerk).await;
    events.position().await;
    let id = link["link"].as_str().unwrap();
    let revoke = format!("/tracking/links/{id}");
    assert_eq!(road.ask("DELETE", &revoke, &clerk, None).await.0, 204);
    assert_eq!(
        road.ask("DELETE", &revoke, &clerk, None).await.0,
        204,
        "again"
    );
    assert_eq!(road.get(&format!("{path}?link={token}"), None).await.0, 404);
    let agent = road.token(Role::Agent).await;
    let wish = json!({"trip": trip});
    assert_eq!(road.post("/tracking/links", &agent, &wish).await.0, 403);
}

#[tokio::test]
async fn a_revoked_link_ends_the_stream_that_it_opened() {
    let road = Road::new().await;
    let clerk = road.token(Role::Clerk).await;
    let trip = road.trip.id.0;
    let wish = json!({"trip": trip});
    let (_, link) = road.post("/tracking/links", &clerk, &wish).await;
    let token = link["token"].as_str().unwrap();
    let nobody = "";
    let path = format!("/trips/{trip}/positions/stream?link={token}");
    let request = Request::get(&path).body(Body::empty()).unwrap();
    let response = router(road.api.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{nobody}");
    let mut events = Events {
        body: response.into_body().into_data_stream(),
        text: String::new(),
    };
    let revoke = format!("/tracking/links/{}", link["link"].as_str().unwrap());
    assert_eq!(road.ask("DELETE", &revoke, &clerk, None).await.0, 204);
    assert_eq!(
        events.next().await,
        Some(("ended".to_owned(), "link".to_owned()))
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_stream_tells_the_latest_at_once_each_newer_fix_and_the_end() {
    let road = Road::new().await;
    let trip = road.trip.id;
    road.take(vec![fix(trip, 1, -10, 0.0)]).await.written.await;
    let token = road.token(Role::Agent).await;
    let path = format!("/trips/{trip}/positions/stream");
    let mut events = Events::open(&road, &path, &token).await;
    let first = events.position().await;
    assert!(first["age_ms"].as_i64().unwrap() >= 10_000, "{first}");
    road.take(vec![fix(trip, 2, 0, 100.0)]).await;
    let second = events.position().await;
    assert!(second["age_ms"].as_i64().unwrap() < 10_000, "{second}");
    // Late: nobody is told. The next one is.
    road.take(vec![fix(trip, 3, -5, 50.0)]).await;
    road.take(vec![fix(trip, 4, 1, 120.0)]).await;
    let third = events.position().await;
    let lat = third["position"]["lat"].as_f64().unwrap();
    assert!((lat + 15.001_08).abs() < 1e-6, "{third}");
    assert!(!third.to_string().contains("driver"), "{third}");
    road.set_state("arrived").await;
    assert_eq!(
        events.next().await,
        Some(("ended".to_owned(), "trip".to_owned()))
    );
    assert_eq!(events.next().await, None);
    let (status, _) = road.get(&path, Some(&token)).await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn the_office_finds_its_buses_by_place() {
    let road = Road::new().await;
    road.take(vec![fix(road.trip.id, 1, 0, 1_000.0)])
        .await
        .written
        .await;
    let token = road.token(Role::Agent).await;
    let near = async |radius: u32| {
        let path = format!("/tracking/near?lat=-15.0&lon=28.0&radius_m={radius}");
        road.get(&path, Some(&token)).await.1["items"].clone()
    };
    road_is_near(&near(2_000).await, road.trip.id.0);
    assert_eq!(near(500).await, json!([]));
    road.set_state("arrived").await;
    assert_eq!(near(2_000).await, json!([]), "it is on its way no more");
    assert_eq!(
        road.get("/tracking/near?lat=91&lon=0&radius_m=1", Some(&token))
            .await
            .0,
        400
    );
}

fn road_is_near(items: &Value, trip: u64) {
    assert_eq!(items[0]["trip"], trip, "{items}");
    let metres = items[0]["distance_m"].as_u64().unwrap();
    assert!((990..=1_010).contains(&metres), "{items}");
}
