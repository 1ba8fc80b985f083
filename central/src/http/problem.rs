//! The one place where errors become HTTP: RFC 9457 problem documents.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::access::Permission;
use crate::db::DbError;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, for machines (`type`) and for people (`detail`).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A stable URI: `urn:mwimule:problem:` and a word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, and what to do.
    pub detail: String,
    /// More members, by kind.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// Of a kind: the word behind `urn:mwimule:problem:`.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:mwimule:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            more: Map::new(),
        }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Nothing is there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// The address is right, the method is not.
    pub fn method_not_allowed() -> Self {
        let detail = "this address does not take this method; see /openapi.json";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method-not-allowed", "Method not allowed", detail)
    }

    /// The request took too long.
    pub fn timed_out() -> Self {
        let detail =
            "the hub did not finish in time: ask again, with the same Idempotency-Key if any";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timed-out",
            "Timed out",
            detail,
        )
    }

    /// No token, or one that opens nothing.
    pub fn unauthorized() -> Self {
        let detail = "send `Authorization: Bearer TOKEN`; `mwimule-hub admin create` makes one";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Unauthorized",
            detail,
        )
    }

    /// Known, but not allowed.
    pub fn forbidden(permission: Permission) -> Self {
        let wanted = permission.as_str();
        let detail = format!("this takes the permission {wanted}: ask an admin of your company");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
            .with("permission", wanted)
    }

    /// It clashes with how things stand.
    pub fn conflict(kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, title, detail)
    }

    /// The query, a header or the path cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "Bad request",
            detail,
        )
    }

    /// The body is not JSON.
    pub fn bad_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-json", "Not JSON", detail)
    }

    /// JSON, but not what is wanted.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "unprocessable", "Cannot be processed", detail)
    }

    /// Another media type.
    pub fn unsupported_media_type() -> Self {
        let detail = "send the body as application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported-media-type", "Not JSON", detail)
    }

    /// Over the cap.
    pub fn too_large() -> Self {
        let detail = "the body is larger than any request of this API";
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            detail,
        )
    }

    /// The key was used for something else.
    pub fn key_reused() -> Self {
        let detail = "this Idempotency-Key was used for another request: choose a new one";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "idempotency-key-reused", "Key used before", detail)
    }

    /// The same request is being worked on.
    pub fn in_flight() -> Self {
        let detail = "a request with this Idempotency-Key is being worked on: ask again shortly";
        Self::new(StatusCode::CONFLICT, "in-flight", "In flight", detail)
    }

    /// The database is away, or something is broken; the log has the details.
    pub fn unavailable() -> Self {
        let detail = "the hub cannot reach its database at the moment: try again";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "unavailable", "Unavailable", detail)
    }

    /// This process was told to stop.
    pub fn stopping() -> Self {
        let detail = "this process of the hub is stopping: ask another one";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "stopping", "Stopping", detail)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The body's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_json()).into_response();
        let headers = response.headers_mut();
        if let Some(wait_s) = self.more.get("retry_after_s").and_then(Value::as_u64) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        if error.is_seat_taken() {
            let detail = "somebody else took a seat meanwhile: look again";
            return Self::conflict("seat-taken", "Seat taken", detail);
        }
        tracing::error!(%error, "a request failed");
        Self::unavailable()
    }
}
