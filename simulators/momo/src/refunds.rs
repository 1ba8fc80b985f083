//! Disbursement's refund: money back to a payer.

use std::future::pending;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sim_kit::{Fault, now_ms};

use crate::access::{admitted, reference};
use crate::book::{Request, thousandths};
use crate::charges::found;
use crate::{Momo, error, slow_of};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    amount: String,
    currency: String,
    external_id: String,
    reference_id_to_refund: String,
}

pub async fn start(State(momo): State<Momo>, headers: HeaderMap, body: Bytes) -> Response {
    let ready = admitted(&momo, &headers, "disbursement").and_then(|()| reference(&headers));
    let reference = match ready {
        Ok(reference) => reference,
        Err(no) => return no,
    };
    let wrong = |message: &str| error(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
    let asked: Asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(e) => return wrong(&e.to_string()),
    };
    if thousandths(&asked.amount).is_none_or(|amount| amount == 0) {
        return wrong("amount is no amount");
    }
    let stored = momo.book.change(|book| {
        if book.requests.contains_key(&reference) {
            return Err(StatusCode::CONFLICT);
        }
        let charge = book.requests.get(&asked.reference_id_to_refund);
        let Some(payer) = charge.filter(|c| c.of.is_none()).map(|c| c.payer.clone()) else {
            return Err(StatusCode::NOT_FOUND);
        };
        let fault = book.faults.next(&reference, true);
        let verdict = match fault {
            Some(Fault::FailedBut200) => Err("PAYEE_NOT_ALLOWED_TO_RECEIVE".to_owned()),
            _ => Ok(()),
        };
        let wait = if fault == Some(Fault::Slow) {
            u64::try_from(slow_of(book).as_millis()).unwrap_or(u64::MAX)
        } else {
            momo.settings.decide_ms
        };
        if fault == Some(Fault::Refusal) {
            return Err(StatusCode::BAD_REQUEST);
        }
        book.requests.insert(
            reference.clone(),
            Request {
                reference: reference.clone(),
                of: Some(asked.reference_id_to_refund),
                amount: asked.amount,
                currency: asked.currency,
                external_id: asked.external_id,
                payer,
                status: "PENDING".to_owned(),
                reason: None,
                transaction: None,
                decides_at_ms: now_ms() + wait,
                fault,
                verdict,
            },
        );
        if matches!(fault, Some(Fault::ErrorAfterCharging | Fault::Timeout)) {
            book.decide(&reference);
        }
        Ok(fault)
    });
    match stored {
        Ok(Some(Fault::Timeout)) => pending().await,
        Ok(Some(Fault::ErrorAfterCharging)) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_PROCESSING_ERROR",
            "An internal error occurred while processing.",
        ),
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(StatusCode::CONFLICT) => error(
            StatusCode::CONFLICT,
            "RESOURCE_ALREADY_EXIST",
            "Duplicated reference id. Creation of resource failed.",
        ),
        Err(StatusCode::NOT_FOUND) => error(
            StatusCode::NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            "The transaction to refund was not found.",
        ),
        Err(_) => error(
            StatusCode::BAD_REQUEST,
            "NOT_ALLOWED",
            "The refund is refused.",
        ),
    }
}

pub async fn status(
    State(momo): State<Momo>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = admitted(&momo, &headers, "disbursement") {
        return no;
    }
    found(&momo, &id, true)
}
