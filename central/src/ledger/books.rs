//! What a person does to the ledger: entries by hand, reversals, locked periods. Every one adds;
//! none changes what is there.

use domain::ids::{NodeId, PartyId, ShiftNo, TripId};
use domain::ledger::{Account, Entry, EntryKind, Posting, reversed};
use domain::money::{Currency, Minor};
use domain::time::{Instant, ServiceDate};
use serde_json::json;
use uuid::Uuid;

use super::{NewEntry, db, derived_id, post};
use crate::access::Staff;
use crate::audit::{self, Change};
use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// The most lines of an entry by hand.
pub const LINES_MAX: usize = 100;
/// How often a lock tries to find a moment without entries under way.
const LOCK_ATTEMPTS_MAX: u32 = 5;

/// Why an entry or lock is not made.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The lines do not sum to zero.
    #[error("the lines sum to {0}, not to zero: debits are positive, credits negative")]
    Unbalanced(i128),
    /// No such account.
    #[error("there is no account {0}: take its number from /ledger/accounts")]
    NoSuchAccount(String),
    /// Of another currency than the entry.
    #[error("account {0} is kept in another currency")]
    OtherCurrency(i64),
    /// No such entry.
    #[error("there is no entry {0}")]
    NoSuchEntry(Uuid),
    /// Reversed before.
    #[error("entry {0} was reversed before: reverse the reversal, or make an adjustment")]
    AlreadyReversed(Uuid),
    /// A day that is not over.
    #[error("a period is locked once it is over: choose days before {0}")]
    NotOver(ServiceDate),
    /// The last day is before the first.
    #[error("the last day is before the first")]
    Backwards,
    /// A day of it is locked.
    #[error("a day of this period is locked already")]
    LockedAlready,
    /// Entries were being written all the time.
    #[error("entries are being written at this moment: try again")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// How a line names its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountName {
    /// By number.
    Number(i64),
    /// One of those of which a company has one: `bank`, `suspense`.
    Shared(String),
}

/// An entry by hand.
#[derive(Debug, Clone)]
pub struct Adjustment {
    /// Of all its lines.
    pub currency: Currency,
    /// The day it counts to.
    pub business_date: ServiceDate,
    /// Why; kept with it for ever.
    pub reason: String,
    /// Debit positive, credit negative.
    pub lines: Vec<(AccountName, i64)>,
}

/// Makes an entry by hand; gives its number.
pub async fn adjust(
    tx: &mut TenantTx,
    staff: Staff,
    wish: &Adjustment,
    now: Instant,
) -> Result<Uuid, BooksError> {
    let mut postings = Vec::with_capacity(wish.lines.len());
    for (name, amount) in &wish.lines {
        postings.push(Posting {
            account: account_named(tx, name, wish.currency).await?,
            amount_minor: Minor(*amount),
            ticket: None,
        });
    }
    let sum: i128 = wish.lines.iter().map(|(_, a)| i128::from(*a)).sum();
    let (currency, day) = (wish.currency, wish.business_date);
    let entry = Entry::new(EntryKind::Adjustment, currency, day, postings)
        .map_err(|_| BooksError::Unbalanced(sum))?;
    let id = db::fresh_id(tx).await?;
    let noted = Noted {
        reason: &wish.reason,
        reverses: None,
        action: "ledger.adjust",
    };
    post_noted(tx, staff, NewEntry { id, entry }, noted, now).await?;
    Ok(id)
}

/// Takes an entry back by one the other way round, on the day given.
pub async fn reverse(
    tx: &mut TenantTx,
    staff: Staff,
    id: Uuid,
    reason: &str,
    business_date: ServiceDate,
    now: Instant,
) -> Result<Uuid, BooksError> {
    let lines = db::entry_lines(tx, id).await?;
    let Some((currency, postings)) = lines else {
        return Err(BooksError::NoSuchEntry(id));
    };
    let back = reversed(&postings).ok_or_else(|| DbError::damaged(format!("entry {id}")))?;
    let entry = Entry::new(EntryKind::Reversal, currency, business_date, back)
        .map_err(|e| DbError::damaged(e.to_string()))?;
    if db::is_reversed(tx, id).await? {
        return Err(BooksError::AlreadyReversed(id));
    }
    let new = NewEntry {
        id: derived_id(&[b"reversal", tx.company().as_bytes(), id.as_bytes()]),
        entry,
    };
    let made = new.id;
    let noted = Noted {
        reason,
        reverses: Some(id),
        action: "ledger.reverse",
    };
    post_noted(tx, staff, new, noted, now).await?;
    Ok(made)
}

