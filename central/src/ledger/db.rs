//! The ledger's queries that no entry needs to be posted.

use domain::ledger::{Account, Posting};
use domain::money::{Currency, Minor};
use domain::time::{Instant, ServiceDate, Zone};
use uuid::Uuid;

use super::books::{Noted, account_of};
use super::views::{
    AccountLine, AccountRow, AccountStatement, EntryLine, EntryView, PartyRow, PeriodRow, TrialRow,
};
use crate::access::Staff;
use crate::db::DbError;
use crate::tenant::TenantTx;
use crate::views::{Cursor, time};

/// What Postgres says when a lock was not to be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The company's day, and its zone.
pub(crate) async fn today(tx: &mut TenantTx, now: Instant) -> Result<(ServiceDate, Zone), DbError> {
    let company = tx.company().0;
    let zone = sqlx::query_scalar!("SELECT zone FROM company WHERE company_id = $1", company);
    let zone = zone.fetch_one(tx.conn()).await?;
    let zone: Zone = zone
        .parse()
        .map_err(|_| DbError::damaged(format!("the time zone {zone}")))?;
    let day = now.local_date(&zone);
    let day = day.ok_or_else(|| DbError::damaged("the hub's clock"))?;
    Ok((day, zone))
}

pub(super) async fn fresh_id(tx: &mut TenantTx) -> Result<Uuid, DbError> {
    let id = sqlx::query_scalar!(r#"SELECT gen_random_uuid() AS "id!""#);
    Ok(id.fetch_one(tx.conn()).await?)
}

/// Waits a moment for the entries under way, and keeps new ones out to the end of the
/// transaction. The wait is shorter than Postgres takes to look for deadlocks, so that it is
/// never a poster that is given up.
pub(super) async fn close_gate(tx: &mut TenantTx) -> Result<bool, DbError> {
    sqlx::query("SET LOCAL lock_timeout = '700ms'")
        .execute(tx.conn())
        .await?;
    let closed = sqlx::query("SELECT pg_advisory_xact_lock(ledger_gate($1))")
        .bind(tx.company().0)
        .execute(tx.conn())
        .await;
    match closed {
        Ok(_) => Ok(true),
        Err(error) => {
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code);
            if code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
                Ok(false)
            } else {
                Err(error.into())
            }
        }
    }
}

pub(super) async fn insert_lock(
    tx: &mut TenantTx,
    staff: Staff,
    (from, to): (ServiceDate, ServiceDate),
    reason: &str,
    now: Instant,
) -> Result<i64, DbError> {
    let number = sqlx::query_scalar!(
        "INSERT INTO ledger_lock (company_id, from_date, to_date, reason, locked_at_ms, actor_kind,
             actor_id)
         VALUES ($1, $2::text::date, $3::text::date, $4, $5, $6, $7) RETURNING lock_no",
        tx.company().0,
        from.to_string(),
        to.to_string(),
        reason,
        now.0,
        staff.identity.kind(),
        staff.identity.id()
    );
    Ok(number.fetch_one(tx.conn()).await?)
}

pub(super) async fn insert_note(
    tx: &mut TenantTx,
    staff: Staff,
    entry: Uuid,
    noted: &Noted<'_>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO ledger_note (company_id, entry_id, reason, actor_kind, actor_id, reverses,
             at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        entry,
        noted.reason,
        staff.identity.kind(),
        staff.identity.id(),
        noted.reverses,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn is_reversed(tx: &mut TenantTx, entry: Uuid) -> Result<bool, DbError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger_note WHERE company_id = $1 AND reverses = $2)
           AS "known!""#,
        tx.company().0,
        entry
    );
    Ok(known.fetch_one(tx.conn()).await?)
}

/// An account by its number.
pub(super) async fn account(
    tx: &mut TenantTx,
    number: i64,
) -> Result<Option<(Account, Currency)>, DbError> {
    let row = sqlx::query!(
        "SELECT kind, node_id, shift, trip_id, party_id, currency FROM ledger_account
         WHERE company_id = $1 AND account_id = $2",
        tx.company().0,
        number
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let account = account_of(&r.kind, r.node_id, r.shift, r.trip_id, r.party_id)?;
        Ok((account, currency_of(&r.currency)?))
    })
    .transpose()
}

pub(crate) fn currency_of(code: &str) -> Result<Currency, DbError> {
    code.parse()
        .map_err(|_| DbError::damaged(format!("the currency {code}")))
}

