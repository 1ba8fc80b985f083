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
use crate::http::one_row::one_row_routes;
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

one_row_routes! {
    "company", "company:write", "/buses", "/buses/{registration}", "registration",
    Bus, [Bus],
    show: "buses_show" "One bus; its version is the `ETag`.",
    create: "buses_create" "Makes a bus.",
    replace: "buses_replace" "Writes over a bus of the fleet.",
    remove: "buses_remove" "Takes a bus away.",
    needed: "Other rows need it.",
}
