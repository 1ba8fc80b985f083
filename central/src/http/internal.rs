//! What is told inside only, on a port of its own: the metrics, beside the health.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{Api, Problem, health};
use crate::metrics::TEXT;

/// The routes of the internal port.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .with_state(api)
}

/// Every counter of this process, and what the database knows of the hub.
async fn metrics(State(api): State<Api>) -> Response {
    api.health.look().await;
    let metrics = api.db.metrics();
    if let Err(error) = metrics.look(&api.db).await {
        // What this process counts itself is worth telling without.
        tracing::warn!(%error, "the database's part of the metrics is old");
    }
    ([(header::CONTENT_TYPE, TEXT)], metrics.text()).into_response()
}
