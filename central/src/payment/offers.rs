//! Paying what an exchange costs more.
//!
//! As for a booking: the intent is stored before the provider hears of it. The new seats wait for
//! the money; when it has come the exchange is carried out, or the money goes back by itself.

use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, NewPayment};
use super::kind::ProviderKind;
use super::refunds::fresh_reference;
use super::service::{
    ATTEMPTS_MAX, Beginning, Begun, HOLD_MARGIN_MS, PaymentError, Refusal, Wish, hint_of, one,
    place,
};
use crate::access::Identity;
use crate::aftersale::{AftersaleError, paying};
use crate::audit::{self, Change};
use crate::clock;
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::http::Api;
use crate::idempotency::{self, Answer, IdempotencyKey, Replay};
use crate::tenant::TenantTx;

/// Begins the payment of an exchange, or says again what was answered to this key.
pub(super) async fn begin(
    api: &Api,
    company: CompanyId,
    offer: Uuid,
    (wish, identity): (&Wish, Identity),
    key: &IdempotencyKey,
    render: impl Fn(&Begun) -> Answer,
) -> Result<Beginning, PaymentError> {
    let mut attempts = 1;
    loop {
        let now = clock::now();
        match begin_once(api, company, offer, (wish, identity), key, now, &render).await {
            Err(error) if error.is_lost_race() && attempts < ATTEMPTS_MAX => attempts += 1,
            done => return done,
        }
    }
}

async fn begin_once(
    api: &Api,
    company: CompanyId,
    offer: Uuid,
    by: (&Wish, Identity),
    key: &IdempotencyKey,
    now: Instant,
    render: &impl Fn(&Begun) -> Answer,
) -> Result<Beginning, PaymentError> {
    let mut tx = api.db.tenant(company).await?;
    if let Some(replay) = idempotency::claim(&mut tx, key).await? {
        return Ok(Beginning {
            is_kept: replay != Replay::InFlight,
            replay,
            to_start: None,
        });
    }
    let begun = match decide_and_store(&mut tx, api, offer, by, now).await {
        // Nothing was written before it was refused.
        Err(PaymentError::Aftersale(AftersaleError::Refused(why))) => Err(Refusal::Offer(why)),
        done => done?,
    };
    let answer = render(&begun);
    idempotency::record(&mut tx, key, &answer, now).await?;
    tx.commit().await?;
    Ok(Beginning {
        replay: Replay::Again(answer),
        is_kept: true,
        to_start: begun.ok().map(|p| p.id),
    })
}

async fn decide_and_store(
    tx: &mut TenantTx,
    api: &Api,
    offer: Uuid,
    (wish, identity): (&Wish, Identity),
    now: Instant,
) -> Result<Begun, PaymentError> {
    let due = paying::due(tx, offer, now).await?;
    if let Some(underway) = db::live_of(tx, due.booking).await? {
        return Ok(Err(Refusal::Underway(underway)));
    }
    // Cash is taken with the confirmation, at a counter.
    if wish.provider == ProviderKind::Cash || api.payments.of(wish.provider).is_none() {
        return Ok(Err(Refusal::NotOffered(wish.provider)));
    }
    let id = fresh_uuid(now)?;
    let deadline = now.plus_ms(api.payments.pay_within_ms(wish.provider));
    let deadline = deadline.min(due.last.plus_ms(-HOLD_MARGIN_MS));
    paying::hold(tx, offer, deadline.plus_ms(HOLD_MARGIN_MS), now).await?;
    let payer = wish.payer.as_bytes();
    let new = NewPayment {
        id,
        booking: due.booking,
        provider: wish.provider,
        reference: fresh_reference()?,
        amount_minor: due.amount_minor,
        currency: due.currency,
        payer_sealed: Some(api.vault.seal(place(tx.company(), &id), payer)?),
        payer_hint: hint_of(wish),
        deadline,
        next_poll_at: Some(now),
        actor: identity.into(),
    };
    db::insert(tx, &new, now).await?;
    paying::begun(tx, offer, id).await?;
    let change = Change {
        action: "payment.begin",
        subject: &format!("payment:{id}"),
        before: None,
        after: Some(json!({ "booking": due.reference, "offer": offer,
            "provider": wish.provider.as_str(), "amount_minor": due.amount_minor.0 })),
    };
    audit::note(tx, identity, change, now).await?;
    let row = one(tx, id).await?;
    Ok(Ok(row.ok_or_else(|| {
        DbError::damaged("a payment just stored")
    })?))
}
