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

/// One stop; its version is the `ETag`.
#[utoipa::path(get, path = "/stops/{code}", operation_id = "stops_show", tag = "company",
    params(("code" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Stop, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<Tagged<Stop>, Problem> {
    rows::show(&api, caller, &code).await
}

/// Makes a stop.
#[utoipa::path(post, path = "/stops", operation_id = "stops_create", tag = "company",
    request_body = Stop, security(("bearer" = ["company:write"])),
    responses((status = 201, body = Stop, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<Stop>,
) -> Result<Tagged<Stop>, Problem> {
    rows::create(&api, caller, body.value).await
}

/// Writes over a stop. Its new name shows on trips that are made after the change.
#[utoipa::path(put, path = "/stops/{code}", operation_id = "stops_replace", tag = "company",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = Stop, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Stop, headers(("ETag" = String, description = "Its version."))),
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
    body: Body<Stop>,
) -> Result<Tagged<Stop>, Problem> {
    rows::replace(&api, caller, &code, &if_match, body.value).await
}

/// Takes a stop away.
#[utoipa::path(delete, path = "/stops/{code}", operation_id = "stops_remove", tag = "company",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["company:write"])),
    responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Needed by stations, routes, trips to come, fares or nodes."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    rows::remove::<Stop>(&api, caller, &code, &if_match).await
}
