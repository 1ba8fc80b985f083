//! Text messages.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sim_kit::{now_ms, pairs, random_hex};

use crate::{Arrived, Sms};

/// How long a slow answer takes unless told, in milliseconds.
const SLOW_MS: u64 = 3_000;
/// The longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 1_600;

/// What goes wrong with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Answers late.
    Slow,
    /// Sends, and never reports.
    LostReport,
    /// Reports twice.
    DuplicateReport,
    /// Reports that it did not arrive.
    FailedReport,
    /// Sends, and answers 500.
    ErrorAfterSending,
    /// Says that the number gets none.
    Refusal,
    /// Sends, and never answers.
    Timeout,
    /// Answers 503 and sends nothing.
    Down,
}

/// A fault of the next messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Which.
    pub fault: Fault,
    /// Of how many; absent: one.
    #[serde(default = "one")]
    pub times: u32,
}

fn one() -> u32 {
    1
}

/// What is to go wrong.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// In this order.
    pub planned: VecDeque<Planned>,
    /// How long a slow answer takes, in milliseconds.
    pub slow_ms: u64,
}

impl Faults {
    fn next(&mut self) -> Option<Fault> {
        let planned = self.planned.front_mut()?;
        let fault = planned.fault;
        planned.times = planned.times.saturating_sub(1);
        if planned.times == 0 {
            self.planned.pop_front();
        }
        Some(fault)
    }
}

/// What a number stands for.
fn magic(number: &str) -> Option<Fault> {
    match number.get(number.len().saturating_sub(3)..)? {
        "901" => Some(Fault::Slow),
        "902" => Some(Fault::LostReport),
        "903" => Some(Fault::DuplicateReport),
        "904" => Some(Fault::ErrorAfterSending),
        "905" => Some(Fault::FailedReport),
        "906" => Some(Fault::Refusal),
        "907" => Some(Fault::Timeout),
        _ => None,
    }
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

/// The documented answer about one recipient.
fn answer(number: &str, (code, status): (u16, &str), id: &str) -> Response {
    let sent = u8::from(code < 400);
    let body = json!({ "SMSMessageData": {
        "Message": format!("Sent to {sent}/1 Total Cost: ZMW 0.3500"),
        "Recipients": [{ "statusCode": code, "number": number, "status": status,
            "cost": "ZMW 0.3500", "messageId": id }] } });
    (StatusCode::CREATED, Json(body)).into_response()
}

struct Asked {
    to: String,
    message: String,
    from: String,
}

fn checked(sms: &Sms, headers: &HeaderMap, body: &[u8]) -> Result<Asked, (StatusCode, String)> {
    let wrong = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let key = headers.get("apikey").and_then(|v| v.to_str().ok());
    if key != Some(sms.settings.api_key.as_str()) {
        let text = "The supplied authentication is invalid".to_owned();
        return Err((StatusCode::UNAUTHORIZED, text));
    }
    let form = pairs(body);
    let value = |wanted: &str| {
        let mut found = form.iter().filter(|(name, _)| name == wanted);
        found.next().map(|(_, value)| value.clone())
    };
    if value("username").as_deref() != Some(sms.settings.username.as_str()) {
        return Err(wrong("Must have username in your request"));
    }
    let to = value("to").unwrap_or_default();
    let digits = to.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("this simulator takes one number like +260970000001"));
    }
    let message = value("message").unwrap_or_default();
    if message.is_empty() || message.chars().count() > MESSAGE_CHARS_MAX {
        return Err(wrong("Must have a message in your request"));
    }
    Ok(Asked {
        to,
        message,
        from: value("from").unwrap_or_else(|| "AFRICASTKNG".to_owned()),
    })
}

