//! Webhooks to companies, from the booking to a receiver that checks their signatures.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sim_kit::Running;
use tokio::net::TcpListener;

use super::scene::{Scene, momo};
use crate::clock;

/// What the receiver got.
#[derive(Debug, Clone)]
struct Got {
    id: String,
    at_s: String,
    signatures: String,
    body: String,
}

type Heard = Arc<Mutex<Vec<Got>>>;

/// A company's own server: it fails at first, then takes everything.
struct Receiver {
    heard: Heard,
    running: Running,
}

impl Receiver {
    async fn open() -> Self {
        let heard = Heard::default();
        let router = Router::new().fallback(hear).with_state(Arc::clone(&heard));
        let running = sim_kit::listen(router).await.unwrap();
        Self { heard, running }
    }

    fn heard(&self) -> Vec<Got> {
        self.heard.lock().unwrap().clone()
    }
}

async fn hear(State(heard): State<Heard>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| {
        let value = headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let mut heard = heard.lock().unwrap();
    heard.push(Got {
        id: header("webhook-id"),
        at_s: header("webhook-timestamp"),
        signatures: header("webhook-signature"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    if heard.len() == 1 {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::NO_CONTENT
    }
}

/// HMAC-SHA256 from its definition (RFC 2104), so that nothing is shared with what signs.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |with: u8| -> Vec<u8> {
        let whole = key.iter().copied().chain(std::iter::repeat(0));
        whole.take(64).map(|b| b ^ with).collect()
    };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// What a Standard Webhooks library checks.
fn is_signed(got: &Got, secret: &str) -> bool {
    let key = BASE64
        .decode(secret.trim_start_matches("whsec_").as_bytes())
        .unwrap();
    let signed = format!("{}.{}.{}", got.id, got.at_s, got.body);
    let wanted = format!("v1,{}", BASE64.encode(&hmac(&key, signed.as_bytes())));
    let fresh = clock::now().as_secs().abs_diff(got.at_s.parse().unwrap()) < 300;
    fresh && got.signatures.split(' ').any(|one| one == wanted)
}

async fn endpoint(scene: &Scene, url: &str) -> Value {
    let wish = json!({ "url": url, "kinds": ["booking.confirmed"] });
    let made = scene.office("POST", "/webhooks", Some(&wish)).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_booking_is_told_signed_and_told_again_until_the_receiver_takes_it() {
    let (scene, receiver) = (Scene::new().await, Receiver::open().await);
    let made = endpoint(&scene, &receiver.running.url).await;
    let secret = made["secret"].as_str().unwrap();
    let reference = scene.awaiting(1).await;
    scene.paid_by(&reference, &momo("+260961234567")).await;

    let path = format!("/webhooks/{}/deliveries", made["webhook"].as_str().unwrap());
    let shown = scene
        .until(&path, |page| page["items"][0]["state"] == "delivered")
        .await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[0].id, heard[1].id);
    assert_eq!(heard[0].body, heard[1].body);
    for got in &heard {
        assert!(is_signed(got, secret), "{got:?}");
        assert!(!is_signed(got, "whsec_AAAA"), "{got:?}");
        let changed = Got {
            body: got.body.replace("confirmed", "cancelled"),
            ..got.clone()
        };
        assert!(!is_signed(&changed, secret));
    }
    let told: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(told["type"], "booking.confirmed");
    assert!(told["timestamp"].is_string() && told["data"].is_object());

    assert_eq!(shown["items"].as_array().unwrap().len(), 1, "{shown}");
    let row = &shown["items"][0];
    assert_eq!(row["event"], heard[0].id.as_str());
    assert_eq!(
        (&row["attempts"], &row["last_status"]),
        (&json!(2), &json!(204))
    );
    let tries: Vec<_> = row["tries"].as_array().unwrap().iter().collect();
    assert_eq!(tries.len(), 2, "{row}");
    assert_eq!(tries[0]["status"], 500);
    assert_eq!(tries[0]["error"], "the receiver answered 500");
    assert_eq!(
        (&tries[1]["status"], &tries[1]["error"]),
        (&json!(204), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_sign_after_a_rotation() {
    let (scene, receiver) = (Scene::new().await, Receiver::open().await);
    let made = endpoint(&scene, &receiver.running.url).await;
    let path = format!("/webhooks/{}", made["webhook"].as_str().unwrap());
    let rotated = scene.decide(&format!("{path}/rotate"), "\"1\"", None).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let fresh = rotated.json()["secret"].as_str().unwrap().to_owned();
    let reference = scene.awaiting(1).await;
    scene.paid_by(&reference, &momo("+260961234567")).await;
    let log = format!("{path}/deliveries");
    scene
        .until(&log, |page| {
            page["items"][0]["attempts"].as_i64() >= Some(1)
        })
        .await;
    let got = &receiver.heard()[0];
    assert!(is_signed(got, made["secret"].as_str().unwrap()));
    assert!(is_signed(got, &fresh));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_into_private_networks_unless_the_hub_is_told_so() {
    let scene = Scene::guarded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let wish = json!({ "url": url });
        let refused = scene.office("POST", "/webhooks", Some(&wish)).await;
        assert_eq!(refused.status, 422, "{url}: {refused:?}");
    }
    // Its text tells nothing; where it leads is judged when something is sent.
    let made = endpoint(&scene, &format!("https://localhost:{port}/")).await;
    let reference = scene.awaiting(1).await;
    scene.paid_by(&reference, &momo("+260961234567")).await;
    let path = format!("/webhooks/{}/deliveries", made["webhook"].as_str().unwrap());
    let shown = scene
        .until(&path, |page| page["items"][0]["tries"][0].is_object())
        .await;
    let row = &shown["items"][0];
    assert_eq!(row["state"], "waiting");
    let error = row["tries"][0]["error"].as_str().unwrap();
    assert!(error.contains("private network"), "{error}");
    assert!(row["tries"][0]["status"].is_null());
    let knocked = tokio::select! {
        biased;
        _ = listener.accept() => true,
        () = std::future::ready(()) => false,
    };
    assert!(!knocked, "somebody connected to this machine's own network");
}
