//! Reading requests, so that whatever is wrong with one becomes a problem document.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::views::Cursor;

/// How deep the JSON of a request may nest; no request of this API nests deeper than five.
const JSON_DEPTH_MAX: usize = 24;

/// The query, unknown names refused by its type.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}

/// The name in the path.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}

/// A JSON body, with the bytes it was read from.
#[derive(Debug)]
pub struct Body<T> {
    /// What it says.
    pub value: T,
    /// As it came.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::unsupported_media_type());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| unreadable(&error))?;
        if is_too_deep(&bytes) {
            let detail = format!("the body nests deeper than {JSON_DEPTH_MAX} levels");
            return Err(Problem::bad_json(detail));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self { value, bytes }),
            Err(error) if error.is_data() => Err(Problem::unprocessable(error.to_string())),
            Err(error) => Err(Problem::bad_json(error.to_string())),
        }
    }
}

/// Whether lists and objects lie too deep in each other; brackets in strings do not count.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn unreadable(error: &BytesRejection) -> Problem {
    let too_large = matches!(
        error,
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_))
    );
    if too_large || error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large()
    } else {
        Problem::bad_request("the body ended early")
    }
}

/// The cursor of a list.
pub fn cursor(after: Option<&str>, limit: Option<usize>) -> Result<Cursor, Problem> {
    Cursor::new(after, limit)
        .ok_or_else(|| Problem::bad_request("`after` has to be the `next` of the page before"))
}

/// A value of the query in the type it should have.
pub fn parsed<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    text.map(str::parse)
        .transpose()
        .map_err(|error: T::Err| Problem::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(nested(JSON_DEPTH_MAX).as_bytes()));
        assert!(is_too_deep(nested(JSON_DEPTH_MAX + 1).as_bytes()));
        let text = format!(r#"{{"a": "\\\"{}"}}"#, "[{".repeat(50));
        assert!(!is_too_deep(text.as_bytes()));
        let wide = format!("[{}[]]", "[],".repeat(100));
        assert!(!is_too_deep(wide.as_bytes()));
    }
}
