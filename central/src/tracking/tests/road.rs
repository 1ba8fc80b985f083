//! A trip that left ten minutes ago over stops `S0` to `S3`, and its bus.

use std::time::{Duration, Instant as Moment};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use domain::codec::to_cbor;
use domain::ids::TripId;
use domain::tracking::{Fix, Source};
use domain::trip::Trip;
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::access::Role;
use crate::clock;
use crate::http::{Api, router};
use crate::testing::{TestCompany, TestDb, TestNode, token_for};
use crate::tracking::tracker::Taken;
use crate::tracking::{Sender, Tracker};
use crate::vault::Vault;

const MINUTE_MS: i64 = 60_000;
/// Ten-millionths of a degree of latitude in a metre, nearly.
const E7_PER_M: f64 = 90.0;
const DEADLINE: Duration = Duration::from_secs(20);

pub struct Road {
    pub test: TestDb,
    pub company: TestCompany,
    pub api: Api,
    pub trip: Trip,
    pub bus: TestNode,
}

/// A fix so many seconds from this moment, so many metres down the road.
pub fn fix(trip: TripId, seq: u64, secs: i64, down_m: f64) -> Fix {
    Fix {
        trip,
        seq,
        at: clock::now().plus_ms(secs * 1_000),
        lat_e7: -150_000_000 - (down_m * E7_PER_M) as i32,
        lon_e7: 280_000_000,
        speed_cm_s: Some(2_000),
        bearing_deg: Some(180),
        accuracy_m: Some(5),
        source: Source::Receiver,
    }
}

impl Road {
    pub async fn new() -> Self {
        let test = TestDb::new().await.unwrap();
        let tracking = Tracker::new(test.db.clone());
        Self::with(test, tracking).await
    }

    pub async fn with(test: TestDb, tracking: Tracker) -> Self {
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let mut trip = company.trip("road", 3, 20).await.unwrap();
        let left = clock::now().plus_ms(-10 * MINUTE_MS);
        for (n, stop) in trip.stops.iter_mut().enumerate() {
            stop.arrives = left.plus_ms(n as i64 * 20 * MINUTE_MS);
            stop.departs = stop.arrives;
        }
        let bus = company.onboard(1).await.unwrap();
        let mut owner = test.owner().await.unwrap();
        sqlx::query(
            "UPDATE trip SET body = $2, departs_at_ms = $3, state = 'boarding', onboard_node = $4
             WHERE trip_id = $1",
        )
        .bind(trip.id.0 as i64)
        .bind(to_cbor(&trip))
        .bind(left.0)
        .bind(bus.id().0)
        .execute(&mut owner)
        .await
        .unwrap();
        sqlx::query(
            "UPDATE stop SET lat = -15 - substr(stop_code, 2)::integer * 0.1, lon = 28
             WHERE company_id = $1",
        )
        .bind(company.id.0)
        .execute(&mut owner)
        .await
        .unwrap();
        let mut api = Api::new(
            test.db.clone(),
            company.keys.clone(),
            Vault::from_bytes([9; 32]),
        );
        api.tracking = tracking;
        Self {
            test,
            company,
            api,
            trip,
            bus,
        }
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        self.test.number(sql).await.unwrap()
    }

    pub async fn until(&self, sql: &'static str, wanted: i64) {
        let began = Moment::now();
        while self.number(sql).await != wanted {
            assert!(began.elapsed() < DEADLINE, "never {wanted}: {sql}");
            // tidy-allow-sleep: between two looks at a condition
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn take(&self, fixes: Vec<Fix>) -> Taken {
        let sender = Sender::Node(self.bus.id());
        let taken = self
            .api
            .tracking
            .take(self.company.id, sender, fixes, clock::now());
        taken.await.unwrap()
    }

    /// Drives down the road at 20 m/s, from so many seconds after the start to so many.
    pub async fn drive(&self, from_s: i64, to_s: i64) {
        let began = -600;
        let fixes: Vec<Fix> = (from_s..to_s)
            .step_by(2)
            .map(|s| fix(self.trip.id, s as u64 + 1, began + s, s as f64 * 20.0))
            .collect();
        let taken = self.take(fixes).await;
        assert_eq!(taken.refused, [], "every fix counts");
        assert!(taken.written.await);
    }

    /// Moves the trip behind the hub's back.
    pub async fn set_state(&self, state: &'static str) {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query("UPDATE trip SET state = $2 WHERE trip_id = $1")
            .bind(self.trip.id.0 as i64)
            .bind(state)
            .execute(&mut owner)
            .await
            .unwrap();
        self.api.tracking.look_again(self.trip.id);
    }

    pub async fn crew(&self, person: Uuid) {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query(
            "INSERT INTO trip_crew (company_id, trip_id, person_id, role, busy)
             VALUES ($1, $2, $3, 'driver', '[0,1)')",
        )
        .bind(self.company.id.0)
        .bind(self.trip.id.0 as i64)
        .bind(person)
        .execute(&mut owner)
        .await
        .unwrap();
    }

    pub async fn token(&self, role: Role) -> String {
        token_for(&self.api, self.company.id, role).await.unwrap()
    }

    pub async fn send(
        &self,
        request: axum::http::request::Builder,
        body: Body,
    ) -> (u16, String, Vec<u8>) {
        let request = request.body(body).unwrap();
        let response = router(self.api.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type");
        let kind = kind.map_or("", |k| k.to_str().unwrap()).to_owned();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, bytes.to_vec())
    }

    pub async fn get_bytes(&self, path: &str) -> (u16, String, Vec<u8>) {
        self.send(Request::get(path), Body::empty()).await
    }

    /// As nobody, or with a token.
    pub async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (status, _, bytes) = self.send(request, Body::empty()).await;
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("if-match", "*")
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let (status, _, bytes) = self.send(request, body).await;
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, token, Some(body)).await
    }

    pub async fn settings(&self, body: &Value) {
        let admin = self.token(Role::CompanyAdmin).await;
        let (status, said) = self
            .ask("PUT", "/tracking/settings", &admin, Some(body))
            .await;
        assert_eq!(status, 200, "{said}");
        self.api.tracking.look_again(self.trip.id);
    }
}
