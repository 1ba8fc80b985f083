//! Offers: made, shown, confirmed.

use std::collections::BTreeMap;

use domain::ids::TripId;
use domain::ledger::Account;
use domain::money::Minor;
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, Sold, Whose};
use super::offer::{AftersaleError, Kind, Line, OFFER_MS, Offer, Plan, Refused, To};
use super::rules::{self, NotOffered, Reason, Rules};
use super::undo::{self, Paying};
use crate::audit::{self, Actor, Change};
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::http::Api;
use crate::outbox::{self, Happened};
use crate::payment::refunds;
use crate::pricing::{self, Channel, Part};
use crate::restore::refuse_frozen;
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;

/// A wish to have tickets taken back.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) whose: Whose,
    /// Places in the booking; none for all.
    pub(super) coupons: Vec<i16>,
    pub(super) reason: Reason,
    /// Trip, stop to board at, stop to leave at.
    pub(super) to: Option<(TripId, String, String)>,
    pub(super) by_staff: bool,
    pub(super) actor: Actor,
}

/// Who is written down for an actor.
fn actor_columns(actor: Actor) -> (&'static str, Option<Uuid>) {
    match actor {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    }
}

/// The wished tickets among those that are live.
fn chosen(mut tickets: Vec<Sold>, coupons: &[i16]) -> Result<Vec<Sold>, Refused> {
    for no in coupons {
        if !tickets.iter().any(|t| t.coupon_no == Some(*no)) {
            return Err(Refused::NoCoupon(*no));
        }
    }
    if !coupons.is_empty() {
        tickets.retain(|t| t.coupon_no.is_some_and(|no| coupons.contains(&no)));
    }
    let currency = tickets.first().ok_or(Refused::NoTickets)?.currency;
    if tickets.iter().any(|t| t.currency != currency) {
        return Err(Refused::TwoCurrencies);
    }
    Ok(tickets)
}

/// Whether a ticket may be taken back at all.
fn check_one(t: &Sold, rules: &Rules, wish: &Wish) -> Result<(), Refused> {
    if t.has_boarded {
        return Err(NotOffered::Boarded(t.id.0).into());
    }
    if let Some((_, false)) = t.issuer {
        return Err(Refused::ShiftOpen(t.id.0));
    }
    if t.issuer.is_some() && wish.to.is_some() {
        return Err(Refused::NodeExchange);
    }
    Ok(rules::check(
        rules,
        wish.reason,
        wish.by_staff,
        &t.standing(),
    )?)
}

/// Says what a wish comes to, and keeps it for ten minutes.
pub(super) async fn make(
    tx: &mut TenantTx,
    wish: &Wish,
    now: Instant,
) -> Result<Offer, AftersaleError> {
    let tickets = chosen(db::sold(tx, wish.whose).await?, &wish.coupons)?;
    let mut rules: BTreeMap<&str, Rules> = BTreeMap::new();
    let mut lines = Vec::with_capacity(tickets.len());
    for t in &tickets {
        if !rules.contains_key(t.route.as_str()) {
            let of_route = db::load_rules(tx, &t.route).await?;
            rules.insert(&t.route, of_route);
        }
        let Some(own) = rules.get(t.route.as_str()) else {
            continue;
        };
        check_one(t, own, wish)?;
        let share = if wish.to.is_some() {
            rules::check_exchange(own, wish.reason, &t.standing(), now.0)?;
            rules::Share::default()
        } else {
            rules::share(own, wish.reason, &t.standing(), now.0)
        };
        lines.push(line(t, share));
    }
    let mut offer = draft(&tickets, lines, wish, now)?;
    if let Some(to) = &wish.to {
        let channel = if wish.by_staff {
            Channel::Counter
        } else {
            Channel::Online
        };
        let to = priced(tx, &tickets, to, channel, now).await?;
        let own = tickets.first().and_then(|t| rules.get(t.route.as_str()));
        let old = tickets.iter().map(|t| t.price_minor.0).sum();
        let own = own.cloned().unwrap_or_default();
        let paid = rules::exchange(&own, wish.reason, tickets.len(), old, to.total_minor());
        offer.fee_minor = Minor(paid.fee_minor);
        offer.due_minor = Minor(paid.due_minor);
        offer.refund_minor = Minor(paid.refund_minor);
        offer.plan.to = Some(to);
    }
    db::insert_offer(tx, &offer).await?;
    Ok(offer)
}

