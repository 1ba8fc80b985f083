//! A hub's HTTP side with the Zambian network in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use domain::ids::{CompanyId, TripId};
use domain::time::Instant;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::company::{self, NewCompany};
use crate::gtfs::{self, Options};
use crate::http::{Api, router};
use crate::keys::HubKeys;
use crate::testing::TestDb;
use crate::vault::Vault;

/// A day that the fixture's calendar serves, far enough ahead that boarding is open.
pub const DAY: &str = "2034-05-02";
const NOW: Instant = Instant(1_790_000_000_000);

/// A running API.
pub struct Site {
    pub db: TestDb,
    pub keys: HubKeys,
    pub api: Api,
    pub base: String,
    serving: JoinHandle<()>,
    /// The token of each company's office.
    offices: Mutex<BTreeMap<CompanyId, String>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The word at the end of a problem's type.
    pub fn problem(&self) -> String {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        let kind = problem["type"].as_str().unwrap_or_default();
        kind.trim_start_matches("urn:mwimule:problem:").to_owned()
    }
}

impl Site {
    /// A hub without companies.
    pub async fn new() -> Self {
        let db = TestDb::new().await.unwrap();
        let keys = HubKeys::from_bytes(&[7; 32], [8; 32]);
        let (api, base, serving) = serve(&db, &keys).await;
        Self {
            db,
            keys,
            api,
            base,
            serving,
            offices: Mutex::default(),
        }
    }

    /// The same hub after a restart: nothing is left of the first but the database.
    pub async fn restart(&mut self) {
        self.serving.abort();
        (self.api, self.base, self.serving) = serve(&self.db, &self.keys).await;
    }

    /// A company with one day of the Zambian timetable, and a token of its office.
    pub async fn company(&self, name: &str) -> (CompanyId, String) {
        let wanted = NewCompany {
            name: name.to_owned(),
            zone: "Africa/Lusaka".parse().unwrap(),
            currency: "ZMW".parse().unwrap(),
        };
        let id = company::create(&self.db.db, &self.keys, &wanted, NOW)
            .await
            .unwrap();
        let feed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/zambia-gtfs");
        let options = Options {
            days: 1,
            ..Options::starting(DAY.parse().unwrap())
        };
        let (plan, _) = gtfs::import(&feed, &options).unwrap();
        company::apply(&self.db.db, id, &plan).await.unwrap();
        let token = company::create_token(&self.db.db, id, "office", NOW)
            .await
            .unwrap();
        let mut offices = self.offices.lock().unwrap();
        offices.insert(id, token.token.clone());
        (id, token.token)
    }

    /// The token of the office that runs a trip.
    pub async fn office_of(&self, trip: u64) -> String {
        let company = company::company_of_trip(&self.db.db, TripId(trip));
        let company = company.await.unwrap().unwrap();
        self.offices.lock().unwrap()[&company].clone()
    }

    /// The first trip of a company from Lusaka to Livingstone.
    pub async fn trip(&self, company: &str) -> u64 {
        let path = format!("/trips?company={company}&date={DAY}&from=LUN&to=LVI&limit=1");
        let page = self.get(&path).await.json();
        page["items"][0]["trip"].as_u64().unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        ask(&self.base, path, None, vec![]).await
    }

    /// The headers of an answer.
    pub async fn headers(&self, path: &str) -> axum::http::HeaderMap {
        let url = format!("{}{path}", self.base);
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            agent.get(&url).call().unwrap().headers().clone()
        });
        asked.await.unwrap()
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        let header = ("authorization".to_owned(), format!("Bearer {token}"));
        ask(&self.base, path, None, vec![header]).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ask(&self.base, path, Some(body.to_owned()), headers.collect()).await
    }

    /// Puts a row in the place of another.
    pub async fn put(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let url = format!("{}{path}", self.base);
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let body = body.to_string();
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            let request = agent.put(&url).header("content-type", "application/json");
            let request = headers
                .iter()
                .fold(request, |r, (name, value)| r.header(name, value));
            let mut response = request.send(body.as_bytes()).unwrap();
            let content_type = response.headers().get("content-type");
            Answer {
                status: response.status().as_u16(),
                content_type: content_type
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
                text: response.body_mut().read_to_string().unwrap(),
            }
        });
        asked.await.unwrap()
    }

    /// Sells adults tickets from Lusaka to Livingstone, for cash at the office.
    pub async fn book(&self, trip: u64, key: &str, adults: usize) -> Answer {
        let mut body = booking(trip, adults);
        body["pay"] = "cash".into();
        let bearer = format!("Bearer {}", self.office_of(trip).await);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
            ("authorization", &bearer),
        ];
        self.post("/bookings", &headers, &body.to_string()).await
    }

    /// Posts as nobody in particular, under a key.
    pub async fn ask(&self, path: &str, key: &str, body: &Value) -> Answer {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        self.post(path, &headers, &body.to_string()).await
    }

    /// Any method, with the headers of a hold.
    pub async fn with_token(&self, method: &str, path: &str, token: &str) -> Answer {
        self.with_header(method, path, ("hold-token", token)).await
    }

    /// Any method, with one header.
    pub async fn with_header(
        &self,
        method: &str,
        path: &str,
        (name, value): (&str, &str),
    ) -> Answer {
        let url = format!("{}{path}", self.base);
        let (method, name, value) = (method.to_owned(), name.to_owned(), value.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            let mut response = match method.as_str() {
                "GET" => agent.get(&url).header(&name, &value).call(),
                "DELETE" => agent.delete(&url).header(&name, &value).call(),
                _ => agent.post(&url).header(&name, &value).send_empty(),
            }
            .unwrap();
            let content_type = response.headers().get("content-type");
            Answer {
                status: response.status().as_u16(),
                content_type: content_type
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
                text: response.body_mut().read_to_string().unwrap(),
            }
        });
        asked.await.unwrap()
    }

    /// Books until so many seats are left for the whole journey.
    pub async fn leave_seats(&self, trip: u64, left: usize) {
        let seats = self.get(&format!("/trips/{trip}/seats")).await.json();
        let mut free = seats["free_seats"].as_u64().unwrap() as usize;
        while free > left {
            let party = (free - left).min(10);
            let answer = self.book(trip, &format!("fill-{free}"), party).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            free -= party;
        }
    }
}

pub fn booking(trip: u64, adults: usize) -> Value {
    json!({
        "trip": trip,
        "from": "LUN",
        "to": "LVI",
        "passengers": vec!["adult"; adults],
        "contact": { "name": "Mutale Banda", "phone": "+260970000001" },
    })
}

async fn serve(db: &TestDb, keys: &HubKeys) -> (Api, String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let api = Api::new(db.db.clone(), keys.clone(), Vault::from_bytes([9; 32]));
    let routes = router(api.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move {
        axum::serve(listener, routes).await.unwrap();
    });
    (api, base, serving)
}

async fn ask(
    base: &str,
    path: &str,
    body: Option<String>,
    headers: Vec<(String, String)>,
) -> Answer {
    let url = format!("{base}{path}");
    let asked = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut response = if let Some(body) = body {
            let request = headers
                .iter()
                .fold(agent.post(&url), |r, (name, value)| r.header(name, value));
            request.send(body.as_bytes()).unwrap()
        } else {
            let request = headers
                .iter()
                .fold(agent.get(&url), |r, (name, value)| r.header(name, value));
            request.call().unwrap()
        };
        let content_type = response.headers().get("content-type");
        Answer {
            status: response.status().as_u16(),
            content_type: content_type
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            text: response.body_mut().read_to_string().unwrap(),
        }
    });
    asked.await.unwrap()
}
