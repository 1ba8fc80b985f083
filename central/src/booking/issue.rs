//! Turning the seats of a booking into signed tickets and the sale's entry.

use std::collections::BTreeMap;

use domain::ids::{SaleOrdinal, TicketId, TripId};
use domain::ingest::TicketState;
use domain::ledger::{Account, Entry, EntryKind, sale_postings};
use domain::ticket::{SignedTicket, TicketClaim, sign_ticket};
use domain::time::Instant;
use serde_json::json;

use super::db::{self, Before, BookingRow, CouponRow, Issued};
use super::load::Stock;
use super::pay::Paid;
use super::service::BookingError;
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::keys::HubKeys;
use crate::ledger::{self, NewEntry};
use crate::metrics::Counted;
use crate::outbox::{self, Happened};
use crate::sync::buckets::{take_changes, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::tickets::{TicketRow, insert_tickets};

/// Issues a ticket per coupon, ends the holds, posts the sale and tells the outbox. The trips are
/// locked and the seats are the booking's, or free. Gives the tickets in the order of the coupons.
pub(super) async fn issue(
    tx: &mut TenantTx,
    keys: &HubKeys,
    booking: &BookingRow,
    coupons: &[CouponRow],
    (stocks, before): (&BTreeMap<TripId, Stock>, &BTreeMap<i16, Before>),
    money: &Paid,
    now: Instant,
) -> Result<Vec<SignedTicket>, BookingError> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for coupon in coupons {
        *counts.entry(trip_bucket(coupon.trip)).or_default() += 1;
    }
    let mut next = take_changes(tx, &counts).await?;
    for (bucket, last) in &mut next {
        *last -= counts.get(bucket).copied().unwrap_or(0);
    }
    let mut rows = Vec::with_capacity(coupons.len());
    for coupon in coupons {
        let stock = stocks.get(&coupon.trip);
        let stock = stock.ok_or_else(|| DbError::damaged(format!("trip {}", coupon.trip)))?;
        let change = next.entry(trip_bucket(coupon.trip)).or_default();
        *change += 1;
        let sold_before = before.get(&coupon.no).map_or(0, |b| b.last_ordinal);
        let claim = TicketClaim {
            id: TicketId(fresh_uuid(now)?),
            trip: coupon.trip,
            seat: coupon.seat,
            from: coupon.legs.from(),
            to: coupon.legs.to(),
            class: coupon.class,
            ordinal: SaleOrdinal(sold_before.saturating_add(1)),
            issued_at: now,
            lease: None,
            layout_version: stock.facts.trip.numbering(),
            test: false,
        };
        rows.push(TicketRow {
            ticket: sign_ticket(&claim, keys.kid(), keys.signing_key()),
            seat: coupon.seat,
            legs: coupon.legs,
            issuer: None,
            shift: None,
            booking: Some(booking.id),
            fare_minor: coupon.price(),
            currency: booking.currency,
            state: TicketState::Live,
            change_no: *change,
        });
    }
    insert_tickets(tx, &rows).await?;
    tx.count(Counted::HubTickets(rows.len() as u64));
    let issued: Vec<Issued> = coupons
        .iter()
        .zip(&rows)
        .map(|(coupon, row)| Issued {
            coupon_no: coupon.no,
            ticket: row.ticket.claim.id.0,
        })
        .collect();
    db::confirm(
        tx,
        booking.id,
        &issued,
        money.payment,
        money.amount_minor,
        now,
    )
    .await?;
    let zone = stocks.values().next().map(|s| &s.zone);
    let zone = zone.ok_or_else(|| DbError::damaged("a booking without trips"))?;
    let day = now
        .local_date(zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    // Paid, and owed to the passengers until their trips depart.
    let mut fares_on = BTreeMap::new();
    for (trip, stock) in stocks {
        let account = if matches!(stock.state.as_str(), "scheduled" | "boarding") {
            Account::DeferredRevenue(*trip)
        } else {
            ledger::fares_account(tx, *trip).await?
        };
        fares_on.insert(*trip, account);
    }
    let lines = rows.iter().map(|r| {
        let claim = &r.ticket.claim;
        let known = fares_on.get(&claim.trip).copied();
        let account = known.unwrap_or(Account::DeferredRevenue(claim.trip));
        (claim.id, account, r.fare_minor)
    });
    let postings = sale_postings([(money.account, money.amount_minor)], lines);
    let entry = Entry::new(EntryKind::Sale, booking.currency, day, postings)
        .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))?;
    let entry = NewEntry {
        id: booking.id,
        entry,
    };
    ledger::post(tx, &[entry], now).await?;
    let happened = Happened {
        kind: "booking.confirmed",
        subject: &format!("booking:{}", booking.reference),
        body: json!({
            "booking": booking.id,
            "reference": booking.reference,
            "trips": stocks.keys().map(|t| t.0).collect::<Vec<_>>(),
            "tickets": issued.iter().map(|i| i.ticket).collect::<Vec<_>>(),
            "total_minor": booking.total_minor.0,
            "currency": booking.currency.as_str(),
        }),
    };
    outbox::put(tx, happened, now).await?;
    Ok(rows.into_iter().map(|r| r.ticket).collect())
}
