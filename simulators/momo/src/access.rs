//! Who may call: subscription keys, API users, tokens.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use data_encoding::BASE64;
use serde_json::{Value, json};
use sim_kit::{now_ms, random_hex};

use crate::{Momo, answer, error};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or_default()
}

/// The product's gate in front of everything.
fn subscribed(momo: &Momo, headers: &HeaderMap) -> Result<(), Response> {
    let said = header(headers, "ocp-apim-subscription-key");
    if said == momo.settings.subscription_key {
        return Ok(());
    }
    let message = if said.is_empty() {
        "Access denied due to missing subscription key. Make sure to include subscription key \
         when making requests to an API."
    } else {
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an \
         active subscription."
    };
    let body = json!({ "statusCode": 401, "message": message });
    Err(answer(StatusCode::UNAUTHORIZED, &body))
}

/// A reference id: a UUID of version 4.
pub fn reference(headers: &HeaderMap) -> Result<String, Response> {
    let said = header(headers, "x-reference-id");
    let id = uuid::Uuid::try_parse(said).ok();
    id.filter(|id| id.get_version_num() == 4)
        .map(|id| id.to_string())
        .ok_or_else(|| {
            let message = "Reference id is missing or is no UUID of version 4.";
            error(StatusCode::BAD_REQUEST, "INVALID_REFERENCE_ID", message)
        })
}

/// Checks everything that a call of a product carries.
pub fn admitted(momo: &Momo, headers: &HeaderMap, product: &str) -> Result<(), Response> {
    subscribed(momo, headers)?;
    let token = header(headers, "authorization");
    let token = token.strip_prefix("Bearer ").unwrap_or_default();
    let known = momo.book.look(|b| {
        let known = b.tokens.get(token);
        known.is_some_and(|(of, until)| of == product && *until > now_ms())
    });
    if !known {
        let body =
            json!({ "error": "invalid_token", "statusCode": 401, "message": "Unauthorized" });
        return Err(answer(StatusCode::UNAUTHORIZED, &body));
    }
    if header(headers, "x-target-environment") != momo.settings.target_environment {
        let message = "Access to target environment is forbidden.";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Err(error(status, "NOT_ALLOWED_TARGET_ENVIRONMENT", message));
    }
    Ok(())
}

pub async fn token(
    State(momo): State<Momo>,
    Path(product): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = subscribed(&momo, &headers) {
        return no;
    }
    if !matches!(product.as_str(), "collection" | "disbursement") {
        let body = json!({ "statusCode": 404, "message": "Resource not found" });
        return answer(StatusCode::NOT_FOUND, &body);
    }
    let basic = header(&headers, "authorization");
    let basic = basic.strip_prefix("Basic ").unwrap_or_default();
    let pair = BASE64.decode(basic.as_bytes()).ok();
    let pair = pair.and_then(|p| String::from_utf8(p).ok());
    let known = pair.as_deref().and_then(|p| p.split_once(':'));
    let known = known.is_some_and(|(user, key)| {
        let settings = &momo.settings;
        (user == settings.api_user && key == settings.api_key)
            || momo
                .book
                .look(|b| b.users.get(user) == Some(&Some(key.to_owned())))
    });
    if !known {
        let body = json!({ "error": "login_failed", "error_description": "Bad credentials" });
        return answer(StatusCode::UNAUTHORIZED, &body);
    }
    let token = momo.book.change(|b| b.new_token(&product));
    let body = json!({ "access_token": token, "token_type": "access_token", "expires_in": 3600 });
    answer(StatusCode::OK, &body)
}

pub async fn new_user(
    State(momo): State<Momo>,
    headers: HeaderMap,
    Json(_host): Json<Value>,
) -> Response {
    if let Err(no) = subscribed(&momo, &headers) {
        return no;
    }
    let id = match reference(&headers) {
        Ok(id) => id,
        Err(no) => return no,
    };
    let fresh = momo.book.change(|b| {
        let fresh = !b.users.contains_key(&id);
        b.users.entry(id).or_insert(None);
        fresh
    });
    if fresh {
        answer(StatusCode::CREATED, &json!({}))
    } else {
        let message = "Duplicated reference id. Creation of resource failed.";
        error(StatusCode::CONFLICT, "RESOURCE_ALREADY_EXIST", message)
    }
}

pub async fn user(
    State(momo): State<Momo>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = subscribed(&momo, &headers) {
        return no;
    }
    if momo.book.look(|b| b.users.contains_key(&id)) {
        let body = json!({ "targetEnvironment": momo.settings.target_environment });
        return answer(StatusCode::OK, &body);
    }
    error(
        StatusCode::NOT_FOUND,
        "RESOURCE_NOT_FOUND",
        "Requested resource was not found.",
    )
}

pub async fn new_key(
    State(momo): State<Momo>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(no) = subscribed(&momo, &headers) {
        return no;
    }
    let key = random_hex(16);
    let given = momo.book.change(|b| {
        let user = b.users.get_mut(&id);
        user.map(|user| *user = Some(key.clone())).is_some()
    });
    if given {
        return answer(StatusCode::CREATED, &json!({ "apiKey": key }));
    }
    error(
        StatusCode::NOT_FOUND,
        "RESOURCE_NOT_FOUND",
        "Requested resource was not found.",
    )
}
