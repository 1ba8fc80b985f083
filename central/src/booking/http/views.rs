//! Bookings as the API shows them.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::booking::contact::Contact;
use crate::booking::read::Whole;
use crate::booking::service::{Made, MadeSeat};
use crate::http::Problem;
use crate::http::problem::PROBLEM_JSON;
use crate::idempotency::Answer;

/// A seat of a hold or booking.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SeatOut {
    /// Which coupon of the booking, from 1.
    pub coupon: i16,
    /// The trip's number.
    pub trip: u64,
    /// The seat's number.
    #[schema(example = 12)]
    pub seat: u16,
    /// What is painted on the seat.
    #[schema(example = "3B")]
    pub seat_label: String,
    /// Where from: a stop's place on the trip.
    pub from: u8,
    /// Where to.
    pub to: u8,
    /// Code of the stop to board at.
    #[schema(example = "LUN")]
    pub from_stop: String,
    /// Code of the stop to leave at.
    #[schema(example = "LVI")]
    pub to_stop: String,
    /// `adult`, `child`, `infant` or `prm`.
    #[schema(example = "adult")]
    pub class: &'static str,
    /// The full fare, in minor units.
    #[schema(example = 35000)]
    pub fare_minor: i64,
    /// Off that.
    pub discount_minor: i64,
    /// `held`, `issued`, `released`, `void`, `exchanged` or `no_show`.
    #[schema(example = "held")]
    pub state: String,
    /// Who travels, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A ticket of a booking.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BookedTicketView {
    /// Its number.
    pub ticket: Uuid,
    /// The trip's number.
    pub trip: u64,
    /// The seat's number.
    pub seat: u16,
    /// What is painted on the seat.
    pub seat_label: String,
    /// Where from: a stop's place on the trip.
    pub from: u8,
    /// Where to.
    pub to: u8,
    /// Code of the stop to board at.
    pub from_stop: String,
    /// Code of the stop to leave at.
    pub to_stop: String,
    /// `adult`, `child`, `infant` or `prm`.
    pub class: &'static str,
    /// What was paid for it, in minor units.
    pub fare_minor: i64,
    /// The text of its QR code.
    pub qr: String,
    /// What its passenger tells the driver instead; absent for a seat that was sold more than 31
    /// times.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7F3K-22QX-9M4T-0KZ1")]
    pub code: Option<String>,
}

/// Who booked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ContactView {
    /// A name.
    pub name: String,
    /// In E.164.
    pub phone: String,
    /// An address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A booking.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BookingView {
    /// Its number.
    pub booking: Uuid,
    /// What the customer tells the office.
    #[schema(example = "7F3K-22QX")]
    pub reference: String,
    /// `held`, `awaiting_payment`, `confirmed`, `expired` or `cancelled`.
    #[schema(example = "awaiting_payment")]
    pub state: &'static str,
    /// The number of the first trip.
    pub trip: u64,
    /// What all seats cost, in minor units.
    #[schema(example = 70000)]
    pub total_minor: i64,
    /// What was paid.
    pub paid_minor: i64,
    /// ISO 4217.
    #[schema(example = "ZMW")]
    pub currency: String,
    /// RFC 3339 UTC.
    pub created_at: String,
    /// While unpaid: when its seats go back, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Where it is paid for, while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/bookings/7F3K-22QX/payments")]
    pub payments: Option<String>,
    /// A party that travels as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who booked; not in the answer to the booking itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactView>,
    /// In the order of the wish.
    pub seats: Vec<SeatOut>,
    /// One per seat once it is paid; none before.
    pub tickets: Vec<BookedTicketView>,
}

/// Seats that are held for a while.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HoldView {
    /// Its number.
    pub hold: Uuid,
    /// What opens it again; told once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "hold_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")]
    pub token: Option<String>,
    /// When its seats go back, RFC 3339 UTC.
    pub expires_at: String,
    /// No extension reaches beyond, RFC 3339 UTC.
    pub expires_last_at: String,
    /// What all seats cost, in minor units.
    #[schema(example = 70000)]
    pub total_minor: i64,
    /// ISO 4217.
    #[schema(example = "ZMW")]
    pub currency: String,
    /// In the order of the wish.
    pub seats: Vec<SeatOut>,
}

