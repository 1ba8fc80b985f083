//! Vouchers and their uses.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::rows::{self, Keyed};
use crate::access::{Caller, Permission};
use crate::company::records;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named, cursor};
use crate::http::list::KeyPage;
use crate::http::one_row::one_row_routes;
use crate::http::{Api, Problem};
use crate::pricing::db::vouchers as stored;
use crate::pricing::records::{ActiveFilter, VoucherEntry};
use crate::views::Page;

/// Which vouchers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// Only those that may be used, or only those that may not.
    active: Option<bool>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's vouchers.
#[utoipa::path(get, path = "/vouchers", operation_id = "vouchers_list", tag = "pricing",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Keyed<VoucherEntry>>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<Keyed<VoucherEntry>>>, Problem> {
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = ActiveFilter {
        active: asked.active,
    };
    Ok(Json(rows::list(&api, caller, &wanted, page).await?))
}

one_row_routes! {
    "pricing", "fares:write", "/vouchers", "/vouchers/{code}", "code",
    VoucherEntry, [Keyed<VoucherEntry>],
    show: "vouchers_show" "One voucher; its version is the `ETag`.",
    create: "vouchers_create" "Makes a voucher.",
    replace: "vouchers_replace" "Writes over a voucher; its uses stay.",
    remove: "vouchers_remove" "Takes a voucher away that nobody used; stop the others by `active`.",
    needed: "Other rows need it.",
}

/// A voucher in a booking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"booking": "0199f3a2-7c1e-7a52-8b1c-0242ac120002",
    "reference": "7F3K-22QX", "amount_minor": 5_000, "used_at": "2026-12-03T08:15:00Z"}))]
pub struct UseView {
    /// The booking's number.
    booking: Uuid,
    /// What its customer was told.
    reference: String,
    /// What it took off, in minor units of the booking's currency.
    amount_minor: i64,
    /// RFC 3339 UTC.
    used_at: String,
    /// When it was given back because the booking came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_at: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsesAsked {
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The bookings that used a voucher.
#[utoipa::path(get, path = "/vouchers/{code}/uses", operation_id = "vouchers_uses",
    tag = "pricing", params(("code" = String, Path), UsesAsked),
    security(("bearer" = ["bookings:read"])),
    responses((status = 200, body = Page<UseView>), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn uses(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    Asked(asked): Asked<UsesAsked>,
) -> Result<Json<Page<UseView>>, Problem> {
    let staff = caller.may(Permission::BookingsRead)?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let code = rows::known::<VoucherEntry>(&code)?;
    records::locked::<VoucherEntry>(&mut tx, code).await?;
    let found = stored::uses(&mut tx, code, &cursor).await?;
    let page = Page::cut(found, cursor.limit, |(u, _)| u.booking.to_string());
    let view = |(u, reference): (stored::VoucherUse, String)| UseView {
        booking: u.booking,
        reference,
        amount_minor: u.amount_minor.0,
        used_at: u.used_at.to_string(),
        returned_at: u.returned_at.map(|at| at.to_string()),
    };
    Ok(Json(Page {
        items: page.items.into_iter().map(view).collect(),
        next: page.next,
    }))
}
