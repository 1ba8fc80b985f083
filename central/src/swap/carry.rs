//! What a swap and its undoing do alike: move tickets, move money, tell.

use std::collections::BTreeMap;

use domain::ids::{SeatNo, TicketId};
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::swap::Standing;
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::{Value, json};
use uuid::Uuid;

use super::SwapFault;
use super::db::{self, Move, MovedRow, Sold, SwapRow};
use crate::audit::{self, Actor, Change};
use crate::company::trip_facts;
use crate::db::DbError;
use crate::ledger::{self, NewEntry, derived_id};
use crate::outbox::{self, Happened};
use crate::sync::buckets::{publish_all, state_of, take_changes, trip_bucket};
use crate::tenant::TenantTx;

/// Where one ticket goes.
#[derive(Debug, Clone)]
pub(super) struct Going<'a> {
    pub(super) sold: &'a Sold,
    pub(super) old_state: i16,
    pub(super) new_state: i16,
    pub(super) seat: SeatNo,
    /// Why it has no place.
    pub(super) reason: Option<&'static str>,
    pub(super) old_label: String,
    pub(super) new_label: String,
    /// Whether its passenger hears of the seat.
    pub(super) tell: bool,
    /// Whether it stands among those that the swap is about.
    pub(super) recorded: bool,
}

/// What was done.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) row: SwapRow,
    pub(super) moved: Vec<MovedRow>,
    /// Offers made to passengers without a place.
    pub(super) offers: usize,
}

/// Tickets as the rules see them.
pub(super) fn standing(tickets: &[Sold]) -> Result<Vec<Standing>, DbError> {
    let standing = |sold: &Sold| {
        Ok(Standing {
            ticket: sold.id,
            seat: sold.seat,
            state: state_of(sold.state)?,
            printed: sold.printed,
            numbering: sold.numbering,
            displaced: sold.displaced,
        })
    };
    tickets.iter().map(standing).collect()
}

/// Puts the trip with its maps into its own bucket and those of its stations.
pub(super) async fn publish(tx: &mut TenantTx, trip: &Trip) -> Result<(), DbError> {
    publish_all(tx, trip_facts(trip)).await
}

/// Moves the tickets, writes the swap down, moves the money, tells.
pub(super) async fn carry(
    tx: &mut TenantTx,
    trip: &Trip,
    row: &SwapRow,
    going: &[Going<'_>],
    actor: Actor,
    now: Instant,
) -> Result<Vec<MovedRow>, SwapFault> {
    let changed: Vec<&Going<'_>> = going
        .iter()
        .filter(|g| g.seat != g.sold.seat || g.new_state != g.old_state)
        .collect();
    let mut change = 0;
    if !changed.is_empty() {
        let bucket = trip_bucket(trip.id);
        let count = changed.len() as i64;
        let last = take_changes(tx, &BTreeMap::from([(bucket.clone(), count)])).await?;
        change = last.get(&bucket).copied().unwrap_or(count) - count;
    }
    let moves: Vec<Move> = changed
        .iter()
        .zip(change + 1..)
        .map(|(g, change)| Move {
            id: g.sold.id,
            old: g.sold.seat,
            new: g.seat,
            state: g.new_state,
            change,
        })
        .collect();
    db::move_tickets(tx, &moves).await?;
    let without: Vec<(TicketId, &str)> = going
        .iter()
        .filter_map(|g| Some((g.sold.id, g.reason?)))
        .collect();
    db::displace(tx, trip.id, &without).await?;
    let moved: Vec<MovedRow> = going
        .iter()
        .filter(|g| g.recorded)
        .map(|g| recorded(row, g))
        .collect();
    let actor_columns = match actor {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    };
    db::insert_swap(tx, trip.id, row, &moved, actor_columns).await?;
    move_money(tx, trip, row, going, now).await?;
    tell(tx, trip, going, now).await?;
    Ok(moved)
}

fn recorded(row: &SwapRow, going: &Going<'_>) -> MovedRow {
    MovedRow {
        swap: row.no,
        ticket: going.sold.id.0,
        booking: going.sold.reference.clone(),
        old_seat: super::stored(going.sold.seat),
        new_seat: super::stored(going.seat),
        old_label: going.old_label.clone(),
        new_label: going.new_label.clone(),
        reason: going.reason.map(str::to_owned),
        told: going.tell || going.reason.is_some(),
    }
}

/// What was paid for a seat stands in suspense as long as there is none.
async fn move_money(
    tx: &mut TenantTx,
    trip: &Trip,
    row: &SwapRow,
    going: &[Going<'_>],
    now: Instant,
) -> Result<(), DbError> {
    let fares = ledger::fares_account(tx, trip.id).await?;
    let mut lines: BTreeMap<Currency, Vec<Posting>> = BTreeMap::new();
    for g in going {
        let (from, to) = match (g.old_state, g.new_state) {
            (0, 2) => (fares, Account::Suspense),
            (2, 0) => (Account::Suspense, fares),
            _ => continue,
        };
        let lines = lines.entry(g.sold.currency).or_default();
        let fare = g.sold.fare_minor.0;
        for (account, amount) in [(from, fare), (to, -fare)] {
            lines.push(Posting {
                account,
                amount_minor: Minor(amount),
                ticket: Some(g.sold.id),
            });
        }
    }
    let (day, _) = ledger::db::today(tx, now).await?;
    let mut entries = vec![];
    for (currency, lines) in lines {
        let entry = Entry::new(EntryKind::Adjustment, currency, day, lines)
            .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))?;
        let id = derived_id(&[
            b"bus swap",
            tx.company().as_bytes(),
            &trip.id.0.to_be_bytes(),
            &row.no.to_be_bytes(),
            currency.as_str().as_bytes(),
        ]);
        entries.push(NewEntry { id, entry });
    }
    ledger::post(tx, &entries, now).await
}

