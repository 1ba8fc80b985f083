//! The HTTP API and the hub's page.
//!
//! Handlers translate: they check what came, call a service or a view, and answer JSON. Every
//! error becomes a problem document in [`problem`]. The API describes itself at `/openapi.json`.

pub mod auth;
pub mod etag;
pub mod extract;
pub mod front;
mod health;
mod home;
pub mod idempotent;
pub mod internal;
pub mod jose;
mod keys;
pub mod list;
pub mod listing;
pub mod network;
mod office;
pub mod one_row;
mod openapi;
pub mod problem;
pub mod settings;
mod trips;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Mutex;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::auth::BearerScheme;
use crate::auth::Auth;
use crate::cache::{Cache, MemoryCache};
use crate::db::Db;
use crate::health::Health;
use crate::keys::HubKeys;
use crate::payment::Providers;
use crate::tracking::Tracker;
use crate::vault::Vault;
use crate::vault::reseal::PassedOver;
pub use front::{ClientAddress, Front};
pub use problem::Problem;

/// The largest body that a request may have.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What every handler works with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The database.
    pub db: Db,
    /// The hub's keys.
    pub keys: Arc<HubKeys>,
    /// Seals personal data.
    pub vault: Vault,
    /// What may be forgotten.
    pub cache: Cache,
    /// Signing keys and sessions, remembered for a moment.
    pub auth: Arc<Auth>,
    /// What every request passes first.
    pub front: Arc<Front>,
    /// Who moves money.
    pub payments: Providers,
    /// Whether this process can work.
    pub health: Arc<Health>,
    /// Who brings events to listeners.
    pub broker: Arc<dyn crate::broker::Broker>,
    /// How messages leave the hub; none: they wait.
    pub outlets: Option<Arc<crate::notification::Outlets>>,
    /// Where buses are.
    pub tracking: Tracker,
    /// What the present pass of key rotation could not open.
    pub(crate) passed_over: Arc<Mutex<PassedOver>>,
}

impl Api {
    /// On the embedded defaults, without rate limits.
    pub fn new(db: Db, keys: HubKeys, vault: Vault) -> Self {
        let auth = Arc::new(Auth::new(db.bus().clone()));
        let health = Arc::new(Health::new(&db));
        let bus = crate::broker::Bus::new(db.clone(), crate::broker::queues(None));
        let tracking = Tracker::new(db.clone());
        Self {
            broker: Arc::new(bus),
            outlets: None,
            db,
            tracking,
            keys: Arc::new(keys),
            vault,
            cache: Arc::new(MemoryCache::new()),
            auth,
            health,
            front: Arc::new(Front::open()),
            payments: Providers::default(),
            passed_over: Arc::default(),
        }
    }

    /// With providers of payments.
    #[must_use]
    pub fn with_payments(mut self, payments: Providers) -> Self {
        self.payments = payments;
        self
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mwimule hub",
        description = "Trips, seats, bookings and reconciliation. Times are RFC 3339 in UTC; \
                       money is integer minor units beside an ISO 4217 code; errors are RFC 9457 \
                       problem documents with stable types.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem)),
    modifiers(&BearerScheme)
)]
struct Document;

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(trips::list))
        .routes(routes!(trips::show))
        .routes(routes!(trips::seats))
        .routes(routes!(keys::list))
        .routes(routes!(office::nodes))
        .routes(routes!(office::leases))
        .routes(routes!(office::tickets))
        .routes(routes!(office::ledger))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .merge(crate::auth::http::routes())
        .merge(crate::booking::http::routes())
        .merge(crate::company::http::routes())
        .merge(crate::pricing::http::routes())
        .merge(crate::operations::http::routes())
        .merge(crate::tracking::http::routes())
        .merge(crate::aftersale::http::routes())
        .merge(crate::swap::http::routes())
        .merge(crate::waiting::http::routes())
        .merge(crate::documents::http::routes())
        .merge(crate::payment::http::routes())
        .merge(crate::ledger::http::routes())
        .merge(crate::reconciliation::http::routes())
        .merge(crate::notification::http::routes())
        .merge(crate::restore::http::routes())
        .merge(crate::broker::http::routes())
}

/// The OpenAPI 3.1 document.
pub fn openapi() -> serde_json::Value {
    completed(&described().into_openapi())
}

fn completed(document: &utoipa::openapi::OpenApi) -> serde_json::Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    openapi::complete(&mut document);
    document
}

/// The viewer of the document.
fn viewer() -> Router<Api> {
    let config = utoipa_swagger_ui::Config::from("/openapi.json").validator_url("none");
    let pages: Router<Api> = utoipa_swagger_ui::SwaggerUi::new("/docs")
        .config(config)
        .into();
    pages.layer(map_response(async |mut response: Response| {
        let policy = HeaderValue::from_static(front::VIEWER_POLICY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }))
}

/// Every route.
pub fn router(api: Api) -> Router {
    let (routes, document) = described().split_for_parts();
    let document = axum::Json(completed(&document));
    routes
        .route(
            "/openapi.json",
            axum::routing::get(move || async { document }),
        )
        .route("/", axum::routing::get(home::page))
        .merge(viewer())
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(api.clone(), jose::pass))
        .layer(from_fn_with_state(api.clone(), front::pass))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}

/// A request that takes too long is given up: its transaction ends whole or not at all.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timed_out().into_response(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
