//! What a restored hub waits for, over HTTP.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::{NodeId, TripId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::db::{self, Device, Frozen};
use super::thaw::{self, NotThawed};
use super::unknown::{self, NotTaken};
use crate::access::{Caller, Permission};
use crate::audit::Actor;
use crate::clock;
use crate::http::extract::{Asked, Body, Named, cursor, parsed};
use crate::http::{Api, Problem, idempotent};
use crate::idempotency;
use crate::nodes::{NodeError, NodeKind};
use crate::views::{Page, time};

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 300;
/// The longest name of a device, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(trips))
        .routes(routes!(accept))
        .routes(routes!(admit))
        .routes(routes!(give_up))
}

impl From<NotThawed> for Problem {
    fn from(error: NotThawed) -> Self {
        match error {
            NotThawed::Unknown(_) => Self::not_found(error.to_string()),
            NotThawed::Db(error) => error.into(),
        }
    }
}

impl From<NotTaken> for Problem {
    fn from(error: NotTaken) -> Self {
        let detail = error.to_string();
        match error {
            NotTaken::Unknown(_) => Self::not_found(detail),
            NotTaken::NotCome(_) => Self::conflict("not-come", "Has not come", detail),
            NotTaken::Revoked(_) => Self::conflict("revoked", "Revoked", detail),
            NotTaken::Node(NodeError::Db(error)) | NotTaken::Db(error) => error.into(),
            NotTaken::Node(_) => Self::unprocessable(detail),
        }
    }
}

/// A device that is waited for.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"node": "01920000-0000-7000-8000-000000000001", "name": "Lusaka 1",
    "waits_for": "grants", "last_contact_at": "2026-11-23T04:00:00Z", "told_by": null,
    "keys_agree": null, "proven": false}))]
pub struct WaitView {
    /// Its number.
    node: String,
    /// What people call it.
    name: String,
    /// `grants`: it has not told what it holds. `events`: its log is not here yet. `decision`: its
    /// disk was replaced, so that only a person can take the risk. `unknown`: it was enrolled after
    /// the backup and has not come. `approval`: it was, has come, and waits to be taken in.
    waits_for: &'static str,
    /// When it was heard of last, RFC 3339 UTC; of the backup's time where it has not come since.
    last_contact_at: Option<String>,
    /// The device that told of it, where the hub does not know it.
    told_by: Option<String>,
    /// Whether it shows the ticket key that the other device knows it by: where it does not, one of
    /// the two lies. Null until both have been heard.
    keys_agree: Option<bool>,
    /// The hub does not know it, but has signed a grant to it: it is no invention.
    proven: bool,
}

fn waits(devices: &[Device]) -> Vec<WaitView> {
    let open = devices.iter().filter_map(|d| Some((d, d.waits_for()?)));
    open.map(|(d, why)| WaitView {
        node: d.node.to_string(),
        name: d.name.clone(),
        waits_for: why.as_str(),
        last_contact_at: d.last_contact_ms.map(time),
        told_by: d.hearsay.as_ref().and_then(|h| h.told_by.clone()),
        keys_agree: d.hearsay.as_ref().and_then(|h| h.keys_agree),
        proven: d.hearsay.as_ref().is_some_and(|h| h.proven),
    })
    .collect()
}

/// Where a restored hub stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"hub_incarnation": 478_080, "restored_at": "2026-11-23T05:00:00Z",
    "restore_point": "2026-11-23T02:00:00Z", "frozen_trips": 42, "devices_heard": 6,
    "grants_taken_over": 11, "waits": [{"node": "01920000-0000-7000-8000-000000000001",
    "name": "Lusaka 1", "waits_for": "grants", "last_contact_at": "2026-11-23T01:58:00Z",
    "told_by": null, "keys_agree": null, "proven": false}]}))]
pub struct RestoreView {
    /// Which installation of the hub this is; 1: it was never restored.
    hub_incarnation: u32,
    /// When it was restored, RFC 3339 UTC.
    restored_at: Option<String>,
    /// The moment that its backup is of, RFC 3339 UTC.
    restore_point: Option<String>,
    /// Trips whose pool is frozen.
    frozen_trips: i64,
    /// Devices that have told, and whose logs are here.
    devices_heard: usize,
    /// Grants that devices held and the backup did not know.
    grants_taken_over: i64,
    /// What the frozen trips wait for.
    waits: Vec<WaitView>,
}

