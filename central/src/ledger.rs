//! Writing the ledger: accounts are made when money first touches them, entries never change.

mod accounts;

pub use accounts::AccountCache;

use domain::ledger::Entry;
use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// An entry with the id that makes posting it twice impossible.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The first half of the event's hash, or the booking's id.
    pub id: Uuid,
    /// What moved.
    pub entry: Entry,
}

/// Posts entries in two statements. Tell `accounts` how the transaction ended:
/// [`AccountCache::settle`].
pub async fn post(
    tx: &mut TenantTx,
    accounts: &mut AccountCache,
    entries: &[NewEntry],
    posted_at: Instant,
) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    accounts.make_known(tx, entries).await?;
    let company = tx.company().0;
    let mut dates: Vec<String> = Vec::with_capacity(entries.len());
    let (mut ids, mut kinds, mut currencies) = (vec![], vec![], vec![]);
    let (mut of, mut lines, mut account_ids) = (vec![], vec![], vec![]);
    let (mut amounts, mut tickets, mut line_kinds) = (vec![], vec![], vec![]);
    let named: Vec<_> = entries.iter().map(|e| e.entry.currency()).collect();
    for (new, currency) in entries.iter().zip(&named) {
        let kind = new.entry.kind().as_str();
        ids.push(new.id);
        kinds.push(kind);
        currencies.push(currency.as_str());
        dates.push(new.entry.business_date().to_string());
        for (line, posting) in new.entry.postings().iter().enumerate() {
            of.push(new.id);
            lines.push(line as i16);
            account_ids.push(accounts.id(posting.account, *currency)?);
            amounts.push(posting.amount_minor.0);
            tickets.push(posting.ticket.map(|t| t.0));
            line_kinds.push(kind);
        }
    }
    sqlx::query!(
        "INSERT INTO ledger_entry (company_id, entry_id, kind, currency, business_date,
             posted_at_ms)
         SELECT $1, w.id, w.kind, w.currency, w.day::date, $6
         FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::text[])
         AS w(id, kind, currency, day)",
        company,
        &ids,
        &kinds as _,
        &currencies as _,
        &dates,
        posted_at.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "INSERT INTO ledger_posting (company_id, entry_id, line, account_id, amount_minor,
             ticket_id, kind)
         SELECT $1, w.id, w.line, w.account, w.amount, w.ticket, w.kind
         FROM UNNEST($2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[], $6::uuid[],
             $7::text[]) AS w(id, line, account, amount, ticket, kind)",
        company,
        &of,
        &lines,
        &account_ids,
        &amounts,
        &tickets as _,
        &line_kinds as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
