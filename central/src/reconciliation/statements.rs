//! Statements of providers and banks: read, matched with what we know of, posted where they say
//! more than we knew: fees and payouts.
//!
//! A line that came before is not taken again, in whatever file it comes.

pub mod http;
pub mod matching;
pub mod parse;
mod rows;
pub mod views;

use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::time::{Instant, Zone};
use serde_json::json;
use uuid::Uuid;

use self::matching::matches;
use self::parse::{Line, LineFault, LineKind, Mapping, parse, preset};
use self::views::Imported;
use crate::access::Staff;
use crate::audit::{self, Change};
use crate::db::DbError;
use crate::ledger::{self, NewEntry, derived_id};
use crate::tenant::TenantTx;
use crate::vault::{Vault, VaultError};

/// How far around a statement's lines our movements are looked for, in ms.
const AROUND_MS: i64 = 3 * 86_400_000;

/// Why a statement is not taken, or a line not matched.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// No such mapping.
    #[error("there is no mapping {0:?}: save one, or use bank or mtn-momo")]
    NoSuchMapping(String),
    /// Lines that cannot be read; nothing was taken.
    #[error("{} lines cannot be read; nothing was imported", .0.len())]
    Unreadable(Vec<LineFault>),
    /// No such line.
    #[error("there is no statement line {0}")]
    NoSuchLine(Uuid),
    /// It is matched, or posts by itself.
    #[error("the line is {0}: it takes an unmatched one")]
    WrongState(String),
    /// Nothing of ours, or of another amount or account.
    #[error("there is no movement {0} of this account without a line")]
    NoSuchMovement(Uuid),
    /// A phone number could not be blinded.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A file to take in.
#[derive(Debug, Clone)]
pub struct NewStatement<'a> {
    /// Whose statement: a clearing account or the bank.
    pub account: Account,
    /// How it is read.
    pub mapping: &'a str,
    /// For people.
    pub file_name: &'a str,
    /// Of its amounts.
    pub currency: Currency,
    /// The file.
    pub csv: &'a [u8],
}

/// Takes a statement in, matches what it can, posts fees and payouts.
pub async fn import(
    tx: &mut TenantTx,
    vault: &Vault,
    staff: Staff,
    new: &NewStatement<'_>,
    now: Instant,
) -> Result<Imported, StatementError> {
    let mapping = mapping_named(tx, new.mapping).await?;
    let (_, zone) = ledger::db::today(tx, now).await?;
    let exponent = new.currency.exponent();
    let lines = parse(new.csv, &mapping, exponent, &zone).map_err(StatementError::Unreadable)?;
    let mut blinds = Vec::with_capacity(lines.len());
    for line in &lines {
        let phone = line.phone.as_ref().map(|digits| format!("+{digits}"));
        let blind = phone.map(|p| vault.blind(staff.company, "phone", &p));
        blinds.push(blind.transpose()?);
    }
    let id = rows::insert(tx, staff, new, now).await?;
    let fresh = rows::insert_lines(tx, id, new.account, &lines, &blinds).await?;
    let duplicates = lines.len() - fresh.len();
    if fresh.is_empty() {
        rows::delete_empty(tx, id).await?;
        return Ok(Imported {
            statement: None,
            lines: 0,
            duplicates,
            matched: 0,
            posted: 0,
        });
    }
    let fresh_lines: Vec<(Uuid, &Line)> = lines
        .iter()
        .filter_map(|l| Some((*fresh.get(l.fingerprint.as_slice())?, l)))
        .collect();
    let posted = post_own(tx, new, &fresh_lines, &zone, now).await?;
    let matched = match_account(tx, new.account, new.currency).await?;
    let imported = Imported {
        statement: Some(id),
        lines: fresh.len(),
        duplicates,
        matched,
        posted,
    };
    note(
        tx,
        staff,
        &format!("statement:{id}"),
        "statement.import",
        json!(imported),
        now,
    )
    .await?;
    Ok(imported)
}

async fn mapping_named(tx: &mut TenantTx, name: &str) -> Result<Mapping, StatementError> {
    let saved = rows::mapping(tx, name).await?.map(|(mapping, _)| mapping);
    saved
        .or_else(|| preset(name))
        .ok_or_else(|| StatementError::NoSuchMapping(name.to_owned()))
}

