//! Refunds.

use std::future::pending;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use sim_kit::{Fault, now_ms, pairs};

use crate::access::{Key, admitted, keep, key};
use crate::book::{metadata, number, seconds};
use crate::hooks::tell;
use crate::methods::refund_end;
use crate::{Card, answer, error, missing};

/// When Stripe's two refunds that end later do so, in milliseconds.
const LATER_MS: u64 = 250;

/// The end of a refund that comes later, and its event.
fn later(card: &Card, id: &str) {
    let Some((due, end)) = card.book.look(|b| b.refunds_due.get(id).cloned()) else {
        return;
    };
    let (card, id) = (card.clone(), id.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(due.saturating_sub(now_ms()) + 1)).await;
        let shown = card.book.change(|b| {
            b.settle();
            b.refunds.get(&id).cloned()
        });
        let kind = if end == "failed" {
            "refund.failed"
        } else {
            "refund.updated"
        };
        tell(&card, kind, shown.unwrap_or_default(), 1);
    });
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = form.iter().find(|(n, _)| n == name);
    found.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
}

fn wrong(code: &str, message: &str) -> (StatusCode, Value, Option<Fault>) {
    let inner = json!({ "type": "invalid_request_error", "code": code, "message": message });
    (StatusCode::BAD_REQUEST, json!({ "error": inner }), None)
}

pub async fn create(State(card): State<Card>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let key = match key(&card, &headers, "refunds", &body) {
        Key::Answer(answer) => return answer,
        other @ (Key::None | Key::Fresh(_)) => other,
    };
    let (status, shown, fault) = created(&card, &pairs(&body));
    keep(&card, &key, status, &shown);
    if shown["object"] == "refund" {
        tell(&card, "refund.updated", shown.clone(), 1);
        if let Some(id) = shown["id"].as_str() {
            later(&card, id);
        }
    }
    match fault {
        Some(Fault::Timeout) => pending().await,
        Some(Fault::ErrorAfterCharging) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            error(status, "api_error", None, "An unknown error occurred")
        }
        _ => answer(status, &shown),
    }
}

fn created(card: &Card, form: &[(String, String)]) -> (StatusCode, Value, Option<Fault>) {
    let Some(intent) = field(form, "payment_intent") else {
        return wrong(
            "parameter_missing",
            "Missing required param: payment_intent.",
        );
    };
    card.book.change(|b| {
        b.settle();
        let Some(known) = b.intents.get(intent) else {
            return wrong("resource_missing", "No such payment_intent");
        };
        let (charge, currency) = (known["latest_charge"].clone(), known["currency"].clone());
        let left = b.left(intent);
        let amount = field(form, "amount").map_or(Some(left), |a| a.parse().ok());
        let Some(amount) = amount.filter(|a| *a > 0) else {
            return wrong(
                "parameter_invalid_integer",
                "Invalid positive integer: amount",
            );
        };
        if amount > left {
            let message =
                format!("Refund amount ({amount}) is greater than unrefunded amount ({left})");
            let code = if left <= 0 {
                "charge_already_refunded"
            } else {
                "amount_too_large"
            };
            return wrong(code, &message);
        }
        let id = number("re");
        let fault = b.faults.next(&id, true);
        let method = known["payment_method"].as_str().unwrap_or_default();
        let end = refund_end(b, method).filter(|_| fault.is_none());
        let status = match (fault, end) {
            (Some(Fault::Refusal | Fault::FailedBut200), _) => "failed",
            (Some(Fault::Undecided), _) | (_, Some("succeeded")) => "pending",
            _ => "succeeded",
        };
        let refund = json!({
            "id": id,
            "object": "refund",
            "amount": amount,
            "charge": charge,
            "created": seconds(),
            "currency": currency,
            "failure_reason": if status == "failed" { json!("declined") } else { Value::Null },
            "metadata": metadata(form),
            "payment_intent": intent,
            "reason": field(form, "reason"),
            "status": status,
        });
        b.refunds.insert(id.clone(), refund.clone());
        if let Some(end) = end {
            let at = now_ms() + LATER_MS;
            b.refunds_due.insert(id, (at, end.to_owned()));
        } else if status == "succeeded" {
            b.end_refund(&id, status);
        }
        (StatusCode::OK, refund, fault)
    })
}

pub async fn show(
    State(card): State<Card>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&card, &headers) {
        return no;
    }
    let shown = card.book.change(|b| {
        b.settle();
        b.refunds.get(&id).cloned()
    });
    match shown {
        Some(refund) => answer(StatusCode::OK, &refund),
        None => missing("refund", &id),
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
    let intent = field(&asked, "payment_intent");
    let data = card.book.change(|b| {
        b.settle();
        let wanted = |r: &&Value| intent.is_none_or(|i| r["payment_intent"] == i);
        b.refunds
            .values()
            .filter(wanted)
            .cloned()
            .collect::<Vec<_>>()
    });
    let body = json!({ "object": "list", "url": "/v1/refunds", "has_more": false, "data": data });
    answer(StatusCode::OK, &body)
}
