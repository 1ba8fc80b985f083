//! The routes of reconciliation.

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::{NodeId, ShiftNo, TicketId, TripId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::case_rows::CaseFilter;
use super::case_views::CaseView;
use super::cases::{CaseError, Decision};
use super::rules::Consequence;
use super::shifts::{NumberedReport, ShiftReport};
use super::standing::{self, AgentStanding, LateArrival, NodeStanding, Violation};
use super::{ConflictRow, ConflictView, ShiftView, case_rows, cases, shift_list, shifts};
use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::extract::{Asked, Body, Named, parsed};
use crate::http::idempotent::{keep, key_of, respond};
use crate::http::listing::{Format, answer, cursor_of, format_of};
use crate::http::{Api, Problem};
use crate::idempotency;
use crate::ledger::http::reason_of;
use crate::views::Page;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_shifts))
        .routes(routes!(x_report))
        .routes(routes!(z_report))
        .routes(routes!(conflicts))
        .routes(routes!(conflict))
        .routes(routes!(decide))
        .routes(routes!(nodes))
        .routes(routes!(agents))
        .routes(routes!(late_arrivals))
        .routes(routes!(violations))
        .routes(routes!(forks))
        .merge(super::settlements::http::routes())
        .merge(super::statements::http::routes())
}

impl From<CaseError> for Problem {
    fn from(error: CaseError) -> Self {
        let detail = error.to_string();
        match error {
            CaseError::Db(error) => error.into(),
            CaseError::Aftersale(error) => error.into(),
            CaseError::NoSuchCase(_) => Self::not_found(detail),
            CaseError::Closed(_) => Self::conflict("case-closed", "Decided before", detail),
            CaseError::NoTrip | CaseError::NotOfTheCase => Self::unprocessable(detail),
            CaseError::Void(_) => Self::conflict("ticket-void", "Ticket taken back", detail),
            CaseError::SeatTaken | CaseError::SeatHeld | CaseError::NoPlace => {
                Self::conflict("seat-taken", "Seat taken", detail)
            }
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

/// Which cases.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CasesAsked {
    /// `open`, `decided` or `settled`.
    state: Option<String>,
    /// As `seat_taken` or `scan_without_sale`.
    reason: Option<String>,
    /// Of one node.
    node: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// Which late arrivals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LateAsked {
    /// So many days late or more, from 1 on; 1 when absent.
    #[param(minimum = 1, maximum = 3650)]
    days: Option<i32>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// Which violations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ViolationsAsked {
    /// As `lease_closed`.
    reason: Option<String>,
    /// Of one node.
    node: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// What a person decides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"winner": "0197f2a0-0000-7000-8000-000000000001",
    "consequence": "refund", "reason": "The passenger in seat 12 had boarded"}))]
pub struct NewDecision {
    /// The ticket whose sale keeps the seat; absent when the sale of the case does not stand.
    pub winner: Option<Uuid>,
    /// What happens to the others: `refund`, `other_seat`, `rebook` or `carried`.
    #[schema(max_length = 20)]
    pub consequence: String,
    /// Of `rebook`: the trip that passengers of bookings take instead, between the same stops.
    pub trip: Option<u64>,
    /// Why.
    #[schema(min_length = 3, max_length = 500)]
    pub reason: String,
}

/// What the decision did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"case": 4, "entry": "0197f2a0-0000-8000-8000-000000000002",
    "refunds": [], "tickets": ["0197f2a0-0000-7000-8000-000000000003"]}))]
pub struct Decided {
    /// The case.
    pub case: i64,
    /// The entry that moved the money; absent when none had to move.
    pub entry: Option<Uuid>,
    /// Money on its way back to passengers of bookings.
    pub refunds: Vec<Uuid>,
    /// Issued to them instead.
    pub tickets: Vec<Uuid>,
}

/// The Z report of a shift and what came after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ZReport {
    /// Addendum 0 is the Z report.
    pub reports: Vec<NumberedReport>,
}

