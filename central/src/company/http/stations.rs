//! Stations.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::rows;
use crate::access::Caller;
use crate::company::Station;
use crate::company::stations::StationFilter;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::{KeyPage, filter};
use crate::http::one_row::one_row_routes;
use crate::http::{Api, Problem};
use crate::views::Page;

/// Which stations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// Code or name has this in it.
    q: Option<String>,
    /// At one stop.
    stop: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The places where the company sells.
#[utoipa::path(get, path = "/stations", operation_id = "stations_list", tag = "company",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Station>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Station>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = StationFilter {
        text: filter("q", asked.q)?,
        stop: filter("stop", asked.stop)?,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

one_row_routes! {
    "company", "company:write", "/stations", "/stations/{code}", "code",
    Station, [Station],
    show: "stations_show" "One station; its version is the `ETag`.",
    create: "stations_create" "Makes a station.",
    replace: "stations_replace" "Writes over a station.",
    remove: "stations_remove" "Takes a station away.",
    needed: "Other rows need it.",
}
