//! requesttopay: money from a payer.

use std::future::pending;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use sim_kit::{Fault, call_back, now_ms};

use crate::access::{admitted, reference};
use crate::book::{Request, thousandths};
use crate::{Momo, answer, error, slow_of};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    amount: String,
    currency: String,
    external_id: String,
    payer: Party,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Party {
    party_id_type: String,
    party_id: String,
}

/// What a number stands for.
fn magic(number: &str) -> (Option<Fault>, Result<(), String>) {
    let no = |reason: &str| Err(reason.to_owned());
    match number {
        "46733123450" => return (None, no("INTERNAL_PROCESSING_ERROR")),
        "46733123451" => return (None, no("APPROVAL_REJECTED")),
        "46733123452" => return (None, no("EXPIRED")),
        "46733123453" => return (Some(Fault::Undecided), Ok(())),
        "46733123454" => return (Some(Fault::Slow), Ok(())),
        _ => {}
    }
    match number.get(number.len().saturating_sub(3)..) {
        Some("901") => (Some(Fault::Slow), Ok(())),
        Some("902") => (Some(Fault::LostCallback), Ok(())),
        Some("903") => (Some(Fault::DuplicateCallback), Ok(())),
        Some("904") => (Some(Fault::ErrorAfterCharging), Ok(())),
        Some("905") => (Some(Fault::FailedBut200), Ok(())),
        Some("906") => (Some(Fault::Refusal), Ok(())),
        Some("907") => (Some(Fault::Timeout), Ok(())),
        Some("908") => (Some(Fault::Undecided), Ok(())),
        _ => (None, Ok(())),
    }
}

fn checked(body: &[u8]) -> Result<Asked, Response> {
    let wrong = |message: &str| error(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
    let asked: Asked = serde_json::from_slice(body).map_err(|e| wrong(&e.to_string()))?;
    if thousandths(&asked.amount).is_none_or(|amount| amount == 0) {
        return Err(wrong("amount is no amount"));
    }
    if asked.currency.len() != 3 {
        let message = "Currency not supported.";
        return Err(error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INVALID_CURRENCY",
            message,
        ));
    }
    let number = &asked.payer.party_id;
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    if asked.payer.party_id_type != "MSISDN" || !digits || !(8..=15).contains(&number.len()) {
        return Err(wrong("payer is no MSISDN"));
    }
    Ok(asked)
}

pub async fn start(State(momo): State<Momo>, headers: HeaderMap, body: Bytes) -> Response {
    let ready = admitted(&momo, &headers, "collection")
        .and_then(|()| Ok((reference(&headers)?, checked(&body)?)));
    let (reference, asked) = match ready {
        Ok(ready) => ready,
        Err(no) => return no,
    };
    let callback = headers.get("x-callback-url");
    let callback = callback.and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (by_number, mut verdict) = magic(&asked.payer.party_id);
    let stored = momo.book.change(|book| {
        if book.requests.contains_key(&reference) {
            return None;
        }
        let fault = by_number.or_else(|| book.faults.next(&reference, false));
        if fault == Some(Fault::Refusal) {
            return Some(fault);
        }
        if fault == Some(Fault::FailedBut200) {
            verdict = Err("PAYER_LIMIT_REACHED".to_owned());
        }
        let wait = if fault == Some(Fault::Slow) {
            u64::try_from(slow_of(book).as_millis()).unwrap_or(u64::MAX)
        } else {
            momo.settings.decide_ms
        };
        book.requests.insert(
            reference.clone(),
            Request {
                reference: reference.clone(),
                of: None,
                amount: asked.amount,
                currency: asked.currency,
                external_id: asked.external_id,
                payer: asked.payer.party_id,
                status: "PENDING".to_owned(),
                reason: None,
                transaction: None,
                decides_at_ms: now_ms() + wait,
                fault,
                verdict,
            },
        );
        Some(fault)
    });
    match stored {
        None => {
            let message = "Duplicated reference id. Creation of resource failed.";
            error(StatusCode::CONFLICT, "RESOURCE_ALREADY_EXIST", message)
        }
        Some(Some(Fault::Refusal)) => error(
            StatusCode::BAD_REQUEST,
            "PAYER_NOT_FOUND",
            "Payer not found",
        ),
        Some(fault) => accepted(momo, reference, callback, fault).await,
    }
}

/// It is in the book: the payer is asked, and the caller gets an answer or does not.
async fn accepted(
    momo: Momo,
    reference: String,
    callback: Option<String>,
    fault: Option<Fault>,
) -> Response {
    match fault {
        Some(Fault::ErrorAfterCharging) => {
            momo.book.change(|b| b.decide(&reference));
            let message = "An internal error occurred while processing.";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            error(status, "INTERNAL_PROCESSING_ERROR", message)
        }
        Some(Fault::Timeout) => {
            momo.book.change(|b| b.decide(&reference));
            pending().await
        }
        Some(Fault::Undecided) => StatusCode::ACCEPTED.into_response(),
        other => {
            tokio::spawn(decide_later(momo, reference, callback, other));
            StatusCode::ACCEPTED.into_response()
        }
    }
}

async fn decide_later(
    momo: Momo,
    reference: String,
    callback: Option<String>,
    fault: Option<Fault>,
) {
    let wait = if fault == Some(Fault::Slow) {
        momo.book.look(slow_of)
    } else {
        Duration::from_millis(momo.settings.decide_ms)
    };
    tokio::time::sleep(wait).await;
    let shown = momo.book.change(|book| {
        book.decide(&reference);
        book.requests.get(&reference).map(Request::shown)
    });
    let (Some(url), Some(shown)) = (callback, shown) else {
        return;
    };
    let times = match fault {
        Some(Fault::LostCallback) => 0,
        Some(Fault::DuplicateCallback) => 2,
        _ => 1,
    };
    for _ in 0..times {
        let put = !momo.settings.callback_by_post;
        call_back(put, &url, &[], shown.to_string()).await;
    }
}

pub async fn status(
    State(momo): State<Momo>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&momo, &headers, "collection") {
        return no;
    }
    found(&momo, &id, false)
}

/// A charge or refund as it stands.
pub fn found(momo: &Momo, id: &str, refund: bool) -> Response {
    let request = momo.book.change(|b| b.settled(id));
    match request.filter(|r| r.of.is_some() == refund) {
        Some(request) => answer(StatusCode::OK, &request.shown()),
        None => error(
            StatusCode::NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            "Requested resource was not found.",
        ),
    }
}

/// What was taken and not given back, in the currency of the first charge.
pub async fn balance(
    State(momo): State<Momo>,
    Path(product): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&momo, &headers, &product) {
        return no;
    }
    let (balance, currency) = momo.book.look(|b| {
        let first = b.ledger.lines.first();
        let currency = first.map_or("EUR".to_owned(), |l| l.currency.clone());
        (b.balance(&currency), currency)
    });
    let shown = json!({ "availableBalance": balance, "currency": currency });
    answer(StatusCode::OK, &shown)
}

pub async fn active(
    State(momo): State<Momo>,
    Path((kind, _id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&momo, &headers, "collection") {
        return no;
    }
    answer(StatusCode::OK, &json!({ "result": kind == "msisdn" }))
}
