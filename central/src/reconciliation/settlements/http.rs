//! The routes of settlements.

use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::PartyId;
use domain::money::Currency;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::views::{SettlementLine, SettlementRow, SettlementView};
use super::{SettlementError, Wish, paper, rows};
use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::idempotent::{keep, key_of, respond};
use crate::http::listing::{answer, cursor_of, file, format_of};
use crate::http::{Api, Problem};
use crate::idempotency;
use crate::ledger::db::currency_of;
use crate::ledger::http::{date_of, reason_of};
use crate::tenant::TenantTx;
use crate::views::{Cursor, Page};

/// Lines that the PDF shows; the whole list comes as CSV or XLSX.
const PAPER_LINES_MAX: usize = 480;

/// Every route of settlements.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, discard))
        .routes(routes!(lines))
        .routes(routes!(pdf))
        .routes(routes!(propose))
        .routes(routes!(sign_off))
        .routes(routes!(pay))
}

impl From<SettlementError> for Problem {
    fn from(error: SettlementError) -> Self {
        let detail = error.to_string();
        match error {
            SettlementError::Db(error) => error.into(),
            SettlementError::Books(error) => error.into(),
            SettlementError::NoSuchSettlement(_) => Self::not_found(detail),
            SettlementError::NoSuchParty(_)
            | SettlementError::BadSpan
            | SettlementError::Nothing => Self::unprocessable(detail),
            SettlementError::WrongState(..) => Self::conflict("wrong-state", "Wrong state", detail),
            SettlementError::SamePerson => {
                Self::conflict("second-person-needed", "Second person needed", detail)
            }
            SettlementError::Provisional(_) => Self::conflict("provisional", "Provisional", detail),
            SettlementError::NothingOwed => Self::conflict("nothing-owed", "Nothing owed", detail),
        }
    }
}

/// Which settlements.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SettlementsAsked {
    /// `draft`, `proposed`, `signed_off` or `paid`.
    state: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinesAsked {
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// What to settle.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-10-01", "to": "2026-10-31", "currency": "ZMW"}))]
pub struct NewSettlement {
    /// With a party of /ledger/parties; absent: the company's own.
    pub party: Option<Uuid>,
    /// First posting day, YYYY-MM-DD.
    pub from: String,
    /// Last posting day, YYYY-MM-DD; before today.
    pub to: String,
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3)]
    pub currency: String,
}

/// A signature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"accept_provisional": false}))]
pub struct NewSignature {
    /// Sign although some devices have not sent everything.
    #[serde(default)]
    pub accept_provisional: bool,
}

/// A payment of a settlement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reference": "TRF-20261105-001"}))]
pub struct NewPayment {
    /// Of the bank's transfer.
    #[schema(min_length = 3, max_length = 500)]
    pub reference: String,
}

/// Settlements.
#[utoipa::path(get, path = "/settlements", tag = "settlements", params(SettlementsAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<SettlementRow>), (status = "default", body = Problem)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<SettlementsAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let found = rows::list(&mut tx, asked.state.as_deref(), &cursor).await?;
    let page = Page::cut(found, cursor.limit, |s| s.number.to_string());
    answer(format, "settlements", page)
}

/// Drafts a settlement of everything that none has taken.
#[utoipa::path(post, path = "/settlements", tag = "settlements", request_body = NewSettlement,
    security(("bearer" = ["books:write"])),
    responses((status = 201, body = SettlementView), (status = 422, body = Problem),
        (status = "default", body = Problem)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<NewSettlement>,
) -> Result<Tagged<SettlementView>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let wish = body.value;
    let currency: Result<Currency, _> = wish.currency.parse();
    let wish = Wish {
        party: wish.party.map(PartyId),
        span: (date_of("from", &wish.from)?, date_of("to", &wish.to)?),
        currency: currency
            .map_err(|_| Problem::unprocessable("`currency` has to be a code of ISO 4217"))?,
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let view = super::draft(&mut tx, staff, &wish, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::created(view.version, view))
}

/// A settlement.
#[utoipa::path(get, path = "/settlements/{settlement}", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = SettlementView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
) -> Result<Tagged<SettlementView>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let view = super::load(&mut tx, id).await?;
    Ok(Tagged::ok(view.version, view))
}

/// Gives a draft up.
#[utoipa::path(delete, path = "/settlements/{settlement}", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement"),
        ("If-Match" = String, Header, description = "The ETag that was read")),
    security(("bearer" = ["books:write"])),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
