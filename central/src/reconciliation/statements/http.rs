//! The routes of statements.

use axum::body::Body as HttpBody;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ledger::Account;
use domain::money::Currency;
use domain::time::Instant;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::parse::{Mapping, preset};
use super::views::{Imported, StatementLine, Unstated};
use super::{NewStatement, StatementError, import, match_line, rows, unmatch_line};
use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::idempotent::{keep, key_of, respond};
use crate::http::listing::{answer, cursor_of, format_of};
use crate::http::{Api, Problem};
use crate::idempotency;
use crate::views::{Page, time};

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// The longest name of a mapping or file.
const NAME_MAX: usize = 120;

/// Every route of statements.
pub fn routes() -> OpenApiRouter<Api> {
    let large = OpenApiRouter::new()
        .routes(routes!(take_in))
        .layer(DefaultBodyLimit::max(FILE_BYTES_MAX + 4096));
    OpenApiRouter::new()
        .routes(routes!(show_mapping, save_mapping))
        .routes(routes!(lines))
        .routes(routes!(unstated))
        .routes(routes!(pair, part))
        .merge(large)
}

impl From<StatementError> for Problem {
    fn from(error: StatementError) -> Self {
        let detail = error.to_string();
        match error {
            StatementError::Db(error) => error.into(),
            StatementError::Vault(error) => {
                tracing::error!(%error, "a statement's phone numbers could not be blinded");
                Self::unavailable()
            }
            StatementError::NoSuchMapping(_) | StatementError::NoSuchMovement(_) => {
                Self::unprocessable(detail)
            }
            StatementError::Unreadable(faults) => {
                let faults = serde_json::to_value(faults).unwrap_or_default();
                Self::unprocessable(detail).with("faults", faults)
            }
            StatementError::NoSuchLine(_) => Self::not_found(detail),
            StatementError::WrongState(_) => Self::conflict("wrong-state", "Wrong state", detail),
        }
    }
}

fn account_of(name: &str) -> Result<Account, Problem> {
    [
        Account::MobileMoneyClearing,
        Account::CardClearing,
        Account::OnlineClearing,
        Account::Bank,
    ]
    .into_iter()
    .find(|a| a.key().0 == name)
    .ok_or_else(|| {
        Problem::unprocessable(
            "`account` is mobile_money_clearing, card_clearing, online_clearing or bank",
        )
    })
}

fn currency_of(code: &str) -> Result<Currency, Problem> {
    code.parse()
        .map_err(|_| Problem::unprocessable("`currency` has to be a code of ISO 4217"))
}

fn name_of(name: &str) -> Result<(), Problem> {
    let fits = (1..=NAME_MAX).contains(&name.len()) && !name.contains(char::is_control);
    fits.then_some(())
        .ok_or_else(|| Problem::unprocessable("a name has 1 to 120 bytes, none of them control"))
}

/// A statement to take in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"account": "mobile_money_clearing", "mapping": "mtn-momo",
    "file_name": "november.csv", "currency": "ZMW",
    "csv": "Id,External Transaction Id,Date,Status,Type,From,Amount,Fee\n"}))]
pub struct StatementFile {
    /// `mobile_money_clearing`, `card_clearing`, `online_clearing` or `bank`.
    #[schema(max_length = 40)]
    pub account: String,
    /// A saved mapping, or `bank` or `mtn-momo`.
    #[schema(min_length = 1, max_length = 120)]
    pub mapping: String,
    /// For people.
    #[schema(min_length = 1, max_length = 120)]
    pub file_name: String,
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3)]
    pub currency: String,
    /// The file, UTF-8, up to 4 MiB.
    pub csv: String,
}

