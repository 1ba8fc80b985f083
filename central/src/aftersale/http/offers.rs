//! Offers: what taking tickets back comes to, and doing it.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::{CompanyId, TripId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{Caller, Identity, Permission};
use crate::aftersale::db::{self, Whose};
use crate::aftersale::offer::{Kind, Offer};
use crate::aftersale::rules::Reason;
use crate::aftersale::service::{self, Confirming, Done, Wish};
use crate::booking::http::{Proof, locate};
use crate::clock;
use crate::http::extract::{Asked, Body, Named};
use crate::http::{Api, Problem, idempotent};
use crate::idempotency;
use crate::payment::refunds::drawer_of;

/// The most coupons named at once.
const COUPONS_MAX: usize = 60;

/// What is wished for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindAsked {
    /// Tickets back, money back.
    Cancel,
    /// Tickets for another journey.
    Exchange,
}

/// Another journey.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"trip": 12, "from": "LUN", "to": "LVI"}))]
pub struct JourneyAsked {
    /// The trip's number.
    trip: u64,
    /// Code of the stop to board at.
    from: String,
    /// Code of the stop to leave at.
    to: String,
}

/// A wish to have tickets taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "cancel", "coupons": [1], "reason": "passenger_request",
    "phone": "+260970000001"}))]
pub struct OfferAsked {
    /// Cancel or exchange.
    kind: KindAsked,
    /// Places in the booking, from 1; none for all that are live.
    #[serde(default)]
    coupons: Vec<i16>,
    /// `passenger_request`, `trip_cancelled`, `delay_over_limit`; staff also `duplicate`,
    /// `mistake`, `goodwill`, `medical`. `passenger_request` unless told.
    reason: Option<String>,
    /// Of an exchange: where to.
    to: Option<JourneyAsked>,
    /// Proof: the phone number given at the booking. Staff and the owner need none.
    phone: Option<String>,
    /// Proof: the name given at the booking.
    name: Option<String>,
}

/// A wish to have a ticket taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "medical"}))]
pub struct TicketOfferAsked {
    /// As for a booking.
    reason: Option<String>,
}

/// What becomes of a ticket.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// The ticket.
    ticket: Uuid,
    /// Its place in the booking.
    coupon: Option<i16>,
    /// Its trip.
    trip: u64,
    /// Its seat.
    seat: u16,
    /// What was paid for it.
    price_minor: i64,
    /// What goes back.
    refund_minor: i64,
    /// What is kept.
    fee_minor: i64,
}

/// Where exchanged tickets lead.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToView {
    /// The trip's number.
    trip: u64,
    /// Code of the stop to board at.
    from: String,
    /// Code of the stop to leave at.
    to: String,
    /// What all of them cost there.
    total_minor: i64,
}

/// A trip that may be chosen instead of a cancelled one.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChoiceView {
    /// The trip's number.
    trip: u64,
    /// Where the bus says it goes.
    headsign: String,
    /// RFC 3339 UTC.
    departs_at: String,
    /// RFC 3339 UTC.
    arrives_at: String,
    /// Seats free at this moment.
    free_seats: i64,
}

/// What is offered, exactly as it will be done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"offer": "0192a5b0-7c00-7000-8000-000000000001", "kind": "cancel",
    "reason": "passenger_request", "state": "open", "lines": [{"ticket":
    "0192a5b0-7c00-7000-8000-000000000002", "coupon": 1, "trip": 12, "seat": 7, "price_minor": 25000,
    "refund_minor": 22500, "fee_minor": 2500}], "to": null, "choices": [], "refund_minor": 22500,
    "fee_minor": 2500, "due_minor": 0, "currency": "ZMW", "valid_until": "2026-11-23T08:10:00Z",
    "refunds": [], "tickets": []}))]
pub struct OfferView {
    /// Its number; whoever knows it may confirm, unless staff made it.
    offer: Uuid,
    /// `cancel`, `exchange` or `rebook`.
    kind: &'static str,
    /// Why.
    reason: &'static str,
    /// `open`, `confirmed` or `lapsed`.
    state: String,
    /// What becomes of each ticket.
    lines: Vec<LineView>,
    /// Of an exchange: where to.
    to: Option<ToView>,
    /// Of a rebooking: trips to choose among; choosing none gives all money back.
    choices: Vec<ChoiceView>,
    /// What goes back.
    refund_minor: i64,
    /// What is kept.
    fee_minor: i64,
    /// What is to pay at the confirmation.
    due_minor: i64,
    /// ISO 4217.
    currency: String,
    /// RFC 3339 UTC.
    valid_until: String,
    /// Once confirmed: the refunds under way.
    refunds: Vec<Uuid>,
    /// Once confirmed: the new tickets.
    tickets: Vec<Uuid>,
}