async fn discard(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let view = locked(&mut tx, id, &seen).await?;
    super::discard(&mut tx, staff, &view, clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn locked(tx: &mut TenantTx, id: Uuid, seen: &IfMatch) -> Result<SettlementView, Problem> {
    let view = super::lock(tx, id).await?;
    seen.check(view.version)?;
    Ok(view)
}

/// The lines of a settlement: the entries it is made of.
#[utoipa::path(get, path = "/settlements/{settlement}/lines", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement"), LinesAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<SettlementLine>), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn lines(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<Uuid>,
    Asked(asked): Asked<LinesAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    super::load(&mut tx, id).await?;
    let found = rows::lines(&mut tx, id, &cursor).await?;
    let page = Page::cut(found, cursor.limit, |l| format!("{}_{}", l.entry, l.line));
    answer(format, "settlement-lines", page)
}

/// A settlement on paper.
#[utoipa::path(get, path = "/settlements/{settlement}/pdf", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = String, content_type = "application/pdf"),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
async fn pdf(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let name = rows::company_name(&mut tx).await?;
    let view = super::load(&mut tx, id).await?;
    let cursor = Cursor::new(None, Some(PAPER_LINES_MAX)).unwrap_or_default();
    let mut found = rows::lines(&mut tx, id, &cursor).await?;
    found.truncate(PAPER_LINES_MAX);
    let all: i64 = view.categories.iter().map(|c| c.lines).sum();
    let left = all - found.len() as i64;
    let currency = currency_of(&view.currency)?;
    let bytes = paper::render(&name, &view, currency, &found, left).map_err(|error| {
        tracing::error!(%error, "a settlement could not be drawn");
        Problem::unavailable()
    })?;
    let name = format!("settlement-{}.pdf", view.number);
    Ok(file("application/pdf", &name, bytes))
}

/// Proposes a draft for signing.
#[utoipa::path(post, path = "/settlements/{settlement}/proposal", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement"),
        ("If-Match" = String, Header, description = "The ETag that was read")),
    security(("bearer" = ["books:write"])),
    responses((status = 200, body = SettlementView), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem),
        (status = 428, body = Problem), (status = "default", body = Problem)))]
async fn propose(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
    seen: IfMatch,
) -> Result<Tagged<SettlementView>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let view = locked(&mut tx, id, &seen).await?;
    let view = super::propose(&mut tx, staff, &view, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(view.version, view))
}

/// Signs a proposed settlement off; the proposer may not.
#[utoipa::path(post, path = "/settlements/{settlement}/signature", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement"),
        ("If-Match" = String, Header, description = "The ETag that was read")),
    request_body = NewSignature, security(("bearer" = ["books:sign"])),
    responses((status = 200, body = SettlementView), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 412, body = Problem),
        (status = 428, body = Problem), (status = "default", body = Problem)))]
async fn sign_off(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
    seen: IfMatch,
    body: Body<NewSignature>,
) -> Result<Tagged<SettlementView>, Problem> {
    let staff = caller.may(Permission::BooksSign)?;
    let accept = body.value.accept_provisional;
    let mut tx = api.db.tenant(staff.company).await?;
    let view = locked(&mut tx, id, &seen).await?;
    let view = super::sign_off(&mut tx, staff, &view, accept, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(view.version, view))
}

/// Notes that a signed settlement was paid, and posts it.
#[utoipa::path(post, path = "/settlements/{settlement}/payment", tag = "settlements",
    params(("settlement" = Uuid, Path, description = "The settlement"),
        ("Idempotency-Key" = String, Header, description = "Names this request")),
    request_body = NewPayment, security(("bearer" = ["books:sign"])),
    responses((status = 200, body = SettlementView), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem),
        (status = "default", body = Problem)))]
async fn pay(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<Uuid>,
    body: Body<NewPayment>,
) -> Result<Response<HttpBody>, Problem> {
    let staff = caller.may(Permission::BooksSign)?;
    let path = format!("/settlements/{id}/payment");
    let key = key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let reference = reason_of(&body.value.reference)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return respond(known);
    }
    let view = super::lock(&mut tx, id).await?;
    let view = super::pay(&mut tx, staff, &view, &reference, now).await?;
    keep(tx, &key, (StatusCode::OK, &view), now).await
}
