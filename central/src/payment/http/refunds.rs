//! Looking at refunds, and what a person decides about them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::payments::{known_provider, place};
use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::{Api, Problem};
use crate::payment::refunds::db::{RefundRow, Wanted, list as rows};
use crate::payment::refunds::{ByHand, PaidFrom, retry as try_again, settled};
use crate::payment::rules::RefundState;
use crate::tenant::TenantTx;
use crate::views::Page;

/// A refund as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "refund": "01920000-0000-7000-8000-000000000002", "booking": "7F3K-22QX",
    "payment": "01920000-0000-7000-8000-000000000001", "provider": "momo", "state": "failed",
    "amount_minor": 25000, "currency": "ZMW", "why": "seats_gone",
    "failure": "payee_not_allowed_to_receive", "tries": 1,
    "created_at": "2026-11-23T10:00:00Z", "version": 2 }))]
pub struct RefundView {
    /// Its number.
    refund: Uuid,
    /// The booking's reference.
    booking: String,
    /// The payment that it is of, where this hub took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Uuid>,
    /// `momo`, `card`, `cash` or `by_hand`; a person carries the last two out.
    provider: &'static str,
    /// `requested`, `pending`, `done` or `failed`.
    state: &'static str,
    /// In minor units.
    amount_minor: i64,
    /// ISO 4217.
    currency: String,
    /// Why it was asked for.
    why: String,
    /// The provider's last word.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// Of the person who paid by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// How often the provider was tried.
    tries: u32,
    /// When it is tried next by itself, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
    /// When the money went back, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at: Option<String>,
    /// Goes into `If-Match`.
    version: i32,
}

impl From<RefundRow> for RefundView {
    fn from(row: RefundRow) -> Self {
        Self {
            refund: row.id,
            booking: row.reference_of_booking,
            payment: row.payment,
            provider: row.provider.as_str(),
            state: row.state.as_str(),
            amount_minor: row.amount_minor.0,
            currency: row.currency.to_string(),
            why: row.why,
            failure: row.failure,
            note: row.note,
            tries: row.asked,
            next_try_at: row.next_try_at.map(|at| at.to_string()),
            created_at: row.created_at.to_string(),
            done_at: row.done_at.map(|at| at.to_string()),
            version: row.version,
        }
    }
}