fn line(t: &Sold, share: rules::Share) -> Line {
    Line {
        ticket: t.id.0,
        coupon: t.coupon_no,
        trip: t.trip.0,
        seat: t.seat.0,
        price_minor: t.price_minor.0,
        refund_minor: share.refund_minor,
        fee_minor: share.fee_minor,
    }
}

fn draft(
    tickets: &[Sold],
    lines: Vec<Line>,
    wish: &Wish,
    now: Instant,
) -> Result<Offer, AftersaleError> {
    let first = tickets.first().ok_or(Refused::NoTickets)?;
    let (actor_kind, actor) = actor_columns(wish.actor);
    Ok(Offer {
        id: fresh_uuid(now)?,
        kind: if wish.to.is_some() {
            Kind::Exchange
        } else {
            Kind::Cancel
        },
        booking: first.booking,
        cancelled_trip: None,
        reason: wish.reason,
        actor_kind: actor_kind.to_owned(),
        actor,
        state: "open".to_owned(),
        refund_minor: Minor(lines.iter().map(|l| l.refund_minor).sum()),
        fee_minor: Minor(lines.iter().map(|l| l.fee_minor).sum()),
        due_minor: Minor::ZERO,
        currency: first.currency,
        plan: Plan { lines, to: None },
        valid_until: now.plus_ms(OFFER_MS),
        created_at: now,
    })
}

/// What the tickets cost on another trip, for the same passengers.
async fn priced(
    tx: &mut TenantTx,
    tickets: &[Sold],
    (trip, from, to): &(TripId, String, String),
    channel: Channel,
    now: Instant,
) -> Result<To, AftersaleError> {
    let run = lock_trip(tx, *trip)
        .await?
        .ok_or(Refused::Unknown("trip"))?;
    let mut wanted = To {
        trip: trip.0,
        from: from.clone(),
        to: to.clone(),
        fares_minor: vec![],
        discounts_minor: vec![],
    };
    let legs = undo::journey(&run, &wanted)?;
    if refuse_frozen(tx, *trip).await? {
        return Err(Refused::Frozen(*trip).into());
    }
    let currency = tickets.first().map(|t| t.currency);
    if currency.is_some_and(|c| c != run.currency) {
        return Err(Refused::TwoCurrencies.into());
    }
    let free = db::free_seats(tx, *trip, legs).await?;
    if free < tickets.len() as i64 {
        return Err(Refused::SoldOut {
            trip: *trip,
            wanted: tickets.len(),
            seats_left: usize::try_from(free).unwrap_or(0),
        }
        .into());
    }
    let stops = (from.parse(), to.parse());
    let (Ok(from), Ok(to)) = stops else {
        return Err(Refused::NoSuchJourney(*trip).into());
    };
    let classes: Vec<_> = tickets.iter().map(|t| t.class).collect();
    let part = Part {
        trip: &run,
        from: &from,
        to: &to,
        passengers: &classes,
    };
    let priced = pricing::price(tx, part, None, channel, now).await?;
    let priced = priced.map_err(|why| Refused::NoFare(why.to_string()))?;
    for passenger in priced.passengers {
        wanted.fares_minor.push(passenger.fare_minor.0);
        wanted.discounts_minor.push(passenger.discount_minor.0);
    }
    Ok(wanted)
}

/// What was done.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) offer: Offer,
    pub(super) refunds: Vec<Uuid>,
    /// New ones, in the order of the plan.
    pub(super) tickets: Vec<Uuid>,
}

