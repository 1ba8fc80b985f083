//! PaymentIntents.

use std::future::pending;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use sim_kit::{Fault, now_ms, pairs};

use crate::access::{Key, admitted, keep, key};
use crate::book::{Book, metadata, number, seconds};
use crate::hooks::tell;
use crate::methods::{Behaviour, behaviour, made, message};
use crate::{Card, answer, error, missing};

type Form = Vec<(String, String)>;

fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    let found = form.iter().find(|(n, _)| n == name);
    found.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
}

fn wrong(message: &str) -> (StatusCode, Value) {
    let inner = json!({ "type": "invalid_request_error", "message": message });
    (StatusCode::BAD_REQUEST, json!({ "error": inner }))
}

/// What to answer, and what to do wrong with it.
type Outcome = (StatusCode, Value, Option<Fault>);

pub async fn create(State(card): State<Card>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let key = match key(&card, &headers, "payment_intents", &body) {
        Key::Answer(answer) => return answer,
        other @ (Key::None | Key::Fresh(_)) => other,
    };
    let form = pairs(&body);
    let (status, shown, fault) = created(&card, &form);
    keep(&card, &key, status, &shown);
    deliver(status, &shown, fault).await
}

fn created(card: &Card, form: &Form) -> Outcome {
    let plain = |(status, body)| (status, body, None);
    let amount = field(form, "amount").and_then(|a| a.parse::<i64>().ok());
    let Some(amount) = amount.filter(|a| *a > 0) else {
        return plain(wrong("Invalid positive integer: amount"));
    };
    let currency = field(form, "currency").unwrap_or_default();
    if currency.len() != 3 || currency.bytes().any(|b| !b.is_ascii_lowercase()) {
        return plain(wrong("Missing or invalid currency"));
    }
    let id = number("pi");
    let method = match card.book.change(|b| method_of(b, form)) {
        Ok(method) => method,
        Err(text) => return plain(wrong(&text)),
    };
    let status = if method.is_some() {
        "requires_confirmation"
    } else {
        "requires_payment_method"
    };
    let intent = json!({
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": 0,
        "currency": currency,
        "status": status,
        "client_secret": format!("{id}_secret_{}", sim_kit::random_hex(8)),
        "created": seconds(),
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "description": field(form, "description"),
        "last_payment_error": null,
        "latest_charge": null,
        "livemode": false,
        "metadata": metadata(form),
        "next_action": null,
        "payment_method": method,
        "payment_method_types": ["card"],
        "cancellation_reason": null,
    });
    card.book
        .change(|b| b.intents.insert(id.clone(), intent.clone()));
    if field(form, "confirm") == Some("true") {
        let named = method.map(|m| ("payment_method".to_owned(), m));
        let form: Form = form.iter().cloned().chain(named).collect();
        return confirmed(card, &id, &form);
    }
    (StatusCode::OK, intent, None)
}

pub async fn confirm(
    State(card): State<Card>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let key = match key(&card, &headers, &id, &body) {
        Key::Answer(answer) => return answer,
        other @ (Key::None | Key::Fresh(_)) => other,
    };
    let (status, shown, fault) = confirmed(&card, &id, &pairs(&body));
    keep(&card, &key, status, &shown);
    deliver(status, &shown, fault).await
}

/// The answer, or what goes wrong instead.
async fn deliver(status: StatusCode, shown: &Value, fault: Option<Fault>) -> Response {
    match fault {
        Some(Fault::Timeout) => pending().await,
        Some(Fault::ErrorAfterCharging) => {
            let message = "An unknown error occurred";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            error(status, "api_error", None, message)
        }
        _ => answer(status, shown),
    }
}

