//! Settlements: draft → proposed → signed off by a second person → paid.
//!
//! A draft takes every posting of its days that no settlement has taken; its lines name them, so
//! that its sum is the ledger's. What comes later for these days posts later and is in the next.

pub mod http;
mod paper;
mod rows;
pub mod views;

use domain::ids::PartyId;
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::time::{Instant, ServiceDate};
use serde_json::json;
use uuid::Uuid;

use self::views::{Missing, SettlementView};
use crate::access::Staff;
use crate::audit::{self, Change};
use crate::db::DbError;
use crate::ledger::books::{BooksError, Noted, post_noted};
use crate::ledger::{self, NewEntry, derived_id};
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;

/// Why a settlement does not move on.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// No such settlement.
    #[error("there is no settlement {0}")]
    NoSuchSettlement(Uuid),
    /// No such party.
    #[error("there is no party {0}: take its number from /ledger/parties")]
    NoSuchParty(Uuid),
    /// Days that are not over, or the wrong way round.
    #[error("a settlement covers days that are over, the first one first")]
    BadSpan,
    /// Nothing is left to settle.
    #[error("nothing of these days is left to settle")]
    Nothing,
    /// In another state.
    #[error("the settlement is {0}: it has to be {1} for this")]
    WrongState(String, &'static str),
    /// The proposer signs.
    #[error("a second person has to sign: whoever proposed it may not")]
    SamePerson,
    /// Some logs have not come.
    #[error("{0} events of some devices have not come: wait, or accept it as provisional")]
    Provisional(i64),
    /// More is owed by the party than to it.
    #[error("nothing is owed to this party")]
    NothingOwed,
    /// The ledger refused.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What to settle.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// With whom; none: the company's own.
    pub party: Option<PartyId>,
    /// First and last posting day.
    pub span: (ServiceDate, ServiceDate),
    /// Of the postings.
    pub currency: Currency,
}

/// Makes a draft of everything that no settlement has taken.
pub async fn draft(
    tx: &mut TenantTx,
    staff: Staff,
    wish: &Wish,
    now: Instant,
) -> Result<SettlementView, SettlementError> {
    let (today, _) = ledger::db::today(tx, now).await?;
    if wish.span.0 > wish.span.1 || wish.span.1 >= today {
        return Err(SettlementError::BadSpan);
    }
    if let Some(party) = wish.party
        && !rows::party_exists(tx, party).await?
    {
        return Err(SettlementError::NoSuchParty(party.0));
    }
    let missing = rows::missing(tx).await?;
    let id = rows::insert(tx, wish, &missing, now).await?;
    if rows::take_lines(tx, id, wish).await? == 0 {
        return Err(SettlementError::Nothing);
    }
    note(
        tx,
        staff,
        id,
        "settlement.draft",
        json!({ "to": wish.span.1.to_string() }),
        now,
    )
    .await?;
    load(tx, id).await
}

/// A settlement as it stands.
pub async fn load(tx: &mut TenantTx, id: Uuid) -> Result<SettlementView, SettlementError> {
    let found = rows::one(tx, id).await?;
    found.ok_or(SettlementError::NoSuchSettlement(id))
}

/// A settlement, its row locked.
pub async fn lock(tx: &mut TenantTx, id: Uuid) -> Result<SettlementView, SettlementError> {
    rows::lock(tx, id).await?;
    load(tx, id).await
}

fn wants(view: &SettlementView, state: &'static str) -> Result<(), SettlementError> {
    if view.state == state {
        return Ok(());
    }
    Err(SettlementError::WrongState(view.state.clone(), state))
}

/// Gives a draft up; its lines are free again.
pub async fn discard(
    tx: &mut TenantTx,
    staff: Staff,
    view: &SettlementView,
    now: Instant,
) -> Result<(), SettlementError> {
    wants(view, "draft")?;
    rows::delete(tx, view.settlement).await?;
    note(
        tx,
        staff,
        view.settlement,
        "settlement.discard",
        json!({}),
        now,
    )
    .await?;
    Ok(())
}