/// Which installation of the hub this is, and what it still waits for since it was restored.
#[utoipa::path(get, path = "/restore", operation_id = "restore_show", tag = "restore",
    security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = RestoreView), (status = "default", body = Problem)))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Json<RestoreView>, Problem> {
    let staff = caller.may(Permission::NodesRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let is = db::installation(&mut tx).await?;
    let devices = db::devices(&mut tx).await?;
    let waits = waits(&devices);
    Ok(Json(RestoreView {
        hub_incarnation: is.hub.0,
        restored_at: is.restored_at_ms.map(time),
        restore_point: is.restore_point_ms.map(time),
        frozen_trips: db::count_frozen(&mut tx).await?,
        devices_heard: devices.iter().filter(|d| d.is_heard()).count(),
        grants_taken_over: devices.iter().map(|d| i64::from(d.adopted)).sum(),
        waits,
    }))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FrozenAsked {
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// A trip whose pool is frozen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "route": "LUN-LVI", "headsign": "Livingstone",
    "departs_at": "2026-11-23T04:00:00Z", "waits": [{
    "node": "01920000-0000-7000-8000-000000000001", "name": "Lusaka 1", "waits_for": "grants",
    "last_contact_at": "2026-11-23T01:58:00Z", "told_by": null, "keys_agree": null,
    "proven": false}]}))]
pub struct FrozenView {
    /// Its number.
    trip: u64,
    /// The route's code.
    route: String,
    /// Where the bus says it goes.
    headsign: String,
    /// From the first stop by the timetable, RFC 3339 UTC.
    departs_at: String,
    /// The devices that may hold rights on it and have not been heard.
    waits: Vec<WaitView>,
}

/// The trips whose pool is frozen since the hub was restored, each with what it waits for.
#[utoipa::path(get, path = "/restore/trips", operation_id = "restore_trips", tag = "restore",
    params(FrozenAsked), security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = Page<FrozenView>), (status = "default", body = Problem)))]
pub async fn trips(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<FrozenAsked>,
) -> Result<Json<Page<FrozenView>>, Problem> {
    let staff = caller.may(Permission::NodesRead)?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let after: Option<i64> = parsed(asked.after.as_deref())?;
    let mut tx = api.db.tenant(staff.company).await?;
    let waits = waits(&db::devices(&mut tx).await?);
    let limit = i64::try_from(cursor.limit).unwrap_or(i64::MAX - 1) + 1;
    let rows = db::frozen(&mut tx, after.unwrap_or(0), limit).await?;
    let page = Page::cut(rows, cursor.limit, |f| f.trip.to_string());
    let view = |f: Frozen| FrozenView {
        trip: f.trip.0,
        route: f.route,
        headsign: f.headsign,
        departs_at: time(f.departs_at_ms),
        waits: waits.clone(),
    };
    Ok(Json(Page {
        items: page.items.into_iter().map(view).collect(),
        next: page.next,
    }))
}

/// Why a risk is taken.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "Lusaka 1 was stolen; its seats stay empty", "accept_risk": true}))]
pub struct RiskAsked {
    /// Why, for the audit log: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    reason: String,
    /// That the company takes the risk of selling seats twice: `true`.
    accept_risk: bool,
}

impl RiskAsked {
    /// The reason, where the risk is taken.
    fn taken(&self) -> Result<&str, Problem> {
        let reason = self.reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            let detail = format!("give a `reason` of 1 to {REASON_CHARS_MAX} characters");
            return Err(Problem::unprocessable(detail));
        }
        if !self.accept_risk {
            return Err(Problem::unprocessable(
                "seats that devices have not told of can be sold twice: send `accept_risk` true to \
                 take that on, or wait until they have told",
            ));
        }
        Ok(reason)
    }
}

/// A trip that sells again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "was_frozen": true, "unheard": ["Lusaka 1"],
    "risk": "seats of trip 4711 that Lusaka 1 sold or may sell can be sold a second time"}))]
pub struct ThawedView {
    /// Its number.
    trip: u64,
    /// It was frozen until this.
    was_frozen: bool,
    /// The devices whose word was not waited for.
    unheard: Vec<String>,
    /// What the company has taken on itself.
    risk: String,
}

/// Lets the pool of a trip sell again although devices have not told what they hold of it: their
/// seats can be sold twice. Noted in the audit log.
#[utoipa::path(post, path = "/restore/trips/{trip}/thaw", operation_id = "restore_thaw",
    tag = "restore", request_body = RiskAsked,
    params(("trip" = u64, Path, example = 12),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(("bearer" = ["nodes:write"])),
    responses((status = 200, body = ThawedView), (status = 404, body = Problem, description = "no such trip"),
        (status = 409, body = Problem, description = "`in-flight`"),
        (status = 422, body = Problem, description = "the risk is not accepted, or no reason is given"),
        (status = "default", body = Problem)))]