fn confirmed(card: &Card, id: &str, form: &Form) -> Outcome {
    let origin = field(form, "return_url").map(str::to_owned);
    let off_session = field(form, "off_session") == Some("true");
    let outcome = card.book.change(|b| {
        let faults = b.faults.next(id, false);
        let slow_ms = b.faults.slow_ms;
        let method = method_of(b, form).map_err(|text| wrong(&text))?;
        let Some(intent) = b.intents.get_mut(id) else {
            return Err((StatusCode::NOT_FOUND, no_such(id)));
        };
        if !matches!(
            intent["status"].as_str(),
            Some("requires_payment_method" | "requires_confirmation" | "requires_action")
        ) {
            return Err((StatusCode::BAD_REQUEST, unexpected(intent)));
        }
        if let Some(method) = &method {
            intent["payment_method"] = json!(method);
        }
        let method = intent["payment_method"].as_str().unwrap_or_default();
        let method = method.to_owned();
        let Some(mut meant) = behaviour(b, &method) else {
            return Err(wrong(&format!("No such PaymentMethod: '{method}'")));
        };
        if let (Behaviour::Good, Some(fault)) = (meant, faults) {
            meant = Behaviour::Faulty(fault);
        }
        let way = (origin.as_deref(), off_session);
        Ok(decided(b, id, meant, slow_ms, way))
    });
    match outcome {
        Err((status, body)) => (status, body, None),
        Ok((status, body, fault)) => {
            let shown = card.book.look(|b| b.intents.get(id).cloned());
            let shown = shown.unwrap_or_default();
            let times = match fault {
                Some(Fault::LostCallback) => 0,
                Some(Fault::DuplicateCallback) => 2,
                _ => 1,
            };
            match shown["status"].as_str() {
                Some("succeeded") => tell(card, "payment_intent.succeeded", shown, times),
                Some("requires_payment_method") => {
                    tell(card, "payment_intent.payment_failed", shown, times);
                }
                Some("processing") if fault == Some(Fault::Slow) => later(card, id),
                _ => {}
            }
            (status, body, fault)
        }
    }
}

/// The method that a form names or describes.
fn method_of(b: &mut Book, form: &Form) -> Result<Option<String>, String> {
    match field(form, "payment_method") {
        Some(method) => Ok(Some(method.to_owned())),
        None => made(b, form, "payment_method_data"),
    }
}

fn decided(
    b: &mut Book,
    id: &str,
    meant: Behaviour,
    slow_ms: u64,
    (origin, off_session): (Option<&str>, bool),
) -> Outcome {
    let fault = match meant {
        Behaviour::Faulty(fault) => Some(fault),
        Behaviour::Good | Behaviour::Declined(..) | Behaviour::Authenticate(_) => None,
    };
    let slow_ms = if slow_ms == 0 { 3_000 } else { slow_ms };
    match meant {
        Behaviour::Declined(code, decline) => return declined(b, id, code, decline),
        Behaviour::Faulty(Fault::Refusal) => {
            return declined(b, id, "card_declined", "generic_decline");
        }
        Behaviour::Faulty(Fault::FailedBut200) => {
            declined(b, id, "card_declined", "do_not_honor");
        }
        Behaviour::Faulty(Fault::Undecided) => set(b, id, "status", json!("processing")),
        Behaviour::Faulty(Fault::Slow) => {
            set(b, id, "status", json!("processing"));
            b.due.insert(id.to_owned(), now_ms() + slow_ms);
        }
        Behaviour::Authenticate(_) if off_session => {
            return declined(b, id, "authentication_required", "authentication_required");
        }
        Behaviour::Authenticate(_) => {
            set(b, id, "status", json!("requires_action"));
            let url = format!("http://sim-card.invalid/_control/authenticate/{id}");
            let redirect = json!({ "url": url, "return_url": origin });
            let action = json!({ "type": "redirect_to_url", "redirect_to_url": redirect });
            set(b, id, "next_action", action);
        }
        Behaviour::Good | Behaviour::Faulty(_) => b.capture(id),
    }
    let shown = b.intents.get(id).cloned().unwrap_or_default();
    (StatusCode::OK, shown, fault)
}

fn set(b: &mut Book, id: &str, member: &str, value: Value) {
    if let Some(intent) = b.intents.get_mut(id) {
        intent[member] = value;
    }
}