impl OfferView {
    fn new(offer: &Offer) -> Self {
        let line = |l: &crate::aftersale::offer::Line| LineView {
            ticket: l.ticket,
            coupon: l.coupon,
            trip: l.trip,
            seat: l.seat,
            price_minor: l.price_minor,
            refund_minor: l.refund_minor,
            fee_minor: l.fee_minor,
        };
        Self {
            offer: offer.id,
            kind: offer.kind.as_str(),
            reason: offer.reason.as_str(),
            state: offer.state.clone(),
            lines: offer.plan.lines.iter().map(line).collect(),
            to: offer.plan.to.as_ref().map(|to| ToView {
                trip: to.trip,
                from: to.from.clone(),
                to: to.to.clone(),
                total_minor: to.total_minor(),
            }),
            choices: vec![],
            refund_minor: offer.refund_minor.0,
            fee_minor: offer.fee_minor.0,
            due_minor: offer.due_minor.0,
            currency: offer.currency.to_string(),
            valid_until: offer.valid_until.to_string(),
            refunds: vec![],
            tickets: vec![],
        }
    }
}

/// The offers of a booking.
#[derive(Debug, Serialize, ToSchema)]
pub struct OffersView {
    /// The newest first, at most a hundred.
    items: Vec<OfferView>,
}

fn reason_of(word: Option<&str>) -> Result<Reason, Problem> {
    let word = word.unwrap_or(Reason::PassengerRequest.as_str());
    Reason::of(word).ok_or_else(|| {
        let all: Vec<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        Problem::unprocessable(format!("`reason` has to be one of {}", all.join(", ")))
    })
}

/// Says what it comes to when tickets of a booking are cancelled or exchanged. The offer holds ten
/// minutes; nothing is done before it is confirmed.
#[utoipa::path(post, path = "/bookings/{reference}/offers", tag = "aftersale",
    security((), ("bearer" = ["bookings:write"])), request_body = OfferAsked,
    params(("reference" = String, Path, example = "7F3K-22QX")),
    responses((status = 201, body = OfferView),
        (status = 403, body = Problem, description = "`staff-only`"),
        (status = 404, body = Problem, description = "no such booking, or a wrong proof"),
        (status = 409, body = Problem, description = "`no-tickets`, `not-offered`, `shift-open`, `sold-out`, `boarding-closed`"),
        (status = 422, body = Problem, description = "`no-such-coupon`, `no-such-journey`, `no-fare`, `not-exchangeable`, `unprocessable`"),
        (status = "default", body = Problem)))]
pub async fn make(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    body: Body<OfferAsked>,
) -> Result<(StatusCode, Json<OfferView>), Problem> {
    let asked = body.value;
    let reason = reason_of(asked.reason.as_deref())?;
    if asked.coupons.len() > COUPONS_MAX {
        let detail = format!("name at most {COUPONS_MAX} coupons");
        return Err(Problem::unprocessable(detail));
    }
    let to = match (asked.kind, asked.to) {
        (KindAsked::Cancel, None) => None,
        (KindAsked::Exchange, Some(to)) if i64::try_from(to.trip).is_ok() => {
            Some((TripId(to.trip), to.from, to.to))
        }
        (KindAsked::Exchange, Some(_)) => return Err(Problem::not_found("there is no such trip")),
        (KindAsked::Exchange, None) => {
            return Err(Problem::unprocessable("an exchange needs `to`"));
        }
        (KindAsked::Cancel, Some(_)) => {
            return Err(Problem::unprocessable("`to` is for an exchange"));
        }
    };
    let proof = Proof {
        phone: asked.phone,
        name: asked.name,
    };
    let (company, booking) = locate(&api, &caller, &reference, &proof).await?;
    let wish = Wish {
        whose: Whose::Booking(booking),
        coupons: asked.coupons,
        reason,
        to,
        by_staff: caller.may_in(Permission::BookingsWrite, company),
        actor: caller.identity.into(),
    };
    offered(&api, company, &wish).await
}

async fn offered(
    api: &Api,
    company: CompanyId,
    wish: &Wish,
) -> Result<(StatusCode, Json<OfferView>), Problem> {
    let mut tx = api.db.tenant(company).await?;
    let offer = service::make(&mut tx, wish, clock::now()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(OfferView::new(&offer))))
}

/// The offers made for a booking, those for a cancelled trip too.
#[utoipa::path(get, path = "/bookings/{reference}/offers", tag = "aftersale",
    security((), ("bearer" = ["bookings:read"])),
    params(("reference" = String, Path, example = "7F3K-22QX"), Proof),
    responses((status = 200, body = OffersView),
        (status = 404, body = Problem, description = "no such booking, or a wrong proof"),
        (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    Asked(proof): Asked<Proof>,
) -> Result<Json<OffersView>, Problem> {
    let (company, booking) = locate(&api, &caller, &reference, &proof).await?;
    let mut tx = api.db.tenant(company).await?;
    let offers = db::offers(&mut tx, booking).await?;
    Ok(Json(OffersView {
        items: offers.iter().map(OfferView::new).collect(),
    }))
}

/// Says what it comes to when one ticket is refunded, whoever sold it. A counter's ticket may be
/// taken back here once the close of the shift that sold it has arrived; until then the counter
/// itself may.
#[utoipa::path(post, path = "/tickets/{ticket}/offers", tag = "aftersale",
    security(("bearer" = ["bookings:write"])), request_body = TicketOfferAsked,
    params(("ticket" = Uuid, Path)),
    responses((status = 201, body = OfferView),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`no-tickets`, `not-offered`, `shift-open`"),
        (status = "default", body = Problem)))]
