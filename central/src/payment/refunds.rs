//! Money on its way back to whoever paid.

pub(super) mod db;
mod drive;

use domain::ids::{NodeId, ShiftNo};
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::kind::ProviderKind;
use super::rules::{MoreThanPaid, RefundState, allocate};
use crate::access::Identity;
use crate::audit::{self, Actor, Change};
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::ledger::{self, NewEntry};
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;
pub(super) use drive::drive;

/// The longest reason or note that is kept, in characters.
const WORDS_MAX: usize = 200;

/// Why money cannot be sent back.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// More than came, less what went back before.
    #[error(transparent)]
    MoreThanPaid(#[from] MoreThanPaid),
    /// Nobody knows the booking.
    #[error("there is no booking {0}")]
    UnknownBooking(Uuid),
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for RefundError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

/// Sends money of a booking back the way it came: the payment that came last first, each as far
/// as it reaches. Gives the refunds' numbers; they are carried out after the commit and survive
/// restarts.
///
/// The caller has credited refunds payable in this transaction. What is posted here, once the
/// provider has returned the money, is refunds payable against the provider's clearing. Locks the
/// booking, then its payments.
pub async fn request(
    tx: &mut TenantTx,
    booking: Uuid,
    amount: Minor,
    reason: &str,
    actor: impl Into<Actor>,
    now: Instant,
) -> Result<Vec<Uuid>, RefundError> {
    let actor = actor.into();
    let paid = db::lock_paid(tx, booking).await?;
    let paid = paid.ok_or(RefundError::UnknownBooking(booking))?;
    let mut left: Vec<Minor> = paid.payments.iter().map(|p| p.left_minor).collect();
    left.push(paid.otherwise_minor);
    let mut ids = vec![];
    for (index, part) in allocate(amount, &left)? {
        let source = paid.payments.get(index);
        ids.push(store(tx, &paid, booking, source, part, reason, actor, now).await?);
    }
    Ok(ids)
}

/// Sends everything of one payment back: it bought nothing.
pub(super) async fn of_payment(
    tx: &mut TenantTx,
    payment: Uuid,
    reason: &str,
    actor: Actor,
    now: Instant,
) -> Result<(), RefundError> {
    let booking = super::db::booking_of(tx, payment).await?;
    let booking = booking.ok_or_else(|| DbError::damaged("the booking of a payment"))?;
    let paid = db::lock_paid(tx, booking).await?;
    let paid = paid.ok_or(RefundError::UnknownBooking(booking))?;
    let source = paid.payments.iter().find(|p| p.id == payment);
    let Some(source) = source.filter(|p| p.left_minor > Minor::ZERO) else {
        return Ok(());
    };
    let all = source.left_minor;
    store(tx, &paid, booking, Some(source), all, reason, actor, now).await?;
    Ok(())
}

async fn store(
    tx: &mut TenantTx,
    paid: &db::PaidFor,
    booking: Uuid,
    source: Option<&db::Source>,
    part: Minor,
    reason: &str,
    actor: Actor,
    now: Instant,
) -> Result<Uuid, RefundError> {
    let provider = source.map_or(ProviderKind::ByHand, |p| p.provider);
    let fresh = NewRefund {
        id: fresh_uuid(now)?,
        booking,
        payment: source.map(|p| p.id),
        provider,
        reference: fresh_reference()?,
        amount_minor: part,
        currency: paid.currency,
        why: reason.chars().take(WORDS_MAX).collect(),
        actor,
        // What no provider carries out waits for a person.
        next_try_at: provider.is_remote().then_some(now),
    };
    db::insert(tx, &fresh, now).await?;
    let body = json!({ "refund": fresh.id, "booking": paid.reference, "state": "requested",
        "amount_minor": part.0, "currency": paid.currency.as_str(), "reason": fresh.why });
    tell(tx, "refund.requested", fresh.id, body, now).await?;
    let change = Change {
        action: "refund.request",
        subject: &format!("refund:{}", fresh.id),
        before: None,
        after: Some(json!({ "amount_minor": part.0, "reason": fresh.why })),
    };
    audit::note(tx, actor, change, now).await?;
    Ok(fresh.id)
}

/// A number to tell a provider: of version 4, as MTN wants it.
pub(super) fn fresh_reference() -> Result<Uuid, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(uuid::Builder::from_random_bytes(random).into_uuid())
}

/// A refund to be stored.
#[derive(Debug, Clone)]
pub(super) struct NewRefund {
    pub(super) id: Uuid,
    pub(super) booking: Uuid,
    pub(super) payment: Option<Uuid>,
    pub(super) provider: ProviderKind,
    pub(super) reference: Uuid,
    pub(super) amount_minor: Minor,
    pub(super) currency: Currency,
    pub(super) why: String,
    pub(super) actor: Actor,
    pub(super) next_try_at: Option<Instant>,
}

