//! A trip's line, for its office.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::ids::TripId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::{Caller, Permission};
use crate::booking::contact::Contact;
use crate::clock;
use crate::http::extract::{Asked, Named};
use crate::http::listing::{answer, cursor_of, format_of};
use crate::http::{Api, Problem};
use crate::views::Page;
use crate::waiting::db::Shown;
use crate::waiting::service::{self, By};

/// Every state of an entry.
const STATES: [&str; 6] = ["waiting", "offered", "taken", "lapsed", "left", "closed"];

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LineAsked {
    /// `waiting`, `offered`, `taken`, `lapsed`, `left` or `closed`.
    state: Option<String>,
    /// `json`, `csv` or `xlsx`; otherwise `Accept` says.
    format: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows: up to 500, in a file up to 20000.
    limit: Option<usize>,
}

/// A party in line, as the office sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "waiting": "01920000-0000-7000-8000-000000000001", "arrival": 12, "place": 1,
    "state": "waiting", "from": "LUN", "to": "LVI", "seats": 2, "passengers": "adult child",
    "name": "Mutale Banda", "phone": "+260970000001", "email": null, "accept_until": null,
    "created_at": "2034-05-01T08:00:00Z", "offered_at": null, "expires_at": null,
    "booking": null, "ended_at": null, "reason": null }))]
pub struct WaitingLine {
    /// Its number.
    waiting: Uuid,
    /// Its number by arrival: who has the lower one is offered first.
    arrival: i64,
    /// While it waits: from 1, among those who want some of the same legs.
    place: Option<i64>,
    /// `waiting`, `offered`, `taken`, `lapsed`, `left` or `closed`.
    state: String,
    /// Code of the stop to board at.
    from: String,
    /// Code of the stop to leave at.
    to: String,
    /// How many.
    seats: usize,
    /// One word per seat.
    passengers: String,
    /// Who waits.
    name: String,
    /// In E.164.
    phone: String,
    /// An address.
    email: Option<String>,
    /// It wants nothing any more then, RFC 3339 UTC.
    accept_until: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC.
    offered_at: Option<String>,
    /// While it is offered: when that ends, RFC 3339 UTC.
    expires_at: Option<String>,
    /// Reference of the booking that it was offered.
    booking: Option<String>,
    /// RFC 3339 UTC.
    ended_at: Option<String>,
    /// Why it was closed.
    reason: Option<String>,
}

impl WaitingLine {
    fn new((shown, contact): (Shown, Contact)) -> Self {
        let time = |at: Option<domain::time::Instant>| at.map(|t| t.to_string());
        let offered = shown.state == "offered";
        let words: Vec<&str> = shown.classes.iter().map(|c| c.as_str()).collect();
        Self {
            waiting: shown.id,
            arrival: shown.arrival_no,
            place: shown.place,
            seats: words.len(),
            passengers: words.join(" "),
            from: shown.from_stop,
            to: shown.to_stop,
            name: contact.name,
            phone: contact.phone,
            email: contact.email,
            accept_until: time(shown.accept_until),
            created_at: shown.created_at.to_string(),
            offered_at: time(shown.offered_at),
            expires_at: time(shown.expires_at.filter(|_| offered)),
            booking: shown.reference,
            ended_at: time(shown.ended_at),
            reason: shown.reason,
            state: shown.state,
        }
    }
}

fn no_trip() -> Problem {
    Problem::not_found("there is no such trip")
}

/// Who waits for a trip, in order of arrival, those who wait no longer too.
#[utoipa::path(get, path = "/trips/{trip}/waiting-list", tag = "waiting list",
    operation_id = "waiting_line",
    params(("trip" = u64, Path, example = 12), LineAsked),
    security(("bearer" = ["bookings:read"])),
    responses((status = 200, body = Page<WaitingLine>), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(trip): Named<u64>,
    Asked(asked): Asked<LineAsked>,
) -> Result<Response, Problem> {
    let staff = caller.may(Permission::BookingsRead)?;
    let format = format_of(asked.format.as_deref(), &headers)?;
    let cursor = cursor_of(format, asked.after.as_deref(), asked.limit)?;
    let state = asked.state.as_deref();
    if state.is_some_and(|word| !STATES.contains(&word)) {
        let detail = format!("`state` is one of {}", STATES.join(", "));
        return Err(Problem::bad_request(detail));
    }
    if i64::try_from(trip).is_err() {
        return Err(no_trip());
    }
    let which = (state, cursor.part(0, 0));
    let rows = service::list(&api, staff.company, TripId(trip), which, cursor.fetch()).await?;
    let rows = rows.ok_or_else(no_trip)?;
    let rows = rows.into_iter().map(WaitingLine::new).collect();
    let page = Page::cut(rows, cursor.limit, |row| row.arrival.to_string());
    answer(format, "waiting-list", page)
}

/// Takes a party off a trip's line; seats that it was offered go to the next.
#[utoipa::path(delete, path = "/trips/{trip}/waiting-list/{waiting}", tag = "waiting list",
    operation_id = "waiting_remove",
    params(("trip" = u64, Path, example = 12), ("waiting" = Uuid, Path)),
    security(("bearer" = ["bookings:write"])),
    responses((status = 204, description = "it waits no longer"),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`offer-taken`: cancel the booking instead"),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named((trip, waiting)): Named<(u64, Uuid)>,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::BookingsWrite)?;
    if i64::try_from(trip).is_err() {
        return Err(no_trip());
    }
    let by = (waiting, By::Staff(TripId(trip)));
    service::leave(&api, staff.company, by, staff.identity, clock::now())
        .await?
        .map_err(|refused| Problem::from(&refused))?;
    Ok(StatusCode::NO_CONTENT)
}
