//! Trips on their day, for the people who run them.

use axum::Json;
use axum::extract::State;
use domain::ids::TripId;
use domain::time::Instant;
use domain::time::ServiceDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::{Caller, Permission, Staff};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named, cursor, parsed};
use crate::http::list::filter;
use crate::http::{Api, Problem};
use crate::operations::db::trips as rows;
use crate::operations::state::{Command, State as TripState};
use crate::operations::trips::{self, Running};
use crate::views::Page;

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// A trip with its day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "route": "LUN-LVI", "run": "0600",
    "schedule": "LUN-LVI-0600", "headsign": "Livingstone", "service_date": "2026-11-23",
    "state": "scheduled", "delay_ms": 1_200_000, "reason": "road works at Kafue",
    "departs_at": "2026-11-23T04:00:00Z", "expected_at": "2026-11-23T04:20:00Z",
    "arrives_at": "2026-11-23T11:00:00Z", "bus": "BAE 1234", "layout": "COACH-49",
    "layout_version": 1, "seat_count": 49, "version": 3}))]
pub struct RunningView {
    /// Its number.
    trip: u64,
    /// The route's code.
    route: String,
    /// What the run is called.
    run: String,
    /// The rule it comes from; absent for an imported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Where the bus says it goes.
    headsign: String,
    /// The day it counts to, YYYY-MM-DD.
    service_date: String,
    /// `scheduled`, `boarding`, `departed`, `arrived` or `cancelled`.
    state: &'static str,
    /// How late it is, in ms.
    delay_ms: i64,
    /// Why it is late or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// From the first stop by the timetable, RFC 3339 UTC.
    departs_at: String,
    /// The same with its delay.
    expected_at: String,
    /// At the last stop by the timetable, RFC 3339 UTC.
    arrives_at: String,
    /// When it left, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    departed_at: Option<String>,
    /// When it arrived, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_at: Option<String>,
    /// The bus that runs it, by registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<String>,
    /// The seat layout it is sold on.
    layout: String,
    /// Which numbering of it.
    layout_version: u32,
    /// How many seats.
    seat_count: u16,
    /// What its `ETag` says.
    version: i32,
}

impl RunningView {
    fn of(running: Running) -> Self {
        let busy = running.busy();
        let (trip, day) = (running.trip, running.day);
        Self {
            trip: trip.id.0,
            route: running.route,
            run: running.run,
            schedule: running.schedule,
            headsign: trip.headsign,
            service_date: trip.service_date.to_string(),
            state: day.state.as_str(),
            delay_ms: day.delay_ms,
            reason: day.reason,
            departs_at: day.departs_at.to_string(),
            expected_at: day.departs_at.plus_ms(day.delay_ms).to_string(),
            arrives_at: busy.to.to_string(),
            departed_at: day.departed_at.map(|at| at.to_string()),
            arrived_at: day.arrived_at.map(|at| at.to_string()),
            bus: running.bus,
            layout: trip.layout,
            layout_version: trip.layout_version.0,
            seat_count: trip.seat_count,
            version: running.version,
        }
    }
}

/// A trip in an answer, with its version.
pub(super) fn tagged(running: Running) -> Tagged<RunningView> {
    Tagged::ok(running.version, RunningView::of(running))
}

/// Which trips.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TripsAsked {
    /// Service date, YYYY-MM-DD.
    date: Option<String>,
    /// The route's code.
    route: Option<String>,
    /// `scheduled`, `boarding`, `departed`, `arrived` or `cancelled`.
    state: Option<String>,
    /// The rule they come from.
    schedule: Option<String>,
    /// The bus that runs them, by registration.
    bus: Option<String>,
    /// Somebody who works on them.
    person: Option<Uuid>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's trips by departure, with how their day stands.