/// Whoever confirms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirming {
    pub(super) actor: Actor,
    /// Of staff: the drawer that cash comes into and goes out of.
    pub(super) drawer: Option<Account>,
    /// Of a rebooking: the trip chosen; none for all money back.
    pub(super) trip: Option<TripId>,
}

/// Does what was offered, or nothing.
pub(super) async fn confirm(
    tx: &mut TenantTx,
    api: &Api,
    offer: Uuid,
    who: Confirming,
    now: Instant,
) -> Result<Done, AftersaleError> {
    let known = db::offer(tx, offer).await?;
    let known = known.ok_or(Refused::Unknown("offer"))?;
    let reference = match known.booking {
        Some(booking) => db::lock_booking(tx, booking).await?.map(|b| b.reference),
        None => None,
    };
    // Under the booking's lock, or for a node's ticket under its trip's.
    let trips = known.plan.lines.iter().map(|l| TripId(l.trip));
    let mut refunds = vec![];
    let mut plan = known.plan.clone();
    if let (Kind::Rebook, Some(trip)) = (known.kind, who.trip) {
        plan.to = Some(free_of_charge(tx, &known, trip).await?);
    }
    let refund = if known.kind == Kind::Rebook && plan.to.is_some() {
        Minor::ZERO
    } else {
        known.refund_minor
    };
    if let Some(booking) = known.booking.filter(|_| refund > Minor::ZERO) {
        let why = known.reason.as_str();
        refunds = refunds::request(tx, booking, refund, why, who.actor, now).await?;
    }
    let to = plan.to.as_ref().map(|to| TripId(to.trip));
    undo::lock_trips(tx, trips.chain(to)).await?;
    let open = db::offer(tx, offer).await?.filter(|o| o.state == "open");
    let overdue = known.kind == Kind::Rebook && matches!(who.actor, Actor::System);
    if open.is_none_or(|o| now > o.valid_until && !overdue) {
        return Err(Refused::OfferOver.into());
    }
    let tickets = as_offered(tx, &known).await?;
    let aside = match to {
        Some(trip) => undo::set_aside(tx, trip, now).await?,
        None => vec![],
    };
    let state = if to.is_some() { "exchanged" } else { "void" };
    let waiting = undo::void(tx, &tickets, state).await?;
    let mut done = Done {
        offer: known,
        refunds,
        tickets: vec![],
    };
    let mut reused = undo::Reused::new();
    if let Some(to) = &plan.to {
        reused = exchange(tx, api, &mut done, (&tickets, to, &aside), who, now).await?;
    } else {
        undo::post_void(tx, offer, &tickets, done.offer.fee_minor.0, now).await?;
    }
    let old: Vec<Uuid> = tickets.iter().map(|t| t.id.0).collect();
    if done.offer.kind == Kind::Rebook {
        for (from, to) in old.iter().zip(&done.tickets) {
            db::move_extras(tx, *from, *to).await?;
        }
    }
    db::end_extras(tx, &old).await?;
    undo::block(tx, &waiting, &reused).await?;
    if done.offer.booking.is_none() {
        pay_out(tx, &done.offer, who, now).await?;
    }
    db::end_offer(tx, offer, "confirmed", now).await?;
    "confirmed".clone_into(&mut done.offer.state);
    finish(tx, &done, (&tickets, &plan), reference.as_deref(), who, now).await?;
    Ok(done)
}

/// A rebooking's tickets on a trip of the same stops, at the price that was paid.
async fn free_of_charge(
    tx: &mut TenantTx,
    offer: &Offer,
    trip: TripId,
) -> Result<To, AftersaleError> {
    let booking = offer.booking.ok_or(Refused::Unknown("booking"))?;
    let tickets = db::sold(tx, Whose::Booking(booking)).await?;
    let line = offer.plan.lines.first().ok_or(Refused::NoTickets)?;
    let first = tickets.iter().find(|t| t.id.0 == line.ticket);
    let first = first.ok_or(Refused::Changed("a ticket was taken back"))?;
    Ok(To {
        trip: trip.0,
        from: first.from_stop.clone(),
        to: first.to_stop.clone(),
        fares_minor: offer.plan.lines.iter().map(|l| l.price_minor).collect(),
        discounts_minor: vec![0; offer.plan.lines.len()],
    })
}

