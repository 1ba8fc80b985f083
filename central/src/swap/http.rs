//! Swapping the bus of a trip over HTTP.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::TripId;
use domain::layout::SeatAttributes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::SwapFault;
use super::carry::Done;
use super::db::{MovedRow, SwapRow};
use super::scene::{Scene, Wish};
use super::{service, undo};
use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::extract::{Body, Named};
use crate::http::list::is_plain;
use crate::http::{Api, Problem, idempotent};
use crate::idempotency;

/// The most volunteers of one swap.
const VOLUNTEERS_MAX: usize = 500;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(preview))
        .routes(routes!(list, confirm))
        .routes(routes!(take_back))
}

impl From<SwapFault> for Problem {
    fn from(fault: SwapFault) -> Self {
        let detail = fault.to_string();
        let conflict = |kind, title| Self::conflict(kind, title, detail.clone());
        match fault {
            SwapFault::UnknownTrip(_) | SwapFault::UnknownSwap { .. } => Self::not_found(detail),
            SwapFault::Over(state) => {
                conflict("trip-state", "Not in this state").with("state", state.as_str())
            }
            SwapFault::Frozen(ref refusal) => refusal.into(),
            SwapFault::Which | SwapFault::NoVolunteer(_) => Self::unprocessable(detail),
            SwapFault::UnknownLayout(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown-layout",
                "No such layout",
                detail,
            ),
            SwapFault::NoLayout(_) => conflict("no-layout", "Seats not known"),
            SwapFault::SameSeats(_) => conflict("same-seats", "Nothing to swap"),
            SwapFault::TooMany => conflict("too-many-swaps", "Swapped too often"),
            SwapFault::Changed => conflict("changed", "Changed meanwhile"),
            SwapFault::Busy => conflict("busy", "Busy"),
            SwapFault::NotStanding => conflict("not-standing", "Not the last swap"),
            SwapFault::InTheWay { ref seat, .. } => {
                conflict("in-the-way", "Something came later").with("seat", seat.as_str())
            }
            SwapFault::Plan(_) => conflict("no-plan", "No plan"),
            SwapFault::Bus(error) => error.into(),
            SwapFault::Aftersale(error) => error.into(),
            SwapFault::Db(error) => error.into(),
        }
    }
}

/// Which other bus a trip shall get.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"layout": "COACH-65"}))]
pub struct PreviewAsked {
    /// The layout of the other bus, its newest version; instead of `bus`.
    #[schema(max_length = 64)]
    layout: Option<String>,
    /// The other bus by registration; its layout counts. Instead of `layout`.
    #[schema(max_length = 16)]
    bus: Option<String>,
    /// Live tickets whose passengers offered to give up their seats: they are seated last.
    #[serde(default)]
    #[schema(max_items = 500)]
    volunteers: Vec<Uuid>,
}

/// A swap as its preview showed it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"layout": "COACH-65", "preview":
    "5f2b3d0a7c1e4f6a8b9c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c"}))]
pub struct SwapAsked {
    /// As in the preview.
    #[schema(max_length = 64)]
    layout: Option<String>,
    /// As in the preview.
    #[schema(max_length = 16)]
    bus: Option<String>,
    /// As in the preview.
    #[serde(default)]
    #[schema(max_items = 500)]
    volunteers: Vec<Uuid>,
    /// The preview's `preview`.
    #[schema(min_length = 64, max_length = 64)]
    preview: String,
}

fn wish(
    layout: Option<String>,
    bus: Option<String>,
    mut volunteers: Vec<Uuid>,
) -> Result<Wish, Problem> {
    for (name, value) in [("layout", &layout), ("bus", &bus)] {
        if value.as_deref().is_some_and(|v| !is_plain(v)) {
            return Err(Problem::unprocessable(format!("`{name}` is no such name")));
        }
    }
    if volunteers.len() > VOLUNTEERS_MAX {
        let detail = format!("at most {VOLUNTEERS_MAX} passengers volunteer at once");
        return Err(Problem::unprocessable(detail));
    }
    volunteers.sort_unstable();
    volunteers.dedup();
    Ok(Wish {
        layout,
        bus,
        volunteers,
    })
}

