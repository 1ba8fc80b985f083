//! Writing the ledger: accounts are made when money first touches them, entries never change.

mod accounts;
pub mod books;
pub(crate) mod commission;
pub(crate) mod db;
pub mod fiscal;
pub mod http;
pub mod jobs;
mod recognition;
#[cfg(test)]
pub(crate) mod tests;
pub mod views;

pub use recognition::{Recognised, fares_account, recognise};
pub(crate) use recognition::{derived_id, straggling_trips};

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

/// Posts entries in two statements, and the commission on what of them became revenue, or ceased
/// to be, after its trip had departed.
pub async fn post(
    tx: &mut TenantTx,
    entries: &[NewEntry],
    posted_at: Instant,
) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let commission = commission::afterwards(tx, entries, posted_at).await?;
    let entries: Vec<&NewEntry> = entries.iter().chain(&commission).collect();
    let accounts = accounts::numbers(tx, &entries).await?;
    let company = tx.company().0;
    let mut days: Vec<String> = vec![];
    let mut day_numbers: Vec<i32> = Vec::with_capacity(entries.len());
    let (mut ids, mut kinds, mut currencies) = (vec![], vec![], vec![]);
    let (mut of, mut lines, mut account_ids) = (vec![], vec![], vec![]);
    let (mut amounts, mut tickets, mut line_kinds) = (vec![], vec![], vec![]);
    let named: Vec<_> = entries.iter().map(|e| e.entry.currency()).collect();
    for (new, currency) in entries.iter().zip(&named) {
        let kind = new.entry.kind().as_str();
        ids.push(new.id);
        kinds.push(kind);
        currencies.push(currency.as_str());
        let day = new.entry.business_date().to_string();
        let known = days.iter().position(|d| *d == day);
        day_numbers.push(known.unwrap_or(days.len()) as i32 + 1);
        if known.is_none() {
            days.push(day);
        }
        for (line, posting) in new.entry.postings().iter().enumerate() {
            of.push(new.id);
            lines.push(line as i16);
            account_ids.push(accounts.of(posting.account, *currency)?);
            amounts.push(posting.amount_minor.0);
            tickets.push(posting.ticket.map(|t| t.0));
            line_kinds.push(kind);
        }
    }
    sqlx::query!(
        "WITH days AS MATERIALIZED (
             SELECT u.no, u.day::date AS day, ledger_open_day($1, u.day::date,
                 (to_timestamp($6::bigint / 1000.0) AT TIME ZONE c.zone)::date) AS open_day
             FROM UNNEST($7::text[]) WITH ORDINALITY AS u(day, no)
             CROSS JOIN (SELECT zone FROM company WHERE company_id = $1) AS c)
         INSERT INTO ledger_entry (company_id, entry_id, kind, currency, business_date,
             posting_date, posted_at_ms)
         SELECT $1, w.id, w.kind, w.currency, d.day, d.open_day, $6
         FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::int[])
             AS w(id, kind, currency, day_no)
         JOIN days d ON d.no = w.day_no",
        company,
        &ids,
        &kinds as _,
        &currencies as _,
        &day_numbers,
        posted_at.0,
        &days
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
