//! Stops.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::rows;
use crate::access::Caller;
use crate::company::Stop;
use crate::company::stops::StopFilter;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::{KeyPage, filter};
use crate::http::one_row::one_row_routes;
use crate::http::{Api, Problem};
use crate::views::Page;

/// Which stops.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// Code or name has this in it.
    q: Option<String>,
    /// Of one fare zone.
    fare_zone: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's stops.
#[utoipa::path(get, path = "/stops", operation_id = "stops_list", tag = "company",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Stop>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Stop>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = StopFilter {
        text: filter("q", asked.q)?,
        fare_zone: filter("fare_zone", asked.fare_zone)?,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

one_row_routes! {
    "company", "company:write", "/stops", "/stops/{code}", "code",
    Stop, [Stop],
    show: "stops_show" "One stop; its version is the `ETag`.",
    create: "stops_create" "Makes a stop.",
    replace: "stops_replace" "Writes over a stop. Its new name shows on trips that are made after the change.",
    remove: "stops_remove" "Takes a stop away.",
    needed: "Needed by stations, routes, trips to come, fares or nodes.",
}