pub async fn send(State(sms): State<Sms>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = match checked(&sms, &headers, &body) {
        Ok(asked) => asked,
        Err((status, text)) => return plain(status, &text),
    };
    let key = headers.get("idempotency-key");
    let key = key.and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (to, heeds) = (asked.to.clone(), sms.settings.deduplicate);
    let (id, known, fault, slow_ms) = sms.book.change(|book| {
        let before = key.as_ref().and_then(|key| book.keys.get(key)).cloned();
        if before.is_some() {
            book.repeated += 1;
        }
        let slow_ms = if book.faults.slow_ms == 0 {
            SLOW_MS
        } else {
            book.faults.slow_ms
        };
        if let Some(id) = before.filter(|_| heeds) {
            return (id, true, None, slow_ms);
        }
        let fault = magic(&asked.to).or_else(|| book.faults.next());
        let id = format!("ATXid_{}", random_hex(16));
        if !matches!(fault, Some(Fault::Refusal | Fault::Down)) {
            if let Some(key) = &key {
                book.keys.insert(key.clone(), id.clone());
            }
            book.messages.push(Arrived {
                channel: "sms".to_owned(),
                id: id.clone(),
                to: asked.to,
                from: asked.from,
                subject: None,
                text: asked.message,
                key: key.clone(),
                at_ms: now_ms(),
            });
        }
        (id, false, fault, slow_ms)
    });
    match fault {
        Some(Fault::Refusal) => return answer(&to, (403, "InvalidPhoneNumber"), "None"),
        Some(Fault::Down) => return plain(StatusCode::SERVICE_UNAVAILABLE, "Try again later"),
        Some(Fault::ErrorAfterSending) => {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        }
        Some(Fault::Timeout) => pending::<()>().await,
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(slow_ms)).await,
        _ => {}
    }
    if !known {
        tokio::spawn(report(sms, id.clone(), to.clone(), fault));
    }
    answer(&to, (101, "Success"), &id)
}

async fn report(sms: Sms, id: String, number: String, fault: Option<Fault>) {
    let Some(url) = sms.settings.report_url.clone() else {
        return;
    };
    tokio::time::sleep(Duration::from_millis(sms.settings.deliver_ms)).await;
    let times = match fault {
        Some(Fault::LostReport) => 0,
        Some(Fault::DuplicateReport) => 2,
        _ => 1,
    };
    let number = number.replace('+', "%2B");
    let status = if fault == Some(Fault::FailedReport) {
        "Failed&failureReason=UserDoesNotExist"
    } else {
        "Success"
    };
    let form = format!("id={id}&phoneNumber={number}&networkCode=64501&status={status}");
    for _ in 0..times {
        sim_kit::post_form(&url, form.clone()).await;
    }
}

pub async fn faults(State(sms): State<Sms>) -> Json<Faults> {
    Json(sms.book.look(|book| book.faults.clone()))
}

pub async fn set_faults(State(sms): State<Sms>, Json(wanted): Json<Faults>) -> Json<Value> {
    sms.book.change(|book| book.faults = wanted);
    Json(json!({ "set": true }))
}

/// Which messages.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    to: Option<String>,
}

pub async fn messages(State(sms): State<Sms>, Query(wanted): Query<Wanted>) -> Json<Value> {
    // A plus that was not escaped arrives as a blank.
    let to = wanted.to.map(|to| to.replace(' ', "+"));
    let found = sms.book.look(|book| {
        let fits = |m: &&Arrived| to.as_ref().is_none_or(|to| *to == m.to);
        json!({ "messages": book.messages.iter().filter(fits).collect::<Vec<_>>() })
    });
    Json(found)
}

pub async fn count(State(sms): State<Sms>) -> Json<Value> {
    let shown = sms.book.look(|book| {
        let of = |channel: &str| {
            book.messages
                .iter()
                .filter(|m| m.channel == channel)
                .count()
        };
        let sms = book.messages.iter().filter(|m| m.channel == "sms");
        let distinct: BTreeSet<_> = sms.map(|m| (&m.to, &m.text)).collect();
        json!({ "sms": of("sms"), "sms_distinct": distinct.len(), "email": of("email"),
            "repeated": book.repeated })
    });
    Json(shown)
}
