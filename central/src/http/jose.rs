//! Bodies that only the hub and its client can read, whatever stands between them: a request whose
//! type is `application/jose` is a compact JWE (RFC 7516) to the hub's key, and its answer is one
//! to the key that the client named. `docs/jose/` says it for clients.

mod envelope;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;
use crate::auth::Jwk;
use crate::vault::Vault;
use envelope::{Header, HubKey, Recipient};

/// The type of an encrypted body.
pub const MEDIA_TYPE: &str = "application/jose";
/// Routes whose bodies may be encrypted, by their first word.
const ROUTES: [&str; 9] = [
    "auth",
    "bookings",
    "holds",
    "payments",
    "quotes",
    "refunds",
    "search",
    "trips",
    "waiting-list",
];
/// The largest encrypted request, in bytes: the largest body, in base64url, and its header.
const REQUEST_BYTES_MAX: usize = 96 * 1024;
/// The largest answer that is encrypted, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whether bodies of a route may be encrypted.
pub fn is_for(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    ROUTES.contains(&first.unwrap_or_default())
}

/// The keys that requests may be encrypted to, the newest first.
pub fn published(vault: &Vault) -> Vec<Jwk> {
    let keys = vault.jose_secrets().into_iter().rev();
    keys.map(|secret| HubKey::new(secret).jwk()).collect()
}

/// The middleware: opens what comes in, and encrypts what goes out in answer to it.
pub async fn pass(State(api): State<Api>, request: Request, next: Next) -> Response {
    if !is_encrypted(&request) || !is_for(request.uri().path()) {
        return next.run(request).await;
    }
    match opened(&api.vault, request).await {
        Ok((request, recipient)) => {
            let answer = next.run(request).await;
            encrypted(answer, &recipient)
                .await
                .unwrap_or_else(IntoResponse::into_response)
        }
        Err(problem) => problem.into_response(),
    }
}

fn is_encrypted(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(MEDIA_TYPE)
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-jose", "Not readable", detail)
}

async fn opened(vault: &Vault, request: Request) -> Result<(Request, Recipient), Problem> {
    let (mut parts, body) = request.into_parts();
    let sent = to_bytes(body, REQUEST_BYTES_MAX)
        .await
        .map_err(|_| Problem::too_large())?;
    let sent = std::str::from_utf8(&sent)
        .map_err(|_| refused("the body has to be one compact JWE: five parts in base64url"))?;
    let keys: Vec<HubKey> = vault.jose_secrets().into_iter().map(HubKey::new).collect();
    let (said, plain) = envelope::open(&keys, sent).map_err(|e| refused(e.to_string()))?;
    let recipient = meant_for(&said, parts.method.as_str(), parts.uri.path())?;
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json);
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(plain.len()));
    Ok((Request::from_parts(parts, Body::from(plain)), recipient))
}

/// A body opens at the route that it was encrypted for, and nowhere else.
fn meant_for(said: &Header, method: &str, path: &str) -> Result<Recipient, Problem> {
    if said.htm.as_deref() != Some(method) || said.htu.as_deref() != Some(path) {
        let detail = format!("the protected header needs `htm` {method:?} and `htu` {path:?}");
        return Err(refused(detail));
    }
    let key = said.reply_jwk.as_ref();
    let key = key.ok_or_else(|| {
        refused("the protected header needs `reply_jwk`, the X25519 key to answer to")
    })?;
    Recipient::new(key).map_err(|e| refused(e.to_string()))
}

/// Any answer but one without a body; its status and headers stay as they are.
async fn encrypted(answer: Response, to: &Recipient) -> Result<Response, Problem> {
    let (mut parts, body) = answer.into_parts();
    let plain: Bytes = to_bytes(body, ANSWER_BYTES_MAX)
        .await
        .map_err(|_| Problem::unavailable())?;
    if plain.is_empty() {
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or("text/plain");
    let sealed = envelope::seal(to, kind, &plain).ok_or_else(Problem::unavailable)?;
    let jose = HeaderValue::from_static(MEDIA_TYPE);
    parts.headers.insert(header::CONTENT_TYPE, jose);
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(sealed.len()));
    Ok(Response::from_parts(parts, Body::from(sealed)))
}

#[cfg(test)]
mod tests;
