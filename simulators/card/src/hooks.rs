//! Signed events.

use axum::Json;
use axum::extract::State;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use sim_kit::call_back;

use crate::Card;
use crate::book::{number, seconds};

/// `Stripe-Signature` over a body.
pub fn signature(secret: &str, at_s: u64, body: &str) -> String {
    let mut signed = String::new();
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(format!("{at_s}.{body}").as_bytes());
        let bytes = mac.finalize().into_bytes();
        signed = sim_kit::hex(&bytes);
    }
    format!("t={at_s},v1={signed}")
}

/// Tells the caller's webhook, so many times.
pub fn tell(card: &Card, kind: &str, object: Value, times: u32) {
    let Some(url) = card.book.look(|b| b.webhook_url.clone()) else {
        return;
    };
    let event = json!({
        "id": number("evt"),
        "object": "event",
        "api_version": "2024-06-20",
        "created": seconds(),
        "type": kind,
        "livemode": false,
        "pending_webhooks": 1,
        "data": { "object": object },
    });
    let body = event.to_string();
    let signed = signature(&card.settings.webhook_secret, seconds(), &body);
    tokio::spawn(async move {
        for _ in 0..times {
            let headers = [("stripe-signature", signed.clone())];
            call_back(false, &url, &headers, body.clone()).await;
        }
    });
}

pub async fn set(State(card): State<Card>, Json(wanted): Json<Value>) -> Json<Value> {
    let url = wanted["url"].as_str().map(str::to_owned);
    card.book.change(|b| b.webhook_url = url);
    Json(json!({ "set": true }))
}
