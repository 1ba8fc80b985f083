//! A payment from the wish to the money.
//!
//! Beginning one is a transaction of its own: the intent and the answer are kept before the
//! provider hears of it. Every turn after that is: take it, ask, write down what was said.

use domain::ids::CompanyId;
use domain::ledger::Account;
use domain::money::Minor;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::calls::{Call, timed};
use super::db::{self, NewPayment, PaymentRow, Taken, Turn, Wanted};
use super::kind::ProviderKind;
use super::provider::{Charge, Provider, Said};
use super::refunds::{self, RefundError, drawer_of, fresh_reference};
use super::rules::{Heard, PaymentState, Step, hear};
use crate::access::Identity;
use crate::aftersale::AftersaleError;
use crate::aftersale::paying::{self, OfferPaid};
use crate::audit::{self, Actor, Change};
use crate::booking::pay::{self, Outcome, Paid};
use crate::booking::{BookingError, State};
use crate::clock;
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::http::Api;
use crate::idempotency::{self, Answer, IdempotencyKey, Replay};
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;
use crate::vault::{Place, VaultError};

/// A payment that is being asked about is left alone so long, in milliseconds.
const TURN_LEASE_MS: i64 = 60_000;
/// Seats are kept so much longer than the payer has, for the last question and its answer.
pub(super) const HOLD_MARGIN_MS: i64 = 30_000;
/// How often a transaction that lost a race is done again.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// What somebody wants to pay with.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Which way; `momo`, `card` or `cash`.
    pub provider: ProviderKind,
    /// A phone number in E.164 or a card token; empty for cash.
    pub payer: String,
    /// Whether the caller may take cash for this company.
    pub may_take_cash: bool,
}

