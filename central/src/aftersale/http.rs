//! The routes.

mod extras;
mod manifest;
mod names;
mod offers;
mod problem;
mod rules;

pub(crate) use offers::open as open_offer;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(offers::make, offers::list))
        .routes(routes!(offers::make_for_ticket))
        .routes(routes!(offers::show))
        .routes(routes!(offers::confirm))
        .routes(routes!(names::correct))
        .routes(routes!(rules::show, rules::change))
        .routes(routes!(extras::list))
        .routes(routes!(extras::change))
        .routes(routes!(extras::sell))
        .routes(routes!(manifest::show))
        .routes(routes!(manifest::csv))
        .routes(routes!(manifest::pdf))
        .routes(routes!(manifest::mark))
}