/// Per shift: what the drawer should hold, and what was counted.
#[utoipa::path(get, path = "/reconciliation/shifts", tag = "reconciliation", params(ListAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<ShiftView>), (status = "default", body = Problem)))]
async fn list_shifts(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = shift_list(&mut tx, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |s| format!("{}_{}", s.node, s.shift));
    answer(format, "shifts", page)
}

fn no_shift(node: Uuid, shift: u32) -> Problem {
    Problem::not_found(format!("node {node} has no shift {shift}"))
}

/// A shift as it stands now.
#[utoipa::path(get, path = "/reconciliation/shifts/{node}/{shift}/x", tag = "reconciliation",
    params(("node" = Uuid, Path, description = "The node"),
        ("shift" = u32, Path, description = "The shift's number there")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = ShiftReport), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn x_report(
    State(api): State<Api>,
    caller: Caller,
    Named((node, shift)): Named<(Uuid, u32)>,
) -> Result<Json<ShiftReport>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let report = shifts::report(&mut tx, NodeId(node), ShiftNo(shift)).await?;
    report.map(Json).ok_or_else(|| no_shift(node, shift))
}

/// A closed shift's numbered report, which nothing changes, and its addenda.
#[utoipa::path(get, path = "/reconciliation/shifts/{node}/{shift}/z", tag = "reconciliation",
    params(("node" = Uuid, Path, description = "The node"),
        ("shift" = u32, Path, description = "The shift's number there")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = ZReport), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = "default", body = Problem)))]
async fn z_report(
    State(api): State<Api>,
    caller: Caller,
    Named((node, shift)): Named<(Uuid, u32)>,
) -> Result<Json<ZReport>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let (node_id, number) = (NodeId(node), ShiftNo(shift));
    let reports = shifts::numbered(&mut tx, node_id, number, clock::now()).await?;
    if reports.is_empty() {
        if shifts::report(&mut tx, node_id, number).await?.is_none() {
            return Err(no_shift(node, shift));
        }
        let detail = "the shift is not closed as far as the hub knows: read its X report";
        return Err(Problem::conflict("shift-open", "Shift open", detail));
    }
    tx.commit().await?;
    Ok(Json(ZReport { reports }))
}

/// Cases: what broke a rule and waits for a person, or was decided.
#[utoipa::path(get, path = "/reconciliation/conflicts", tag = "reconciliation",
    params(CasesAsked), security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<ConflictView>), (status = "default", body = Problem)))]
async fn conflicts(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<CasesAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let filter = CaseFilter {
        node: parsed(asked.node.as_deref())?,
        state: asked.state,
        reason: asked.reason,
    };
    let mut tx = api.db.tenant(company).await?;
    let rows = case_rows::conflicts(&mut tx, &filter, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |c| c.case.to_string());
    if format == Format::Json {
        return answer(format, "conflicts", page);
    }
    let items = page.items.into_iter().map(ConflictRow::from).collect();
    let next = page.next;
    answer(format, "conflicts", Page { items, next })
}

/// A case with its evidence and whom the rule proposes.
#[utoipa::path(get, path = "/reconciliation/conflicts/{case}", tag = "reconciliation",
    params(("case" = i64, Path, description = "The case's number")),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = CaseView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
async fn conflict(
    State(api): State<Api>,
    caller: Caller,
    Named(case): Named<i64>,
) -> Result<Json<CaseView>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    Ok(Json(cases::show(&mut tx, case).await?))
}

/// Decides a case: who keeps the seat, what happens to the others. Its money leaves suspense.
#[utoipa::path(post, path = "/reconciliation/conflicts/{case}/decision", tag = "reconciliation",
    params(("case" = i64, Path, description = "The case's number"),
        ("Idempotency-Key" = String, Header, description = "Names this request")),
    request_body = NewDecision, security(("bearer" = ["books:write"])),
    responses((status = 200, body = Decided), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem),
        (status = "default", body = Problem)))]