pub async fn accept(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(trip): Named<u64>,
    body: Body<RiskAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::NodesWrite)?;
    let path = format!("/restore/trips/{trip}/thaw");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let reason = body.value.taken()?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let actor = Actor::Caller(caller.identity);
    let done = thaw::accept_risk(&mut tx, TripId(trip), (actor, reason), now).await?;
    let view = ThawedView {
        trip,
        was_frozen: done.was_frozen,
        risk: done.risk(),
        unheard: done.unheard,
    };
    idempotent::keep(tx, &key, (StatusCode::OK, &view), now).await
}

/// What a device that is taken in is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Kabwe 2", "kind": "station", "stop": "KBW"}))]
pub struct AdmitAsked {
    /// What people call it: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// `station` or `onboard`.
    kind: KindAsked,
    /// The stop of a station, by code; nothing else has one.
    #[schema(max_length = 64)]
    stop: Option<String>,
}

/// What a device is there for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindAsked {
    /// Sells at a stop.
    Station,
    /// Validates on a bus.
    Onboard,
}

impl AdmitAsked {
    fn checked(self) -> Result<(String, NodeKind), Problem> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            let detail = format!("give a `name` of 1 to {NAME_CHARS_MAX} characters");
            return Err(Problem::unprocessable(detail));
        }
        let kind = match (self.kind, &self.stop) {
            (KindAsked::Onboard, None) => NodeKind::Onboard,
            (KindAsked::Station, Some(stop)) => {
                let no_code = |_| Problem::unprocessable("`stop` is not the code of a stop");
                NodeKind::Station(stop.parse().map_err(no_code)?)
            }
            (KindAsked::Station, None) => {
                return Err(Problem::unprocessable("name the `stop` of the station"));
            }
            (KindAsked::Onboard, Some(_)) => {
                return Err(Problem::unprocessable("only a station has a `stop`"));
            }
        };
        Ok((name.to_owned(), kind))
    }
}

/// A device that was taken in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"node": "01920000-0000-7000-8000-000000000001", "name": "Kabwe 2"}))]
pub struct AdmittedView {
    /// Its number.
    node: Uuid,
    /// What it is called.
    name: String,
}

/// Takes a device in again that was enrolled after the backup and has come since: its certificate
/// is this hub's. It tells what it holds when it comes next.
#[utoipa::path(post, path = "/restore/devices/{node}/admit", operation_id = "restore_admit",
    tag = "restore", request_body = AdmitAsked,
    params(("node" = Uuid, Path, example = "01920000-0000-7000-8000-000000000001"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(("bearer" = ["nodes:write"])),
    responses((status = 200, body = AdmittedView),
        (status = 404, body = Problem, description = "no such device is waited for"),
        (status = 409, body = Problem, description = "`not-come`, `revoked`, `in-flight`"),
        (status = 422, body = Problem, description = "no such name or stop"),
        (status = "default", body = Problem)))]
pub async fn admit(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(node): Named<Uuid>,
    body: Body<AdmitAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::NodesWrite)?;
    let path = format!("/restore/devices/{node}/admit");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let (name, kind) = body.value.checked()?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let actor = Actor::Caller(caller.identity);
    unknown::admit(&mut tx, &api.keys, NodeId(node), (&name, &kind), actor, now).await?;
    let view = AdmittedView { node, name };
    idempotent::keep(tx, &key, (StatusCode::OK, &view), now).await
}

/// A device that is not waited for any further.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"node": "01920000-0000-7000-8000-000000000001", "name": "Lusaka 1",
    "risk": "seats that Lusaka 1 sold or may sell can be sold a second time"}))]
pub struct GivenUpView {
    /// Its number.
    node: Uuid,
    /// What people call it.
    name: String,
    /// What the company has taken on itself.
    risk: String,
}

/// Stops waiting for a device on every trip, frozen or made later: it is lost, or another device
/// made it up. Should it come after all, it is heard like any other. Noted in the audit log.
#[utoipa::path(post, path = "/restore/devices/{node}/give-up", operation_id = "restore_give_up",
    tag = "restore", request_body = RiskAsked,
    params(("node" = Uuid, Path, example = "01920000-0000-7000-8000-000000000001"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(("bearer" = ["nodes:write"])),
    responses((status = 200, body = GivenUpView),
        (status = 404, body = Problem, description = "no such device is waited for"),
        (status = 409, body = Problem, description = "`in-flight`"),
        (status = 422, body = Problem, description = "the risk is not accepted, or no reason is given"),
        (status = "default", body = Problem)))]
pub async fn give_up(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(node): Named<Uuid>,
    body: Body<RiskAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::NodesWrite)?;
    let path = format!("/restore/devices/{node}/give-up");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let reason = body.value.taken()?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let actor = Actor::Caller(caller.identity);
    let name = unknown::give_up(&mut tx, NodeId(node), (actor, reason), now).await?;
    let risk = unknown::risk_of(&name);
    let view = GivenUpView { node, name, risk };
    idempotent::keep(tx, &key, (StatusCode::OK, &view), now).await
}
