//! The routes.

use utoipa_axum::router::OpenApiRouter;

use crate::http::Api;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
}
