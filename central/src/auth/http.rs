//! The routes.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::AuthError;
use super::keyring::{Jwk, KEY_SET_MS};
use crate::clock;
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// The keys that access tokens are checked with (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub struct KeySet {
    /// Any order; find one by its `kid`.
    keys: Vec<Jwk>,
}

/// The public keys of access tokens, for every service that checks one.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", security(()),
    responses((status = 200, body = KeySet), (status = "default", body = Problem)))]
pub async fn jwks(
    State(api): State<Api>,
) -> Result<([(HeaderName, String); 1], Json<KeySet>), Problem> {
    let now = clock::now();
    let ring = api.auth.keyring(&api.db, &api.vault, now).await?;
    let kept = format!("public, max-age={}", KEY_SET_MS / 1000);
    let keys = ring.published(now);
    Ok(([(header::CACHE_CONTROL, kept)], Json(KeySet { keys })))
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        problem::of(&error)
    }
}

mod problem;
