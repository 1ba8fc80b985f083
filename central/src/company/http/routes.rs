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

/// One route; its version is the `ETag`.
#[utoipa::path(get, path = "/routes/{code}", operation_id = "routes_show", tag = "company",
    params(("code" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Route, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<Tagged<Route>, Problem> {
    rows::show(&api, caller, &code).await
}

/// Makes a route.
#[utoipa::path(post, path = "/routes", operation_id = "routes_create", tag = "company",
    request_body = Route, security(("bearer" = ["company:write"])),
    responses((status = 201, body = Route, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<Route>,
) -> Result<Tagged<Route>, Problem> {
    rows::create(&api, caller, body.value).await
}

/// Writes over a route. Its new seats, fares and stops hold for trips that are made after the change.
#[utoipa::path(put, path = "/routes/{code}", operation_id = "routes_replace", tag = "company",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = Route, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Route, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
    body: Body<Route>,
) -> Result<Tagged<Route>, Problem> {
    rows::replace(&api, caller, &code, &if_match, body.value).await
}

/// Takes a route away.
#[utoipa::path(delete, path = "/routes/{code}", operation_id = "routes_remove", tag = "company",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["company:write"])),
    responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Trips to come run on it, or other rows need it."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    rows::remove::<Route>(&api, caller, &code, &if_match).await
}
