//! Discounts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::rows::{self, Keyed};
use crate::access::Caller;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::KeyPage;
use crate::http::{Api, Problem};
use crate::pricing::records::{ActiveFilter, DiscountEntry};
use crate::views::Page;

/// Which discounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// Only those that are given, or only those that are not.
    active: Option<bool>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's discounts.
#[utoipa::path(get, path = "/discounts", operation_id = "discounts_list", tag = "pricing",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Keyed<DiscountEntry>>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Keyed<DiscountEntry>>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = ActiveFilter {
        active: asked.active,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

/// One discount; its version is the `ETag`.
#[utoipa::path(get, path = "/discounts/{code}", operation_id = "discounts_show", tag = "pricing",
    params(("code" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Keyed<DiscountEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(key): Named<String>,
) -> Result<Tagged<Keyed<DiscountEntry>>, Problem> {
    rows::show(&api, caller, &key).await
}

/// Makes a discount.
#[utoipa::path(post, path = "/discounts", operation_id = "discounts_create", tag = "pricing",
    request_body = DiscountEntry, security(("bearer" = ["fares:write"])),
    responses((status = 201, body = Keyed<DiscountEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<DiscountEntry>,
) -> Result<Tagged<Keyed<DiscountEntry>>, Problem> {
    rows::create(&api, caller, body.value).await
}

/// Writes over a discount.
#[utoipa::path(put, path = "/discounts/{code}", operation_id = "discounts_replace", tag = "pricing",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = DiscountEntry, security(("bearer" = ["fares:write"])),
    responses((status = 200, body = Keyed<DiscountEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Named(key): Named<String>,
    if_match: IfMatch,
    body: Body<DiscountEntry>,
) -> Result<Tagged<Keyed<DiscountEntry>>, Problem> {
    rows::replace(&api, caller, &key, &if_match, body.value).await
}

/// Takes a discount away; what was sold with it stays as it was.
#[utoipa::path(delete, path = "/discounts/{code}", operation_id = "discounts_remove", tag = "pricing",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["fares:write"])),
    responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Other rows need it."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(key): Named<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    rows::remove::<DiscountEntry>(&api, caller, &key, &if_match).await
}