fn declined(b: &mut Book, id: &str, code: &str, decline: &str) -> Outcome {
    let mut inner = json!({
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "message": message(code, decline),
    });
    set(b, id, "status", json!("requires_payment_method"));
    set(b, id, "last_payment_error", inner.clone());
    let shown = b.intents.get(id).cloned().unwrap_or_default();
    inner["payment_intent"] = shown;
    let body = json!({ "error": inner });
    (StatusCode::PAYMENT_REQUIRED, body, None)
}

/// A slow capture and its event.
fn later(card: &Card, id: &str) {
    let (card, id) = (card.clone(), id.to_owned());
    let due = card.book.look(|b| b.due.get(&id).copied()).unwrap_or(0);
    tokio::spawn(async move {
        let wait = due.saturating_sub(now_ms());
        tokio::time::sleep(Duration::from_millis(wait + 1)).await;
        let shown = card.book.change(|b| {
            b.settle();
            b.intents.get(&id).cloned()
        });
        tell(
            &card,
            "payment_intent.succeeded",
            shown.unwrap_or_default(),
            1,
        );
    });
}

fn no_such(id: &str) -> Value {
    let message = format!("No such payment_intent: '{id}'");
    json!({ "error": { "type": "invalid_request_error", "code": "resource_missing", "message": message } })
}

fn unexpected(intent: &Value) -> Value {
    let status = intent["status"].as_str().unwrap_or_default();
    let message = format!("This PaymentIntent's state is {status}, which does not allow this.");
    json!({ "error": { "type": "invalid_request_error",
        "code": "payment_intent_unexpected_state", "message": message, "payment_intent": intent } })
}

pub async fn cancel(
    State(card): State<Card>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let form = pairs(&body);
    let (status, shown) = card.book.change(|b| {
        b.settle();
        let Some(intent) = b.intents.get_mut(&id) else {
            return (StatusCode::NOT_FOUND, no_such(&id));
        };
        if matches!(
            intent["status"].as_str(),
            Some("succeeded" | "canceled" | "processing")
        ) {
            return (StatusCode::BAD_REQUEST, unexpected(intent));
        }
        intent["status"] = json!("canceled");
        intent["cancellation_reason"] = json!(field(&form, "cancellation_reason"));
        (StatusCode::OK, intent.clone())
    });
    answer(status, &shown)
}

pub async fn show(
    State(card): State<Card>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let found = card.book.change(|b| {
        b.settle();
        b.intents.get(&id).cloned()
    });
    match found {
        Some(intent) => answer(StatusCode::OK, &intent),
        None => missing("payment_intent", &id),
    }
}

pub async fn list(
    State(card): State<Card>,
    headers: HeaderMap,
    Query(asked): Query<Vec<(String, String)>>,
) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let limit = field(&asked, "limit").and_then(|l| l.parse().ok());
    let limit: usize = limit.unwrap_or(10).clamp(1, 100);
    let data = card
        .book
        .look(|b| b.intents.values().take(limit).cloned().collect::<Vec<_>>());
    let body =
        json!({ "object": "list", "url": "/v1/payment_intents", "has_more": false, "data": data });
    answer(StatusCode::OK, &body)
}

/// The payer approves at their bank.
pub async fn authenticate(State(card): State<Card>, Path(id): Path<String>) -> Response {
    let shown = card.book.change(|b| {
        let intent = b.intents.get(&id)?;
        let waits = intent["status"] == "requires_action";
        let method = intent["payment_method"].as_str().unwrap_or_default();
        let after = match behaviour(b, method) {
            Some(Behaviour::Authenticate(after)) => after,
            _ => None,
        };
        match after.filter(|_| waits) {
            Some((code, decline)) => {
                declined(b, &id, code, decline);
            }
            None if waits => b.capture(&id),
            None => {}
        }
        b.intents.get(&id).cloned().map(|shown| (waits, shown))
    });
    match shown {
        Some((waits, shown)) => {
            let kind = if shown["status"] == "succeeded" {
                "payment_intent.succeeded"
            } else {
                "payment_intent.payment_failed"
            };
            if waits {
                tell(&card, kind, shown.clone(), 1);
            }
            answer(StatusCode::OK, &shown)
        }
        None => missing("payment_intent", &id),
    }
}
