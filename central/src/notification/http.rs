//! The routes: what the office sees of messages, and what their readers do with them.

mod inbox;
mod office;
mod preferences;
mod reports;
mod settings;
mod templates;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Text;
use crate::http::{Api, Problem};
use crate::vault::VaultError;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(office::list))
        .routes(routes!(settings::show, settings::change))
        .routes(routes!(office::show))
        .routes(routes!(office::resend))
        .routes(routes!(inbox::list))
        .routes(routes!(inbox::read))
        .routes(routes!(preferences::show, preferences::change))
        .routes(routes!(templates::list))
        .routes(routes!(templates::preview))
        .routes(routes!(reports::sms))
}

fn opened(text: Result<Text, VaultError>) -> Result<Text, Problem> {
    text.map_err(|error| {
        tracing::error!(%error, "a message does not open");
        Problem::unavailable()
    })
}
