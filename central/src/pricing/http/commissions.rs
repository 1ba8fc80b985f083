//! Commission rates.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::rows::{self, Keyed};
use crate::access::Caller;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::{KeyPage, filter};
use crate::http::{Api, Problem};
use crate::pricing::records::{CommissionEntry, CommissionFilter, SellerKind};
use crate::views::Page;

/// Which commission rates.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// `agent`, `station` or `company`.
    kind: Option<SellerKind>,
    /// Of one agent or station.
    seller: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's commission rates.
#[utoipa::path(get, path = "/commission-rates", operation_id = "commission_rates_list", tag = "pricing",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Keyed<CommissionEntry>>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Keyed<CommissionEntry>>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = CommissionFilter {
        kind: asked.kind,
        seller: filter("seller", asked.seller)?,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

/// One commission rate; its version is the `ETag`.
#[utoipa::path(get, path = "/commission-rates/{key}", operation_id = "commission_rates_show", tag = "pricing",
    params(("key" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Keyed<CommissionEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(key): Named<String>,
) -> Result<Tagged<Keyed<CommissionEntry>>, Problem> {
    rows::show(&api, caller, &key).await
}

/// Makes a commission rate.
#[utoipa::path(post, path = "/commission-rates", operation_id = "commission_rates_create", tag = "pricing",
    request_body = CommissionEntry, security(("bearer" = ["fares:write"])),
    responses((status = 201, body = Keyed<CommissionEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<CommissionEntry>,
) -> Result<Tagged<Keyed<CommissionEntry>>, Problem> {
    rows::create(&api, caller, body.value).await
}

/// Changes what a rate comes to and its last day; what is in its key never changes.
#[utoipa::path(put, path = "/commission-rates/{key}", operation_id = "commission_rates_replace", tag = "pricing",
    params(("key" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = CommissionEntry, security(("bearer" = ["fares:write"])),
    responses((status = 200, body = Keyed<CommissionEntry>, headers(("ETag" = String, description = "Its version."))),
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
    body: Body<CommissionEntry>,
) -> Result<Tagged<Keyed<CommissionEntry>>, Problem> {
    rows::replace(&api, caller, &key, &if_match, body.value).await
}

/// Takes a rate away; what was earned by it stays.
#[utoipa::path(delete, path = "/commission-rates/{key}", operation_id = "commission_rates_remove", tag = "pricing",
    params(("key" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
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
    rows::remove::<CommissionEntry>(&api, caller, &key, &if_match).await
}
