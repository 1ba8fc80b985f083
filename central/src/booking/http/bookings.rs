//! Bookings: made by anybody, shown to who can prove that it is theirs.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use domain::ids::TripId;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::proof::{PROOF_CHARS_MAX, Proof, guarded, guessed};
use super::views::{BookingView, answer};
use super::wishes::{self, ContactAsked, JourneyAsked, PassengerAsked};
use crate::access::{Caller, Permission};
use crate::booking::read;
use crate::booking::service::{self, Decision, Seats, Wanted, Who};
use crate::booking::{list, office_currency};
use crate::clock;
use crate::http::etag::Tagged;
use crate::http::extract::{Asked, Body, Named, cursor, parsed};
use crate::http::{Api, Problem, idempotent};
use crate::views::Page;

/// A wish for seats, or for a hold to be made a booking. Give one of: `trip`, `from`, `to` and
/// `passengers`; `journeys`; `hold` and `token`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "trip": 7, "from": "LUN", "to": "LVI", "passengers": ["adult", "child"],
    "contact": {"name": "Mutale Banda", "phone": "+260970000001"}
}))]
pub struct BookingAsked {
    /// The trip's number.
    trip: Option<u64>,
    /// Code of the stop to board at.
    from: Option<String>,
    /// Code of the stop to leave at.
    to: Option<String>,
    /// One per seat, 1 to 10. With a hold: who sits on its seats, in their order.
    #[schema(min_items = 1, max_items = 120)]
    passengers: Option<Vec<PassengerAsked>>,
    /// One, or two: there and back, or one after the other with time to change.
    #[schema(min_items = 1, max_items = 2)]
    journeys: Option<Vec<JourneyAsked>>,
    /// Seats that were held.
    hold: Option<Uuid>,
    /// What opens the hold.
    #[schema(max_length = 69)]
    token: Option<String>,
    /// Who books.
    contact: ContactAsked,
    /// A voucher's code; a hold brings its own.
    #[schema(max_length = 40)]
    voucher: Option<String>,
    /// A party that travels as one.
    #[schema(max_length = 100)]
    group: Option<String>,
    /// `cash`: the office has taken the money, and gives the tickets at once. Takes `sell`.
    #[schema(example = "cash")]
    pay: Option<String>,
}

enum Form {
    Journeys(Vec<JourneyAsked>),
    Hold(Uuid, String, Vec<PassengerAsked>),
}

fn form(asked: &mut BookingAsked) -> Result<Form, Problem> {
    let flat = (
        asked.trip,
        asked.from.take(),
        asked.to.take(),
        asked.passengers.take(),
    );
    let held = (asked.hold, asked.token.take());
    match (flat, asked.journeys.take(), held) {
        ((Some(trip), Some(from), Some(to), Some(passengers)), None, (None, None)) => {
            Ok(Form::Journeys(vec![JourneyAsked {
                trip,
                from,
                to,
                passengers,
            }]))
        }
        ((None, None, None, None), Some(journeys), (None, None)) => Ok(Form::Journeys(journeys)),
        ((None, None, None, passengers), None, (Some(hold), Some(token))) => {
            Ok(Form::Hold(hold, token, passengers.unwrap_or_default()))
        }
        _ => Err(Problem::unprocessable(
            "give one of: `trip`, `from`, `to` and `passengers`; `journeys`; `hold` and `token`",
        )),
    }
}

fn render(decision: &Decision) -> crate::idempotency::Answer {
    let made = decision.as_ref().map(BookingView::made);
    answer(made.map_err(Problem::from))
}

