//! Routes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::rows;
use crate::access::Caller;
use crate::company::Route;
use crate::company::routes::RouteFilter;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::{KeyPage, filter};
use crate::http::one_row::one_row_routes;
use crate::http::{Api, Problem};
use crate::views::Page;

/// Which routes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// Code or name has this in it.
    q: Option<String>,
    /// That call at this stop.
    stop: Option<String>,
    /// Of one seat layout.
    layout: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's routes with their stops.
#[utoipa::path(get, path = "/routes", operation_id = "routes_list", tag = "company",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Route>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Route>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = RouteFilter {
        text: filter("q", asked.q)?,
        stop: filter("stop", asked.stop)?,
        layout: filter("layout", asked.layout)?,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

one_row_routes! {
    "company", "company:write", "/routes", "/routes/{code}", "code",
    Route, [Route],
    show: "routes_show" "One route; its version is the `ETag`.",
    create: "routes_create" "Makes a route.",
    replace: "routes_replace" "Writes over a route. Its new seats, fares and stops hold for trips that are made after the change.",
    remove: "routes_remove" "Takes a route away.",
    needed: "Trips to come run on it, or other rows need it.",
}