/// Fees and payouts, which only the statement knows.
async fn post_own(
    tx: &mut TenantTx,
    new: &NewStatement<'_>,
    lines: &[(Uuid, &Line)],
    zone: &Zone,
    now: Instant,
) -> Result<usize, StatementError> {
    let (mut entries, mut posted) = (vec![], vec![]);
    for (id, line) in lines {
        let amount = line.amount_minor.saturating_abs();
        let (to, amount, whole) = match line.kind {
            LineKind::Fee => (Account::ProviderFees, amount, true),
            LineKind::Payout if new.account != Account::Bank => (Account::Bank, amount, true),
            LineKind::Payment | LineKind::Refund | LineKind::Payout | LineKind::Other => {
                (Account::ProviderFees, line.fee_minor, false)
            }
        };
        if amount == 0 {
            continue;
        }
        let posting = |account, amount| Posting {
            account,
            amount_minor: Minor(amount),
            ticket: None,
        };
        let postings = vec![posting(to, amount), posting(new.account, -amount)];
        let day = line.at.local_date(zone);
        let day = day.ok_or_else(|| DbError::damaged("a statement's day"))?;
        let entry = Entry::new(EntryKind::Settlement, new.currency, day, postings)
            .map_err(|e| DbError::damaged(e.to_string()))?;
        let entry_id = derived_id(&[b"statement line", tx.company().as_bytes(), id.as_bytes()]);
        entries.push(NewEntry {
            id: entry_id,
            entry,
        });
        posted.push((*id, entry_id, whole));
    }
    ledger::post(tx, &entries, now).await?;
    rows::set_posted(tx, &posted).await?;
    Ok(posted.len())
}

/// Matches every unmatched line of an account that exactly one movement explains.
async fn match_account(
    tx: &mut TenantTx,
    account: Account,
    currency: Currency,
) -> Result<usize, StatementError> {
    let theirs = rows::theirs(tx, account, currency).await?;
    let times = theirs.iter().map(|t| t.at.0);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return Ok(0);
    };
    let span = (Instant(first - AROUND_MS), Instant(last + AROUND_MS));
    let ours = rows::ours(tx, account, currency, span).await?;
    let found = matches(&theirs, &ours);
    rows::set_matches(tx, &found).await?;
    Ok(found.len())
}

/// Says what a line is.
pub async fn match_line(
    tx: &mut TenantTx,
    staff: Staff,
    line: Uuid,
    (kind, id): (&str, Uuid),
    now: Instant,
) -> Result<(), StatementError> {
    let standing = rows::lock_line(tx, line).await?;
    let standing = standing.ok_or(StatementError::NoSuchLine(line))?;
    if standing.state != "unmatched" {
        return Err(StatementError::WrongState(standing.state));
    }
    let all = (Instant(i64::MIN), Instant(i64::MAX));
    let ours = rows::ours(tx, standing.account, standing.currency, all).await?;
    let movement = ours
        .into_iter()
        .find(|o| o.kind == kind && o.id == id)
        .ok_or(StatementError::NoSuchMovement(id))?;
    let found = matching::Match {
        line,
        kind: movement.kind,
        id,
        by: "person",
    };
    rows::set_matches(tx, &[found]).await?;
    let about = json!({ "kind": kind, "id": id });
    Ok(note(
        tx,
        staff,
        &format!("statement-line:{line}"),
        "statement.match",
        about,
        now,
    )
    .await?)
}

/// Takes a match back.
pub async fn unmatch_line(
    tx: &mut TenantTx,
    staff: Staff,
    line: Uuid,
    now: Instant,
) -> Result<(), StatementError> {
    let standing = rows::lock_line(tx, line).await?;
    let standing = standing.ok_or(StatementError::NoSuchLine(line))?;
    if standing.state != "matched" {
        return Err(StatementError::WrongState(standing.state));
    }
    rows::unmatch(tx, line).await?;
    let subject = format!("statement-line:{line}");
    Ok(note(tx, staff, &subject, "statement.unmatch", json!({}), now).await?)
}

async fn note(
    tx: &mut TenantTx,
    staff: Staff,
    subject: &str,
    action: &str,
    after: serde_json::Value,
    now: Instant,
) -> Result<(), DbError> {
    let change = Change {
        action,
        subject,
        before: None,
        after: Some(after),
    };
    audit::note(tx, staff.identity, change, now).await
}

#[cfg(test)]
mod tests;
