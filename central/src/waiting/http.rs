//! The waiting list over HTTP.

mod line;

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::{CompanyId, StopCode, TripId};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::TOKEN_PREFIX;
use super::db::Shown;
use super::service::{self, By, Decision, Refused, Wanted};
use crate::access::Caller;
use crate::booking::http::{ContactAsked, HoldView, account, channel, class_of, contact};
use crate::booking::{self, Refusal, look_at_hold, office_currency, read_token};
use crate::clock;
use crate::http::extract::{Body, Named};
use crate::http::problem::PROBLEM_JSON;
use crate::http::{Api, Problem, idempotent};
use crate::idempotency::Answer;

/// The header that opens an entry.
const TOKEN_HEADER: &str = "waiting-token";
/// The most passengers of a party that waits.
const PASSENGERS_MAX: usize = 10;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(join))
        .routes(routes!(show, leave))
        .routes(routes!(line::list))
        .routes(routes!(line::remove))
}

impl From<&Refused> for Problem {
    fn from(refused: &Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Booking(refusal) => refusal.into(),
            Refused::SeatsFree => Self::conflict("seats-free", "There are seats", detail),
            Refused::TooLarge { seat_count, .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "party-too-large",
                "More than the bus has",
                detail,
            )
            .with("seat_count", *seat_count),
            Refused::AlreadyWaiting => Self::conflict("already-waiting", "Waits already", detail),
            Refused::TooManyOfContact => Self::conflict("too-many-waits", "Waits enough", detail),
            Refused::LineFull => Self::conflict("waiting-list-full", "Too many wait", detail),
            Refused::TooShort => Self::unprocessable(detail),
            Refused::Unknown => Self::not_found(detail),
            Refused::OfferTaken => Self::conflict("offer-taken", "Booked", detail),
        }
    }
}

/// A party that wants to wait.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "trip": 7, "from": "LUN", "to": "LVI", "passengers": ["adult", "child"],
    "contact": {"name": "Mutale Banda", "phone": "+260970000001"}
}))]
pub struct WaitingAsked {
    /// The trip's number.
    trip: u64,
    /// Code of the stop to board at.
    from: String,
    /// Code of the stop to leave at.
    to: String,
    /// One per seat, 1 to 10: `adult`, `child`, `infant` or `prm`.
    #[schema(min_items = 1, max_items = 10)]
    passengers: Vec<String>,
    /// Whom to tell.
    contact: ContactAsked,
    /// The party wants nothing any more then, RFC 3339; without it, it waits until boarding
    /// closes.
    #[schema(example = "2034-05-01T18:00:00Z", max_length = 40)]
    accept_until: Option<String>,
}

/// Seats that are held for a party that waited. To take them, book with `hold` and its token.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferedView {
    /// When they go to the next in line, RFC 3339 UTC.
    expires_at: Option<String>,
    /// The hold, with its token; none once it was made a booking.
    hold: Option<HoldView>,
    /// The booking's reference, once it is one.
    booking: Option<String>,
}

/// A party in line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "waiting": "01920000-0000-7000-8000-000000000001", "state": "waiting", "place": 3,
    "trip": 7, "from": "LUN", "to": "LVI", "passengers": ["adult", "child"],
    "created_at": "2034-05-01T08:00:00Z" }))]
pub struct WaitingView {
    /// Its number.
    waiting: Uuid,
    /// What opens it again, and the hold that it is offered; told once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "wait_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")]
    token: Option<String>,
    /// `waiting`, `offered`, `taken`, `lapsed`, `left` or `closed`.
    state: String,
    /// While it waits: its place in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<i64>,
    /// The trip's number.
    trip: u64,
    /// Code of the stop to board at.
    from: String,
    /// Code of the stop to leave at.
    to: String,
    /// One per seat.
    passengers: Vec<&'static str>,
    /// It wants nothing any more then, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_until: Option<String>,
    /// Why it was closed: `trip-not-running`, `boarding-closed`, `not-on-sale` or `not-wanted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it is offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<OfferedView>,
    /// RFC 3339 UTC.
    created_at: String,
}

impl WaitingView {
    fn of(shown: &Shown) -> Self {
        Self {
            waiting: shown.id,
            token: None,
            state: shown.state.clone(),
            place: shown.place,
            trip: shown.trip.0,
            from: shown.from_stop.clone(),
            to: shown.to_stop.clone(),
            passengers: shown.classes.iter().map(|c| c.as_str()).collect(),
            accept_until: shown.accept_until.map(|t| t.to_string()),
            reason: shown.reason.clone(),
            offer: None,
            created_at: shown.created_at.to_string(),
        }
    }
}

fn render(decision: &Decision) -> Answer {
    match decision {
        Ok(joined) => {
            let mut view = WaitingView::of(&joined.shown);
            view.token = Some(joined.token.clone());
            Answer {
                status: StatusCode::CREATED.as_u16(),
                content_type: "application/json".to_owned(),
                body: serde_json::to_vec(&view).unwrap_or_default(),
            }
        }
        Err(refused) => {
            let problem = Problem::from(refused);
            Answer {
                status: problem.status,
                content_type: PROBLEM_JSON.to_owned(),
                body: problem.to_json(),
            }
        }
    }
}

