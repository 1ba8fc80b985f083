//! What a payment asks of a booking: what is due, keep the seats, the money has come.
//!
//! Each function works in the payment's open transaction, and locks the booking before anything
//! else. Lock order: booking, payment, trips by number, bucket.

use std::collections::BTreeMap;

use domain::ids::TripId;
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::seatmap::SeatMap;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, Before, BookingRow, CouponRow};
use super::decide::FROZEN;
use super::issue::issue;
use super::load::{Stock, lock_stocks};
use super::service::BookingError;
use super::state::{Deadline, State};
use crate::db::DbError;
use crate::keys::HubKeys;
use crate::ledger::{self, NewEntry};
use crate::outbox::{self, Happened};
use crate::pricing;
use crate::tenant::TenantTx;

/// What is to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The booking.
    pub booking: Uuid,
    /// What the customer is told.
    pub reference: String,
    /// Only `AwaitingPayment` may be paid for.
    pub state: State,
    /// What all its seats cost.
    pub total_minor: Minor,
    /// What was paid already.
    pub paid_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// When its seats go back; `None` once it is paid.
    pub expires_at: Option<Instant>,
    /// No extension reaches beyond.
    pub expires_last: Option<Instant>,
}

/// Money that has come for a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// The payment: the same one is taken once.
    pub payment: Uuid,
    /// Where the money stands: the provider's clearing, or the seller's drawer.
    pub account: Account,
    /// How much.
    pub amount_minor: Minor,
}

/// What money that has come leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Tickets are issued and the sale is posted.
    Issued,
    /// There is nothing to give for it: the seats are sold to others, the trip or the booking is
    /// cancelled, or another payment has paid for it. The money stands in refunds payable and has
    /// to go back.
    SeatsGone,
    /// This payment was taken before; nothing was done.
    Already,
}

/// Locks a booking and says what is to pay for it; `None` where nobody knows it.
pub async fn due(tx: &mut TenantTx, booking: Uuid) -> Result<Option<Due>, DbError> {
    let row = db::lock_booking(tx, booking).await?;
    Ok(row.map(|b| Due {
        booking: b.id,
        reference: b.reference,
        state: b.state,
        total_minor: b.total_minor,
        paid_minor: b.paid_minor,
        currency: b.currency,
        expires_at: b.expires_at,
        expires_last: b.expires_last,
    }))
}

/// Keeps the seats of an unpaid booking until `until`, or as near to it as its last moment
/// allows. Gives the moment that they stay until; `None` where there is nothing to keep.
pub async fn extend(
    tx: &mut TenantTx,
    booking: Uuid,
    until: Instant,
) -> Result<Option<Instant>, DbError> {
    let Some(row) = db::lock_booking(tx, booking).await? else {
        return Ok(None);
    };
    let deadline = row.deadline().filter(|_| row.state.is_open());
    let Some(deadline) = deadline else {
        return Ok(None);
    };
    let kept = deadline.kept_for_payment(until);
    if kept != deadline {
        db::set_expiry(tx, booking, kept.expires_at).await?;
    }
    Ok(Some(kept.expires_at))
}

/// Money has come. Issues a ticket for every seat, ends the holds and posts the sale; or posts
/// the money to refunds payable where the seats are gone. Seats that ran out but are free still
/// are taken again.
pub async fn paid(
    tx: &mut TenantTx,
    keys: &HubKeys,
    booking: Uuid,
    money: &Paid,
    now: Instant,
) -> Result<Outcome, BookingError> {
    let row = db::lock_booking(tx, booking).await?;
    let row =
        row.ok_or_else(|| DbError::damaged(format!("the booking of a payment, {booking}")))?;
    let known = row.paid_by == Some(money.payment) || db::is_posted(tx, money.payment).await?;
    if known {
        return Ok(Outcome::Already);
    }
    let coupons = db::coupons(tx, booking).await?;
    let stocks = lock_stocks(tx, coupons.iter().map(|c| c.trip)).await?;
    if let Some(trip) = frozen_of(&stocks) {
        // Its own hold may be what somebody else has been granted since. The money stays where it
        // is; whoever brings it comes again.
        return Err(BookingError::Frozen(trip));
    }
    let before = db::before(tx, &coupons).await?;
    if is_still_to_be_had(&row, &coupons, &stocks, &before) {
        issue(tx, keys, &row, &coupons, (&stocks, &before), money, now).await?;
        return Ok(Outcome::Issued);
    }
    post_for_refund(tx, &row, money, now).await?;
    Ok(Outcome::SeatsGone)
}