/// How full one leg would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct LegView {
    /// Code of the stop that it leaves.
    from: String,
    /// Code of the stop that it reaches.
    to: String,
    /// Seats that are sold, leased or held on it.
    needed: u16,
    /// Seats of the other bus.
    seats: u16,
}

/// Where one passenger goes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PassengerView {
    /// The ticket.
    ticket: Uuid,
    /// The booking's reference; none for a ticket that a counter sold.
    booking: Option<String>,
    /// The label of the former seat.
    old: String,
    /// The label of the new one; null where there is none.
    new: Option<String>,
    /// Why there is none: `bus-full`, `no-wheelchair-place`, `only-standing-places`, `volunteered`.
    reason: Option<String>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What the new seat has not: `window`, `aisle`, `front`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<&'static str>,
    /// Of a swap that was done: whether the passenger was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<bool>,
}

/// What a swap would do. Nothing is changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "preview":
    "5f2b3d0a7c1e4f6a8b9c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c",
    "old_layout": "COACH-49", "new_layout": "COACH-65", "old_seats": 49, "new_seats": 65,
    "legs": [{"from": "LUN", "to": "LVI", "needed": 49, "seats": 65}],
    "passengers": [{"ticket": "0192a5b0-7c00-7000-8000-000000000002", "booking": "7F3K-22QX",
        "old": "12A", "new": "14C", "reason": null, "lost": ["window"]}],
    "moving": 1, "without_place": 0, "rights_without_place": [], "holds_released": 0}))]
pub struct PreviewView {
    /// The trip.
    trip: u64,
    /// Names all that this depends on: the confirmation gives it back.
    preview: String,
    /// The layout of today.
    old_layout: String,
    /// The other one.
    new_layout: String,
    /// Seats of today.
    old_seats: u16,
    /// Seats of the other bus.
    new_seats: u16,
    /// Leg by leg.
    legs: Vec<LegView>,
    /// Every live ticket.
    passengers: Vec<PassengerView>,
    /// How many passengers get a seat with another label.
    moving: usize,
    /// How many get none.
    without_place: usize,
    /// Labels of leased seats that have no place: what is sold of them is disputed.
    rights_without_place: Vec<String>,
    /// Unpaid bookings that lose their seats.
    holds_released: usize,
}

fn lost_words(lost: SeatAttributes) -> Vec<&'static str> {
    let words = [
        (SeatAttributes::WINDOW, "window"),
        (SeatAttributes::AISLE, "aisle"),
        (SeatAttributes::FRONT, "front"),
    ];
    let gone = words.into_iter().filter(|(a, _)| lost.has(*a));
    gone.map(|(_, word)| word).collect()
}

fn previewed(scene: &Scene) -> Result<PreviewView, Problem> {
    let (state, plan) = (&scene.state, &scene.plan);
    let booked = |ticket: Uuid| {
        let sold = scene.tickets.iter().find(|t| t.id.0 == ticket);
        sold.and_then(|t| t.reference.clone())
    };
    let passengers: Vec<PassengerView> = plan
        .placements
        .iter()
        .map(|p| PassengerView {
            ticket: p.ticket.0,
            booking: booked(p.ticket.0),
            old: state.old.label(p.old),
            new: p.new.ok().map(|seat| state.new.label(seat)),
            reason: p.new.err().map(|why| why.code().to_owned()),
            detail: p.new.err().map(|why| why.to_string()),
            lost: lost_words(p.lost),
            told: None,
        })
        .collect();
    let mut legs = Vec::with_capacity(plan.legs.len());
    for leg in &plan.legs {
        let (from, to) = scene.stops_of(leg.leg)?;
        legs.push(LegView {
            from,
            to,
            needed: leg.needed,
            seats: leg.seats,
        });
    }
    let mut rights: Vec<String> = plan
        .lost_leases
        .iter()
        .map(|claim| state.old.label(claim.seat))
        .collect();
    rights.dedup();
    Ok(PreviewView {
        trip: scene.running.trip.id.0,
        preview: scene.mark.clone(),
        old_layout: state.old.id.clone(),
        new_layout: state.new.id.clone(),
        old_seats: state.old.seat_count(),
        new_seats: state.new.seat_count(),
        legs,
        moving: plan
            .placements
            .iter()
            .filter(|p| p.new.is_ok() && p.renamed)
            .count(),
        without_place: plan.placements.iter().filter(|p| p.new.is_err()).count(),
        rights_without_place: rights,
        holds_released: plan.lost_holds.len(),
        passengers,
    })
}

