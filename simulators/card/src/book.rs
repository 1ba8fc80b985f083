//! What the operator knows: intents and refunds as it shows them, keys, and money that moved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sim_kit::{Faults, Ledger, Line, now_ms, random_hex};

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Book {
    /// Intents by number, as they are shown.
    pub intents: BTreeMap<String, Value>,
    /// Refunds by number, as they are shown.
    pub refunds: BTreeMap<String, Value>,
    /// Answers by idempotency key: what was asked, and status and body; none while it is worked on.
    pub keys: BTreeMap<String, (String, Option<(u16, String)>)>,
    /// Slow captures: when they are due, in milliseconds since 1970.
    pub due: BTreeMap<String, u64>,
    /// Refunds that change later: when, in milliseconds since 1970, and to which status.
    #[serde(default)]
    pub refunds_due: BTreeMap<String, (u64, String)>,
    /// Methods made of a card's number or token: the name of what they do.
    #[serde(default)]
    pub methods: BTreeMap<String, String>,
    /// The last digits of their cards.
    #[serde(default)]
    pub last4: BTreeMap<String, String>,
    /// Money that moved.
    pub ledger: Ledger,
    /// The script.
    pub faults: Faults,
    /// Where events go.
    pub webhook_url: Option<String>,
}

/// Seconds since 1970.
pub fn seconds() -> u64 {
    now_ms() / 1_000
}

/// `metadata[name]` of a form.
pub fn metadata(form: &[(String, String)]) -> Value {
    let mut found = Map::new();
    for (name, value) in form {
        let inner = name.strip_prefix("metadata[");
        if let Some(inner) = inner.and_then(|n| n.strip_suffix(']')) {
            found.insert(inner.to_owned(), json!(value));
        }
    }
    Value::Object(found)
}

/// A fresh number.
pub fn number(prefix: &str) -> String {
    format!("{prefix}_{}", random_hex(12))
}

impl Book {
    /// Captures slow intents and ends refunds whose time has come.
    pub fn settle(&mut self) {
        let now = now_ms();
        let refunds = self.refunds_due.clone();
        for (id, (_, end)) in refunds.iter().filter(|(_, (at, _))| *at <= now) {
            self.refunds_due.remove(id);
            self.end_refund(id, end);
        }
        let due: Vec<String> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.due.remove(&id);
            self.capture(&id);
        }
    }

    /// Takes the money of an intent, once.
    pub fn capture(&mut self, id: &str) {
        let Some(intent) = self.intents.get_mut(id) else {
            return;
        };
        if matches!(intent["status"].as_str(), Some("succeeded" | "canceled")) {
            return;
        }
        let charge = number("ch");
        intent["status"] = json!("succeeded");
        intent["amount_received"] = intent["amount"].clone();
        intent["latest_charge"] = json!(charge);
        intent["next_action"] = Value::Null;
        intent["last_payment_error"] = Value::Null;
        let line = Line {
            kind: "capture".to_owned(),
            id: charge,
            reference: id.to_owned(),
            of: None,
            amount: intent["amount"].to_string(),
            currency: intent["currency"].as_str().unwrap_or("").to_uppercase(),
            at_ms: now_ms(),
        };
        self.ledger.lines.push(line);
    }

    /// What a refund comes to; money moves only where it succeeds.
    pub fn end_refund(&mut self, id: &str, end: &str) {
        let Some(refund) = self.refunds.get_mut(id) else {
            return;
        };
        refund["status"] = json!(end);
        if end == "failed" {
            refund["failure_reason"] = json!("expired_or_canceled_card");
        }
        if end == "succeeded" {
            let line = Line {
                kind: "refund".to_owned(),
                id: id.to_owned(),
                reference: id.to_owned(),
                of: refund["payment_intent"].as_str().map(str::to_owned),
                amount: refund["amount"].to_string(),
                currency: refund["currency"].as_str().unwrap_or("").to_uppercase(),
                at_ms: now_ms(),
            };
            self.ledger.lines.push(line);
        }
    }

    /// What of an intent's money can still be returned.
    pub fn left(&self, intent: &str) -> i64 {
        let received = self.intents.get(intent);
        let received = received.and_then(|i| i["amount_received"].as_i64());
        let back = self.refunds.values().filter(|r| {
            r["payment_intent"] == *intent && r["status"] != "failed" && r["status"] != "canceled"
        });
        let back: i64 = back.filter_map(|r| r["amount"].as_i64()).sum();
        received.unwrap_or(0) - back
    }
}
