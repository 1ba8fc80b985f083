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

/// One voucher; its version is the `ETag`.
#[utoipa::path(get, path = "/vouchers/{code}", operation_id = "vouchers_show", tag = "pricing",
    params(("code" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Keyed<VoucherEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(key): Named<String>,
) -> Result<Tagged<Keyed<VoucherEntry>>, Problem> {
    rows::show(&api, caller, &key).await
}

/// Makes a voucher.
#[utoipa::path(post, path = "/vouchers", operation_id = "vouchers_create", tag = "pricing",
    request_body = VoucherEntry, security(("bearer" = ["fares:write"])),
    responses((status = 201, body = Keyed<VoucherEntry>, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<VoucherEntry>,
) -> Result<Tagged<Keyed<VoucherEntry>>, Problem> {
    rows::create(&api, caller, body.value).await
}

/// Writes over a voucher; its uses stay.
#[utoipa::path(put, path = "/vouchers/{code}", operation_id = "vouchers_replace", tag = "pricing",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = VoucherEntry, security(("bearer" = ["fares:write"])),
    responses((status = 200, body = Keyed<VoucherEntry>, headers(("ETag" = String, description = "Its version."))),
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
    body: Body<VoucherEntry>,
) -> Result<Tagged<Keyed<VoucherEntry>>, Problem> {
    rows::replace(&api, caller, &key, &if_match, body.value).await
}

/// Takes a voucher away that nobody used; stop the others by `active`.
#[utoipa::path(delete, path = "/vouchers/{code}", operation_id = "vouchers_remove", tag = "pricing",
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
    rows::remove::<VoucherEntry>(&api, caller, &key, &if_match).await
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
