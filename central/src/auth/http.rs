//! The routes: they translate, and nothing else.

mod account;
mod api_keys;
mod audit;
mod people;
mod problem;
mod second_factor;
mod sessions;

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use domain::time::Instant;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::HUB;
use super::contact::Contact;
use super::error::AuthError;
use super::keyring::{Jwk, KEY_SET_MS};
use crate::clock;
use crate::http::{Api, ClientAddress, Problem, jose};

/// The longest password that is looked at, in bytes.
const PASSWORD_BYTES_MAX: usize = 512;
/// The longest code that is looked at, in bytes.
const CODE_BYTES_MAX: usize = 40;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(jwks))
        .routes(routes!(sessions::sign_in, sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::show, sessions::sign_out))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::switch))
        .routes(routes!(account::register))
        .routes(routes!(account::confirm_registration))
        .routes(routes!(account::ask_reset))
        .routes(routes!(account::confirm_reset))
        .routes(routes!(account::change_password))
        .routes(routes!(account::rename))
        .routes(routes!(account::add_contact))
        .routes(routes!(account::confirm_contact))
        .routes(routes!(account::log))
        .routes(routes!(second_factor::enrol))
        .routes(routes!(second_factor::confirm))
        .routes(routes!(second_factor::remove))
        .routes(routes!(people::list, people::invite))
        .routes(routes!(people::show, people::change))
        .routes(routes!(people::invite_again))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(audit::list))
}

/// The keys that access tokens are checked with (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}))]
pub struct KeySet {
    /// Any order; find one by its `kid`.
    keys: Vec<Jwk>,
}

/// The public keys of access tokens (`use` is `sig`), and the one to encrypt bodies to (`enc`).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", security(()),
    responses((status = 200, body = KeySet), (status = "default", body = Problem)))]
pub async fn jwks(
    State(api): State<Api>,
) -> Result<([(HeaderName, String); 1], Json<KeySet>), Problem> {
    let now = clock::now();
    let ring = api.auth.keyring(&api.db, &api.vault, now).await?;
    let kept = format!("public, max-age={}", KEY_SET_MS / 1000);
    let mut keys = ring.published(now);
    keys.extend(jose::published(&api.vault));
    Ok(([(header::CACHE_CONTROL, kept)], Json(KeySet { keys })))
}

/// A code that was sent, and what to show it with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"request": "01975a3e-7d3c-7b6a-9b1d-5c1f0a7d2e11",
    "expires_at": "2034-05-02T06:15:00Z"}))]
pub struct CodeSentView {
    /// Goes into the address that the code is shown at.
    request: Uuid,
    /// When the code ends, RFC 3339.
    expires_at: String,
}

impl CodeSentView {
    fn of((request, expires): (Uuid, Instant)) -> Self {
        Self {
            request,
            expires_at: expires.to_string(),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        problem::of(&error)
    }
}

/// No copy of an answer with a secret in it is kept on its way.
const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

fn contact_of(text: &str) -> Result<Contact, Problem> {
    Contact::parse(text).map_err(|error| Problem::unprocessable(error.to_string()))
}

/// A text that is looked at at all.
fn bounded<'a>(name: &str, text: &'a str, bytes_max: usize) -> Result<&'a str, Problem> {
    if text.len() > bytes_max {
        let detail = format!("`{name}` is longer than {bytes_max} bytes");
        return Err(Problem::unprocessable(detail));
    }
    Ok(text)
}

fn bounded_password(text: &str) -> Result<&str, Problem> {
    bounded("password", text, PASSWORD_BYTES_MAX)
}

fn bounded_code(text: &str) -> Result<&str, Problem> {
    bounded("code", text, CODE_BYTES_MAX)
}

/// What tries from an address are counted under: a household has one IPv6 /64.
fn address_key(api: &Api, address: ClientAddress) -> Result<Option<Vec<u8>>, Problem> {
    let Some(address) = address.0 else {
        return Ok(None);
    };
    let network = match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
    };
    let key = api.vault.blind(HUB, "address", &network);
    Ok(Some(key.map_err(AuthError::from)?))
}

fn device_of(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|v| v.to_str().ok()).unwrap_or("unknown");
    agent.chars().take(200).collect()
}
