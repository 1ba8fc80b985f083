//! `Idempotency-Key`: the header, and answers that were given before.
//!
//! The same request again gets the same answer, byte for byte; another request under the same key
//! is 422, one that is still worked on 409 (draft-ietf-httpapi-idempotency-key-header).

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use domain::time::Instant;
use serde::Serialize;

use super::problem::Problem;
use crate::access::Caller;
use crate::idempotency::{self, Answer, IdempotencyKey, Replay};
use crate::tenant::TenantTx;

/// The header that names a request.
const KEY_HEADER: &str = "idempotency-key";

/// The key of a request that moves money or seats.
///
/// # Errors
/// 400 where it is missing or unreadable.
pub fn key_of(
    headers: &HeaderMap,
    caller: &Caller,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<IdempotencyKey, Problem> {
    headers
        .get(KEY_HEADER)
        .and_then(|k| k.to_str().ok())
        .and_then(|key| IdempotencyKey::new(caller.identity, key, method, path, body))
        .ok_or_else(|| {
            Problem::bad_request("send an Idempotency-Key header of 1 to 255 visible characters")
        })
}

/// What a key led to, as an answer.
pub fn respond(replay: Replay) -> Result<Response<Body>, Problem> {
    match replay {
        Replay::Again(answer) => of(answer),
        Replay::OtherRequest => Err(Problem::key_reused()),
        Replay::InFlight => Err(Problem::in_flight()),
    }
}

/// Keeps an answer under its request's key, commits what led to it, and gives it.
pub async fn keep<T: Serialize>(
    mut tx: TenantTx,
    key: &IdempotencyKey,
    (status, said): (StatusCode, &T),
    now: Instant,
) -> Result<Response<Body>, Problem> {
    let body = serde_json::to_vec(said).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::unavailable()
    })?;
    let answer = Answer {
        status: status.as_u16(),
        content_type: "application/json".to_owned(),
        body,
    };
    idempotency::record(&mut tx, key, &answer, now).await?;
    tx.commit().await?;
    of(answer)
}

fn of(answer: Answer) -> Result<Response<Body>, Problem> {
    Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .body(Body::from(answer.body))
        .map_err(|_| Problem::unavailable())
}
