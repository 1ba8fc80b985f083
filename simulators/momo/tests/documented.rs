//! The numbers of MTN's sandbox behave as in MTN's, in the calls of a library's own example:
//! provision a user, take a token, request to pay, ask how it went, look at the balance.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use sim_kit::{Faults, Running};
use sim_momo::{Momo, Settings};
use tokio::runtime::Runtime;

struct Sandbox {
    running: Running,
    agent: ureq::Agent,
    token: String,
    _runtime: Runtime,
}

fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

impl Sandbox {
    fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let momo = Momo::open(Settings::default(), None).unwrap();
        let faults = Faults {
            slow_ms: 200,
            ..Faults::default()
        };
        momo.book.change(|b| b.faults = faults);
        let running = runtime.block_on(sim_kit::listen(momo.router())).unwrap();
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let mut sandbox = Self {
            running,
            agent: config.build().into(),
            token: String::new(),
            _runtime: runtime,
        };
        let user = uuid(77);
        let body = json!({ "providerCallbackHost": "example.com" });
        let (status, _) = sandbox.post("/v1_0/apiuser", &[("X-Reference-Id", &user)], &body);
        assert_eq!(status, 201);
        let path = format!("/v1_0/apiuser/{user}/apikey");
        let (status, made) = sandbox.post(&path, &[], &json!({}));
        assert_eq!(status, 201);
        let pair = format!("{user}:{}", made["apiKey"].as_str().unwrap());
        let basic = format!("Basic {}", BASE64.encode(pair.as_bytes()));
        let path = "/collection/token/";
        let (status, made) = sandbox.post(path, &[("Authorization", &basic)], &json!({}));
        assert_eq!(status, 200, "{made}");
        sandbox.token = format!("Bearer {}", made["access_token"].as_str().unwrap());
        sandbox
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.running.url))
            .header("Ocp-Apim-Subscription-Key", "sim-subscription")
            .header("X-Target-Environment", "sandbox");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send_json(body))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let request = self
            .agent
            .get(format!("{}{path}", self.running.url))
            .header("Ocp-Apim-Subscription-Key", "sim-subscription")
            .header("X-Target-Environment", "sandbox")
            .header("Authorization", &self.token);
        read(request.call())
    }

    /// Asks a number for 10 euros; the reference to ask about.
    fn request_to_pay(&self, n: u32, number: &str) -> String {
        let reference = uuid(n);
        let body = json!({
            "amount": "10", "currency": "EUR", "externalId": "123456",
            "payer": { "partyIdType": "MSISDN", "partyId": number },
            "payerMessage": "testing", "payeeNote": "hello",
        });
        let headers = [
            ("Authorization", self.token.as_str()),
            ("X-Reference-Id", &reference),
        ];
        let (status, answer) = self.post("/collection/v1_0/requesttopay", &headers, &body);
        assert_eq!(status, 202, "{number}: {answer}");
        format!("/collection/v1_0/requesttopay/{reference}")
    }

    fn until(&self, path: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let (_, row) = self.get(path);
            if row["status"] == status {
                return row;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{row}");
        }
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut answer = answer.unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    (answer.status().as_u16(), body)
}

#[test]
fn the_sandboxs_numbers_fail_wait_and_pay_as_documented() {
    let sandbox = Sandbox::open();
    for (n, number, reason) in [
        (1, "46733123450", "INTERNAL_PROCESSING_ERROR"),
        (2, "46733123451", "APPROVAL_REJECTED"),
        (3, "46733123452", "EXPIRED"),
    ] {
        let path = sandbox.request_to_pay(n, number);
        let row = sandbox.until(&path, "FAILED");
        assert_eq!(row["reason"], reason, "{number}");
    }
    let stays = sandbox.request_to_pay(4, "46733123453");
    let slow = sandbox.request_to_pay(5, "46733123454");
    assert_eq!(sandbox.get(&slow).1["status"], "PENDING");
    let paid = sandbox.until(&slow, "SUCCESSFUL");
    assert_eq!(paid["payer"]["partyId"], "46733123454");
    assert!(paid["financialTransactionId"].is_string(), "{paid}");
    let other = sandbox.request_to_pay(6, "56733123453");
    sandbox.until(&other, "SUCCESSFUL");
    assert_eq!(sandbox.get(&stays).1["status"], "PENDING");
    let (status, balance) = sandbox.get("/collection/v1_0/account/balance");
    let wanted = json!({ "availableBalance": "20.00", "currency": "EUR" });
    assert_eq!((status, balance), (200, wanted));
    let (_, ledger) = sandbox.get("/_control/ledger");
    assert_eq!(ledger["captures"], 2);
}
