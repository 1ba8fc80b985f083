//! Whether the process lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::Asked;
use super::problem::Problem;
use crate::health::Readiness;

/// How much to tell.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadyAsked {
    /// Present: everything that the hub depends on, as JSON, with its state.
    verbose: Option<String>,
}

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Everything that it cannot work without answers too, and nobody has told it to stop.
#[utoipa::path(get, path = "/readyz", tag = "health", params(ReadyAsked),
    responses((status = 200, description = "It takes work.",
            content((String = "text/plain"), (Readiness = "application/json"))),
        (status = 503, body = Problem,
            description = "It does not; with `verbose` also `draining` and `checks`, as the 200."),
        (status = "default", body = Problem)))]
pub async fn readyz(State(api): State<Api>, Asked(asked): Asked<ReadyAsked>) -> Response {
    let found = api.health.look().await;
    let verbose = asked.verbose.is_some();
    if found.ready {
        return if verbose {
            Json(found).into_response()
        } else {
            "ok\n".into_response()
        };
    }
    let problem = if found.draining {
        Problem::stopping()
    } else {
        Problem::unavailable()
    };
    if !verbose {
        return problem.into_response();
    }
    let checks = serde_json::to_value(&found.checks).unwrap_or_default();
    let problem = problem.with("draining", found.draining);
    problem.with("checks", checks).into_response()
}
