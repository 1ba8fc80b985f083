//! The ledger's routes: reading it, entries by hand, locked periods.

mod bodies;

pub(crate) use bodies::{date_of, reason_of};

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::time::ServiceDate;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::bodies::{MadeEntry, MadePeriod, NewAdjustment, NewPeriod, NewReversal};
use super::books::{self, BooksError};
use super::db;
use super::views::{
    AccountLine, AccountRow, AccountStatement, EntryView, PartyRow, PeriodRow, TrialRow,
};
use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::extract::{Asked, Body, Named, parsed};
use crate::http::idempotent::{keep, key_of, respond};
use crate::http::listing::{answer, cursor_of, format_of};
use crate::http::{Api, Problem};
use crate::idempotency;
use crate::views::Page;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(accounts))
        .routes(routes!(postings))
        .routes(routes!(statement))
        .routes(routes!(trial_balance))
        .routes(routes!(entry))
        .routes(routes!(adjust))
        .routes(routes!(reverse))
        .routes(routes!(periods, lock_period))
        .routes(routes!(parties))
}

impl From<BooksError> for Problem {
    fn from(error: BooksError) -> Self {
        let detail = error.to_string();
        match error {
            BooksError::Db(error) => error.into(),
            BooksError::NoSuchEntry(_) => Self::not_found(detail),
            BooksError::Unbalanced(_)
            | BooksError::NoSuchAccount(_)
            | BooksError::OtherCurrency(_)
            | BooksError::NotOver(_)
            | BooksError::Backwards => Self::unprocessable(detail),
            BooksError::AlreadyReversed(_) => {
                Self::conflict("already-reversed", "Reversed before", detail)
            }
            BooksError::LockedAlready => Self::conflict("locked-already", "Locked before", detail),
            BooksError::Busy => Self::conflict("busy", "Busy", detail),
        }
    }
}

/// Which page of a list, and in what form.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccountsAsked {
    /// Of one kind, as `agent_cash`.
    kind: Option<String>,
    /// Of one currency, ISO 4217.
    currency: Option<String>,
    /// Sums up to the end of this posting day, YYYY-MM-DD.
    on: Option<String>,
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
pub struct PostingsAsked {
    /// From this posting day on, YYYY-MM-DD.
    from: Option<String>,
    /// Up to this posting day, YYYY-MM-DD.
    to: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SpanAsked {
    /// First posting day, YYYY-MM-DD.
    from: String,
    /// Last posting day, YYYY-MM-DD.
    to: String,
}

/// Which day.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrialAsked {
    /// The end of this posting day, YYYY-MM-DD; today when absent.
    on: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
}

fn day(text: &str) -> Result<ServiceDate, Problem> {
    text.parse()
        .map_err(|_| Problem::bad_request(format!("{text:?} is no day: write YYYY-MM-DD")))
}

fn day_if(text: Option<&str>) -> Result<Option<ServiceDate>, Problem> {
    text.map(day).transpose()
}

/// The company's accounts and what moved over them.
#[utoipa::path(get, path = "/ledger/accounts", tag = "ledger", params(AccountsAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<AccountRow>), (status = "default", body = Problem)))]
async fn accounts(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<AccountsAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let on = day_if(asked.on.as_deref())?;
    let (kind, currency) = (asked.kind.as_deref(), asked.currency.as_deref());
    let mut tx = api.db.tenant(company).await?;
    let rows = db::accounts(&mut tx, kind, currency, on, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |a| a.account.to_string());
    answer(format, "accounts", page)
}

/// The lines of one account.
#[utoipa::path(get, path = "/ledger/accounts/{account}/postings", tag = "ledger",
    params(("account" = i64, Path, description = "The account's number"), PostingsAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<AccountLine>), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn postings(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(account): Named<i64>,
    Asked(asked): Asked<PostingsAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let span = (day_if(asked.from.as_deref())?, day_if(asked.to.as_deref())?);
    // The first part goes to Postgres as a day.
    let first: String = cursor.part(0, String::new());
    if !first.is_empty() {
        day(&first)?;
    }
    let mut tx = api.db.tenant(company).await?;
    if db::account(&mut tx, account).await?.is_none() {
        return Err(no_account(account));
    }
    let rows = db::postings(&mut tx, account, span, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |l| {
        format!(
            "{}_{}_{}_{}",
            l.posting_date, l.posted_at_ms, l.entry, l.line
        )
    });
    answer(format, "postings", page)
}

fn no_account(account: i64) -> Problem {
    Problem::not_found(format!("there is no account {account}"))
}