/// The tickets of the plan as they stand, when that is as they stood.
async fn as_offered(tx: &mut TenantTx, offer: &Offer) -> Result<Vec<Sold>, AftersaleError> {
    let mut standing: BTreeMap<Uuid, Sold> = BTreeMap::new();
    let live = match (offer.booking, offer.plan.lines.first()) {
        (Some(booking), _) => db::sold(tx, Whose::Booking(booking)).await?,
        (None, Some(line)) => db::sold(tx, Whose::Ticket(line.ticket)).await?,
        (None, None) => vec![],
    };
    standing.extend(live.into_iter().map(|t| (t.id.0, t)));
    let mut tickets = Vec::with_capacity(offer.plan.lines.len());
    for line in &offer.plan.lines {
        let ticket = standing.remove(&line.ticket);
        let ticket = ticket.ok_or(Refused::Changed("a ticket was taken back"))?;
        if ticket.has_boarded {
            return Err(Refused::Changed("a passenger boarded").into());
        }
        if ticket.price_minor.0 != line.price_minor {
            return Err(Refused::Changed("a price was corrected").into());
        }
        tickets.push(ticket);
    }
    Ok(tickets)
}

async fn exchange(
    tx: &mut TenantTx,
    api: &Api,
    done: &mut Done,
    (tickets, to, aside): (&[Sold], &To, &undo::Aside),
    who: Confirming,
    now: Instant,
) -> Result<undo::Reused, AftersaleError> {
    let offer = &done.offer;
    let booking = offer.booking.ok_or(Refused::NodeExchange)?;
    let free = offer.kind == Kind::Rebook;
    let due = if free { 0 } else { offer.due_minor.0 };
    let account = match who.drawer {
        Some(drawer) => drawer,
        None if due == 0 => Account::RefundsPayable,
        None => {
            return Err(Refused::ToPay {
                due_minor: due,
                currency: offer.currency,
            }
            .into());
        }
    };
    let fee_minor = if free { 0 } else { offer.fee_minor.0 };
    let new = to.total_minor();
    let old: i64 = tickets.iter().map(|t| t.price_minor.0).sum();
    undo::post_void(tx, offer.id, tickets, 0, now).await?;
    let paying = Paying {
        offer: offer.id,
        booking,
        used_minor: new.saturating_add(fee_minor).saturating_sub(due),
        fee_minor,
        due: (due, account),
    };
    // What its payment held becomes the new tickets'.
    db::let_go(tx, offer.id).await?;
    let (issued, reused) = undo::replace(tx, api, tickets, (to, aside), &paying, now).await?;
    done.tickets = issued;
    db::settle_booking(tx, booking, Minor(new - old), Minor(due)).await?;
    Ok(reused)
}

/// A node's ticket was paid at a counter; its money goes back over a counter.
async fn pay_out(
    tx: &mut TenantTx,
    offer: &Offer,
    who: Confirming,
    now: Instant,
) -> Result<(), AftersaleError> {
    let drawer = who.drawer.ok_or(Refused::Unknown("offer"))?;
    if offer.refund_minor > Minor::ZERO {
        let amount = (offer.refund_minor, offer.currency);
        undo::post_paid_out(tx, offer.id, amount, drawer, now).await?;
    }
    Ok(())
}

