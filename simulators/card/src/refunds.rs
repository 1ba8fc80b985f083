//! Refunds.

use std::future::pending;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use sim_kit::{Fault, Line, now_ms, pairs};

use crate::access::{Key, admitted, keep, key};
use crate::book::{metadata, number, seconds};
use crate::hooks::tell;
use crate::{Card, answer, error, missing};

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
        let status = match fault {
            Some(Fault::Refusal | Fault::FailedBut200) => "failed",
            Some(Fault::Undecided) => "pending",
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
        if status == "succeeded" {
            b.ledger.lines.push(Line {
                kind: "refund".to_owned(),
                id: id.clone(),
                reference: id.clone(),
                of: Some(intent.to_owned()),
                amount: amount.to_string(),
                currency: currency.as_str().unwrap_or("").to_uppercase(),
                at_ms: now_ms(),
            });
        }
        b.refunds.insert(id, refund.clone());
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
    match card.book.look(|b| b.refunds.get(&id).cloned()) {
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
    let data = card.book.look(|b| {
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