fn seat(s: &MadeSeat, state: &str, name: Option<String>) -> SeatOut {
    SeatOut {
        coupon: s.coupon_no,
        trip: s.trip.0,
        seat: s.seat.0,
        seat_label: s.label.clone(),
        from: s.legs.from().0,
        to: s.legs.to().0,
        from_stop: s.from_stop.clone(),
        to_stop: s.to_stop.clone(),
        class: s.class.as_str(),
        fare_minor: s.fare_minor.0,
        discount_minor: s.discount_minor.0,
        state: state.to_owned(),
        name,
    }
}

fn ticket(s: &MadeSeat) -> Option<BookedTicketView> {
    let signed = s.ticket.as_ref()?;
    Some(BookedTicketView {
        ticket: signed.claim.id.0,
        trip: s.trip.0,
        seat: s.seat.0,
        seat_label: s.label.clone(),
        from: s.legs.from().0,
        to: s.legs.to().0,
        from_stop: s.from_stop.clone(),
        to_stop: s.to_stop.clone(),
        class: s.class.as_str(),
        fare_minor: s.fare_minor.0 - s.discount_minor.0,
        qr: signed.to_qr(),
        code: s.code.map(|code| code.to_string()),
    })
}

fn contact(c: Contact) -> ContactView {
    ContactView {
        name: c.name,
        phone: c.phone,
        email: c.email,
    }
}

fn booking(made: &Made, paid_minor: i64, seats: Vec<SeatOut>) -> BookingView {
    let open = made.state.is_open();
    let expires_at = made.deadline.filter(|_| open);
    BookingView {
        booking: made.id,
        state: made.state.as_str(),
        trip: made.seats.first().map_or(0, |s| s.trip.0),
        total_minor: made.total_minor.0,
        paid_minor,
        currency: made.currency.to_string(),
        created_at: made.created_at.to_string(),
        expires_at: expires_at.map(|d| d.expires_at.to_string()),
        payments: open.then(|| format!("/bookings/{}/payments", made.reference)),
        group: None,
        contact: None,
        tickets: made.seats.iter().filter_map(ticket).collect(),
        reference: made.reference.clone(),
        seats,
    }
}

impl BookingView {
    /// As it was just made.
    pub(super) fn made(made: &Made) -> Self {
        let issued = made.seats.iter().all(|s| s.ticket.is_some());
        let (state, paid) = if issued {
            ("issued", made.total_minor.0)
        } else {
            ("held", 0)
        };
        let seats = made.seats.iter().map(|s| seat(s, state, None)).collect();
        booking(made, paid, seats)
    }

    /// As it stands.
    pub(super) fn whole(whole: Whole) -> Self {
        let names = whole.passengers.into_iter().map(|p| p.name);
        let seats = whole
            .made
            .seats
            .iter()
            .zip(&whole.coupon_states)
            .zip(names)
            .map(|((s, state), name)| seat(s, state, name))
            .collect();
        Self {
            group: whole.group,
            contact: whole.contact.map(contact),
            ..booking(&whole.made, whole.paid_minor, seats)
        }
    }
}

impl HoldView {
    /// As it was just made.
    pub(crate) fn of(made: &Made) -> Self {
        let deadline = made.deadline;
        let time =
            |at: Option<domain::time::Instant>| at.map_or_else(String::new, |t| t.to_string());
        Self {
            hold: made.id,
            token: made.token.clone(),
            expires_at: time(deadline.map(|d| d.expires_at)),
            expires_last_at: time(deadline.map(crate::booking::Deadline::customers_last)),
            total_minor: made.total_minor.0,
            currency: made.currency.to_string(),
            seats: made.seats.iter().map(|s| seat(s, "held", None)).collect(),
        }
    }
}

/// An answer to keep under a request's key.
pub(super) fn answer<T: Serialize>(decision: Result<T, Problem>) -> Answer {
    match decision {
        Ok(view) => Answer {
            status: StatusCode::CREATED.as_u16(),
            content_type: "application/json".to_owned(),
            body: serde_json::to_vec(&view).unwrap_or_default(),
        },
        Err(problem) => Answer {
            status: problem.status,
            content_type: PROBLEM_JSON.to_owned(),
            body: problem.to_json(),
        },
    }
}
