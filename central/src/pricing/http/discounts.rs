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
use crate::http::one_row::one_row_routes;
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

one_row_routes! {
    "pricing", "fares:write", "/discounts", "/discounts/{code}", "code",
    DiscountEntry, [Keyed<DiscountEntry>],
    show: "discounts_show" "One discount; its version is the `ETag`.",
    create: "discounts_create" "Makes a discount.",
    replace: "discounts_replace" "Writes over a discount.",
    remove: "discounts_remove" "Takes a discount away; what was sold with it stays as it was.",
    needed: "Other rows need it.",
}
