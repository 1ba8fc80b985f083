//! The routes: what a company's office keeps up to date.

mod buses;
mod csv;
mod gtfs;

mod layouts;
mod routes;
mod rows;
mod settings;
mod shape;
mod stations;
mod stops;

use axum::http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::records::OfficeError;
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(settings::show, settings::change))
        .routes(routes!(stops::list, stops::create))
        .routes(routes!(stops::show, stops::replace, stops::remove))
        .routes(routes!(stations::list, stations::create))
        .routes(routes!(stations::show, stations::replace, stations::remove))
        .routes(routes!(routes::list, routes::create))
        .routes(routes!(routes::show, routes::replace, routes::remove))
        .routes(routes!(buses::list, buses::create))
        .routes(routes!(buses::show, buses::replace, buses::remove))
        .routes(routes!(layouts::list, layouts::create))
        .routes(routes!(layouts::show, layouts::redraw, layouts::remove))
        .routes(routes!(layouts::versions))
        .routes(routes!(layouts::version))
        .merge(csv::routes())
        .merge(shape::routes())
        .routes(routes!(gtfs::export))
}

impl From<OfficeError> for Problem {
    fn from(error: OfficeError) -> Self {
        let detail = error.to_string();
        match error {
            OfficeError::Unknown { .. } => Self::not_found(detail),
            OfficeError::Exists { .. } => Self::conflict("exists", "Already there", detail),
            OfficeError::Wrong(fault) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "wrong-member", "A member is wrong", detail)
                    .with("member", fault.column)
                    .with("remedy", fault.remedy)
            }
            OfficeError::InUse { uses, .. } => {
                Self::conflict("in-use", "In use", detail).with("uses", json!(uses))
            }
            OfficeError::Db(error) => error.into(),
        }
    }
}
#[cfg(test)]
pub(crate) mod tests;
