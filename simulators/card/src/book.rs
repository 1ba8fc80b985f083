//! What the operator knows: intents and refunds as it shows them, keys, and money that moved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sim_kit::{Fault, Faults, Ledger, Line, now_ms, random_hex};

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
    /// Captures slow intents whose time has come.
    pub fn settle(&mut self) {
        let now = now_ms();
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

/// What a payment method stands for: a decline with its code and decline code, or a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Paid.
    Good,
    /// Refused.
    Declined(&'static str, &'static str),
    /// The bank asks the payer first.
    Authenticate,
    /// As scripted.
    Faulty(Fault),
}

/// By its name; `None` where there is no such one.
pub fn behaviour(method: &str) -> Option<Behaviour> {
    use Behaviour as B;
    Some(match method {
        "pm_card_visa_chargeDeclined" | "pm_card_chargeDeclined" => {
            B::Declined("card_declined", "generic_decline")
        }
        "pm_card_visa_chargeDeclinedInsufficientFunds" => {
            B::Declined("card_declined", "insufficient_funds")
        }
        "pm_card_chargeDeclinedExpiredCard" => B::Declined("expired_card", "expired_card"),
        "pm_card_authenticationRequired" => B::Authenticate,
        "pm_sim_slow" => B::Faulty(Fault::Slow),
        "pm_sim_lost_callback" => B::Faulty(Fault::LostCallback),
        "pm_sim_duplicate_callback" => B::Faulty(Fault::DuplicateCallback),
        "pm_sim_error_after_charging" => B::Faulty(Fault::ErrorAfterCharging),
        "pm_sim_timeout" => B::Faulty(Fault::Timeout),
        "pm_sim_processing" => B::Faulty(Fault::Undecided),
        "pm_sim_failed_but_200" => B::Faulty(Fault::FailedBut200),
        other if other.starts_with("pm_") => B::Good,
        _ => return None,
    })
}
