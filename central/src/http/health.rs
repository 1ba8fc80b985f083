//! Whether the hub lives, and whether it can work.

use axum::extract::State;

use super::Api;
use super::problem::Problem;
use crate::views;

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// The database answers too.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = String), (status = 503, body = Problem)))]
pub async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    views::all_companies(&api.db).await?;
    Ok("ok\n")
}