/// A trip among these whose pool is frozen.
pub(super) fn frozen_of(stocks: &BTreeMap<TripId, Stock>) -> Option<TripId> {
    let frozen = stocks.iter().find(|(_, stock)| stock.state == FROZEN);
    frozen.map(|(trip, _)| *trip)
}

/// Whether every seat may become a ticket.
pub(super) fn is_still_to_be_had(
    row: &BookingRow,
    coupons: &[CouponRow],
    stocks: &BTreeMap<TripId, Stock>,
    before: &BTreeMap<i16, Before>,
) -> bool {
    let open = row.state.is_open();
    if !open && row.state != State::Expired {
        return false;
    }
    let mut pools: BTreeMap<TripId, SeatMap> = stocks
        .iter()
        .map(|(trip, stock)| (*trip, stock.pool.clone()))
        .collect();
    coupons.iter().all(|c| {
        let Some((stock, pool)) = stocks.get(&c.trip).zip(pools.get_mut(&c.trip)) else {
            return false;
        };
        let over = matches!(stock.state.as_str(), "cancelled" | "arrived");
        let sold = before.get(&c.no).is_some_and(|b| b.is_sold);
        // An open booking's claims are its own; what ran out has to be free, and the bus there.
        let free = open || (stock.state != "departed" && pool.take(c.seat, c.legs).is_ok());
        free && !over && !sold
    })
}

/// Money has come that buys nothing: owes it back to the customer, once.
pub async fn owe_back(
    tx: &mut TenantTx,
    booking: Uuid,
    money: &Paid,
    now: Instant,
) -> Result<(), BookingError> {
    let row = db::lock_booking(tx, booking).await?;
    let row =
        row.ok_or_else(|| DbError::damaged(format!("the booking of a payment, {booking}")))?;
    if db::is_posted(tx, money.payment).await? {
        return Ok(());
    }
    post_for_refund(tx, &row, money, now).await
}

/// Money without a seat: owed back to the customer.
async fn post_for_refund(
    tx: &mut TenantTx,
    row: &BookingRow,
    money: &Paid,
    now: Instant,
) -> Result<(), BookingError> {
    let zone = crate::company::zone_of(tx).await?;
    let line = |account, amount_minor| Posting {
        account,
        amount_minor,
        ticket: None,
    };
    let postings = vec![
        line(money.account, money.amount_minor),
        line(Account::RefundsPayable, -money.amount_minor),
    ];
    let day = now
        .local_date(&zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let entry = Entry::new(EntryKind::Payment, row.currency, day, postings)
        .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))?;
    let entry = NewEntry {
        id: money.payment,
        entry,
    };
    ledger::post(tx, &[entry], now).await?;
    Ok(())
}

/// Gives the seats of an unpaid booking back to the pool. `to` is `Expired` or `Cancelled`.
/// Whether there was something to give back.
pub async fn release(
    tx: &mut TenantTx,
    booking: Uuid,
    to: State,
    now: Instant,
) -> Result<bool, DbError> {
    let Some(row) = db::lock_booking(tx, booking).await? else {
        return Ok(false);
    };
    if !row.state.is_open() || !matches!(to, State::Expired | State::Cancelled) {
        return Ok(false);
    }
    let trips = db::end_unpaid(tx, booking, to).await?;
    pricing::give_back(tx, booking, now).await?;
    let kind = if to == State::Expired {
        "booking.expired"
    } else {
        "booking.cancelled"
    };
    let happened = Happened {
        kind,
        subject: &format!("booking:{}", row.reference),
        body: json!({ "booking": booking, "reference": row.reference, "trips": trips }),
    };
    outbox::put(tx, happened, now).await?;
    Ok(true)
}

impl BookingRow {
    /// When its seats go back, while it is unpaid.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let (expires_at, last) = self.expires_at.zip(self.expires_last)?;
        Some(Deadline { expires_at, last })
    }
}
