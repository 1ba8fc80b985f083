//! Secret keys and idempotency keys.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use data_encoding::BASE64;

use crate::{Card, answer, error};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// The secret key, as a bearer or as the user of basic authentication.
pub fn admitted(card: &Card, headers: &HeaderMap) -> Result<(), Response> {
    let said = header(headers, "authorization").unwrap_or_default();
    let basic = said.strip_prefix("Basic ");
    let basic = basic.and_then(|b| BASE64.decode(b.as_bytes()).ok());
    let basic = basic.and_then(|b| String::from_utf8(b).ok());
    let key = match (&basic, said.strip_prefix("Bearer ")) {
        (Some(pair), _) => pair.split(':').next().unwrap_or_default(),
        (None, Some(key)) => key,
        (None, None) => "",
    };
    if key == card.settings.secret_key {
        return Ok(());
    }
    let message = if key.is_empty() {
        "You did not provide an API key.".to_owned()
    } else {
        let shown: String = key.chars().take(8).collect();
        format!("Invalid API Key provided: {shown}***")
    };
    let status = StatusCode::UNAUTHORIZED;
    Err(error(status, "invalid_request_error", None, &message))
}

/// What an idempotency key leads to.
pub enum Key {
    /// None was sent.
    None,
    /// It is fresh, and taken.
    Fresh(String),
    /// Answered before, or not to be used.
    Answer(Response),
}

/// Takes a key for this request.
pub fn key(card: &Card, headers: &HeaderMap, path: &str, body: &[u8]) -> Key {
    let Some(key) = header(headers, "idempotency-key") else {
        return Key::None;
    };
    let asked = format!("{path}?{}", String::from_utf8_lossy(body));
    let known = card.book.change(|b| {
        let known = b.keys.get(key).cloned();
        if known.is_none() {
            b.keys.insert(key.to_owned(), (asked.clone(), None));
        }
        known
    });
    let kind = "idempotency_error";
    match known {
        None => Key::Fresh(key.to_owned()),
        Some((before, _)) if before != asked => {
            let message = "Keys for idempotent requests can only be used with the same parameters \
                           they were first used with.";
            Key::Answer(error(StatusCode::BAD_REQUEST, kind, None, message))
        }
        Some((_, None)) => {
            let message = "There is currently another in-progress request using this key.";
            let code = Some("idempotency_key_in_use");
            Key::Answer(error(StatusCode::CONFLICT, kind, code, message))
        }
        Some((_, Some((status, body)))) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let body = serde_json::from_str(&body).unwrap_or_default();
            let mut again = answer(status, &body);
            let replayed = axum::http::HeaderValue::from_static("true");
            again.headers_mut().insert("idempotent-replayed", replayed);
            Key::Answer(again)
        }
    }
}

/// Keeps the answer to a key.
pub fn keep(card: &Card, key: &Key, status: StatusCode, body: &serde_json::Value) {
    if let Key::Fresh(key) = key {
        card.book.change(|b| {
            if let Some((_, kept)) = b.keys.get_mut(key) {
                *kept = Some((status.as_u16(), body.to_string()));
            }
        });
    }
}
