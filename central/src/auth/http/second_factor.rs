//! The second factor.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::SessionView;
use super::{NO_STORE, bounded_code, bounded_password};
use crate::auth::factor;
use crate::clock;
use crate::http::auth::SignedIn;
use crate::http::extract::Body;
use crate::http::{Api, Problem};

/// What an authenticator is set up with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    "uri": "otpauth://totp/Mwimule:a@example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Mwimule&algorithm=SHA1&digits=6&period=30",
    "qr": "█▀▀█"}))]
pub struct EnrolmentView {
    /// To type in, base32.
    secret: String,
    /// To hand over.
    uri: String,
    /// To scan: a QR code of block characters.
    qr: String,
}

/// Set up an authenticator; it is in force once one of its codes was shown.
#[utoipa::path(post, path = "/auth/second-factor", tag = "auth", security(("bearer" = [])),
    responses((status = 201, body = EnrolmentView), (status = 401, body = Problem),
        (status = 409, description = "second-factor-in-force", body = Problem),
        (status = "default", body = Problem)))]
pub async fn enrol(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
) -> Result<Response, Problem> {
    let made = factor::enrol(&api, &standing, clock::now()).await?;
    let view = EnrolmentView {
        secret: made.secret,
        uri: made.uri,
        qr: made.qr,
    };
    Ok((StatusCode::CREATED, AppendHeaders([NO_STORE]), Json(view)).into_response())
}

/// A code of the authenticator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "081804"}))]
pub struct FactorCode {
    /// Six digits.
    #[schema(max_length = 40)]
    code: String,
}

/// What stands in for a lost authenticator, and the session with its roles in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfirmedView {
    /// Each counts once; they are shown this once.
    recovery_codes: Vec<String>,
    /// The session, with an access token for all of its roles.
    session: SessionView,
}

/// Show a code: the authenticator is in force, and the roles that waited for it count.
#[utoipa::path(post, path = "/auth/second-factor/confirm", tag = "auth",
    security(("bearer" = [])), request_body = FactorCode,
    responses((status = 200, body = ConfirmedView), (status = 401, body = Problem),
        (status = 409, body = Problem), (status = 422, description = "wrong-code", body = Problem),
        (status = 429, body = Problem), (status = "default", body = Problem)))]
pub async fn confirm(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    body: Body<FactorCode>,
) -> Result<Response, Problem> {
    let now = clock::now();
    let code = bounded_code(&body.value.code)?;
    let recovery_codes = factor::confirm(&api, &standing, code, now).await?;
    let opened = factor::reopened(&api, &standing, now).await?;
    let view = ConfirmedView {
        recovery_codes,
        session: SessionView::of(opened, None),
    };
    Ok((AppendHeaders([NO_STORE]), Json(view)).into_response())
}

/// What it takes to take a second factor away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery", "code": "081804"}))]
pub struct RemovalAsked {
    /// The password.
    #[schema(max_length = 512)]
    password: String,
    /// Six digits of the authenticator, or a recovery code.
    #[schema(max_length = 40)]
    code: String,
}

/// Take the second factor away. Roles that need one wait again.
#[utoipa::path(post, path = "/auth/second-factor/remove", tag = "auth",
    security(("bearer" = [])), request_body = RemovalAsked,
    responses((status = 204), (status = 401, body = Problem),
        (status = 409, description = "no-second-factor", body = Problem),
        (status = 429, body = Problem), (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    body: Body<RemovalAsked>,
) -> Result<StatusCode, Problem> {
    let password = bounded_password(&body.value.password)?;
    let code = bounded_code(&body.value.code)?;
    factor::remove(&api, &standing, (password, code), clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
