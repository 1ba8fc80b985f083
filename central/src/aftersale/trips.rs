//! A trip that does not run: every passenger chooses another one or has all money back.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::TripId;
use domain::money::Minor;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, Sold, Whose};
use super::offer::{AftersaleError, Kind, Line, Offer, Plan, REBOOK_MS};
use super::rules::Reason;
use crate::audit::Actor;
use crate::booking;
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;

/// Makes every booking with tickets on a cancelled trip an offer: another trip between the same
/// stops, or all money back; the latter by itself after three days. Unpaid bookings are released.
/// Gives the number of offers; a second call makes none twice.
///
/// Tickets that nodes sold have no booking: their passengers come to a counter, which refunds
/// them ticket by ticket.
pub async fn trip_cancelled(
    tx: &mut TenantTx,
    trip: TripId,
    actor: impl Into<Actor>,
    now: Instant,
) -> Result<usize, AftersaleError> {
    let actor = actor.into();
    for unpaid in db::unpaid_on(tx, trip).await? {
        booking::release(tx, unpaid, booking::State::Cancelled, now).await?;
    }
    offer_all(tx, trip, Reason::TripCancelled, |_| true, actor, now).await
}

/// Makes every booking an offer whose tickets a swap of the bus left without a place: another trip
/// between the same stops, or all money back. Gives the number of offers.
///
/// Tickets that nodes sold have no booking: a counter refunds them.
pub(crate) async fn seats_lost(
    tx: &mut TenantTx,
    trip: TripId,
    tickets: &BTreeSet<Uuid>,
    actor: Actor,
    now: Instant,
) -> Result<usize, AftersaleError> {
    let lost = |ticket: &Sold| tickets.contains(&ticket.id.0);
    offer_all(tx, trip, Reason::BusSwapped, lost, actor, now).await
}

/// The swap was taken back: these tickets have their seats again, and nothing is offered for them.
pub(crate) async fn seats_found(
    tx: &mut TenantTx,
    trip: TripId,
    tickets: &[Uuid],
    now: Instant,
) -> Result<(), DbError> {
    db::lapse_rebookings(tx, trip, tickets, now).await
}

async fn offer_all(
    tx: &mut TenantTx,
    trip: TripId,
    reason: Reason,
    of: impl Fn(&Sold) -> bool,
    actor: Actor,
    now: Instant,
) -> Result<usize, AftersaleError> {
    let mut affected: BTreeMap<Uuid, Vec<Sold>> = BTreeMap::new();
    for ticket in db::sold(tx, Whose::Trip(trip)).await? {
        let affects = of(&ticket) && !ticket.has_boarded;
        if let Some(booking) = ticket.booking.filter(|_| affects) {
            affected.entry(booking).or_default().push(ticket);
        }
    }
    let mut made = 0;
    for (booking, tickets) in affected {
        let Some(offer) = offer(booking, (trip, reason), &tickets, actor, now)? else {
            continue;
        };
        if !db::insert_offer(tx, &offer).await? {
            continue;
        }
        let happened = Happened {
            kind: "rebooking.offered",
            subject: &format!("offer:{}", offer.id),
            body: json!({
                "offer": offer.id,
                "booking": booking,
                "trip": trip.0,
                "reason": reason.as_str(),
                "tickets": tickets.iter().map(|t| t.id.0).collect::<Vec<_>>(),
                "refund_minor": offer.refund_minor.0,
                "currency": offer.currency.as_str(),
                "valid_until": offer.valid_until.to_string(),
            }),
        };
        outbox::put(tx, happened, now).await?;
        made += 1;
    }
    Ok(made)
}

fn offer(
    booking: Uuid,
    (trip, reason): (TripId, Reason),
    tickets: &[Sold],
    actor: Actor,
    now: Instant,
) -> Result<Option<Offer>, AftersaleError> {
    let Some(first) = tickets.first() else {
        return Ok(None);
    };
    let (actor_kind, actor) = match actor {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    };
    let line = |t: &Sold| Line {
        ticket: t.id.0,
        coupon: t.coupon_no,
        trip: t.trip.0,
        seat: t.seat.0,
        price_minor: t.price_minor.0,
        refund_minor: t.price_minor.0,
        fee_minor: 0,
    };
    Ok(Some(Offer {
        id: fresh_uuid(now)?,
        kind: Kind::Rebook,
        booking: Some(booking),
        cancelled_trip: Some(trip),
        reason,
        actor_kind: actor_kind.to_owned(),
        actor,
        state: "open".to_owned(),
        refund_minor: Minor(tickets.iter().map(|t| t.price_minor.0).sum()),
        fee_minor: Minor::ZERO,
        due_minor: Minor::ZERO,
        currency: first.currency,
        plan: Plan {
            lines: tickets.iter().map(line).collect(),
            to: None,
        },
        valid_until: now.plus_ms(REBOOK_MS),
        created_at: now,
    }))
}
