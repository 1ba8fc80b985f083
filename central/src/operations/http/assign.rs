//! The bus and the crew of a trip.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::trips::{RunningView, number, tagged};
use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Body, Named};
use crate::http::list::is_plain;
use crate::http::{Api, Problem};
use crate::operations::crew::{Member, Role, assign_bus, assign_crew, crew_of};
use crate::operations::trips::{Running, locked};
use crate::tenant::TenantTx;

/// Which bus runs a trip.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"bus": "BAE 1234"}))]
pub struct BusAsked {
    /// By registration; null for none.
    #[schema(max_length = 16)]
    bus: Option<String>,
}

/// Names the bus that runs a trip. Its seats have to be those on sale, and it runs one trip at a
/// time.
#[utoipa::path(put, path = "/operations/trips/{trip}/bus", operation_id = "operations_trips_bus",
    tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = BusAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = RunningView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`other-layout`, `bus-not-in-service`, `bus-elsewhere`, `assigned-meanwhile` or `trip-state`."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "`unknown-bus`."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn bus(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
    body: Body<BusAsked>,
) -> Result<Tagged<RunningView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let bus = body.value.bus;
    if bus.as_deref().is_some_and(|bus| !is_plain(bus)) {
        return Err(Problem::unprocessable("`bus` is no registration"));
    }
    let mut tx = api.db.tenant(staff.company).await?;
    let running = locked(&mut tx, number(trip)?).await?;
    if_match.check(running.version)?;
    let (by, now) = (staff.identity.into(), clock::now());
    let running = assign_bus(&mut tx, running, bus.as_deref(), by, now).await?;
    tx.commit().await?;
    Ok(tagged(running))
}

/// What somebody does on a trip.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleWord {
    /// Drives.
    Driver,
    /// Looks after passengers.
    Conductor,
}

/// Somebody on a trip.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"person": "0199f3a2-7c1e-7a52-8b1c-0242ac120002", "role": "driver"}))]
pub struct MemberView {
    /// Their account.
    person: Uuid,
    /// What they do.
    role: RoleWord,
}

impl MemberView {
    fn member(&self) -> Member {
        Member {
            person: self.person,
            role: match self.role {
                RoleWord::Driver => Role::Driver,
                RoleWord::Conductor => Role::Conductor,
            },
        }
    }

    fn of(member: Member) -> Self {
        Self {
            person: member.person,
            role: match member.role {
                Role::Driver => RoleWord::Driver,
                Role::Conductor => RoleWord::Conductor,
            },
        }
    }
}

/// Who works on a trip.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"crew": [
    {"person": "0199f3a2-7c1e-7a52-8b1c-0242ac120002", "role": "driver"}]}))]
pub struct CrewAsked {
    /// Everybody, at most 8; nobody else stays.
    #[schema(max_items = 8)]
    crew: Vec<MemberView>,
}

/// Something that is beyond a driver's limits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"person": "0199f3a2-7c1e-7a52-8b1c-0242ac120002",
    "kind": "driving-day", "text": "9:30 h of driving on 2026-11-23, more than 9:00 h"}))]
pub struct WarningView {
    /// Which driver.
    person: Uuid,
    /// `driving-day`, `driving-week` or `rest`.
    kind: &'static str,
    /// In words.
    text: String,
}

/// Who works on a trip, and what is beyond a driver's limits around that day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "crew": [
        {"person": "0199f3a2-7c1e-7a52-8b1c-0242ac120002", "role": "driver"}],
    "warnings": []}))]
pub struct CrewView {
    /// The trip's number.
    trip: u64,
    /// Drivers first.
    crew: Vec<MemberView>,
    /// They are told, not enforced.
    warnings: Vec<WarningView>,
}

async fn view(tx: &mut TenantTx, running: Running) -> Result<Tagged<CrewView>, Problem> {
    let (crew, found, limits) = crew_of(tx, &running).await?;
    let warnings = found.into_iter().map(|(person, warning)| WarningView {
        person,
        kind: warning.kind(),
        text: warning.text(&limits),
    });
    let view = CrewView {
        trip: running.trip.id.0,
        crew: crew.into_iter().map(MemberView::of).collect(),
        warnings: warnings.collect(),
    };
    Ok(Tagged::ok(running.version, view))
}

/// Who works on a trip, and the driving-hours warnings; its `ETag` is the trip's.
#[utoipa::path(get, path = "/operations/trips/{trip}/crew",
    operation_id = "operations_trips_crew_show", tag = "operations",
    params(("trip" = u64, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = CrewView, headers(("ETag" = String, description = "The trip's version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show_crew(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Tagged<CrewView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let running = locked(&mut tx, number(trip)?).await?;
    view(&mut tx, running).await
}

/// Makes these people the crew of a trip. Nobody works on two trips at once; what is beyond a
/// driver's limits is answered as a warning.
#[utoipa::path(put, path = "/operations/trips/{trip}/crew",
    operation_id = "operations_trips_crew", tag = "operations",
    params(("trip" = u64, Path), ("If-Match" = String, Header, description = "The trip's `ETag`.")),
    request_body = CrewAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = CrewView, headers(("ETag" = String, description = "The trip's version."))),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`person-elsewhere`, `assigned-meanwhile` or `trip-state`."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "`crew-twice` or `crew-too-large`."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn crew(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    if_match: IfMatch,
    body: Body<CrewAsked>,
) -> Result<Tagged<CrewView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let crew: Vec<Member> = body.value.crew.iter().map(MemberView::member).collect();
    let mut tx = api.db.tenant(staff.company).await?;
    let running = locked(&mut tx, number(trip)?).await?;
    if_match.check(running.version)?;
    let (by, now) = (staff.identity.into(), clock::now());
    let running = assign_crew(&mut tx, running, &crew, by, now).await?;
    let view = view(&mut tx, running).await?;
    tx.commit().await?;
    Ok(view)
}