/// Why a payment does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows the booking.
    #[error("there is no booking with this reference for you to pay")]
    UnknownBooking,
    /// Its state does not want money.
    #[error("a booking that is {0} cannot be paid for")]
    NotPayable(State),
    /// Its seats went back.
    #[error("the seats were held until {0}: book again")]
    TooLate(Instant),
    /// Another payment of it is under way.
    #[error("another payment of this booking is under way: wait for it, or for its end")]
    Underway(Uuid),
    /// The hub does not have this provider.
    #[error("this hub takes no payments by {}", .0.as_str())]
    NotOffered(ProviderKind),
    /// Only a seller may take cash.
    #[error("cash is taken by sellers of the company only")]
    NotASeller,
    /// What its offer says.
    #[error(transparent)]
    Offer(crate::aftersale::Refused),
    /// The seats are sold to others.
    #[error("the seats are gone: book again")]
    SeatsGone,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// Personal data could not be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The tickets could not be issued.
    #[error(transparent)]
    Booking(#[from] BookingError),
    /// The exchange could not be carried out.
    #[error(transparent)]
    Aftersale(#[from] AftersaleError),
    /// The money could not be sent back.
    #[error(transparent)]
    Refund(#[from] RefundError),
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for PaymentError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

impl PaymentError {
    /// Whether the same again may succeed.
    pub(super) fn is_lost_race(&self) -> bool {
        match self {
            Self::Db(e)
            | Self::Booking(BookingError::Db(e))
            | Self::Aftersale(AftersaleError::Db(e))
            | Self::Refund(RefundError::Db(e)) => {
                matches!(e, DbError::TryAgain(_))
                    || e.is_seat_taken()
                    || e.constraint() == Some("payment_one_live")
            }
            Self::Vault(_)
            | Self::Booking(_)
            | Self::Aftersale(_)
            | Self::Refund(_)
            | Self::NoEntropy(_) => false,
        }
    }
}

/// What was begun: the payment, or why not.
pub type Begun = Result<PaymentRow, Refusal>;

/// What a beginning came to.
pub struct Beginning {
    /// The answer.
    pub replay: Replay,
    /// Whether it is on record.
    pub is_kept: bool,
    /// The payment that a provider has to hear of.
    pub to_start: Option<Uuid>,
}

/// Begins a payment, or says again what was answered to this key.
pub async fn begin(
    api: &Api,
    company: CompanyId,
    booking: Uuid,
    wish: &Wish,
    identity: Identity,
    key: &IdempotencyKey,
    render: impl Fn(&Begun) -> Answer,
) -> Result<Beginning, PaymentError> {
    let mut attempts = 1;
    loop {
        let now = clock::now();
        match begin_once(api, company, booking, wish, identity, key, now, &render).await {
            Err(error) if error.is_lost_race() && attempts < ATTEMPTS_MAX => attempts += 1,
            done => return done,
        }
    }
}

async fn begin_once(
    api: &Api,
    company: CompanyId,
    booking: Uuid,
    wish: &Wish,
    identity: Identity,
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
    let begun = decide_and_store(&mut tx, api, booking, wish, identity, now).await?;
    let answer = render(&begun);
    let is_kept = !matches!(begun, Err(Refusal::SeatsGone));
    if is_kept {
        idempotency::record(&mut tx, key, &answer, now).await?;
        tx.commit().await?;
    } else {
        // Nothing of it may stay: no money was taken.
        tx.rollback().await?;
    }
    let to_start = begun.ok().filter(|p| p.state.is_live()).map(|p| p.id);
    Ok(Beginning {
        replay: Replay::Again(answer),
        is_kept,
        to_start,
    })
}

async fn decide_and_store(
    tx: &mut TenantTx,
    api: &Api,
    booking: Uuid,
    wish: &Wish,
    identity: Identity,
    now: Instant,
) -> Result<Begun, PaymentError> {
    let Some(due) = pay::due(tx, booking).await? else {
        return Ok(Err(Refusal::UnknownBooking));
    };
    if due.state != State::AwaitingPayment {
        return Ok(Err(Refusal::NotPayable(due.state)));
    }
    if let Some(underway) = db::live_of(tx, booking).await? {
        return Ok(Err(Refusal::Underway(underway)));
    }
    if let Some(gone) = due.expires_at.filter(|at| *at <= now) {
        return Ok(Err(Refusal::TooLate(gone)));
    }
    let owed = Minor((due.total_minor.0 - due.paid_minor.0).max(0));
    // What a voucher has paid for needs no provider.
    let at_once = wish.provider == ProviderKind::Cash || owed == Minor::ZERO;
    if wish.provider == ProviderKind::Cash && owed > Minor::ZERO && !wish.may_take_cash {
        return Ok(Err(Refusal::NotASeller));
    }
    if !at_once && api.payments.of(wish.provider).is_none() {
        return Ok(Err(Refusal::NotOffered(wish.provider)));
    }
    let provider = if at_once {
        ProviderKind::Cash
    } else {
        wish.provider
    };
    let id = fresh_uuid(now)?;
    let deadline = now.plus_ms(api.payments.pay_within_ms(provider));
    let deadline = due.expires_last.map_or(deadline, |last| deadline.min(last));
    let payer_sealed = if at_once {
        None
    } else {
        Some(
            api.vault
                .seal(place(tx.company(), &id), wish.payer.as_bytes())?,
        )
    };
    let new = NewPayment {
        id,
        booking,
        provider,
        reference: fresh_reference()?,
        amount_minor: owed,
        currency: due.currency,
        payer_sealed,
        payer_hint: hint_of(wish),
        deadline,
        next_poll_at: (!at_once).then_some(now),
        actor: identity.into(),
    };
    db::insert(tx, &new, now).await?;
    let change = Change {
        action: "payment.begin",
        subject: &format!("payment:{id}"),
        before: None,
        after: Some(
            json!({ "booking": due.reference, "provider": provider.as_str(),
            "amount_minor": owed.0 }),
        ),
    };
    audit::note(tx, identity, change, now).await?;
    if at_once {
        let account = drawer_of(identity);
        let outcome = capture(tx, api, booking, &new, account, now).await?;
        if outcome != Outcome::Issued {
            return Ok(Err(Refusal::SeatsGone));
        }
    } else {
        pay::extend(tx, booking, deadline.plus_ms(HOLD_MARGIN_MS)).await?;
    }
    let row = one(tx, id).await?;
    Ok(Ok(row.ok_or_else(|| {
        DbError::damaged("a payment just stored")
    })?))
}

/// Cash over the counter.
async fn capture(
    tx: &mut TenantTx,
    api: &Api,
    booking: Uuid,
    new: &NewPayment,
    account: Account,
    now: Instant,
) -> Result<Outcome, PaymentError> {
    let money = Paid {
        payment: new.id,
        account,
        amount_minor: new.amount_minor,
    };
    let outcome = pay::paid(tx, &api.keys, booking, &money, now).await?;
    let turn = Turn {
        state: PaymentState::Captured,
        next_poll_at: None,
        provider_id: None,
        action_url: None,
        reason: None,
        outcome: Some("issued"),
    };
    db::turn(tx, new.id, &turn, now).await?;
    tell(tx, new.id, "payment.captured", now).await?;
    Ok(outcome)
}

/// The last digits, by which a payer knows the number again.
pub(super) fn hint_of(wish: &Wish) -> Option<String> {
    let digits: Vec<char> = wish.payer.chars().collect();
    let shown = wish.provider == ProviderKind::Momo && digits.len() > 6;
    shown.then(|| digits[digits.len() - 3..].iter().collect())
}

pub(super) fn place(company: CompanyId, payment: &Uuid) -> Place<'_> {
    Place {
        company,
        table: "payment",
        row: payment.as_bytes(),
        column: "payer_sealed",
    }
}

/// A payment as it stands.
pub async fn one(tx: &mut TenantTx, payment: Uuid) -> Result<Option<PaymentRow>, DbError> {
    let wanted = Wanted {
        payment: Some(payment),
        most: 1,
        ..Wanted::default()
    };
    Ok(db::list(tx, &wanted).await?.pop())
}

/// Gives a payment its next turn, if it is due and nobody else is at it.
pub async fn drive(api: &Api, company: CompanyId, payment: Uuid) -> Result<(), PaymentError> {
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    let taken = db::claim(&mut tx, payment, now.plus_ms(TURN_LEASE_MS), now).await?;
    let Some(mut taken) = taken else {
        return Ok(());
    };
    tx.commit().await?;
    let Some(provider) = api.payments.of(taken.provider) else {
        tracing::error!(%payment, provider = taken.provider.as_str(), "a payment's provider is not configured");
        return Ok(());
    };
    if let Some(sealed) = &taken.payer_sealed {
        let payer = api.vault.open(place(company, &payment), sealed)?;
        taken.charge.payer = String::from_utf8_lossy(&payer).into_owned();
    }
    if taken.provider == ProviderKind::Momo {
        taken.charge.callback = super::callbacks::momo_url(api, company, payment)?;
    }
    let mut calls = vec![];
    let said = ask(provider, &taken, now, &mut calls).await;
    let mut attempts = 1;
    loop {
        match write(api, company, payment, &said, &calls).await {
            Err(error) if error.is_lost_race() && attempts < ATTEMPTS_MAX => attempts += 1,
            done => return done,
        }
    }
}

/// Asks what has to be asked at this turn.
async fn ask(provider: &dyn Provider, taken: &Taken, now: Instant, calls: &mut Vec<Call>) -> Said {
    let charge: &Charge = &taken.charge;
    let in_time = now < taken.deadline;
    if taken.state.is_live() && !in_time {
        return timed("cancel", provider.close(charge), calls).await;
    }
    let first = taken.state == PaymentState::Intent && taken.asked_before == 0;
    if !first {
        let said = timed("ask", provider.ask(charge), calls).await;
        if said.heard != Heard::NeverHeard || !taken.state.is_live() {
            return said;
        }
    }
    timed("start", provider.start(charge), calls).await
}

async fn write(
    api: &Api,
    company: CompanyId,
    payment: Uuid,
    said: &Said,
    calls: &[Call],
) -> Result<(), PaymentError> {
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    let Some(booking) = db::booking_of(&mut tx, payment).await? else {
        return Ok(());
    };
    let offer = paying::offer_of(&mut tx, payment).await?;
    // Booking before payment, as everywhere.
    let due = pay::due(&mut tx, booking).await?;
    let Some((standing, provider, amount)) = db::lock(&mut tx, payment).await? else {
        return Ok(());
    };
    for call in calls {
        call.write(&mut tx, Some(payment), None).await?;
    }
    let mut turn = Turn {
        state: standing.state,
        next_poll_at: None,
        provider_id: said.provider_id.as_deref(),
        action_url: said.action_url.as_deref(),
        reason: said.reason.as_deref(),
        outcome: None,
    };
    let kind = match hear(standing, said.heard, now) {
        Step::Rest => None,
        Step::Wait(state, at) => {
            (turn.state, turn.next_poll_at) = (state, Some(at));
            None
        }
        Step::Fail => {
            turn.state = PaymentState::Failed;
            Some("payment.failed")
        }
        Step::Expire(again) => {
            (turn.state, turn.next_poll_at) = (PaymentState::Expired, again);
            Some("payment.expired")
        }
        Step::Capture => {
            turn.state = PaymentState::Captured;
            let paid_before = due.is_some_and(|d| d.state == State::Confirmed);
            let account = provider.clearing();
            let money = Paid {
                payment,
                account: account.ok_or_else(|| DbError::damaged("a payment's provider"))?,
                amount_minor: amount,
            };
            turn.outcome = Some(if let Some(offer) = offer {
                match paying::paid(&mut tx, api, (offer, booking), &money, now).await? {
                    OfferPaid::Exchanged => "issued",
                    OfferPaid::NotExchanged => "seats_gone",
                }
            } else {
                match pay::paid(&mut tx, &api.keys, booking, &money, now).await? {
                    Outcome::Issued | Outcome::Already => "issued",
                    Outcome::SeatsGone if paid_before => "already_paid",
                    Outcome::SeatsGone => "seats_gone",
                }
            });
            Some("payment.captured")
        }
    };
    db::turn(&mut tx, payment, &turn, now).await?;
    // At its end only: a late question must not free what a later payment holds.
    if let (Some(offer), Some("payment.failed" | "payment.expired")) = (offer, kind) {
        paying::let_go(&mut tx, offer).await?;
    }
    if let Some(why @ ("seats_gone" | "already_paid")) = turn.outcome {
        refunds::of_payment(&mut tx, payment, why, Actor::System, now).await?;
    }
    if let Some(kind) = kind {
        tell(&mut tx, payment, kind, now).await?;
    }
    Ok(tx.commit().await?)
}

/// Puts what became of a payment into the outbox.
async fn tell(
    tx: &mut TenantTx,
    payment: Uuid,
    kind: &str,
    now: Instant,
) -> Result<(), PaymentError> {
    let Some(row) = one(tx, payment).await? else {
        return Ok(());
    };
    let subject = format!("payment:{payment}");
    let body = json!({ "payment": payment, "booking": row.reference,
        "provider": row.provider.as_str(), "state": row.state.as_str(),
        "amount_minor": row.amount_minor.0, "currency": row.currency.as_str(),
        "reason": row.reason, "outcome": row.outcome });
    let happened = Happened {
        kind,
        subject: &subject,
        body,
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}