async fn decide(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(case): Named<i64>,
    body: Body<NewDecision>,
) -> Result<Response<HttpBody>, Problem> {
    let staff = caller.may(Permission::BooksWrite)?;
    let path = format!("/reconciliation/conflicts/{case}/decision");
    let key = key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let consequence = Consequence::named(&body.value.consequence).ok_or_else(|| {
        Problem::unprocessable("`consequence` is refund, other_seat, rebook or carried")
    })?;
    let decision = Decision {
        winner: body.value.winner.map(TicketId),
        consequence,
        trip: body.value.trip.map(TripId),
        reason: reason_of(&body.value.reason)?,
    };
    if decision.trip.is_some_and(|t| i64::try_from(t.0).is_err()) {
        return Err(Problem::not_found("there is no such trip"));
    }
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return respond(known);
    }
    let done = cases::decide(&mut tx, &api, staff, case, &decision, now).await?;
    let done = Decided {
        case,
        entry: done.entry,
        refunds: done.settled.refunds,
        tickets: done.settled.tickets,
    };
    keep(tx, &key, (StatusCode::OK, &done), now).await
}

/// Per node: what has not come and what it may be worth, forks, cases, drawers.
#[utoipa::path(get, path = "/reconciliation/nodes", tag = "reconciliation", params(ListAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<NodeStanding>), (status = "default", body = Problem)))]
async fn nodes(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = standing::nodes(&mut tx, clock::now(), &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |n| n.node.to_string());
    answer(format, "nodes", page)
}

/// Per agent: shifts, what the drawers should have held, what was counted.
#[utoipa::path(get, path = "/reconciliation/agents", tag = "reconciliation", params(ListAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<AgentStanding>), (status = "default", body = Problem)))]
async fn agents(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = standing::agents(&mut tx, &cursor).await?;
    let seen = cursor.part(0, 0_i64).max(0) + cursor.limit as i64;
    let page = Page::cut(rows, cursor.limit, |_| seen.to_string());
    answer(format, "agents", page)
}

/// Entries that were posted days after the day they count to, of the last quarter.
#[utoipa::path(get, path = "/reconciliation/late-arrivals", tag = "reconciliation",
    params(LateAsked), security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<LateArrival>), (status = "default", body = Problem)))]
async fn late_arrivals(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<LateAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let days = asked.days.unwrap_or(1).clamp(1, 3650);
    let since = standing::a_quarter_before(clock::now());
    let mut tx = api.db.tenant(company).await?;
    let rows = standing::late_arrivals(&mut tx, days, since, &cursor).await?;
    let page = Page::cut(rows, cursor.limit, |l| {
        format!("{}_{}", l.posted_at_ms, l.entry)
    });
    answer(format, "late-arrivals", page)
}

fn place(v: &Violation) -> String {
    format!("{}_{}_{}", v.node, v.incarnation, v.seq)
}

/// Events that broke a rule, as sales under a closed lease.
#[utoipa::path(get, path = "/reconciliation/violations", tag = "reconciliation",
    params(ViolationsAsked), security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<Violation>), (status = "default", body = Problem)))]
async fn violations(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ViolationsAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let node: Option<NodeId> = parsed(asked.node.as_deref())?;
    let mut tx = api.db.tenant(company).await?;
    let rows = standing::violations(&mut tx, asked.reason.as_deref(), node, &cursor).await?;
    answer(format, "violations", Page::cut(rows, cursor.limit, place))
}

/// Second histories of a position: a device was copied or restored.
#[utoipa::path(get, path = "/reconciliation/forks", tag = "reconciliation", params(ListAsked),
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = Page<Violation>), (status = "default", body = Problem)))]
async fn forks(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Asked(asked): Asked<ListAsked>,
) -> Result<Response<HttpBody>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = standing::forks(&mut tx, &cursor).await?;
    answer(format, "forks", Page::cut(rows, cursor.limit, place))
}