/// An account over some days: before, in between, after.
#[utoipa::path(get, path = "/ledger/accounts/{account}/statement", tag = "ledger",
    params(("account" = i64, Path, description = "The account's number"), SpanAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = AccountStatement), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn statement(
    State(api): State<Api>,
    caller: Caller,
    Named(account): Named<i64>,
    Asked(asked): Asked<SpanAsked>,
) -> Result<Json<AccountStatement>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let span = (day(&asked.from)?, day(&asked.to)?);
    let mut tx = api.db.tenant(company).await?;
    let found = db::statement(&mut tx, account, span).await?;
    found.map(Json).ok_or_else(|| no_account(account))
}

/// What each kind of account holds at the end of a day; every currency sums to zero.
#[utoipa::path(get, path = "/ledger/trial-balance", tag = "ledger", params(TrialAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<TrialRow>), (status = "default", body = Problem)))]
async fn trial_balance(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<TrialAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let on = day_if(asked.on.as_deref())?;
    let mut tx = api.db.tenant(company).await?;
    let on = match on {
        Some(on) => on,
        None => db::today(&mut tx, clock::now()).await?.0,
    };
    let items = db::trial_balance(&mut tx, on).await?;
    answer(format, "trial-balance", Page { items, next: None })
}

/// One entry with its lines.
#[utoipa::path(get, path = "/ledger/entries/{entry}", tag = "ledger",
    params(("entry" = Uuid, Path, description = "The entry's number")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = EntryView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn entry(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
) -> Result<Json<EntryView>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let found = db::entry(&mut tx, id).await?;
    found
        .map(Json)
        .ok_or_else(|| BooksError::NoSuchEntry(id).into())
}

/// Makes an entry by hand.
#[utoipa::path(post, path = "/ledger/adjustments", tag = "ledger",
    params(("Idempotency-Key" = String, Header, description = "Names this request")),
    request_body = NewAdjustment, security(("bearer" = ["books:write"])),
    responses((status = 201, body = MadeEntry), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
async fn adjust(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<NewAdjustment>,
) -> Result<Response<HttpBody>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let key = key_of(
        &headers,
        &caller,
        "POST",
        "/ledger/adjustments",
        &body.bytes,
    )?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return respond(known);
    }
    let (today, _) = db::today(&mut tx, now).await?;
    let wish = body.value.checked(today)?;
    let entry = books::adjust(&mut tx, staff, &wish, now).await?;
    let made = json!({ "entry": entry });
    keep(tx, &key, (StatusCode::CREATED, &made), now).await
}

/// Takes an entry back by one the other way round.
#[utoipa::path(post, path = "/ledger/entries/{entry}/reversal", tag = "ledger",
    params(("entry" = Uuid, Path, description = "The entry's number"),
        ("Idempotency-Key" = String, Header, description = "Names this request")),
    request_body = NewReversal, security(("bearer" = ["books:write"])),
    responses((status = 201, body = MadeEntry), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem),
        (status = "default", body = Problem)))]
async fn reverse(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<Uuid>,
    body: Body<NewReversal>,
) -> Result<Response<HttpBody>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let path = format!("/ledger/entries/{id}/reversal");
    let key = key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return respond(known);
    }
    let (today, _) = db::today(&mut tx, now).await?;
    let (reason, date) = body.value.checked(today)?;
    let entry = books::reverse(&mut tx, staff, id, &reason, date, now).await?;
    let made = json!({ "entry": entry });
    keep(tx, &key, (StatusCode::CREATED, &made), now).await
}

/// Locked periods.
#[utoipa::path(get, path = "/ledger/periods", tag = "ledger", params(ListAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<PeriodRow>), (status = "default", body = Problem)))]
async fn periods(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = db::locks(&mut tx, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |p| p.period.to_string());
    answer(format, "periods", page)
}

/// Locks a period for ever. What belongs to it and arrives later posts in the first open day.
#[utoipa::path(post, path = "/ledger/periods", tag = "ledger", request_body = NewPeriod,
    security(("bearer" = ["books:sign"])),
    responses((status = 201, body = MadePeriod), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
async fn lock_period(
    State(api): State<Api>,
    caller: Caller,
    body: Body<NewPeriod>,
) -> Result<(StatusCode, Json<MadePeriod>), Problem> {
    let staff = caller.may(Permission::BooksSign)?;
    let (span, reason) = body.value.checked()?;
    let period = books::lock_period(&api.db, staff, span, &reason, clock::now()).await?;
    Ok((StatusCode::CREATED, Json(MadePeriod { period })))
}

/// Whoever earns commission.
#[utoipa::path(get, path = "/ledger/parties", tag = "ledger", params(ListAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<PartyRow>), (status = "default", body = Problem)))]
async fn parties(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    parsed::<Uuid>(asked.after.as_deref())?;
    let mut tx = api.db.tenant(company).await?;
    let rows = db::parties(&mut tx, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |p| p.party.to_string());
    answer(format, "parties", page)
}