/// Proposes a draft for signing.
pub async fn propose(
    tx: &mut TenantTx,
    staff: Staff,
    view: &SettlementView,
    now: Instant,
) -> Result<SettlementView, SettlementError> {
    wants(view, "draft")?;
    let missing = rows::missing(tx).await?;
    rows::proposed(tx, staff, view.settlement, &missing).await?;
    note(
        tx,
        staff,
        view.settlement,
        "settlement.propose",
        json!({}),
        now,
    )
    .await?;
    load(tx, view.settlement).await
}

/// Signs a proposed one off. While logs are missing it takes an explicit yes.
pub async fn sign_off(
    tx: &mut TenantTx,
    staff: Staff,
    view: &SettlementView,
    accept_provisional: bool,
    now: Instant,
) -> Result<SettlementView, SettlementError> {
    wants(view, "proposed")?;
    if view.proposed_by.is_some() && view.proposed_by == staff.identity.id() {
        return Err(SettlementError::SamePerson);
    }
    let missing = rows::missing(tx).await?;
    let events: i64 = missing.iter().map(|m| m.events).sum();
    if events > 0 && !accept_provisional {
        return Err(SettlementError::Provisional(events));
    }
    rows::signed(tx, staff, view.settlement, &missing, now).await?;
    let about = json!({ "missing": missing, "net_minor": view.net_minor });
    note(tx, staff, view.settlement, "settlement.sign", about, now).await?;
    load(tx, view.settlement).await
}

/// Notes that a signed one was paid; what was owed to a party leaves the bank.
pub async fn pay(
    tx: &mut TenantTx,
    staff: Staff,
    view: &SettlementView,
    reference: &str,
    now: Instant,
) -> Result<SettlementView, SettlementError> {
    wants(view, "signed_off")?;
    let entry = match view.party {
        None => None,
        Some(_) if view.net_minor <= 0 => return Err(SettlementError::NothingOwed),
        Some(party) => Some(post_payment(tx, staff, view, PartyId(party), reference, now).await?),
    };
    rows::paid(tx, view.settlement, reference, entry).await?;
    let about = json!({ "reference": reference, "entry": entry });
    note(tx, staff, view.settlement, "settlement.pay", about, now).await?;
    load(tx, view.settlement).await
}

async fn post_payment(
    tx: &mut TenantTx,
    staff: Staff,
    view: &SettlementView,
    party: PartyId,
    reference: &str,
    now: Instant,
) -> Result<Uuid, SettlementError> {
    let (today, _) = ledger::db::today(tx, now).await?;
    let currency = ledger::db::currency_of(&view.currency)?;
    let line = |account, amount| Posting {
        account,
        amount_minor: Minor(amount),
        ticket: None,
    };
    let lines = vec![
        line(Account::CommissionPayable(party), view.net_minor),
        line(Account::Bank, -view.net_minor),
    ];
    let entry = Entry::new(EntryKind::Settlement, currency, today, lines)
        .map_err(|e| DbError::damaged(e.to_string()))?;
    let id = derived_id(&[
        b"settlement",
        tx.company().as_bytes(),
        view.settlement.as_bytes(),
    ]);
    let noted = Noted {
        reason: reference,
        reverses: None,
        action: "ledger.settle",
    };
    post_noted(tx, staff, NewEntry { id, entry }, noted, now).await?;
    Ok(id)
}

async fn note(
    tx: &mut TenantTx,
    staff: Staff,
    id: Uuid,
    action: &str,
    about: serde_json::Value,
    now: Instant,
) -> Result<(), DbError> {
    let subject = format!("settlement:{id}");
    let change = Change {
        action,
        subject: &subject,
        before: None,
        after: Some(about.clone()),
    };
    audit::note(tx, staff.identity, change, now).await?;
    let happened = Happened {
        kind: action,
        subject: &subject,
        body: about,
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}

/// What all missing events may be worth.
pub(super) fn missing_minor(missing: &[Missing]) -> i64 {
    missing
        .iter()
        .fold(0, |sum, m| sum.saturating_add(m.estimate_minor))
}