/// What a line is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "payment", "id": "0197f2a0-0000-7000-8000-000000000006"}))]
pub struct NewMatch {
    /// `payment`, `refund` or `entry`.
    #[schema(max_length = 20)]
    pub kind: String,
    /// Which.
    pub id: Uuid,
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinesAsked {
    /// Of one statement.
    statement: Option<Uuid>,
    /// Of one account, as `bank`.
    account: Option<String>,
    /// `unmatched`, `matched` or `posted`.
    state: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// Which movements.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnstatedAsked {
    /// As `mobile_money_clearing`.
    account: String,
    /// ISO 4217.
    currency: String,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
}

/// How a statement is read: a saved mapping, or one that every company has.
#[utoipa::path(get, path = "/reconciliation/statement-mappings/{name}", tag = "statements",
    params(("name" = String, Path, description = "Its name; `bank` and `mtn-momo` are there")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Mapping), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn show_mapping(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<Tagged<Mapping>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let saved = rows::mapping(&mut tx, &name).await?;
    let found = saved.or_else(|| preset(&name).map(|mapping| (mapping, 0)));
    let (mapping, version) =
        found.ok_or_else(|| Problem::not_found("there is no mapping of this name"))?;
    Ok(Tagged::ok(version, mapping))
}

/// Saves how a statement is read. The first time `If-Match: *`.
#[utoipa::path(put, path = "/reconciliation/statement-mappings/{name}", tag = "statements",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = String, Header, description = "The ETag that was read, or *")),
    request_body = Mapping, security(("bearer" = ["books:write"])),
    responses((status = 200, body = Mapping), (status = 412, body = Problem),
        (status = 422, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
async fn save_mapping(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named<String>,
    seen: IfMatch,
    body: Body<Mapping>,
) -> Result<Tagged<Mapping>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    name_of(&name)?;
    body.value.check().map_err(Problem::unprocessable)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let before = rows::mapping(&mut tx, &name).await?;
    seen.check(before.as_ref().map_or(0, |(_, version)| *version))?;
    let version = rows::save_mapping(&mut tx, &name, &body.value).await?;
    let change = Change {
        action: "statement_mapping.save",
        subject: &format!("statement-mapping:{name}"),
        before: before.and_then(|(mapping, _)| serde_json::to_value(mapping).ok()),
        after: serde_json::to_value(&body.value).ok(),
    };
    audit::note(&mut tx, staff.identity, change, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, body.value))
}

/// Takes a statement in, matches what it can, posts fees and payouts. Lines that were here before
/// are left out.
#[utoipa::path(post, path = "/reconciliation/statements", tag = "statements",
    params(("Idempotency-Key" = String, Header, description = "Names this request")),
    request_body = StatementFile, security(("bearer" = ["books:write"])),
    responses((status = 201, body = Imported), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
async fn take_in(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<StatementFile>,
) -> Result<Response<HttpBody>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let path = "/reconciliation/statements";
    let key = key_of(&headers, &caller, "POST", path, &body.bytes)?;
    let asked = body.value;
    name_of(&asked.mapping)?;
    name_of(&asked.file_name)?;
    let new = NewStatement {
        account: account_of(&asked.account)?,
        mapping: &asked.mapping,
        file_name: &asked.file_name,
        currency: currency_of(&asked.currency)?,
        csv: asked.csv.as_bytes(),
    };
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return respond(known);
    }
    let imported = import(&mut tx, &api.vault, staff, &new, now).await?;
    keep(tx, &key, (StatusCode::CREATED, &imported), now).await
}

/// Lines of statements; `state=unmatched` are those that nothing of ours explains.
#[utoipa::path(get, path = "/reconciliation/statement-lines", tag = "statements",
    params(LinesAsked), security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<StatementLine>), (status = "default", body = Problem)))]
async fn lines(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<LinesAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let (account, state) = (asked.account.as_deref(), asked.state.as_deref());
    let mut tx = api.db.tenant(company).await?;
    let found = rows::lines(&mut tx, asked.statement, account, state, &cursor).await?;
    let page = Page::cut(found, cursor.limit, |l| l.line.to_string());
    answer(format, "statement-lines", page)
}

/// Movements of ours that no statement explains, newest first, at most 20000.
#[utoipa::path(get, path = "/reconciliation/unstated", tag = "statements",
    params(UnstatedAsked), security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<Unstated>), (status = "default", body = Problem)))]
async fn unstated(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<UnstatedAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let (account, currency) = (account_of(&asked.account)?, currency_of(&asked.currency)?);
    let mut tx = api.db.tenant(company).await?;
    let all = (Instant(i64::MIN), Instant(i64::MAX));
    let found = rows::ours(&mut tx, account, currency, all).await?;
    let items = found.into_iter().map(|o| Unstated {
        kind: o.kind,
        id: o.id,
        references: o.references.join(" "),
        amount_minor: o.amount_minor,
        at: time(o.at.0),
    });
    let items = items.collect();
    answer(format, "unstated", Page { items, next: None })
}

/// Says what a line is.
#[utoipa::path(put, path = "/reconciliation/statement-lines/{line}/match", tag = "statements",
    params(("line" = Uuid, Path, description = "The line")), request_body = NewMatch,
    security(("bearer" = ["books:write"])),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
async fn pair(
    State(api): State<Api>,
    caller: Caller,
    Named(line): Named<Uuid>,
    body: Body<NewMatch>,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let with = (body.value.kind.as_str(), body.value.id);
    let mut tx = api.db.tenant(staff.company).await?;
    match_line(&mut tx, staff, line, with, clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a match back.
#[utoipa::path(delete, path = "/reconciliation/statement-lines/{line}/match", tag = "statements",
    params(("line" = Uuid, Path, description = "The line")),
    security(("bearer" = ["books:write"])),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = "default", body = Problem)))]
async fn part(
    State(api): State<Api>,
    caller: Caller,
    Named(line): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    unmatch_line(&mut tx, staff, line, clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