/// Which refunds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefundsAsked {
    /// `requested`, `pending`, `done` or `failed`.
    #[param(max_length = 20)]
    state: Option<String>,
    /// `momo`, `card`, `cash` or `by_hand`.
    #[param(max_length = 20)]
    provider: Option<String>,
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// The company's refunds, the latest first.
#[utoipa::path(get, path = "/refunds", tag = "payments", params(RefundsAsked),
    security(("bearer" = ["payments:read"])),
    responses((status = 200, body = Page<RefundView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<RefundsAsked>,
) -> Result<Json<Page<RefundView>>, Problem> {
    let staff = caller.may(Permission::PaymentsRead)?;
    let state = asked.state.as_deref();
    if state.is_some_and(|word| RefundState::parse(word).is_none()) {
        let states = "`state` is `requested`, `pending`, `done` or `failed`";
        return Err(Problem::bad_request(states));
    }
    let place = place(asked.after.as_deref(), asked.limit)?;
    let wanted = Wanted {
        state,
        provider: known_provider(asked.provider.as_deref())?,
        after: place.after,
        most: place.limit as i64 + 1,
        ..Wanted::default()
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let found = rows(&mut tx, &wanted).await?;
    let page = Page::cut(found, place.limit, |r| {
        format!("{}_{}", r.created_at.0, r.id)
    });
    Ok(Json(Page {
        items: page.items.into_iter().map(RefundView::from).collect(),
        next: page.next,
    }))
}

async fn one(tx: &mut TenantTx, refund: Uuid) -> Result<Tagged<RefundView>, Problem> {
    let row = rows(tx, &Wanted::one(refund)).await?.pop();
    let row = row.ok_or_else(|| Problem::not_found("there is no such refund"))?;
    Ok(Tagged::ok(row.version, row.into()))
}

/// One refund.
#[utoipa::path(get, path = "/refunds/{refund}", tag = "payments",
    params(("refund" = Uuid, Path)), security(("bearer" = ["payments:read"])),
    responses((status = 200, body = RefundView, headers(("ETag" = String, description = "Its version"))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(refund): Named<Uuid>,
) -> Result<Tagged<RefundView>, Problem> {
    let staff = caller.may(Permission::PaymentsRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    one(&mut tx, refund).await
}

fn judged(by_hand: ByHand, matched: &IfMatch) -> Result<(), Problem> {
    match by_hand {
        ByHand::Done => Ok(()),
        ByHand::Unknown => Err(Problem::not_found("there is no such refund")),
        ByHand::Changed(version) => matched.check(version),
        ByHand::NotYours(state) => Err(Problem::conflict(
            "not-to-be-decided",
            "Nothing to decide",
            "only a failed refund, or one that a person carries out, is decided by a person",
        )
        .with("state", state.as_str())),
    }
}

/// The version that a change is meant for.
async fn meant(tx: &mut TenantTx, refund: Uuid, matched: &IfMatch) -> Result<i32, Problem> {
    let row = rows(tx, &Wanted::one(refund)).await?.pop();
    let row = row.ok_or_else(|| Problem::not_found("there is no such refund"))?;
    matched.check(row.version)?;
    Ok(row.version)
}

/// Tries a failed refund once more.
#[utoipa::path(post, path = "/refunds/{refund}/retry", tag = "payments",
    params(("refund" = Uuid, Path), ("If-Match" = String, Header, description = "The refund's `ETag`")),
    security(("bearer" = ["payments:write"])),
    responses((status = 200, body = RefundView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`not-to-be-decided`"),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
pub async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Named(refund): Named<Uuid>,
    matched: IfMatch,
) -> Result<Tagged<RefundView>, Problem> {
    let staff = caller.may(Permission::PaymentsWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let version = meant(&mut tx, refund, &matched).await?;
    let now = clock::now();
    let done = try_again(&mut tx, refund, version, staff.identity, now).await?;
    judged(done, &matched)?;
    let shown = one(&mut tx, refund).await?;
    tx.commit().await?;
    Ok(shown)
}

/// How a person gave the money back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "from": "bank", "note": "transfer 4711 of 23 November" }))]
pub struct Settled {
    /// `drawer` (the caller's own cash) or `bank`.
    #[schema(max_length = 20)]
    from: String,
    /// How, for whoever looks later; 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    note: String,
}

/// Says that a person gave the money back: of a refund that failed, or that no provider carries
/// out.
#[utoipa::path(post, path = "/refunds/{refund}/settle", tag = "payments", request_body = Settled,
    params(("refund" = Uuid, Path), ("If-Match" = String, Header, description = "The refund's `ETag`")),
    security(("bearer" = ["payments:write"])),
    responses((status = 200, body = RefundView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`not-to-be-decided`"),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
pub async fn settle(
    State(api): State<Api>,
    caller: Caller,
    Named(refund): Named<Uuid>,
    matched: IfMatch,
    body: Body<Settled>,
) -> Result<Tagged<RefundView>, Problem> {
    let staff = caller.may(Permission::PaymentsWrite)?;
    let note = body.value.note.trim();
    if note.is_empty() || note.chars().count() > 200 || note.chars().any(char::is_control) {
        return Err(Problem::unprocessable("`note` needs 1 to 200 characters"));
    }
    let from = match body.value.from.as_str() {
        "drawer" => PaidFrom::Drawer(staff.identity),
        "bank" => PaidFrom::Bank,
        _ => return Err(Problem::unprocessable("`from` is `drawer` or `bank`")),
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let version = meant(&mut tx, refund, &matched).await?;
    let now = clock::now();
    let done = settled(
        &mut tx,
        refund,
        Some(version),
        from,
        note,
        staff.identity,
        now,
    )
    .await?;
    judged(done, &matched)?;
    let shown = one(&mut tx, refund).await?;
    tx.commit().await?;
    Ok(shown)
}