#[utoipa::path(get, path = "/operations/trips", operation_id = "operations_trips_list",
    tag = "operations", params(TripsAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<RunningView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<TripsAsked>,
) -> Result<Json<Page<RunningView>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let date: Option<ServiceDate> = parsed(asked.date.as_deref())?;
    let wanted = rows::TripFilter {
        date,
        route: filter("route", asked.route)?,
        state: asked.state.as_deref().map(state_of).transpose()?,
        schedule: filter("schedule", asked.schedule)?,
        bus: filter("bus", asked.bus)?,
        person: asked.person,
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let found = rows::list(&mut tx, &wanted, &cursor).await?;
    let page = Page::cut(found, cursor.limit, |r| {
        format!("{}_{}", r.day.departs_at.0, r.trip.id)
    });
    Ok(Json(Page {
        items: page.items.into_iter().map(RunningView::of).collect(),
        next: page.next,
    }))
}

fn state_of(word: &str) -> Result<TripState, Problem> {
    TripState::of(word).ok_or_else(|| {
        let words = TripState::ALL.map(TripState::as_str).join(", ");
        Problem::bad_request(format!("`state` is one of {words}"))
    })
}

/// One trip with its day; its version is the `ETag`.
#[utoipa::path(get, path = "/operations/trips/{trip}", operation_id = "operations_trips_show",
    tag = "operations", params(("trip" = u64, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let trip = number(trip)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let running = rows::find(&mut tx, trip).await?;
    let running = running.ok_or(trips::TripError::Unknown(trip))?;
    Ok(tagged(running))
}

/// A trip's number; one that no trip can have is not found.
pub(super) fn number(trip: u64) -> Result<TripId, Problem> {
    let trip = TripId(trip);
    match i64::try_from(trip.0) {
        Ok(_) => Ok(trip),
        Err(_) => Err(trips::TripError::Unknown(trip).into()),
    }
}

/// Something that happened to a trip.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"no": 17, "kind": "delayed", "at": "2026-11-23T03:40:00Z",
    "noted_at": "2026-11-23T03:40:00Z", "actor_kind": "person",
    "actor": "0199f3a2-7c1e-7a52-8b1c-0242ac120002",
    "body": {"delay_ms": 1_200_000, "reason": "road works at Kafue"}}))]
pub struct HappeningView {
    /// Its number.
    no: i64,
    /// `boarding`, `departed`, `arrived`, `cancelled` or `delayed`.
    kind: String,
    /// When it happened, RFC 3339 UTC.
    at: String,
    /// When the hub heard of it, RFC 3339 UTC.
    noted_at: String,
    /// `person`, `key` or `system`.
    actor_kind: String,
    /// Whose number; absent for the hub itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Uuid>,
    /// What else there is to say.
    #[schema(value_type = Object)]
    body: Value,
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

/// What happened to a trip, in order.
#[utoipa::path(get, path = "/operations/trips/{trip}/events",
    operation_id = "operations_trips_events", tag = "operations",
    params(("trip" = u64, Path), PageAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<HappeningView>), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn events(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    Asked(asked): Asked<PageAsked>,
) -> Result<Json<Page<HappeningView>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let trip = number(trip)?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    if rows::find(&mut tx, trip).await?.is_none() {
        return Err(trips::TripError::Unknown(trip).into());
    }
    let found = rows::events(&mut tx, trip, &cursor).await?;
    let page = Page::cut(found, cursor.limit, |h| h.no.to_string());
    let view = |h: trips::Happening| HappeningView {
        no: h.no,
        kind: h.kind,
        at: h.at.to_string(),
        noted_at: h.noted_at.to_string(),
        actor_kind: h.actor_kind,
        actor: h.actor_id,
        body: h.body,
    };
    Ok(Json(Page {
        items: page.items.into_iter().map(view).collect(),
        next: page.next,
    }))
}

/// A locked trip of the caller's company, in the version that the caller read.
async fn do_it(
    api: &Api,
    staff: Staff,
    trip: u64,
    if_match: &IfMatch,
    command: Command,
) -> Result<Tagged<RunningView>, Problem> {
    let trip = number(trip)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    let running = match &command {
        Command::Cancel(_) => trips::locked_for_cancelling(&mut tx, trip, now).await?,
        Command::Board | Command::Depart(_) | Command::Arrive(_) | Command::Delay { .. } => {
            trips::locked(&mut tx, trip).await?
        }
    };
    if_match.check(running.version)?;
    let by = staff.identity.into();
    let running = trips::run(&mut tx, running, &command, by, now).await?;
    tx.commit().await?;
    Ok(tagged(running))
}