/// Waits for seats of a trip that has none free for the party. When they come free they are held
/// for the first in line that fits, for half an hour or until boarding closes: look at the entry
/// with its token, and book with the hold that it is offered. The token is told once.
#[utoipa::path(post, path = "/waiting-list", tag = "waiting list", operation_id = "waiting_join",
    request_body = WaitingAsked,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(()),
    responses((status = 201, body = WaitingView),
        (status = 404, body = Problem, description = "no such trip"),
        (status = 409, body = Problem, description = "`seats-free` (hold them), `boarding-closed`, `trip-not-running`, `trip-frozen`, `already-waiting`, `too-many-waits`, `waiting-list-full` or `in-flight`"),
        (status = 422, body = Problem, description = "`no-such-journey`, `party-too-large`, `no-fare` or another wrong member"),
        (status = "default", body = Problem)))]
pub async fn join(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<WaitingAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let key = idempotent::key_of(&headers, &caller, "POST", "/waiting-list", &body.bytes)?;
    let asked = body.value;
    let count = asked.passengers.len();
    if !(1..=PASSENGERS_MAX).contains(&count) {
        let detail = format!("1 to {PASSENGERS_MAX} passengers wait together, not {count}");
        return Err(Problem::unprocessable(detail));
    }
    let classes: Result<Vec<PassengerClass>, Problem> =
        asked.passengers.iter().map(|word| class_of(word)).collect();
    let stop = |code: &str| {
        let wrong = |error: domain::ids::IdError| Problem::unprocessable(error.to_string());
        code.parse::<StopCode>().map_err(wrong)
    };
    let accept_until = asked.accept_until.as_deref().map(|text| {
        let at: Result<jiff::Timestamp, _> = text.parse();
        let wrong = |_| Problem::unprocessable("`accept_until` is no RFC 3339 moment");
        at.map(|at| Instant(at.as_millisecond())).map_err(wrong)
    });
    let trip = TripId(asked.trip);
    let company = booking::company_of(&api.db, trip).await?;
    let company = company.ok_or_else(|| Problem::from(&Refusal::UnknownTrip(trip)))?;
    let currency = office_currency(&api, company).await?;
    let wanted = Wanted {
        trip,
        from: stop(&asked.from)?,
        to: stop(&asked.to)?,
        classes: classes?,
        contact: contact(&asked.contact, currency)?,
        accept_until: accept_until.transpose()?,
        identity: caller.identity,
        person: account(&caller, company),
        channel: channel(&caller, company),
    };
    let replay = service::join(&api, company, &key, &wanted, clock::now(), render).await?;
    idempotent::respond(replay)
}

/// What a token opens: the company, the secret's hash, and the token of the hold it may be offered.
fn token(headers: &HeaderMap) -> Result<(CompanyId, [u8; 32], String), Problem> {
    let sent = headers.get(TOKEN_HEADER).and_then(|h| h.to_str().ok());
    let sent = sent.ok_or_else(|| {
        Problem::bad_request("send the entry's token in the header Waiting-Token")
    })?;
    let bare = sent.trim().strip_prefix(TOKEN_PREFIX);
    let hold = bare.map(|rest| format!("{}{rest}", booking::TOKEN_PREFIX));
    let read = hold.and_then(|hold| Some((read_token(&hold)?, hold)));
    let ((company, secret), hold) = read
        .ok_or_else(|| Problem::bad_request("the entry's token is damaged: send it as it came"))?;
    Ok((company, booking::secret_hash(&secret), hold))
}

/// An entry as it stands: its place in the line, or the seats that are held for it.
#[utoipa::path(get, path = "/waiting-list/{waiting}", tag = "waiting list",
    operation_id = "waiting_show",
    params(("waiting" = Uuid, Path), ("Waiting-Token" = String, Header, description = "as it was told")),
    security(()),
    responses((status = 200, body = WaitingView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    headers: HeaderMap,
    Named(waiting): Named<Uuid>,
) -> Result<Json<WaitingView>, Problem> {
    let (company, hash, hold_token) = token(&headers)?;
    let shown = service::look(&api, company, (waiting, &hash)).await?;
    let shown = shown.ok_or_else(|| Problem::from(&Refused::Unknown))?;
    let mut view = WaitingView::of(&shown);
    if shown.state != "offered" {
        return Ok(Json(view));
    }
    let mut offer = OfferedView {
        expires_at: shown.expires_at.map(|t| t.to_string()),
        hold: None,
        booking: None,
    };
    match (shown.booking, shown.booking_state.as_deref()) {
        (Some(hold), Some("held")) => {
            let open = look_at_hold(&api, company, (hold, &hash), clock::now()).await?;
            let Ok(whole) = open else {
                // Its time is over, and the line will hear of it within seconds.
                "lapsed".clone_into(&mut view.state);
                return Ok(Json(view));
            };
            let mut hold = HoldView::of(&whole.made);
            hold.token = Some(hold_token);
            offer.hold = Some(hold);
        }
        _ => offer.booking = shown.reference,
    }
    view.offer = Some(offer);
    Ok(Json(view))
}

/// Leaves the line; seats that were offered go to the next. Again changes nothing.
#[utoipa::path(delete, path = "/waiting-list/{waiting}", tag = "waiting list",
    operation_id = "waiting_leave",
    params(("waiting" = Uuid, Path), ("Waiting-Token" = String, Header, description = "as it was told")),
    security(()),
    responses((status = 204, description = "it waits no longer"), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`offer-taken`: cancel the booking instead"),
        (status = "default", body = Problem)))]
pub async fn leave(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(waiting): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let (company, hash, _) = token(&headers)?;
    let by = (waiting, By::Token(hash));
    service::leave(&api, company, by, caller.identity, clock::now())
        .await?
        .map_err(|refused| Problem::from(&refused))?;
    Ok(StatusCode::NO_CONTENT)
}
