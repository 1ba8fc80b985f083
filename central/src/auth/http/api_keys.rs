//! API keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{NO_STORE, bounded};
use crate::access::{Caller, Permission};
use crate::auth::api_keys::{self, Wish};
use crate::auth::db::api_keys::{self as rows, KeyRow};
use crate::auth::error::AuthError;
use crate::clock;
use crate::http::extract::{Asked, Body, Named, cursor};
use crate::http::{Api, Problem};
use crate::views::Page;

const NAME_BYTES_MAX: usize = 600;

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeysAsked {
    /// Those that count only, instead of revoked and ended ones too.
    live: Option<bool>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"key": "3f0c1e7a-7d3c-4b6a-9b1d-5c1f0a7d2e11", "name": "web shop",
    "scopes": ["company:read", "bookings:read"], "created_at": "2034-05-02T06:00:00Z",
    "created_by": null, "expires_at": null, "revoked_at": null}))]
pub struct ApiKeyView {
    /// Its number.
    key: Uuid,
    /// What it is for.
    name: String,
    /// What it may do; null: whatever an admin of the company may.
    scopes: Option<Vec<String>>,
    /// RFC 3339.
    created_at: String,
    /// The person or key that made it; null for the command line.
    created_by: Option<Uuid>,
    /// When it ends by itself, RFC 3339.
    expires_at: Option<String>,
    /// Since when it counts no more, RFC 3339.
    revoked_at: Option<String>,
}

impl From<KeyRow> for ApiKeyView {
    fn from(row: KeyRow) -> Self {
        Self {
            key: row.key,
            name: row.name,
            scopes: row.scopes,
            created_at: row.created_at.to_string(),
            created_by: row.created_by,
            expires_at: row.expires_at.map(|at| at.to_string()),
            revoked_at: row.revoked_at.map(|at| at.to_string()),
        }
    }
}

/// A key that was made, with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewApiKeyView {
    /// What goes behind `Authorization: Bearer`; it is shown this once.
    token: String,
    /// The key.
    #[serde(flatten)]
    key: ApiKeyView,
}

/// The company's API keys.
#[utoipa::path(get, path = "/api-keys", tag = "people", params(KeysAsked),
    security(("bearer" = ["keys:write"])),
    responses((status = 200, body = Page<ApiKeyView>), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<KeysAsked>,
) -> Result<Json<Page<ApiKeyView>>, Problem> {
    let company = caller.may(Permission::KeysWrite)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let live = asked.live.unwrap_or(false);
    let after = cursor.part(0, Uuid::nil());
    let mut tx = api.db.tenant(company).await?;
    let found = rows::list(&mut tx, live, after, cursor.fetch(), clock::now()).await?;
    let views = found.into_iter().map(ApiKeyView::from).collect();
    let page = Page::cut(views, cursor.limit, |k: &ApiKeyView| k.key.to_string());
    Ok(Json(page))
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "web shop", "scopes": ["company:read", "bookings:read"],
    "read_only": true}))]
pub struct ApiKeyAsked {
    /// What it is for: 1 to 120 characters.
    #[schema(max_length = 120)]
    name: String,
    /// What it may do, as the scopes of this document; all that its maker may when left out.
    #[schema(max_items = 40)]
    scopes: Option<Vec<String>>,
    /// Whether it only looks: its scopes are those that read.
    #[serde(default)]
    read_only: bool,
    /// When it ends by itself, RFC 3339.
    expires_at: Option<String>,
}

fn scopes_of(words: &[String]) -> Result<Vec<Permission>, Problem> {
    if words.len() > 2 * Permission::ALL.len() {
        return Err(Problem::unprocessable(
            "`scopes` has more entries than there are scopes",
        ));
    }
    let parsed: Result<Vec<Permission>, _> = words.iter().map(|w| w.parse()).collect();
    Ok(parsed.map_err(AuthError::from)?)
}

fn time_of(text: &str) -> Result<Instant, Problem> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed
        .map(|at| Instant(at.as_millisecond()))
        .map_err(|_| Problem::unprocessable("`expires_at` has to be like 2034-05-02T06:00:00Z"))
}

/// Make an API key for a program. Its secret is shown this once.
#[utoipa::path(post, path = "/api-keys", tag = "people", security(("bearer" = ["keys:write"])),
    request_body = ApiKeyAsked,
    responses((status = 201, body = NewApiKeyView), (status = 401, body = Problem),
        (status = 403, description = "forbidden, or beyond-yours", body = Problem),
        (status = 409, description = "full", body = Problem), (status = 422, body = Problem),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<ApiKeyAsked>,
) -> Result<Response, Problem> {
    let by = caller.may(Permission::KeysWrite)?;
    let asked = body.value;
    let wish = Wish {
        name: bounded("name", &asked.name, NAME_BYTES_MAX)?,
        scopes: asked.scopes.as_deref().map(scopes_of).transpose()?,
        read_only: asked.read_only,
        expires_at: asked.expires_at.as_deref().map(time_of).transpose()?,
    };
    let (row, token) = api_keys::create(&api, (&caller, by), &wish, clock::now()).await?;
    let view = NewApiKeyView {
        token,
        key: row.into(),
    };
    Ok((StatusCode::CREATED, AppendHeaders([NO_STORE]), Json(view)).into_response())
}

/// Revoke an API key at once. Doing it again changes nothing.
#[utoipa::path(delete, path = "/api-keys/{key}", tag = "people",
    security(("bearer" = ["keys:write"])),
    params(("key" = Uuid, Path, description = "Its number")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Named(key): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let by = caller.may(Permission::KeysWrite)?;
    api_keys::revoke(&api, by, key, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
