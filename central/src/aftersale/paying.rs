//! An exchange that costs more, paid by the passenger: the seats wait for the money, and the money
//! carries the exchange out or goes back.

use domain::ids::TripId;
use domain::money::{Currency, Minor};
use domain::time::Instant;
use uuid::Uuid;

use super::db;
use super::offer::{AftersaleError, Kind, OFFER_MS, Refused};
use super::service::{self, Confirming};
use super::undo;
use crate::audit::Actor;
use crate::booking::pay::{Paid, owe_back};
use crate::booking::{BookingError, PAYMENT_GRACE_MS};
use crate::http::Api;
use crate::tenant::TenantTx;

/// What is to pay for an exchange.
#[derive(Debug, Clone)]
pub(crate) struct OfferDue {
    /// Its booking, whose row is locked.
    pub(crate) booking: Uuid,
    /// What the customer is told.
    pub(crate) reference: String,
    /// Beside what was paid for the old tickets.
    pub(crate) amount_minor: Minor,
    /// ISO 4217.
    pub(crate) currency: Currency,
    /// No payment of it keeps seats longer.
    pub(crate) last: Instant,
}

/// What money for an exchange leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfferPaid {
    /// The new tickets are there.
    Exchanged,
    /// Something has changed: nothing was exchanged, the money is owed back.
    NotExchanged,
}

/// Locks an exchange's booking and says what is to pay.
pub(crate) async fn due(
    tx: &mut TenantTx,
    offer: Uuid,
    now: Instant,
) -> Result<OfferDue, AftersaleError> {
    let known = db::offer(tx, offer).await?;
    let known = known.ok_or(Refused::Unknown("offer"))?;
    let booking = known.booking.filter(|_| known.kind == Kind::Exchange);
    let booking = booking.ok_or(Refused::NothingDue)?;
    let row = db::lock_booking(tx, booking).await?;
    let reference = row.ok_or(Refused::Unknown("booking"))?.reference;
    // Under the lock: a payment or a confirmation may have ended it.
    let open = db::offer(tx, offer).await?.filter(|o| o.state == "open");
    let begins_by = known.created_at.plus_ms(OFFER_MS);
    if open.is_none() || now > begins_by {
        return Err(Refused::OfferOver.into());
    }
    if known.due_minor <= Minor::ZERO {
        return Err(Refused::NothingDue.into());
    }
    Ok(OfferDue {
        booking,
        reference,
        amount_minor: known.due_minor,
        currency: known.currency,
        last: begins_by.plus_ms(PAYMENT_GRACE_MS),
    })
}

/// Holds the new seats of an exchange, and keeps its offer open, until its payment has ended.
pub(crate) async fn hold(
    tx: &mut TenantTx,
    offer: Uuid,
    until: Instant,
    now: Instant,
) -> Result<(), AftersaleError> {
    let known = db::offer(tx, offer).await?;
    let known = known.ok_or(Refused::Unknown("offer"))?;
    let to = known.plan.to.ok_or(Refused::NothingDue)?;
    let aside = undo::set_aside(tx, TripId(to.trip), now).await?;
    let free = undo::free_seats(tx, (&to, &aside), known.plan.lines.len(), now).await?;
    db::hold_for(tx, offer, (TripId(to.trip), free.legs, &free.seats)).await?;
    db::keep_offer(tx, offer, until).await?;
    Ok(())
}

/// Notes that a payment is for an exchange.
pub(crate) async fn begun(
    tx: &mut TenantTx,
    offer: Uuid,
    payment: Uuid,
) -> Result<(), AftersaleError> {
    Ok(db::note_payment(tx, offer, payment).await?)
}

/// The exchange that a payment is for.
pub(crate) async fn offer_of(
    tx: &mut TenantTx,
    payment: Uuid,
) -> Result<Option<Uuid>, AftersaleError> {
    Ok(db::offer_of_payment(tx, payment).await?)
}

/// The payment of an exchange came to nothing: its seats are free again.
pub(crate) async fn let_go(tx: &mut TenantTx, offer: Uuid) -> Result<(), AftersaleError> {
    Ok(db::let_go(tx, offer).await?)
}

/// Money has come for an exchange: does what was offered, or owes the money back. The booking and
/// the payment are locked.
pub(crate) async fn paid(
    tx: &mut TenantTx,
    api: &Api,
    (offer, booking): (Uuid, Uuid),
    money: &Paid,
    now: Instant,
) -> Result<OfferPaid, BookingError> {
    let who = Confirming {
        actor: Actor::System,
        drawer: Some(money.account),
        trip: None,
    };
    db::savepoint(tx).await?;
    match service::confirm(tx, api, offer, who, now).await {
        Ok(done) if done.offer.due_minor == money.amount_minor => {
            db::keep_savepoint(tx).await?;
            return Ok(OfferPaid::Exchanged);
        }
        Ok(done) => {
            tracing::error!(%offer, due = done.offer.due_minor.0, "another amount was paid");
        }
        Err(AftersaleError::Refused(why)) => {
            tracing::info!(%offer, %why, "an exchange that was paid for is not carried out");
        }
        Err(AftersaleError::Db(error)) => return Err(error.into()),
        Err(AftersaleError::Vault(error)) => return Err(error.into()),
        Err(AftersaleError::NoEntropy(error)) => return Err(error.into()),
    }
    db::back_to_savepoint(tx).await?;
    db::let_go(tx, offer).await?;
    db::lapse_one(tx, offer, now).await?;
    owe_back(tx, booking, money, now).await?;
    Ok(OfferPaid::NotExchanged)
}