/// The lines of an entry, as they were posted.
pub(crate) async fn entry_lines(
    tx: &mut TenantTx,
    entry: Uuid,
) -> Result<Option<(Currency, Vec<Posting>)>, DbError> {
    let rows = sqlx::query!(
        "SELECT a.kind, a.node_id, a.shift, a.trip_id, a.party_id, a.currency, p.amount_minor,
                p.ticket_id
         FROM ledger_posting p JOIN ledger_account a USING (company_id, account_id)
         WHERE p.company_id = $1 AND p.entry_id = $2 ORDER BY p.line",
        tx.company().0,
        entry
    )
    .fetch_all(tx.conn())
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let currency = currency_of(&first.currency)?;
    let postings = rows.into_iter().map(|r| {
        Ok(Posting {
            account: account_of(&r.kind, r.node_id, r.shift, r.trip_id, r.party_id)?,
            amount_minor: Minor(r.amount_minor),
            ticket: r.ticket_id.map(domain::ids::TicketId),
        })
    });
    Ok(Some((currency, postings.collect::<Result<_, DbError>>()?)))
}

/// Accounts by number, with their sums up to the end of a day.
pub(super) async fn accounts(
    tx: &mut TenantTx,
    kind: Option<&str>,
    currency: Option<&str>,
    on: Option<ServiceDate>,
    cursor: &Cursor,
) -> Result<Vec<AccountRow>, DbError> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"SELECT a.account_id AS account, a.kind, a.node_id AS node, n.name AS "node_name?",
                  a.shift, a.trip_id AS trip, a.party_id AS party, q.name AS "party_name?",
                  a.currency, s.debit AS "debit_minor!", s.credit AS "credit_minor!",
                  s.debit - s.credit AS "balance_minor!"
           FROM ledger_account a
           LEFT JOIN node n ON n.company_id = a.company_id AND n.node_id = a.node_id
           LEFT JOIN ledger_party q ON q.company_id = a.company_id AND q.party_id = a.party_id
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(p.amount_minor) FILTER (WHERE p.amount_minor > 0), 0)::bigint
                          AS debit,
                      -coalesce(sum(p.amount_minor) FILTER (WHERE p.amount_minor < 0), 0)::bigint
                          AS credit
               FROM ledger_posting p
               WHERE p.company_id = a.company_id AND p.account_id = a.account_id
                 AND ($4::text IS NULL OR (
                     SELECT e.posting_date FROM ledger_entry e
                     WHERE e.company_id = p.company_id AND e.entry_id = p.entry_id)
                     <= $4::text::date)) AS s
           WHERE a.company_id = $1 AND a.account_id > $5
             AND ($2::text IS NULL OR a.kind = $2) AND ($3::text IS NULL OR a.currency = $3)
           ORDER BY a.account_id LIMIT $6"#,
        tx.company().0,
        kind,
        currency,
        on.map(|d| d.to_string()),
        cursor.part(0, 0_i64),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// The lines of one account, oldest posting day first.
pub(super) async fn postings(
    tx: &mut TenantTx,
    account: i64,
    (from, to): (Option<ServiceDate>, Option<ServiceDate>),
    cursor: &Cursor,
) -> Result<Vec<AccountLine>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT p.entry_id, p.line, e.kind, e.business_date::text AS "business_date!",
                  e.posting_date::text AS "posting_date!", e.posted_at_ms, p.amount_minor,
                  e.currency, p.ticket_id, o.reason AS "reason?"
           FROM ledger_posting p
           JOIN ledger_entry e USING (company_id, entry_id)
           LEFT JOIN ledger_note o USING (company_id, entry_id)
           WHERE p.company_id = $1 AND p.account_id = $2
             AND ($3::text IS NULL OR e.posting_date >= $3::text::date)
             AND ($4::text IS NULL OR e.posting_date <= $4::text::date)
             AND (e.posting_date, e.posted_at_ms, p.entry_id, p.line)
                 > ($5::text::date, $6, $7, $8)
           ORDER BY e.posting_date, e.posted_at_ms, p.entry_id, p.line LIMIT $9"#,
        tx.company().0,
        account,
        from.map(|d| d.to_string()),
        to.map(|d| d.to_string()),
        cursor.part(0, "-infinity".to_owned()),
        cursor.part(1, i64::MIN),
        cursor.part(2, Uuid::nil()),
        cursor.part(3, -1_i16),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| AccountLine {
        entry: r.entry_id,
        line: r.line,
        kind: r.kind,
        business_date: r.business_date,
        posting_date: r.posting_date,
        posted_at: time(r.posted_at_ms),
        posted_at_ms: r.posted_at_ms,
        amount_minor: r.amount_minor,
        currency: r.currency,
        ticket: r.ticket_id,
        reason: r.reason,
    });
    Ok(rows.collect())
}

