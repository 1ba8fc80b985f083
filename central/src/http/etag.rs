//! Rows that people edit: `ETag` on every answer, `If-Match` on every change.
//!
//! The tag is the row's `version` in quotes. A change without `If-Match` is 428, one that names
//! another version 412: nobody overwrites what they have not seen. `If-Match: *` changes whatever
//! is there.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;

/// The longest `If-Match` that is read, in bytes.
const HEADER_BYTES_MAX: usize = 400;

/// What `If-Match` said. Reading it never fails, so that a caller who may not change anything
/// hears that first; [`IfMatch::check`] judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(Said);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Nothing,
    Any,
    Versions(Vec<i32>),
    Unreadable,
}

impl IfMatch {
    fn read(text: &str) -> Said {
        if text.len() > HEADER_BYTES_MAX {
            return Said::Unreadable;
        }
        if text.trim() == "*" {
            return Said::Any;
        }
        let tag = |part: &str| {
            let part = part.trim();
            // A weak tag never matches (RFC 9110, 13.1.1), nor does one that is not a version.
            let weak = part.strip_prefix("W/");
            let inner = weak.unwrap_or(part).strip_prefix('"')?.strip_suffix('"')?;
            let version = inner.parse().ok().filter(|_| weak.is_none());
            Some(version.unwrap_or(-1))
        };
        let tags: Option<Vec<i32>> = text.split(',').map(tag).collect();
        tags.map_or(Said::Unreadable, Said::Versions)
    }

    /// Whether the change is meant for the row as it stands.
    ///
    /// # Errors
    /// 428 without the header, 400 where it cannot be read, 412 for another version.
    pub fn check(&self, version: i32) -> Result<(), Problem> {
        match &self.0 {
            Said::Any => Ok(()),
            Said::Versions(wanted) if wanted.contains(&version) => Ok(()),
            Said::Versions(_) => {
                let detail = "it was changed since you read it: read it again and decide anew";
                let status = StatusCode::PRECONDITION_FAILED;
                Err(Problem::new(status, "changed", "Changed meanwhile", detail)
                    .with("version", version))
            }
            Said::Nothing => {
                let detail = "send If-Match with the ETag that you read";
                let status = StatusCode::PRECONDITION_REQUIRED;
                Err(Problem::new(
                    status,
                    "if-match-needed",
                    "If-Match needed",
                    detail,
                ))
            }
            Said::Unreadable => Err(Problem::bad_request(
                "If-Match has to be the ETag that you read, with its quotes",
            )),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut sent = parts.headers.get_all(header::IF_MATCH).iter();
        let said = match (sent.next(), sent.next()) {
            (None, _) => Said::Nothing,
            (Some(one), None) => one.to_str().map_or(Said::Unreadable, Self::read),
            (Some(_), Some(_)) => Said::Unreadable,
        };
        Ok(Self(said))
    }
}

/// The header that says which version an answer shows.
pub fn etag(version: i32) -> (HeaderName, HeaderValue) {
    let tag = format!("\"{version}\"");
    let value = HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    (header::ETAG, value)
}

/// A row in JSON with its version as `ETag`.
#[derive(Debug, Clone)]
pub struct Tagged<T> {
    /// What happened: 200 or 201.
    pub status: StatusCode,
    /// The row's version.
    pub version: i32,
    /// The row.
    pub row: T,
}

impl<T> Tagged<T> {
    /// A row as it stands.
    pub fn ok(version: i32, row: T) -> Self {
        let status = StatusCode::OK;
        Self {
            status,
            version,
            row,
        }
    }

    /// A row that was not there before.
    pub fn created(version: i32, row: T) -> Self {
        let status = StatusCode::CREATED;
        Self {
            status,
            version,
            row,
        }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        (self.status, [etag(self.version)], Json(self.row)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn status(header: Option<&str>, version: i32) -> u16 {
        let mut request = Request::builder();
        if let Some(text) = header {
            request = request.header(header::IF_MATCH, text);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let said = IfMatch::from_request_parts(&mut parts, &()).await.unwrap();
        said.check(version).map_or_else(|p| p.status, |()| 200)
    }

    #[tokio::test]
    async fn only_the_version_that_was_read_may_be_changed() {
        for (header, wanted) in [
            (None, 428),
            (Some("\"3\""), 200),
            (Some("*"), 200),
            (Some("\"1\", \"3\""), 200),
            (Some("\"2\""), 412),
            (Some("W/\"3\""), 412),
            (Some("\"-1\""), 412),
            (Some("\"three\""), 412),
            (Some("3"), 400),
            (Some(""), 400),
            (Some("\"3"), 400),
        ] {
            assert_eq!(status(header, 3).await, wanted, "{header:?}");
        }
        assert_eq!(status(Some(&"\"3\",".repeat(200)), 3).await, 400);
    }

    #[test]
    fn an_answer_carries_its_version() {
        let answer = Tagged::created(7, "row").into_response();
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.headers()["etag"], "\"7\"");
    }
}
