//! The fleet.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::rows;
use crate::access::Caller;
use crate::company::Bus;
use crate::company::buses::BusFilter;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named, parsed};
use crate::http::list::{KeyPage, filter};
use crate::http::{Api, Problem};
use crate::views::Page;

/// Which buses.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// The registration has this in it.
    q: Option<String>,
    /// In one state: `in_service`, `workshop` or `retired`.
    state: Option<String>,
    /// Of one seat layout.
    layout: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's fleet.
#[utoipa::path(get, path = "/buses", operation_id = "buses_list", tag = "company",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Bus>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Bus>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = BusFilter {
        text: filter("q", asked.q)?,
        state: parsed(asked.state.as_deref())?,
        layout: filter("layout", asked.layout)?,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

/// One bus; its version is the `ETag`.
#[utoipa::path(get, path = "/buses/{registration}", operation_id = "buses_show", tag = "company",
    params(("registration" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Bus, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(registration): Named<String>,
) -> Result<Tagged<Bus>, Problem> {
    rows::show(&api, caller, &registration).await
}

/// Makes a bus.
#[utoipa::path(post, path = "/buses", operation_id = "buses_create", tag = "company",
    request_body = Bus, security(("bearer" = ["company:write"])),
    responses((status = 201, body = Bus, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<Bus>,
) -> Result<Tagged<Bus>, Problem> {
    rows::create(&api, caller, body.value).await
}

/// Writes over a bus of the fleet.
#[utoipa::path(put, path = "/buses/{registration}", operation_id = "buses_replace", tag = "company",
    params(("registration" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = Bus, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Bus, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Named(registration): Named<String>,
    if_match: IfMatch,
    body: Body<Bus>,
) -> Result<Tagged<Bus>, Problem> {
    rows::replace(&api, caller, &registration, &if_match, body.value).await
}

/// Takes a bus away.
#[utoipa::path(delete, path = "/buses/{registration}", operation_id = "buses_remove", tag = "company",
    params(("registration" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["company:write"])),
    responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Other rows need it."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(registration): Named<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    rows::remove::<Bus>(&api, caller, &registration, &if_match).await
}