/// Books seats, or makes a hold a booking. It awaits payment: tickets come with the money. The
/// same key with the same body gets the same answer for ever, byte for byte.
#[utoipa::path(post, path = "/bookings", tag = "bookings", request_body = BookingAsked,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(()),
    responses((status = 201, body = BookingView),
        (status = 404, body = Problem, description = "no such trip or hold"),
        (status = 409, body = Problem, description = "`sold-out`, `seat-taken`, `no-such-seat-free`, `boarding-closed`, `trip-not-running`, `trip-frozen`, `hold-over` or `in-flight`"),
        (status = 422, body = Problem, description = "`no-such-journey`, `no-such-seat`, `not-together`, `connection-too-short`, `no-fare`, `voucher`, `other-count` or another wrong member"),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<BookingAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let key = idempotent::key_of(&headers, &caller, "POST", "/bookings", &body.bytes)?;
    let mut asked = body.value;
    let (company, seats, passengers) = match form(&mut asked)? {
        Form::Journeys(journeys) => {
            let wish = wishes::read(&caller, &journeys)?;
            let company = wishes::company_of(&api, &wish.journeys).await?;
            (company, Seats::Fresh(wish.journeys), wish.passengers)
        }
        Form::Hold(hold, token, passengers) => {
            if asked.voucher.is_some() {
                return Err(Problem::unprocessable(
                    "a hold brings its own voucher: leave it away",
                ));
            }
            let (company, secret_hash) = wishes::token(&token)?;
            let seats = Seats::Held { hold, secret_hash };
            (company, seats, wishes::named(&passengers)?)
        }
    };
    let cash = match asked.pay.as_deref() {
        None => false,
        Some("cash") => {
            if !caller.may_in(Permission::Sell, company) {
                caller.may(Permission::Sell)?;
                return Err(Problem::forbidden(Permission::Sell));
            }
            true
        }
        Some(_) => return Err(Problem::unprocessable("`pay` is `cash`, or is left away")),
    };
    let currency = office_currency(&api, company).await?;
    let wanted = Wanted {
        seats,
        who: Some(Who {
            contact: wishes::contact(&asked.contact, currency)?,
            group: wishes::group(asked.group.as_deref())?,
            passengers,
            cash,
        }),
        identity: caller.identity,
        person: wishes::account(&caller, company),
        voucher: wishes::voucher(asked.voucher.as_deref())?,
        channel: wishes::channel(&caller, company),
    };
    let replay = service::make(&api, company, &key, &wanted, clock::now(), render).await?;
    idempotent::respond(replay)
}

/// A booking, for who knows its reference and the phone number or name it was made with, who
/// booked it when signed in, or the company's office.
#[utoipa::path(get, path = "/bookings/{reference}", tag = "bookings",
    params(("reference" = String, Path), Proof),
    security((), ("bearer" = [])),
    responses((status = 200, body = BookingView, headers(("ETag" = String))),
        (status = 404, body = Problem),
        (status = 429, body = Problem, description = "`too-many-guesses`"),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    Asked(proof): Asked<Proof>,
) -> Result<Tagged<BookingView>, Problem> {
    let (reference, asker) = guarded(&api, &caller, &reference, &proof).await?;
    match read::by_reference(&api, &reference, &asker).await? {
        Some(whole) => Ok(Tagged::ok(whole.version, BookingView::whole(whole))),
        None => Err(guessed(&api, &reference, &asker).await),
    }
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MineAsked {
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The bookings of who is signed in, the newest first, of all companies.
#[utoipa::path(get, path = "/me/bookings", tag = "bookings", params(MineAsked),
    security(("bearer" = [])),
    responses((status = 200, body = Page<BookingView>), (status = 401, body = Problem),
        (status = "default", body = Problem)))]
pub async fn mine(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<MineAsked>,
) -> Result<Json<Page<BookingView>>, Problem> {
    let person = caller.person()?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let before = (cursor.part(0, i64::MAX), cursor.part(1, Uuid::max()));
    let rows = read::of_person(&api, person, before, cursor.fetch()).await?;
    let rows = rows
        .into_iter()
        .map(|w| (w.made.created_at.0, BookingView::whole(w)));
    let page = Page::cut(rows.collect(), cursor.limit, |(ms, b)| {
        format!("{ms}_{}", b.booking)
    });
    Ok(Json(Page {
        items: page.items.into_iter().map(|(_, b)| b).collect(),
        next: page.next,
    }))
}