/// A swap that was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 4711, "swap": 1, "numbering": 2, "old_layout": "COACH-49",
    "new_layout": "COACH-65", "old_bus": "BAE 1234", "new_bus": null, "undoes": null,
    "undone_by": null, "at": "2026-11-23T03:10:00Z", "passengers": [
        {"ticket": "0192a5b0-7c00-7000-8000-000000000002", "booking": "7F3K-22QX", "old": "12A",
         "new": "14C", "reason": null, "told": true}],
    "moved": 1, "without_place": 0, "rights_without_place": 0}))]
pub struct SwapView {
    /// The trip.
    trip: u64,
    /// Its number on the trip, from 1.
    swap: i16,
    /// The layout version that tickets and leases name from here on.
    numbering: i32,
    /// The layout before.
    old_layout: String,
    /// The layout after.
    new_layout: String,
    /// The bus before, where one was named.
    old_bus: Option<String>,
    /// The bus after, where one was named.
    new_bus: Option<String>,
    /// The swap that it takes back.
    undoes: Option<i16>,
    /// The swap that took it back.
    undone_by: Option<i16>,
    /// RFC 3339 UTC.
    at: String,
    /// Every ticket that was live.
    passengers: Vec<PassengerView>,
    /// How many got a seat with another label.
    moved: usize,
    /// How many got none.
    without_place: usize,
    /// Leased seats that have no place.
    rights_without_place: usize,
    /// Offers that were made at once to passengers without a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<usize>,
}

impl SwapView {
    fn of(trip: TripId, row: &SwapRow, moved: &[MovedRow]) -> Self {
        let passenger = |m: &MovedRow| PassengerView {
            ticket: m.ticket,
            booking: m.booking.clone(),
            old: m.old_label.clone(),
            new: (m.new_seat > 0).then(|| m.new_label.clone()),
            reason: m.reason.clone(),
            detail: None,
            lost: vec![],
            told: Some(m.told),
        };
        let placed = moved.iter().filter(|m| m.new_seat > 0);
        Self {
            trip: trip.0,
            swap: row.no,
            numbering: row.numbering,
            old_layout: row.old_layout.0.clone(),
            new_layout: row.new_layout.0.clone(),
            old_bus: row.old_bus.clone(),
            new_bus: row.new_bus.clone(),
            undoes: row.undoes,
            undone_by: row.undone_by,
            at: row.at.to_string(),
            moved: placed.filter(|m| m.old_label != m.new_label).count(),
            without_place: moved.iter().filter(|m| m.new_seat == 0).count(),
            rights_without_place: row.rights_lost(),
            passengers: moved.iter().map(passenger).collect(),
            offers: None,
        }
    }

    fn done(trip: TripId, done: &Done) -> Self {
        Self {
            offers: Some(done.offers),
            ..Self::of(trip, &done.row, &done.moved)
        }
    }
}

/// The swaps of a trip's bus, in order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct SwapsView {
    /// Undone ones and undoings too.
    items: Vec<SwapView>,
}

/// Shows who would sit where in another bus, who could not, and why. Changes nothing.
#[utoipa::path(post, path = "/operations/trips/{trip}/swaps/preview",
    operation_id = "operations_swaps_preview", tag = "operations",
    params(("trip" = u64, Path)), request_body = PreviewAsked,
    security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = PreviewView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`same-seats`, `trip-state`, `trip-frozen`, `no-layout`, `no-plan` or `busy`."),
        (status = 422, body = Problem, description = "`unknown-layout`, `unknown-bus` or another wrong member."),
        (status = "default", body = Problem)))]
