//! What browsers are told about every answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Nothing may be loaded from an answer of the API, and nobody may frame it.
const API_POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The hub's page holds its own style and nothing else.
pub const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The viewer loads its own scripts and asks its own hub.
pub const VIEWER_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Two years.
const HTTPS_ONLY: &str = "max-age=63072000; includeSubDomains";

const PAGES: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, API_POLICY),
    // What is answered to one must not be kept for another.
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds what the handler has not said itself.
pub fn protect(headers: &mut HeaderMap, https: bool) {
    for (name, value) in PAGES {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if https {
        headers
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert(HeaderValue::from_static(HTTPS_ONLY));
    }
}
