//! Turning the seats of a booking into signed tickets and the sale's entry.

use std::collections::BTreeMap;

use domain::ids::{SaleOrdinal, TicketId, TripId};
use domain::ingest::TicketState;
use domain::ledger::{Account, Entry, EntryKind, sale_postings};
use domain::ticket::{TicketClaim, sign_ticket};
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::json;

use super::db::{self, BookingRow, CouponRow, Issued};
use super::pay::Paid;
use super::service::BookingError;
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::keys::HubKeys;
use crate::ledger::{self, AccountCache, NewEntry};
use crate::outbox::{self, Happened};
use crate::sync::buckets::{take_changes, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;
use crate::ticketing::tickets::{TicketRow, insert_tickets};

/// Issues a ticket per coupon, ends the holds, posts the sale and tells the outbox. The trips are
/// locked and the seats are the booking's, or free.
pub(super) async fn issue(
    tx: &mut TenantTx,
    keys: &HubKeys,
    booking: &BookingRow,
    coupons: &[CouponRow],
    money: &Paid,
    now: Instant,
) -> Result<(), BookingError> {
    let mut trips: BTreeMap<TripId, Trip> = BTreeMap::new();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let mut ordinals = BTreeMap::new();
    for coupon in coupons {
        *counts.entry(trip_bucket(coupon.trip)).or_default() += 1;
        if let std::collections::btree_map::Entry::Vacant(slot) = trips.entry(coupon.trip) {
            let trip = lock_trip(tx, coupon.trip).await?;
            slot.insert(trip.ok_or_else(|| DbError::damaged(format!("trip {}", coupon.trip)))?);
            let seats: Vec<_> = coupons
                .iter()
                .filter(|c| c.trip == coupon.trip)
                .map(|c| c.seat)
                .collect();
            ordinals.insert(
                coupon.trip,
                db::hub_ordinals(tx, coupon.trip, &seats).await?,
            );
        }
    }
    let mut next = take_changes(tx, &counts).await?;
    for (bucket, last) in &mut next {
        *last -= counts.get(bucket).copied().unwrap_or(0);
    }
    let mut rows = Vec::with_capacity(coupons.len());
    for coupon in coupons {
        let Some(trip) = trips.get(&coupon.trip) else {
            continue;
        };
        let sold_before = ordinals
            .get(&coupon.trip)
            .and_then(|o| o.get(&coupon.seat))
            .copied();
        let change = next.entry(trip_bucket(coupon.trip)).or_default();
        *change += 1;
        let claim = TicketClaim {
            id: TicketId(fresh_uuid(now)?),
            trip: coupon.trip,
            seat: coupon.seat,
            from: coupon.legs.from(),
            to: coupon.legs.to(),
            class: coupon.class,
            ordinal: SaleOrdinal(sold_before.unwrap_or(0).saturating_add(1)),
            issued_at: now,
            lease: None,
            layout_version: trip.layout_version,
            test: false,
        };
        rows.push(TicketRow {
            ticket: sign_ticket(&claim, keys.kid(), keys.signing_key()),
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
    post(tx, booking, &rows, money, now).await?;
    let happened = Happened {
        kind: "booking.confirmed",
        subject: &format!("booking:{}", booking.reference),
        body: json!({
            "booking": booking.id,
            "reference": booking.reference,
            "trips": trips.keys().map(|t| t.0).collect::<Vec<_>>(),
            "tickets": issued.iter().map(|i| i.ticket).collect::<Vec<_>>(),
            "total_minor": booking.total_minor.0,
            "currency": booking.currency.as_str(),
        }),
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}

/// Paid, and owed to the passengers until their trips depart.
async fn post(
    tx: &mut TenantTx,
    booking: &BookingRow,
    rows: &[TicketRow],
    money: &Paid,
    now: Instant,
) -> Result<(), BookingError> {
    let zone = db::company_zone(tx).await?;
    let day = now
        .local_date(&zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let lines = rows.iter().map(|r| {
        let claim = &r.ticket.claim;
        (claim.id, Account::DeferredRevenue(claim.trip), r.fare_minor)
    });
    let postings = sale_postings([(money.account, money.amount_minor)], lines);
    let entry = Entry::new(EntryKind::Sale, booking.currency, day, postings)
        .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))?;
    let entry = NewEntry {
        id: booking.id,
        entry,
    };
    ledger::post(tx, &mut AccountCache::new(), &[entry], now).await?;
    Ok(())
}