/// What stands beside an entry of a person.
pub(crate) struct Noted<'a> {
    pub reason: &'a str,
    pub reverses: Option<Uuid>,
    pub action: &'a str,
}

/// Posts an entry with its reason, and notes it in the audit log.
pub(crate) async fn post_noted(
    tx: &mut TenantTx,
    staff: Staff,
    new: NewEntry,
    noted: Noted<'_>,
    now: Instant,
) -> Result<(), BooksError> {
    let id = new.id;
    let lines: Vec<_> = new
        .entry
        .postings()
        .iter()
        .map(|p| json!({ "account": p.account.key().0, "amount_minor": p.amount_minor.0 }))
        .collect();
    let posted = post(tx, &[new], now).await;
    let noted_down = match posted {
        Ok(()) => db::insert_note(tx, staff, id, &noted, now).await,
        refused => refused,
    };
    let twice = ["ledger_entry_pkey", "ledger_reversed_once"];
    match noted_down {
        Err(error) if error.constraint().is_some_and(|c| twice.contains(&c)) => {
            return Err(BooksError::AlreadyReversed(noted.reverses.unwrap_or(id)));
        }
        done => done?,
    }
    let change = Change {
        action: noted.action,
        subject: &format!("entry:{id}"),
        before: None,
        after: Some(json!({ "reason": noted.reason, "reverses": noted.reverses, "lines": lines })),
    };
    Ok(audit::note(tx, staff.identity, change, now).await?)
}

/// Locks days for ever: what belongs to them from now on posts in the first open day.
pub async fn lock_period(
    db: &Db,
    staff: Staff,
    (from, to): (ServiceDate, ServiceDate),
    reason: &str,
    now: Instant,
) -> Result<i64, BooksError> {
    for _ in 0..LOCK_ATTEMPTS_MAX {
        let mut tx = db.tenant(staff.company).await?;
        let (today, _) = db::today(&mut tx, now).await?;
        if from > to {
            return Err(BooksError::Backwards);
        }
        if to >= today {
            return Err(BooksError::NotOver(today));
        }
        if !db::close_gate(&mut tx).await? {
            continue;
        }
        let number = match db::insert_lock(&mut tx, staff, (from, to), reason, now).await {
            Err(error) if error.constraint() == Some("ledger_lock_no_overlap") => {
                return Err(BooksError::LockedAlready);
            }
            done => done?,
        };
        let change = Change {
            action: "ledger.lock",
            subject: &format!("period:{number}"),
            before: None,
            after: Some(json!({
                "from": from.to_string(), "to": to.to_string(), "reason": reason,
            })),
        };
        audit::note(&mut tx, staff.identity, change, now).await?;
        tx.commit().await?;
        return Ok(number);
    }
    Err(BooksError::Busy)
}

async fn account_named(
    tx: &mut TenantTx,
    name: &AccountName,
    currency: Currency,
) -> Result<Account, BooksError> {
    let unknown = |what: String| BooksError::NoSuchAccount(what);
    match name {
        AccountName::Shared(kind) => Account::SHARED
            .into_iter()
            .find(|a| a.key().0 == kind)
            .ok_or_else(|| unknown(kind.clone())),
        AccountName::Number(number) => {
            let found = db::account(tx, *number).await?;
            let (account, kept_in) = found.ok_or_else(|| unknown(number.to_string()))?;
            if kept_in == currency {
                Ok(account)
            } else {
                Err(BooksError::OtherCurrency(*number))
            }
        }
    }
}

/// The account behind a stored key.
pub(super) fn account_of(
    kind: &str,
    node: Option<Uuid>,
    shift: Option<i32>,
    trip: Option<i64>,
    party: Option<Uuid>,
) -> Result<Account, DbError> {
    Account::from_key(
        kind,
        node.map(NodeId),
        shift.map(|no| ShiftNo(no as u32)),
        trip.map(|id| TripId(id as u64)),
        party.map(PartyId),
    )
    .ok_or_else(|| DbError::damaged(format!("an account of the kind {kind}")))
}