pub async fn preview(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    body: Body<PreviewAsked>,
) -> Result<Json<PreviewView>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let asked = body.value;
    let wish = wish(asked.layout, asked.bus, asked.volunteers)?;
    let scene = service::preview(&api.db, staff.company, TripId(trip), &wish).await?;
    Ok(Json(previewed(&scene)?))
}

/// Swaps the bus as previewed. Tickets stay valid and show the new seat when they are scanned;
/// passengers whose seat is called otherwise are told once; who has no place gets an offer of
/// another trip or all money back. Where something was sold or changed since the preview nothing is
/// done, and the answer is 409 `changed`.
#[utoipa::path(post, path = "/operations/trips/{trip}/swaps",
    operation_id = "operations_swaps_confirm", tag = "operations", request_body = SwapAsked,
    params(("trip" = u64, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(("bearer" = ["trips:operate"])),
    responses((status = 201, body = SwapView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`changed`, `same-seats`, `trip-state`, `trip-frozen`, `no-layout`, `no-plan`, `too-many-swaps`, `busy`, `bus-not-in-service`, `bus-elsewhere`, `assigned-meanwhile` or `in-flight`."),
        (status = 422, body = Problem, description = "`unknown-layout`, `unknown-bus`, `idempotency-key-reused` or another wrong member."),
        (status = "default", body = Problem)))]
pub async fn confirm(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(trip): Named<u64>,
    body: Body<SwapAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let path = format!("/operations/trips/{trip}/swaps");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let asked = body.value;
    let mark = asked.preview;
    let wish = wish(asked.layout, asked.bus, asked.volunteers)?;
    let id = TripId(trip);
    let (mut tx, running) = service::locked(&api.db, staff.company, id).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let (by, now) = (staff.identity.into(), clock::now());
    let done = service::confirm(&mut tx, running, &wish, &mark, by, now).await?;
    let view = SwapView::done(id, &done);
    idempotent::keep(tx, &key, (StatusCode::CREATED, &view), now).await
}

/// The swaps of a trip's bus: what was moved, who was told, what was taken back.
#[utoipa::path(get, path = "/operations/trips/{trip}/swaps",
    operation_id = "operations_swaps_list", tag = "operations",
    params(("trip" = u64, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = SwapsView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Json<SwapsView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let trip = TripId(trip);
    let swaps = service::list(&api.db, staff.company, trip).await?;
    let view = |(row, moved): &(SwapRow, Vec<MovedRow>)| SwapView::of(trip, row, moved);
    Ok(Json(SwapsView {
        items: swaps.iter().map(view).collect(),
    }))
}

/// Takes the last swap back: everybody has the former seat again, rights and passengers without a
/// place too, and who was told is told again. Refused while something that came later stands on a
/// seat that the former bus has not.
#[utoipa::path(post, path = "/operations/trips/{trip}/swaps/{swap}/undo",
    operation_id = "operations_swaps_undo", tag = "operations",
    params(("trip" = u64, Path), ("swap" = u16, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = SwapView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`in-the-way` with `seat`, `not-standing`, `trip-state`, `trip-frozen`, `no-layout`, `too-many-swaps`, `busy`, `assigned-meanwhile` or `in-flight`."),
        (status = 422, body = Problem, description = "`idempotency-key-reused`."),
        (status = "default", body = Problem)))]
pub async fn take_back(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named((trip, swap)): Named<(u64, u16)>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let path = format!("/operations/trips/{trip}/swaps/{swap}/undo");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, b"")?;
    let id = TripId(trip);
    let unknown = || Problem::not_found(format!("trip {trip} has no swap {swap}"));
    let swap = i16::try_from(swap).map_err(|_| unknown())?;
    let (mut tx, running) = service::locked(&api.db, staff.company, id).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let (by, now) = (staff.identity.into(), clock::now());
    let done = undo::undo(&mut tx, running, swap, by, now).await?;
    let view = SwapView::done(id, &done);
    idempotent::keep(tx, &key, (StatusCode::OK, &view), now).await
}
