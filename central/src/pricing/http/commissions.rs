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
use crate::http::one_row::one_row_routes;
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

one_row_routes! {
    "pricing", "fares:write", "/commission-rates", "/commission-rates/{key}", "key",
    CommissionEntry, [Keyed<CommissionEntry>],
    show: "commission_rates_show" "One commission rate; its version is the `ETag`.",
    create: "commission_rates_create" "Makes a commission rate.",
    replace: "commission_rates_replace" "Changes what a rate comes to and its last day; what is in its key never changes.",
    remove: "commission_rates_remove" "Takes a rate away; what was earned by it stays.",
    needed: "Other rows need it.",
}
