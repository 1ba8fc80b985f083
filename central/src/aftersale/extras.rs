//! Selling luggage and other extras with a seat.

use domain::ids::TicketId;
use domain::ledger::Account;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, SoldExtra};
use super::offer::{AftersaleError, Refused};
use super::undo;
use crate::access::Identity;
use crate::audit::{self, Change};
use crate::company::fresh_uuid;
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;

/// A wish for an extra.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) booking: Uuid,
    pub(super) coupon: i16,
    pub(super) code: String,
    pub(super) count: i32,
}

/// What was sold.
#[derive(Debug, Clone)]
pub(super) struct Bought {
    pub(super) extra_no: i64,
    pub(super) name: String,
    pub(super) price_minor: i64,
    pub(super) currency: domain::money::Currency,
}

/// Sells an extra for cash into the seller's drawer.
pub(super) async fn sell(
    tx: &mut TenantTx,
    wish: &Wish,
    (identity, drawer): (Identity, Account),
    now: Instant,
) -> Result<Bought, AftersaleError> {
    let booking = db::lock_booking(tx, wish.booking).await?;
    let booking = booking.ok_or(Refused::Unknown("booking"))?;
    let extra = db::lock_extra(tx, &wish.code).await?;
    let extra = extra.filter(|e| e.active);
    let extra = extra.ok_or(Refused::Unknown("extra on sale"))?;
    let carrier = db::carrier(tx, wish.booking, wish.coupon, &wish.code).await?;
    let carrier = carrier.ok_or(Refused::NoCoupon(wish.coupon))?;
    if carrier.count + i64::from(wish.count) > i64::from(extra.max_count) {
        return Err(Refused::TooMany(extra.max_count).into());
    }
    let times = if extra.per == "piece" {
        i64::from(wish.count)
    } else {
        1
    };
    let price_minor = extra.price_minor.saturating_mul(times);
    let sold = SoldExtra {
        booking: wish.booking,
        coupon: wish.coupon,
        extra: &extra,
        count: wish.count,
        price_minor,
        currency: carrier.currency,
    };
    let extra_no = db::insert_extra(tx, sold, now).await?;
    let entry = fresh_uuid(now)?;
    let paid = (TicketId(carrier.ticket), carrier.trip, price_minor);
    undo::post_extra(tx, entry, paid, (carrier.currency, drawer), now).await?;
    let subject = format!("booking:{}", booking.reference);
    let body = json!({
        "booking": wish.booking,
        "coupon": wish.coupon,
        "extra": extra.code,
        "count": wish.count,
        "price_minor": price_minor,
        "currency": carrier.currency.as_str(),
    });
    let happened = Happened {
        kind: "booking.extra_sold",
        subject: &subject,
        body: body.clone(),
    };
    outbox::put(tx, happened, now).await?;
    let change = Change {
        action: "booking.extra",
        subject: &subject,
        before: None,
        after: Some(body),
    };
    audit::note(tx, identity, change, now).await?;
    Ok(Bought {
        extra_no,
        name: extra.name,
        price_minor,
        currency: carrier.currency,
    })
}