/// What an account held before a span of days, what moved in it, and what it held afterwards.
pub(super) async fn statement(
    tx: &mut TenantTx,
    account: i64,
    (from, to): (ServiceDate, ServiceDate),
) -> Result<Option<AccountStatement>, DbError> {
    let row = sqlx::query!(
        r#"SELECT a.kind, a.currency,
                  coalesce(sum(p.amount_minor) FILTER (WHERE e.posting_date < $3::text::date), 0)
                      ::bigint AS "opening!",
                  coalesce(sum(p.amount_minor) FILTER (
                      WHERE e.posting_date >= $3::text::date AND p.amount_minor > 0), 0)::bigint
                      AS "debit!",
                  -coalesce(sum(p.amount_minor) FILTER (
                      WHERE e.posting_date >= $3::text::date AND p.amount_minor < 0), 0)::bigint
                      AS "credit!",
                  count(p.line) FILTER (WHERE e.posting_date >= $3::text::date) AS "lines!"
           FROM ledger_account a
           LEFT JOIN (ledger_posting p JOIN ledger_entry e USING (company_id, entry_id))
               ON p.company_id = a.company_id AND p.account_id = a.account_id
                  AND e.posting_date <= $4::text::date
           WHERE a.company_id = $1 AND a.account_id = $2
           GROUP BY a.kind, a.currency"#,
        tx.company().0,
        account,
        from.to_string(),
        to.to_string()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| AccountStatement {
        account,
        kind: r.kind,
        currency: r.currency,
        from: from.to_string(),
        to: to.to_string(),
        opening_minor: r.opening,
        debit_minor: r.debit,
        credit_minor: r.credit,
        closing_minor: r.opening + r.debit - r.credit,
        lines: r.lines,
    }))
}

/// What each kind of account holds at the end of a day.
pub(super) async fn trial_balance(
    tx: &mut TenantTx,
    on: ServiceDate,
) -> Result<Vec<TrialRow>, DbError> {
    let rows = sqlx::query_as!(
        TrialRow,
        r#"SELECT a.currency, a.kind,
                  coalesce(sum(p.amount_minor) FILTER (WHERE p.amount_minor > 0), 0)::bigint
                      AS "debit_minor!",
                  -coalesce(sum(p.amount_minor) FILTER (WHERE p.amount_minor < 0), 0)::bigint
                      AS "credit_minor!",
                  sum(p.amount_minor)::bigint AS "balance_minor!"
           FROM ledger_posting p
           JOIN ledger_entry e USING (company_id, entry_id)
           JOIN ledger_account a USING (company_id, account_id)
           WHERE p.company_id = $1 AND e.posting_date <= $2::text::date
           GROUP BY a.currency, a.kind ORDER BY a.currency, a.kind"#,
        tx.company().0,
        on.to_string()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// One entry with its lines.
pub(super) async fn entry(tx: &mut TenantTx, id: Uuid) -> Result<Option<EntryView>, DbError> {
    let row = sqlx::query!(
        r#"SELECT e.kind, e.currency, e.business_date::text AS "business_date!",
                  e.posting_date::text AS "posting_date!", e.posted_at_ms, o.reason AS "reason?",
                  o.actor_id, o.reverses,
                  (SELECT entry_id FROM ledger_note r
                   WHERE r.company_id = e.company_id AND r.reverses = e.entry_id) AS reversed_by
           FROM ledger_entry e LEFT JOIN ledger_note o USING (company_id, entry_id)
           WHERE e.company_id = $1 AND e.entry_id = $2"#,
        tx.company().0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let lines = sqlx::query_as!(
        EntryLine,
        r#"SELECT p.line, p.account_id AS account, a.kind, p.amount_minor, p.ticket_id AS ticket
           FROM ledger_posting p JOIN ledger_account a USING (company_id, account_id)
           WHERE p.company_id = $1 AND p.entry_id = $2 ORDER BY p.line"#,
        tx.company().0,
        id
    );
    Ok(Some(EntryView {
        entry: id,
        kind: row.kind,
        currency: row.currency,
        business_date: row.business_date,
        posting_date: row.posting_date,
        posted_at: time(row.posted_at_ms),
        reason: row.reason,
        actor: row.actor_id,
        reverses: row.reverses,
        reversed_by: row.reversed_by,
        lines: lines.fetch_all(tx.conn()).await?,
    }))
}

/// Locked periods, by number.
pub(super) async fn locks(tx: &mut TenantTx, cursor: &Cursor) -> Result<Vec<PeriodRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT lock_no, from_date::text AS "from!", to_date::text AS "to!", reason,
                  locked_at_ms, actor_id
           FROM ledger_lock WHERE company_id = $1 AND lock_no > $2 ORDER BY lock_no LIMIT $3"#,
        tx.company().0,
        cursor.part(0, 0_i64),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| PeriodRow {
        period: r.lock_no,
        from: r.from,
        to: r.to,
        reason: r.reason,
        locked_at: time(r.locked_at_ms),
        actor: r.actor_id,
    });
    Ok(rows.collect())
}

/// Whoever earns commission, by number.
pub(super) async fn parties(tx: &mut TenantTx, cursor: &Cursor) -> Result<Vec<PartyRow>, DbError> {
    let rows = sqlx::query_as!(
        PartyRow,
        "SELECT party_id AS party, kind, name FROM ledger_party
         WHERE company_id = $1 AND party_id > $2 ORDER BY party_id LIMIT $3",
        tx.company().0,
        cursor.part(0, Uuid::nil()),
        cursor.fetch()
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}