pub(super) async fn tell(
    tx: &mut TenantTx,
    kind: &str,
    refund: Uuid,
    body: serde_json::Value,
    now: Instant,
) -> Result<(), DbError> {
    let subject = format!("refund:{refund}");
    let happened = Happened {
        kind,
        subject: &subject,
        body,
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}

/// Where a person took the money from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaidFrom {
    /// The drawer of whoever says so.
    Drawer(Identity),
    /// The company's bank account.
    Bank,
}

/// What a person's word about a refund leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHand {
    /// It is done.
    Done,
    /// Nobody knows it.
    Unknown,
    /// A provider is at it, or it is done: a person cannot step in.
    NotYours(RefundState),
    /// It was changed meanwhile: another version.
    Changed(i32),
}

/// Tries a failed refund once more. Under a new reference where the provider had said no; under
/// the same one where it had said nothing, so that it cannot go out twice.
pub async fn retry(
    tx: &mut TenantTx,
    refund: Uuid,
    version: i32,
    actor: impl Into<Actor>,
    now: Instant,
) -> Result<ByHand, RefundError> {
    let Some(row) = db::lock(tx, refund).await? else {
        return Ok(ByHand::Unknown);
    };
    if row.version != version {
        return Ok(ByHand::Changed(row.version));
    }
    if row.state != RefundState::Failed || !row.provider.is_remote() {
        return Ok(ByHand::NotYours(row.state));
    }
    let refused = row.failure.as_deref() != Some(NO_ANSWER);
    let fresh = refused.then(fresh_reference).transpose()?;
    db::try_again(tx, refund, fresh, now).await?;
    let change = Change {
        action: "refund.retry",
        subject: &format!("refund:{refund}"),
        before: Some(json!({ "state": "failed", "failure": row.failure })),
        after: Some(json!({ "state": "requested" })),
    };
    audit::note(tx, actor, change, now).await?;
    Ok(ByHand::Done)
}

/// Kept as the failure of a refund whose provider never answered.
pub(super) const NO_ANSWER: &str = "no_answer";

/// A person has given the money back.
pub async fn settled(
    tx: &mut TenantTx,
    refund: Uuid,
    version: Option<i32>,
    from: PaidFrom,
    note: &str,
    actor: impl Into<Actor>,
    now: Instant,
) -> Result<ByHand, RefundError> {
    let Some(row) = db::lock(tx, refund).await? else {
        return Ok(ByHand::Unknown);
    };
    if version.is_some_and(|v| v != row.version) {
        return Ok(ByHand::Changed(row.version));
    }
    let waits = row.state == RefundState::Requested && !row.provider.is_remote();
    if !waits && row.state != RefundState::Failed {
        return Ok(ByHand::NotYours(row.state));
    }
    let account = match from {
        PaidFrom::Drawer(identity) => drawer_of(identity),
        PaidFrom::Bank => Account::Bank,
    };
    let note: String = note.chars().take(WORDS_MAX).collect();
    db::finish(tx, refund, None, Some(&note), now).await?;
    post(tx, &row, account, now).await?;
    let change = Change {
        action: "refund.settle",
        subject: &format!("refund:{refund}"),
        before: Some(json!({ "state": row.state.as_str() })),
        after: Some(json!({ "state": "done", "note": note })),
    };
    audit::note(tx, actor, change, now).await?;
    Ok(ByHand::Done)
}

/// The drawer of somebody who takes cash at the hub: each seller is their own counter.
pub fn drawer_of(identity: Identity) -> Account {
    Account::AgentCash(NodeId(identity.id().unwrap_or_default()), ShiftNo(0))
}

/// Money went back: refunds payable against where it was taken from.
pub(super) async fn post(
    tx: &mut TenantTx,
    row: &db::RefundRow,
    account: Account,
    now: Instant,
) -> Result<(), DbError> {
    let zone = super::db::company_zone(tx).await?;
    let line = |account, amount_minor| Posting {
        account,
        amount_minor,
        ticket: None,
    };
    let postings = vec![
        line(Account::RefundsPayable, row.amount_minor),
        line(account, -row.amount_minor),
    ];
    let day = now
        .local_date(&zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let entry = Entry::new(EntryKind::Refund, row.currency, day, postings)
        .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))?;
    let entry = NewEntry { id: row.id, entry };
    ledger::post(tx, &[entry], now).await?;
    let body = json!({ "refund": row.id, "booking": row.reference_of_booking, "state": "done",
        "amount_minor": row.amount_minor.0, "currency": row.currency.as_str() });
    tell(tx, "refund.done", row.id, body, now).await
}
