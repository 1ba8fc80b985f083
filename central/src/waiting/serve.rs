//! Serving a trip's line: ends what is over, offers what is free.

use std::collections::BTreeSet;

use domain::ids::{SeatNo, StopCode, TripId};
use domain::seatmap::SeatMap;
use domain::time::Instant;
use domain::trip::Legs;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, InLine};
use super::decide::{next_in_line, offer_deadline, over, seats_of_line};
use crate::audit::{self, Actor, Change};
use crate::booking::{
    BookingError, FROZEN, Journey, Made, OfferedTo, Stock, Wish, free_what_ran_out, lock_stocks,
    offer,
};
use crate::db::DbError;
use crate::http::Api;
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;

/// Offers of one transaction.
const OFFERS_AT_ONCE: usize = 20;

/// Locks the trip, ends offers and waits that are over, and holds what is free for who waits, in
/// order of arrival. Whether there may be more to do.
pub(crate) async fn serve(
    tx: &mut TenantTx,
    api: &Api,
    trip: TripId,
    now: Instant,
) -> Result<bool, BookingError> {
    let this = || core::iter::once(trip);
    let Some(stock) = lock_stocks(tx, this()).await?.remove(&trip) else {
        return Ok(false);
    };
    let gone = matches!(stock.state.as_str(), "cancelled" | "arrived");
    free_what_ran_out(tx, BTreeSet::from([trip]), now).await?;
    for settled in db::settle(tx, (trip, gone), now).await? {
        let reason = match settled.state.as_str() {
            "lapsed" => "offer-not-taken",
            "closed" => "trip-not-running",
            _ => continue,
        };
        let about = json!({ "reason": reason, "hold": settled.booking });
        tell_of_end(tx, (settled.id, trip), (&settled.state, about), now).await?;
    }
    // What ran out is free again.
    let Some(stock) = lock_stocks(tx, this()).await?.remove(&trip) else {
        return Ok(false);
    };
    if stock.state == FROZEN {
        return Ok(false);
    }
    let mut line = vec![];
    for entry in db::line(tx, trip).await? {
        let closes = closes_at(&stock, &entry);
        match over(&stock.state, closes, entry.accept_until, now) {
            Some(why) => {
                end(tx, (entry.id, trip), (why.state(), why.reason()), now).await?;
            }
            None => line.push(entry),
        }
    }
    let deadline = |entry: &InLine| {
        let closes = closes_at(&stock, entry)?;
        offer_deadline(now, closes, entry.accept_until)
    };
    line.retain(|entry| deadline(entry).is_some());
    let mut pool = stock.pool.clone();
    let mut offers = 0;
    while let Some(turn) = next_in_line(&pool, line.iter().map(|e| (e.legs, e.classes.len()))) {
        if offers == OFFERS_AT_ONCE {
            return Ok(true);
        }
        offers += 1;
        let entry = line.remove(turn);
        let Some(deadline) = deadline(&entry) else {
            continue;
        };
        let to = OfferedTo {
            secret_hash: entry.secret_hash,
            deadline,
            person: entry.person,
            channel: entry.channel,
        };
        match offer(tx, api, &journey(trip, &entry), &to, now).await? {
            Ok(made) => {
                for seat in &made.seats {
                    pool.mark_taken(seat.seat, seat.legs);
                }
                offered(tx, (entry.id, trip), &entry, &made, now).await?;
            }
            // It keeps its place.
            Err(refusal) if refusal.is_about_seats() => {}
            Err(refusal) => {
                tracing::info!(waiting = %entry.id, %refusal, "nothing to wait for any more");
                end(tx, (entry.id, trip), ("closed", "not-on-sale"), now).await?;
            }
        }
    }
    Ok(false)
}

/// The free seats of a locked trip that the line would be offered at this moment: nobody else may
/// take them from the pool. The offers themselves are left to the job, which may hold other trips'
/// locks where the caller may not.
pub(crate) async fn set_aside(
    tx: &mut TenantTx,
    trip: TripId,
    (pool, boarding_closes): (&SeatMap, &[Instant]),
    now: Instant,
) -> Result<Vec<(SeatNo, Legs)>, DbError> {
    let mut line = db::line(tx, trip).await?;
    line.retain(|entry| {
        let closes = boarding_closes.get(usize::from(entry.legs.from().0));
        let until = |closes| offer_deadline(now, closes, entry.accept_until);
        closes.copied().and_then(until).is_some()
    });
    let line: Vec<(Legs, usize)> = line.iter().map(|e| (e.legs, e.classes.len())).collect();
    Ok(seats_of_line(pool, line))
}

fn closes_at(stock: &Stock, entry: &InLine) -> Option<Instant> {
    let closes = &stock.facts.boarding_closes;
    closes.get(usize::from(entry.legs.from().0)).copied()
}

fn journey(trip: TripId, entry: &InLine) -> Journey {
    Journey {
        trip,
        from: StopCode(entry.from_stop.clone()),
        to: StopCode(entry.to_stop.clone()),
        passengers: entry.classes.iter().map(|c| Wish::any(*c)).collect(),
    }
}

async fn offered(
    tx: &mut TenantTx,
    (id, trip): (Uuid, TripId),
    entry: &InLine,
    made: &Made,
    now: Instant,
) -> Result<(), DbError> {
    db::offer(tx, id, made.id, now).await?;
    let change = Change {
        action: "waiting_list.offer",
        subject: &format!("waiting:{id}"),
        before: Some(json!({ "state": "waiting" })),
        after: Some(json!({ "state": "offered", "hold": made.id, "seats": made.seats.len() })),
    };
    audit::note(tx, Actor::System, change, now).await?;
    let happened = Happened {
        kind: "waiting_list.offered",
        subject: &format!("waiting:{id}"),
        body: json!({
            "waiting": id,
            "trip": trip.0,
            "from": entry.from_stop,
            "to": entry.to_stop,
            "hold": made.id,
            "reference": made.reference,
            "seats": made.seats.len(),
            "total_minor": made.total_minor.0,
            "currency": made.currency.as_str(),
            "expires_at": made.deadline.map(|d| d.expires_at.to_string()),
        }),
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}

async fn end(
    tx: &mut TenantTx,
    (id, trip): (Uuid, TripId),
    (state, reason): (&str, &str),
    now: Instant,
) -> Result<(), DbError> {
    db::end(tx, id, (state, reason), now).await?;
    tell_of_end(tx, (id, trip), (state, json!({ "reason": reason })), now).await
}

async fn tell_of_end(
    tx: &mut TenantTx,
    (id, trip): (Uuid, TripId),
    (state, mut about): (&str, serde_json::Value),
    now: Instant,
) -> Result<(), DbError> {
    about["waiting"] = json!(id);
    about["trip"] = json!(trip.0);
    let change = Change {
        action: "waiting_list.end",
        subject: &format!("waiting:{id}"),
        before: None,
        after: Some(json!({ "state": state, "reason": about["reason"] })),
    };
    audit::note(tx, Actor::System, change, now).await?;
    let happened = Happened {
        kind: &format!("waiting_list.{state}"),
        subject: &format!("waiting:{id}"),
        body: about,
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}