/// Which bookings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BookingsAsked {
    /// `held`, `awaiting_payment`, `confirmed`, `expired` or `cancelled`.
    state: Option<String>,
    /// With a seat on this trip.
    trip: Option<u64>,
    /// With this reference.
    reference: Option<String>,
    /// Made with this phone number, however it is written.
    phone: Option<String>,
    /// Made with this name; case, accents and double spaces do not count.
    name: Option<String>,
    /// Made at or after this moment, RFC 3339.
    made_from: Option<String>,
    /// Made before this moment, RFC 3339.
    made_until: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// A booking in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookingLine {
    /// Its number.
    booking: Uuid,
    /// What the customer tells the office.
    #[schema(example = "7F3K-22QX")]
    reference: String,
    /// `held`, `awaiting_payment`, `confirmed`, `expired` or `cancelled`.
    #[schema(example = "confirmed")]
    state: &'static str,
    /// The number of the first trip.
    trip: u64,
    /// How many seats.
    seats: i64,
    /// What all seats cost, in minor units.
    total_minor: i64,
    /// What was paid.
    paid_minor: i64,
    /// ISO 4217.
    #[schema(example = "ZMW")]
    currency: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// While unpaid: when its seats go back, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Who booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// In E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// A party that travels as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

/// The company's bookings, the newest first.
#[utoipa::path(get, path = "/bookings", tag = "bookings", params(BookingsAsked),
    security(("bearer" = ["bookings:read"])),
    responses((status = 200, body = Page<BookingLine>), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<BookingsAsked>,
) -> Result<Json<Page<BookingLine>>, Problem> {
    let company = caller.may(Permission::BookingsRead)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let state = asked.state.as_deref().map(|word| {
        read::state_of(word).ok_or_else(|| {
            Problem::bad_request(
                "`state` is held, awaiting_payment, confirmed, expired or cancelled",
            )
        })
    });
    let texts = [&asked.reference, &asked.phone, &asked.name];
    if texts
        .into_iter()
        .flatten()
        .any(|t| t.chars().count() > PROOF_CHARS_MAX)
    {
        return Err(Problem::bad_request("at most 100 characters"));
    }
    let time = |text: Option<&str>| {
        let at: Option<jiff::Timestamp> = parsed(text)?;
        Ok::<_, Problem>(at.map(|at| Instant(at.as_millisecond())))
    };
    let wanted = list::Wanted {
        state: state.transpose()?,
        trip: asked.trip.map(TripId),
        reference: asked.reference.map(|r| r.trim().to_ascii_uppercase()),
        phone: asked.phone,
        name: asked.name,
        from: time(asked.made_from.as_deref())?,
        until: time(asked.made_until.as_deref())?,
        before: (cursor.part(0, i64::MAX), cursor.part(1, Uuid::max())),
    };
    let rows = list::of_company(&api, company, &wanted, cursor.fetch()).await?;
    let lines: Vec<(i64, BookingLine)> = rows
        .into_iter()
        .map(|row| {
            let (name, phone) = row.contact.map(|c| (c.name, c.phone)).unzip();
            let line = BookingLine {
                booking: row.id,
                reference: row.reference,
                state: row.state.as_str(),
                trip: row.trip.0,
                seats: row.seats,
                total_minor: row.total_minor,
                paid_minor: row.paid_minor,
                currency: row.currency,
                created_at: row.created_at.to_string(),
                expires_at: row.expires_at.map(|t| t.to_string()),
                name,
                phone,
                group: row.group,
            };
            (row.created_at.0, line)
        })
        .collect();
    let page = Page::cut(lines, cursor.limit, |(ms, b)| format!("{ms}_{}", b.booking));
    Ok(Json(Page {
        items: page.items.into_iter().map(|(_, b)| b).collect(),
        next: page.next,
    }))
}