/// One event a booking, and one a ticket of a counter.
async fn tell(
    tx: &mut TenantTx,
    trip: &Trip,
    going: &[Going<'_>],
    now: Instant,
) -> Result<(), DbError> {
    let mut bookings: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for g in going {
        let ticket = g.sold.id.0;
        let subject = format!("ticket:{ticket}");
        if g.tell
            && let Some(reference) = &g.sold.reference
        {
            let seat = json!({"ticket": ticket, "old": g.old_label, "new": g.new_label});
            bookings.entry(reference).or_default().push(seat);
        } else if g.tell {
            let happened = Happened {
                kind: "ticket.reseated",
                subject: &subject,
                body: json!({"ticket": ticket, "trip": trip.id.0, "old": g.old_label,
                    "new": g.new_label}),
            };
            outbox::put(tx, happened, now).await?;
        } else if let (Some(reason), None) = (g.reason, &g.sold.reference) {
            let happened = Happened {
                kind: "ticket.seat_lost",
                subject: &subject,
                body: json!({"ticket": ticket, "trip": trip.id.0, "old": g.old_label,
                    "reason": reason}),
            };
            outbox::put(tx, happened, now).await?;
        }
    }
    for (reference, seats) in bookings {
        let happened = Happened {
            kind: "booking.reseated",
            subject: &format!("booking:{reference}"),
            body: json!({"booking": reference, "trip": trip.id.0, "seats": seats}),
        };
        outbox::put(tx, happened, now).await?;
    }
    Ok(())
}

/// Writes down who did it.
pub(super) async fn note(
    tx: &mut TenantTx,
    action: &str,
    (trip, row): (&Trip, &SwapRow),
    seats: Value,
    actor: Actor,
    now: Instant,
) -> Result<(), DbError> {
    let change = Change {
        action,
        subject: &format!("trip:{}", trip.id),
        before: Some(json!({"layout": row.old_layout.0, "bus": row.old_bus})),
        after: Some(
            json!({"layout": row.new_layout.0, "bus": row.new_bus, "swap": row.no,
            "undoes": row.undoes, "seats": seats}),
        ),
    };
    audit::note(tx, actor, change, now).await
}

/// The tickets that some goings are about.
pub(super) fn ids<'a>(going: impl Iterator<Item = &'a Going<'a>>) -> Vec<Uuid> {
    going.map(|g| g.sold.id.0).collect()
}
