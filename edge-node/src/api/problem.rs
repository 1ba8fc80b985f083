//! Errors as `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

use crate::engine::EngineError;

/// What went wrong, for programs (`code`) and for people (`detail`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// A stable name as a URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The same stable name, bare.
    pub code: String,
    /// What was wrong and what to do.
    pub detail: String,
}

impl Problem {
    /// A problem with a stable code.
    pub fn new(status: u16, code: &str, detail: &str) -> Self {
        Self {
            kind: format!("urn:mwimule:problem:{code}"),
            title: code.replace('_', " "),
            status,
            code: code.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// A request that cannot be understood.
    pub fn bad_request(detail: &str) -> Self {
        Self::new(400, "bad_request", detail)
    }
}

/// The one place where the engine's errors become HTTP.
fn status_of(code: &str) -> u16 {
    match code {
        "unknown_trip" | "unknown_ticket" | "unknown_lease" | "trip_not_validated_here" => 404,
        "bad_agent"
        | "bad_amount"
        | "bad_stops"
        | "bad_passenger_count"
        | "unknown_seat"
        | "mixed_currencies"
        | "tender_mismatch"
        | "bad_input"
        | "command_reused" => 422,
        "disk_full" => 507,
        "no_randomness" | "injected" => 500,
        code if code.starts_with("store_") || code.starts_with("disk_") => 500,
        _ => 409,
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let code = error.code();
        Self::new(status_of(code), code, &error.to_string())
    }
}