/// When something happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"at": "2026-11-23T04:03:00Z"}))]
pub struct MomentAsked {
    /// RFC 3339; absent for this moment.
    #[serde(default)]
    #[schema(max_length = 40)]
    at: Option<String>,
}

fn moment(asked: MomentAsked) -> Result<Instant, Problem> {
    let Some(text) = asked.at else {
        return Ok(clock::now());
    };
    let at: Result<jiff::Timestamp, _> = text.parse();
    at.map(|at| Instant(at.as_millisecond()))
        .map_err(|_| Problem::unprocessable("`at` has to be a time like 2026-11-23T04:03:00Z"))
}

fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let fits = (1..=REASON_CHARS_MAX).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let detail = format!("`reason` has 1 to {REASON_CHARS_MAX} characters on one line");
    Err(Problem::unprocessable(detail))
}

/// Lets passengers on.
#[utoipa::path(post, path = "/operations/trips/{trip}/boarding",
    operation_id = "operations_trips_board", tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`trip-state`: not from the state it is in."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn board(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    do_it(&api, staff, trip, &if_match, Command::Board).await
}

/// Notes that a trip left its first stop: what was paid for it is earned, and it sells no more.
/// Without anybody's word a trip has departed half an hour after departure and delay.
#[utoipa::path(post, path = "/operations/trips/{trip}/departure",
    operation_id = "operations_trips_depart", tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = MomentAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`trip-state`: not from the state it is in."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "`to-come` or `wrong-moment`."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn depart(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
    body: Body<MomentAsked>,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let command = Command::Depart(moment(body.value)?);
    do_it(&api, staff, trip, &if_match, command).await
}

/// Notes that a trip reached its last stop.
#[utoipa::path(post, path = "/operations/trips/{trip}/arrival",
    operation_id = "operations_trips_arrive", tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = MomentAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`trip-state`: not from the state it is in."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "`to-come` or `wrong-moment`."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn arrive(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
    body: Body<MomentAsked>,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let command = Command::Arrive(moment(body.value)?);
    do_it(&api, staff, trip, &if_match, command).await
}

/// Why a trip does not run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the bridge at Kafue is flooded"}))]
pub struct CancelAsked {
    /// For passengers.
    #[schema(min_length = 1, max_length = 300)]
    reason: String,
}

/// Cancels a trip that has not left: it sells no more, unpaid bookings give their seats back, its
/// bus and crew are free, and its passengers are told.
#[utoipa::path(post, path = "/operations/trips/{trip}/cancellation",
    operation_id = "operations_trips_cancel", tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = CancelAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`trip-state`: it has left."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "No reason."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
    body: Body<CancelAsked>,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let command = Command::Cancel(reason(&body.value.reason)?);
    do_it(&api, staff, trip, &if_match, command).await
}

/// How late a trip is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"delay_minutes": 20, "reason": "road works at Kafue"}))]
pub struct DelayAsked {
    /// 0 when it is on time again, 4320 (three days) at most.
    #[schema(minimum = 0, maximum = 4320)]
    delay_minutes: i64,
    /// For passengers.
    #[schema(min_length = 1, max_length = 300)]
    reason: String,
}

/// Says how late a trip is, and tells its passengers.
#[utoipa::path(post, path = "/operations/trips/{trip}/delay",
    operation_id = "operations_trips_delay", tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = DelayAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`trip-state`: it is over or cancelled."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "`wrong-delay`, or no reason."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn delay(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
    body: Body<DelayAsked>,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let command = Command::Delay {
        delay_ms: body.value.delay_minutes.saturating_mul(60_000),
        reason: reason(&body.value.reason)?,
    };
    do_it(&api, staff, trip, &if_match, command).await
}
