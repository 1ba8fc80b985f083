//! A hub with its jobs running, and both operators.

use std::time::{Duration, Instant as Watch};

use serde_json::{Value, json};
use sim_kit::Running;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::booking::Deadline;
use crate::clock;
use crate::company;
use crate::config::Config;
use crate::http::{Api, router};
use crate::payment::Providers;
use crate::tenant::TenantTx;
use crate::testing::{TestCompany, TestDb};
use crate::vault::Vault;
use crate::worker;

pub const TOTAL: i64 = 30_000;
pub const PHONE: &str = "+260970000001";
pub const PATIENCE: Duration = Duration::from_mins(1);

pub struct Scene {
    pub test: TestDb,
    pub company: TestCompany,
    pub momo: sim_momo::Momo,
    pub card: sim_card::Card,
    pub api: Api,
    pub trip: i64,
    base: String,
    token: String,
    client: reqwest::Client,
    _running: (Running, Running),
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for serving in &self.serving {
            serving.abort();
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub etag: Option<String>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The word at the end of a problem's type.
    pub fn problem(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        kind.trim_start_matches("urn:mwimule:problem:").to_owned()
    }
}

impl Scene {
    pub async fn new() -> Self {
        Self::paying_within(300).await
    }

    /// Payers have so many seconds.
    pub async fn paying_within(seconds: u32) -> Self {
        Self::with(seconds, true).await
    }

    /// Webhooks go to the public internet only, as they do unless the hub is told otherwise.
    pub async fn guarded() -> Self {
        Self::with(300, false).await
    }

    async fn with(seconds: u32, allow_private: bool) -> Self {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let trip = company.trip("1", 4, 40).await.unwrap().id.0 as i64;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let momo = sim_momo::Momo::open(sim_momo::Settings::default(), None).unwrap();
        let settings = sim_card::Settings {
            webhook_url: Some(format!("{base}/payments/webhooks/card")),
            ..sim_card::Settings::default()
        };
        let card = sim_card::Card::open(settings, None).unwrap();
        let running = (
            sim_kit::listen(momo.clone().router()).await.unwrap(),
            sim_kit::listen(card.clone().router()).await.unwrap(),
        );
        let config = settings_text(&base, &running.0.url, &running.1.url, seconds);
        let config = format!("{config}[webhooks]\nallow_private = {allow_private}\n");
        let config: Config = toml::from_str(&config).unwrap();
        let mut api = Api::new(
            test.db.clone(),
            company.keys.clone(),
            Vault::from_bytes([9; 32]),
        );
        api.payments = Providers::new(&config).unwrap();
        let token = company::create_token(&test.db, company.id, "office", clock::now());
        let token = token.await.unwrap().token;
        let (stop, stopping) = watch::channel(false);
        let web = router(api.clone());
        let serving = vec![
            tokio::spawn(async move { axum::serve(listener, web).await.unwrap() }),
            tokio::spawn(worker::work(api.clone(), stopping)),
        ];
        Self {
            test,
            company,
            momo,
            card,
            api,
            trip,
            base,
            token,
            client: reqwest::Client::new(),
            _running: running,
            stop,
            serving,
        }
    }

    pub async fn tx(&self) -> TenantTx {
        self.test.db.tenant(self.company.id).await.unwrap()
    }

