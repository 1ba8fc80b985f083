//! Bookings: public, one effect per idempotency key.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::{StopCode, TripId};
use domain::passenger::PassengerClass;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::extract::{Asked, Body, Named};
use super::idempotent;
use super::problem::{PROBLEM_JSON, Problem};
use super::trips::company_of;
use crate::access::Caller;
use crate::booking::{self, Booked, BookedTicket, Contact, Decision, NewBooking};
use crate::clock;
use crate::idempotency::Answer;
use crate::views::{self, Cursor, TicketView};

/// The most passengers of one booking.
const PASSENGERS_MAX: usize = 10;
/// The longest name or phone number, in characters.
const CONTACT_CHARS_MAX: usize = 100;

/// A wish for seats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BookingAsked {
    /// The trip's number.
    trip: u64,
    /// Code of the stop to board at.
    from: String,
    /// Code of the stop to leave at.
    to: String,
    /// One of `adult`, `child`, `infant`, `prm` per seat, 1 to 10.
    passengers: Vec<String>,
    /// Who books.
    contact: ContactAsked,
}

/// Who books.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactAsked {
    /// A name.
    name: String,
    /// A phone number.
    phone: String,
}

/// A booking.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookingView {
    /// Its number.
    booking: Uuid,
    /// What the customer tells the office.
    reference: String,
    /// The trip's number.
    trip: u64,
    /// What all tickets cost, in minor units.
    total_minor: i64,
    /// ISO 4217.
    currency: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// One per passenger.
    tickets: Vec<BookedTicketView>,
}

/// A ticket of a booking.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookedTicketView {
    /// Its number.
    ticket: Uuid,
    /// The seat's number.
    seat: u16,
    /// What is painted on the seat.
    seat_label: String,
    /// Where from: a stop's place on the trip.
    from: u8,
    /// Where to.
    to: u8,
    /// Code of the stop to board at.
    from_stop: String,
    /// Code of the stop to leave at.
    to_stop: String,
    /// `adult`, `child`, `infant` or `prm`.
    class: &'static str,
    /// In minor units.
    fare_minor: i64,
    /// The text of its QR code.
    qr: String,
}

impl BookingView {
    fn new(booked: &Booked) -> Self {
        let code = |seq| {
            let stop = booked.trip.stop(seq);
            stop.map(|s| s.code.0.clone()).unwrap_or_default()
        };
        let view = |t: &BookedTicket| BookedTicketView {
            ticket: t.ticket.claim.id.0,
            seat: t.ticket.claim.seat.0,
            seat_label: t.seat_label.clone(),
            from: t.ticket.claim.from.0,
            to: t.ticket.claim.to.0,
            from_stop: code(t.ticket.claim.from),
            to_stop: code(t.ticket.claim.to),
            class: t.ticket.claim.class.as_str(),
            fare_minor: t.fare_minor.0,
            qr: t.ticket.to_qr(),
        };
        Self {
            booking: booked.id,
            reference: booked.reference.clone(),
            trip: booked.trip.id.0,
            total_minor: booked.total_minor.0,
            currency: booked.trip.currency.to_string(),
            created_at: booked.created_at.to_string(),
            tickets: booked.tickets.iter().map(view).collect(),
        }
    }
}

fn checked(asked: BookingAsked) -> Result<NewBooking, Problem> {
    let wrong = |error: domain::ids::IdError| Problem::unprocessable(error.to_string());
    let count = asked.passengers.len();
    if count == 0 || count > PASSENGERS_MAX {
        let detail = format!("a booking is for 1 to {PASSENGERS_MAX} passengers, not {count}");
        return Err(Problem::unprocessable(detail));
    }
    let classes: Result<Vec<PassengerClass>, _> =
        asked.passengers.iter().map(|p| p.parse()).collect();
    let stop = |code: String| code.parse::<StopCode>();
    let text = |what: &str, text: String| {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.chars().count() > CONTACT_CHARS_MAX {
            let detail = format!("the contact's {what} needs 1 to {CONTACT_CHARS_MAX} characters");
            return Err(Problem::unprocessable(detail));
        }
        if trimmed.chars().any(char::is_control) {
            let detail = format!("the contact's {what} holds a control character");
            return Err(Problem::unprocessable(detail));
        }
        Ok(trimmed.to_owned())
    };
    Ok(NewBooking {
        trip: TripId(asked.trip),
        from: stop(asked.from).map_err(wrong)?,
        to: stop(asked.to).map_err(wrong)?,
        passengers: classes.map_err(wrong)?,
        contact: Contact {
            name: text("name", asked.contact.name)?,
            phone: text("phone", asked.contact.phone)?,
        },
    })
}

fn render(decision: &Decision) -> Answer {
    match decision {
        Ok(booked) => Answer {
            status: StatusCode::CREATED.as_u16(),
            content_type: "application/json".to_owned(),
            body: serde_json::to_vec(&BookingView::new(booked)).unwrap_or_default(),
        },
        Err(refusal) => {
            let problem = Problem::from(refusal);
            Answer {
                status: problem.status,
                content_type: PROBLEM_JSON.to_owned(),
                body: problem.to_json(),
            }
        }
    }
}

/// Books seats out of the hub's pool, best fit. The same key with the same body gets the same
/// answer for ever, byte for byte.
#[utoipa::path(post, path = "/bookings", tag = "bookings", request_body = BookingAsked,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    responses((status = 201, body = BookingView),
        (status = 409, body = Problem, description = "`sold-out`, `boarding-closed` or `in-flight`"),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<BookingAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let key = idempotent::key_of(&headers, &caller, "POST", "/bookings", &body.bytes)?;
    let wish = checked(body.value)?;
    let company = company_of(&api, wish.trip.0).await?;
    let now = clock::now();
    let answer = booking::book(&api.db, &api.keys, company, &key, &wish, now, render).await?;
    idempotent::respond(answer)
}

/// Proof that a booking is the asker's.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BookingProof {
    /// The phone number given at the booking.
    phone: String,
}

/// A booking as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookingState {
    /// Its number.
    booking: Uuid,
    /// What the customer tells the office.
    reference: String,
    /// The trip's number.
    trip: u64,
    /// What all tickets cost, in minor units.
    total_minor: i64,
    /// ISO 4217.
    currency: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// Its tickets.
    tickets: Vec<TicketView>,
}

/// A booking, for who knows its reference and the phone number it was made with.
#[utoipa::path(get, path = "/bookings/{reference}", tag = "bookings",
    params(("reference" = String, Path), BookingProof),
    responses((status = 200, body = BookingState), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    Named(reference): Named<String>,
    Asked(proof): Asked<BookingProof>,
) -> Result<Json<BookingState>, Problem> {
    let reference = reference.to_ascii_uppercase();
    for company in views::all_companies(&api.db).await? {
        let mut tx = api.db.tenant(company).await?;
        let found = booking::find_booking(&mut tx, &reference, proof.phone.trim()).await?;
        let Some((booking, trip, total_minor, currency, created_at)) = found else {
            continue;
        };
        let whole = Cursor::new(None, Some(PASSENGERS_MAX)).unwrap_or_default();
        return Ok(Json(BookingState {
            booking,
            reference,
            trip: trip.0,
            total_minor,
            currency,
            created_at: created_at.to_string(),
            tickets: views::tickets(&mut tx, Some(trip), Some(booking), &whole).await?,
        }));
    }
    // One answer for an unknown reference and a wrong number: neither can be guessed from it.
    Err(Problem::not_found(
        "there is no booking with this reference and phone number",
    ))
}
