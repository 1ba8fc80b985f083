//! Fares and their tables.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::rows::{self, Keyed};
use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::company::OfficeError;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named, parsed};
use crate::http::list::{KeyPage, filter};
use crate::http::one_row::one_row_routes;
use crate::http::{Api, Problem};
use crate::pricing::db::fares as stored;
use crate::pricing::fares::announce;
use crate::pricing::records::{FareAsked, FareEntry, table_of};
use crate::views::Page;

/// Which fares.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// Of one fare table.
    table: Option<String>,
    /// Code of the stop to board at.
    from: Option<String>,
    /// Code of the stop to leave at.
    to: Option<String>,
    /// `adult`, `child`, `infant` or `prm`.
    class: Option<String>,
    /// That hold on this day of sale, YYYY-MM-DD.
    on: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's fares.
#[utoipa::path(get, path = "/fares", operation_id = "fares_list", tag = "pricing",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Keyed<FareEntry>>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Keyed<FareEntry>>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = FareAsked {
        table: filter("table", asked.table)?,
        from: filter("from", asked.from)?,
        to: filter("to", asked.to)?,
        class: parsed(asked.class.as_deref())?,
        on: parsed(asked.on.as_deref())?,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

one_row_routes! {
    "pricing", "fares:write", "/fares", "/fares/{key}", "key",
    FareEntry, [Keyed<FareEntry>],
    show: "fares_show" "One fare; its version is the `ETag`.",
    create: "fares_create" "Makes a fare. Nodes are told at once where it holds today, otherwise on its first day.",
    replace: "fares_replace" "Changes what a fare costs and its last day; what is in its key never changes.",
    remove: "fares_remove" "Takes a fare away.",
    needed: "Other rows need it.",
}

/// A fare table: what a set of routes is sold at.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"table": "STD", "currency": "ZMW"}))]
pub struct TableEntry {
    /// Its name; routes name it.
    #[schema(min_length = 1, max_length = 64)]
    table: String,
    /// ISO 4217; what its fares are paid in.
    #[schema(max_length = 3)]
    currency: String,
}

/// A fare table and how many fares it has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"table": "STD", "currency": "ZMW", "fares": 132}))]
pub struct TableView {
    /// Its name.
    table: String,
    /// ISO 4217.
    currency: String,
    /// Fares of all days; 0 for one that was imported before fares had days.
    fares: i64,
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageAsked {
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's fare tables.
#[utoipa::path(get, path = "/fare-tables", operation_id = "fare_tables_list", tag = "pricing",
    params(PageAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<TableView>), (status = "default", body = Problem)))]
pub async fn tables(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<PageAsked>,
) -> Result<Json<Page<TableView>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let page = KeyPage::new(asked.after, asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let found = stored::tables(&mut tx, &page.after, page.fetch()).await?;
    let view = |(table, currency, fares)| TableView {
        table,
        currency,
        fares,
    };
    let rows = found.into_iter().map(view).collect();
    Ok(Json(Page::cut(rows, page.limit, |t: &TableView| {
        t.table.clone()
    })))
}

/// Makes a fare table without fares.
#[utoipa::path(post, path = "/fare-tables", operation_id = "fare_tables_create", tag = "pricing",
    request_body = TableEntry, security(("bearer" = ["fares:write"])),
    responses((status = 201, body = TableEntry),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create_table(
    State(api): State<Api>,
    caller: Caller,
    body: Body<TableEntry>,
) -> Result<(StatusCode, Json<TableEntry>), Problem> {
    let staff = caller.may(Permission::FaresWrite)?;
    let entry = body.value;
    let (table, currency) = table_of(&entry.table, &entry.currency).map_err(OfficeError::from)?;
    let mut tx = api.db.tenant(staff.company).await?;
    if !stored::insert_table(&mut tx, &table, currency).await? {
        let (kind, key) = ("fare table", table);
        return Err(OfficeError::Exists { kind, key }.into());
    }
    let entry = TableEntry {
        currency: currency.to_string(),
        table,
    };
    let now = clock::now();
    let change = Change {
        action: "fare_table.create",
        subject: &format!("fare_table:{}", entry.table),
        before: None,
        after: Some(json!(entry)),
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    announce(&mut tx, &entry.table, currency).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(entry)))
}