/// Writes down and tells what was done.
async fn finish(
    tx: &mut TenantTx,
    done: &Done,
    (tickets, plan): (&[Sold], &Plan),
    reference: Option<&str>,
    who: Confirming,
    now: Instant,
) -> Result<(), AftersaleError> {
    let offer = &done.offer;
    let all_gone = match offer.booking {
        Some(booking) if plan.to.is_none() => {
            let gone = db::settle_booking(tx, booking, Minor::ZERO, Minor::ZERO).await?;
            if gone {
                pricing::give_back(tx, booking, now).await?;
            }
            gone
        }
        _ => false,
    };
    let ids: Vec<Uuid> = tickets.iter().map(|t| t.id.0).collect();
    let mut trips: Vec<u64> = tickets.iter().map(|t| t.trip.0).collect();
    trips.dedup();
    let subject = match reference {
        Some(reference) => format!("booking:{reference}"),
        None => format!("ticket:{}", ids.first().copied().unwrap_or_default()),
    };
    let body = json!({
        "offer": offer.id,
        "booking": offer.booking,
        "reference": reference,
        "reason": offer.reason.as_str(),
        "trips": trips,
        "tickets": ids,
        "new_tickets": done.tickets,
        "refund_minor": if plan.to.is_some() && offer.kind == Kind::Rebook { 0 } else { offer.refund_minor.0 },
        "fee_minor": offer.fee_minor.0,
        "currency": offer.currency.as_str(),
        "whole_booking": all_gone,
    });
    let voided = Happened {
        kind: "ticket.void",
        subject: &subject,
        body: body.clone(),
    };
    outbox::put(tx, voided, now).await?;
    let kind = match (offer.booking, &plan.to) {
        (Some(_), Some(_)) => Some("booking.exchanged"),
        (Some(_), None) => Some("booking.cancelled"),
        (None, _) => None,
    };
    if let Some(kind) = kind {
        let happened = Happened {
            kind,
            subject: &subject,
            body: body.clone(),
        };
        outbox::put(tx, happened, now).await?;
    }
    let change = Change {
        action: if plan.to.is_some() {
            "booking.exchange"
        } else {
            "booking.cancel"
        },
        subject: &subject,
        before: None,
        after: Some(body),
    };
    audit::note(tx, who.actor, change, now).await?;
    Ok(())
}

/// A trip that passengers of a cancelled one may choose, with its free seats.
pub(super) struct Choice {
    pub(super) trip: Trip,
    pub(super) departs: Instant,
    pub(super) arrives: Instant,
    pub(super) free: i64,
}

/// How far from the cancelled trip's departure others are shown.
const CHOICE_MS: i64 = 3 * 24 * 60 * 60 * 1000;
/// The most trips shown.
const CHOICES_MAX: usize = 10;

/// Where passengers of a cancelled trip may go instead: trips of the same two stops with seats
/// for all of them.
pub(super) async fn choices(
    tx: &mut TenantTx,
    offer: &Offer,
    now: Instant,
) -> Result<Vec<Choice>, DbError> {
    let (Some(booking), Some(cancelled)) = (offer.booking, offer.cancelled_trip) else {
        return Ok(vec![]);
    };
    let tickets = db::sold(tx, Whose::Booking(booking)).await?;
    let Some(first) = tickets.iter().find(|t| t.trip == cancelled) else {
        return Ok(vec![]);
    };
    let until = now.max(first.departs).plus_ms(CHOICE_MS);
    let mut found = vec![];
    for trip in db::later_trips(tx, cancelled, now, until).await? {
        let to = To {
            trip: trip.id.0,
            from: first.from_stop.clone(),
            to: first.to_stop.clone(),
            fares_minor: vec![],
            discounts_minor: vec![],
        };
        let Ok(legs) = undo::journey(&trip, &to) else {
            continue;
        };
        let free = db::free_seats(tx, trip.id, legs).await?;
        let stops = trip.stop(legs.from()).zip(trip.stop(legs.to()));
        let Some((from, to)) = stops.filter(|_| free >= offer.plan.lines.len() as i64) else {
            continue;
        };
        found.push(Choice {
            departs: from.departs,
            arrives: to.arrives,
            free,
            trip: trip.clone(),
        });
        if found.len() == CHOICES_MAX {
            break;
        }
    }
    Ok(found)
}