    /// An unpaid booking of one seat on the whole trip; gives its reference.
    pub async fn awaiting(&self, seat: i16) -> String {
        let id = Uuid::from_u128(seat as u128);
        let reference = format!("BOOK-{seat}");
        let deadline = Deadline::starting(clock::now());
        let mut tx = self.tx().await;
        sqlx::query(
            "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor,
                 currency, created_at_ms, state, expires_at_ms, expires_last_ms, contact_phone)
             VALUES ($1, $2, $3, $4, $5, 'ZMW', 0, 'awaiting_payment', $6, $7, $8)",
        )
        .bind(self.company.id.0)
        .bind(id)
        .bind(&reference)
        .bind(self.trip)
        .bind(TOTAL)
        .bind(deadline.expires_at.0)
        .bind(deadline.last.0)
        .bind(PHONE)
        .execute(tx.conn())
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
                 fare_minor) VALUES ($1, $2, 1, $3, $4, '[0,4)', 0, $5)",
        )
        .bind(self.company.id.0)
        .bind(id)
        .bind(self.trip)
        .bind(seat)
        .bind(TOTAL)
        .execute(tx.conn())
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id)
             VALUES ($1, $2, $3, '[0,4)', 'hold', $4)",
        )
        .bind(self.company.id.0)
        .bind(self.trip)
        .bind(seat)
        .bind(id)
        .execute(tx.conn())
        .await
        .unwrap();
        tx.commit().await.unwrap();
        reference
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let etag = response.headers().get("etag");
        Answer {
            status: response.status().as_u16(),
            etag: etag.map(|v| v.to_str().unwrap().to_owned()),
            text: response.text().await.unwrap(),
        }
    }

    pub async fn office(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        self.ask(method, path, &[("authorization", &bearer)], body)
            .await
    }

    /// As the office, on the row that was shown.
    pub async fn decide(&self, path: &str, etag: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("if-match", etag)];
        self.ask("POST", path, &headers, body).await
    }

    pub async fn pay(&self, reference: &str, key: &str, wish: &Value) -> Answer {
        let path = format!("/bookings/{reference}/payments");
        self.ask("POST", &path, &[("idempotency-key", key)], Some(wish))
            .await
    }

    /// Pays by mobile money from this number and waits for the end.
    pub async fn paid_by(&self, reference: &str, wish: &Value) -> Value {
        let begun = self.pay(reference, reference, wish).await;
        assert_eq!(begun.status, 201, "{begun:?}");
        let id = begun.json()["payment"].as_str().unwrap().to_owned();
        self.ended(&id).await
    }

    /// The payment once it is under way no more.
    pub async fn ended(&self, payment: &str) -> Value {
        self.until(&format!("/payments/{payment}"), |row| {
            !matches!(row["state"].as_str(), Some("intent" | "pending"))
        })
        .await
    }

    /// Looks until it is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Watch::now();
        loop {
            let row = self.office("GET", path, None).await.json();
            if wanted(&row) {
                return row;
            }
            assert!(began.elapsed() < PATIENCE, "{path} stays {row}");
            // tidy-allow-sleep: between two looks
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        self.test.number(sql).await.unwrap()
    }

    pub async fn stands_on(&self, account: &'static str) -> i64 {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query_scalar(
            "SELECT COALESCE(sum(p.amount_minor), 0)::bigint FROM ledger_posting p
             JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = $1",
        )
        .bind(account)
        .fetch_one(&mut owner)
        .await
        .unwrap()
    }
}

pub fn momo(phone: &str) -> Value {
    json!({ "provider": "momo", "phone": phone, "contact_phone": PHONE })
}

pub fn card(token: &str) -> Value {
    json!({ "provider": "card", "card": token, "contact_phone": PHONE })
}

fn settings_text(base: &str, momo: &str, card: &str, seconds: u32) -> String {
    let keys = "subscription_key = \"sim-subscription\"\napi_key = \"sim-api-key\"\n\
                api_user = \"00000000-0000-4000-8000-000000000001\"\n";
    format!(
        "[momo]\nurl = \"{momo}\"\ncallback_url = \"{base}\"\npay_within_s = {seconds}\n\
         answer_within_s = 1\n[momo.collection]\n{keys}[momo.disbursement]\n{keys}\
         [card]\nurl = \"{card}\"\nsecret_key = \"sk_test_sim\"\npay_within_s = {seconds}\n\
         answer_within_s = 1\nwebhook_secrets = [\"whsec_sim_card\"]\n"
    )
}

impl Scene {
    /// Pays as the office.
    pub async fn sell(&self, path: &str, key: &str, wish: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        self.ask("POST", path, &headers, Some(wish)).await
    }
}