pub async fn make_for_ticket(
    State(api): State<Api>,
    caller: Caller,
    Named(ticket): Named<Uuid>,
    body: Body<TicketOfferAsked>,
) -> Result<(StatusCode, Json<OfferView>), Problem> {
    let staff = caller.may(Permission::BookingsWrite)?;
    let wish = Wish {
        whose: Whose::Ticket(ticket),
        coupons: vec![],
        reason: reason_of(body.value.reason.as_deref())?,
        to: None,
        by_staff: true,
        actor: staff.identity.into(),
    };
    offered(&api, staff.company, &wish).await
}

/// The offer's company, where the caller may see it: who knows the number of an offer that no
/// staff made, and the company's staff.
pub(crate) async fn open(
    api: &Api,
    caller: &Caller,
    id: Uuid,
) -> Result<(CompanyId, Offer), Problem> {
    let missing = || Problem::not_found("there is no such offer");
    let company = db::company_of_offer(&api.db, id).await?;
    let company = CompanyId(company.ok_or_else(missing)?);
    let mut tx = api.db.tenant(company).await?;
    let offer = db::offer(&mut tx, id).await?.ok_or_else(missing)?;
    let own = match caller.identity {
        Identity::Anonymous => offer.actor_kind == Identity::Anonymous.kind(),
        Identity::Person(_) | Identity::Key(_) => {
            offer.actor == caller.identity.id() || offer.actor.is_none()
        }
    };
    // A rebooking is the company's own offer to whoever it was sent to.
    if own || offer.kind == Kind::Rebook || caller.may_in(Permission::BookingsWrite, company) {
        return Ok((company, offer));
    }
    Err(missing())
}

/// An offer as it stands; of a cancelled trip with the trips to choose among.
#[utoipa::path(get, path = "/offers/{offer}", tag = "aftersale", security(()),
    params(("offer" = Uuid, Path)),
    responses((status = 200, body = OfferView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<Uuid>,
) -> Result<Json<OfferView>, Problem> {
    let (company, offer) = open(&api, &caller, id).await?;
    let mut view = OfferView::new(&offer);
    if offer.kind == Kind::Rebook && offer.state == "open" {
        let mut tx = api.db.tenant(company).await?;
        let choices = service::choices(&mut tx, &offer, clock::now()).await?;
        let choice = |c: service::Choice| ChoiceView {
            trip: c.trip.id.0,
            headsign: c.trip.headsign,
            departs_at: c.departs.to_string(),
            arrives_at: c.arrives.to_string(),
            free_seats: c.free,
        };
        view.choices = choices.into_iter().map(choice).collect();
    }
    Ok(Json(view))
}

/// A confirmation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ConfirmAsked {
    /// Of a rebooking: the trip chosen; without one all money goes back.
    trip: Option<u64>,
    /// Of staff: that what is to pay was paid in cash into the seller's drawer.
    #[serde(default)]
    cash: bool,
}

/// Does exactly what was offered. Where something has changed meanwhile nothing is done, and the
/// answer is 409.
#[utoipa::path(post, path = "/offers/{offer}/confirm", tag = "aftersale", security(()),
    request_body = ConfirmAsked,
    params(("offer" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    responses((status = 200, body = OfferView),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`changed`, `offer-over`, `sold-out`, `seat-taken`, `to-pay`, `boarding-closed`, `more-than-paid`, `in-flight`"),
        (status = 422, body = Problem, description = "`no-such-journey`, `idempotency-key-reused`"),
        (status = "default", body = Problem)))]
pub async fn confirm(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(id): Named<Uuid>,
    body: Body<ConfirmAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let path = format!("/offers/{id}/confirm");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let (company, _) = open(&api, &caller, id).await?;
    let trip = body.value.trip.map(TripId);
    if trip.is_some_and(|t| i64::try_from(t.0).is_err()) {
        return Err(Problem::not_found("there is no such trip"));
    }
    let sells = caller.may_in(Permission::Sell, company);
    if body.value.cash && !sells {
        return Err(Problem::forbidden(Permission::Sell));
    }
    let staff = caller.may_in(Permission::BookingsWrite, company);
    let mut tx = api.db.tenant(company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let now = clock::now();
    let node_ticket = db::offer(&mut tx, id)
        .await?
        .is_some_and(|o| o.booking.is_none());
    let who = Confirming {
        actor: caller.identity.into(),
        drawer: (body.value.cash || (staff && node_ticket)).then(|| drawer_of(caller.identity)),
        trip,
    };
    let done = service::confirm(&mut tx, &api, id, who, now).await?;
    idempotent::keep(tx, &key, (StatusCode::OK, &confirmed(done)), now).await
}

fn confirmed(done: Done) -> OfferView {
    let mut view = OfferView::new(&done.offer);
    view.refunds = done.refunds;
    view.tickets = done.tickets;
    view
}
