//! The rows of statements.

use std::collections::HashMap;

use domain::ledger::Account;
use domain::money::Currency;
use domain::time::Instant;
use uuid::Uuid;

use super::NewStatement;
use super::matching::{Match, Ours, Theirs};
use super::parse::{Line, Mapping};
use super::views::StatementLine;
use crate::access::Staff;
use crate::db::DbError;
use crate::ledger::db::currency_of;
use crate::tenant::TenantTx;
use crate::views::{Cursor, time};

/// The most movements that are compared at once.
const OURS_MAX: i64 = 20_000;

pub(super) async fn mapping(
    tx: &mut TenantTx,
    name: &str,
) -> Result<Option<(Mapping, i32)>, DbError> {
    let row = sqlx::query!(
        "SELECT body, version FROM statement_mapping WHERE company_id = $1 AND name = $2
         FOR UPDATE",
        tx.company().0,
        name
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let mapping = serde_json::from_value(r.body);
        let mapping = mapping.map_err(|_| DbError::damaged(format!("the mapping {name}")))?;
        Ok((mapping, r.version))
    })
    .transpose()
}

/// Saves a mapping; gives its version.
pub(super) async fn save_mapping(
    tx: &mut TenantTx,
    name: &str,
    mapping: &Mapping,
) -> Result<i32, DbError> {
    let body = serde_json::to_value(mapping).map_err(|_| DbError::damaged("a mapping"))?;
    let version = sqlx::query_scalar!(
        "INSERT INTO statement_mapping AS m (company_id, name, body) VALUES ($1, $2, $3)
         ON CONFLICT (company_id, name)
         DO UPDATE SET body = EXCLUDED.body, version = m.version + 1
         RETURNING version",
        tx.company().0,
        name,
        body
    );
    Ok(version.fetch_one(tx.conn()).await?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    staff: Staff,
    new: &NewStatement<'_>,
    now: Instant,
) -> Result<Uuid, DbError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO statement (company_id, statement_id, account, mapping, file_name, currency,
             imported_at_ms, actor_kind, actor_id)
         VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, $6, $7, $8) RETURNING statement_id",
        tx.company().0,
        new.account.key().0,
        new.mapping,
        new.file_name,
        new.currency.as_str(),
        now.0,
        staff.identity.kind(),
        staff.identity.id()
    );
    Ok(id.fetch_one(tx.conn()).await?)
}

pub(super) async fn delete_empty(tx: &mut TenantTx, id: Uuid) -> Result<(), DbError> {
    let company = tx.company().0;
    let gone = sqlx::query!(
        "DELETE FROM statement WHERE company_id = $1 AND statement_id = $2",
        company,
        id
    );
    gone.execute(tx.conn()).await?;
    Ok(())
}

/// Inserts the lines that were not here before; gives their ids by fingerprint.
pub(super) async fn insert_lines(
    tx: &mut TenantTx,
    statement: Uuid,
    account: Account,
    lines: &[Line],
    phones: &[Option<Vec<u8>>],
) -> Result<HashMap<Vec<u8>, Uuid>, DbError> {
    let numbers: Vec<i32> = lines.iter().map(|l| l.number as i32).collect();
    let prints: Vec<Vec<u8>> = lines.iter().map(|l| l.fingerprint.to_vec()).collect();
    let kinds: Vec<&str> = lines.iter().map(|l| l.kind.as_str()).collect();
    let times: Vec<i64> = lines.iter().map(|l| l.at.0).collect();
    let references: Vec<&str> = lines.iter().map(|l| l.reference.as_str()).collect();
    let ours: Vec<&str> = lines.iter().map(|l| l.our_reference.as_str()).collect();
    let amounts: Vec<i64> = lines.iter().map(|l| l.amount_minor).collect();
    let fees: Vec<i64> = lines.iter().map(|l| l.fee_minor).collect();
    let rows = sqlx::query!(
        "INSERT INTO statement_line (company_id, statement_id, line_id, line_no, account,
             fingerprint, kind, at_ms, reference, our_reference, amount_minor, fee_minor,
             phone_blind, state)
         SELECT $1, $2, gen_random_uuid(), w.no, $3, w.print, w.kind, w.at, w.reference, w.ours,
             w.amount, w.fee, w.phone, 'unmatched'
         FROM UNNEST($4::int[], $5::bytea[], $6::text[], $7::bigint[], $8::text[], $9::text[],
             $10::bigint[], $11::bigint[], $12::bytea[])
             AS w(no, print, kind, at, reference, ours, amount, fee, phone)
         ON CONFLICT (company_id, account, fingerprint) DO NOTHING
         RETURNING line_id, fingerprint",
        tx.company().0,
        statement,
        account.key().0,
        &numbers,
        &prints,
        &kinds as _,
        &times,
        &references as _,
        &ours as _,
        &amounts,
        &fees,
        phones as _
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.fingerprint, r.line_id))
        .collect())
}

/// Notes the entries that lines made; those that are nothing else are done with.
pub(super) async fn set_posted(
    tx: &mut TenantTx,
    posted: &[(Uuid, Uuid, bool)],
) -> Result<(), DbError> {
    let lines: Vec<Uuid> = posted.iter().map(|p| p.0).collect();
    let entries: Vec<Uuid> = posted.iter().map(|p| p.1).collect();
    let whole: Vec<bool> = posted.iter().map(|p| p.2).collect();
    sqlx::query!(
        "UPDATE statement_line s SET entry_id = w.entry,
             state = CASE WHEN w.whole THEN 'posted' ELSE s.state END
         FROM UNNEST($2::uuid[], $3::uuid[], $4::bool[]) AS w(line, entry, whole)
         WHERE s.company_id = $1 AND s.line_id = w.line",
        tx.company().0,
        &lines,
        &entries,
        &whole
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn set_matches(tx: &mut TenantTx, found: &[Match]) -> Result<(), DbError> {
    let lines: Vec<Uuid> = found.iter().map(|m| m.line).collect();
    let kinds: Vec<&str> = found.iter().map(|m| m.kind).collect();
    let ids: Vec<Uuid> = found.iter().map(|m| m.id).collect();
    let by: Vec<&str> = found.iter().map(|m| m.by).collect();
    sqlx::query!(
        "UPDATE statement_line s SET state = 'matched', matched_kind = w.kind,
             matched_id = w.id, matched_by = w.by
         FROM UNNEST($2::uuid[], $3::text[], $4::uuid[], $5::text[]) AS w(line, kind, id, by)
         WHERE s.company_id = $1 AND s.line_id = w.line AND s.state = 'unmatched'",
        tx.company().0,
        &lines,
        &kinds as _,
        &ids,
        &by as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn unmatch(tx: &mut TenantTx, line: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE statement_line SET state = 'unmatched', matched_kind = NULL, matched_id = NULL,
             matched_by = NULL
         WHERE company_id = $1 AND line_id = $2",
        tx.company().0,
        line
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A line as matching needs it.
pub(super) struct LineStanding {
    pub state: String,
    pub account: Account,
    pub currency: Currency,
}

pub(super) async fn lock_line(
    tx: &mut TenantTx,
    line: Uuid,
) -> Result<Option<LineStanding>, DbError> {
    let row = sqlx::query!(
        "SELECT l.state, l.account, s.currency FROM statement_line l
         JOIN statement s USING (company_id, statement_id)
         WHERE l.company_id = $1 AND l.line_id = $2 FOR UPDATE OF l",
        tx.company().0,
        line
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let account = Account::from_key(&r.account, None, None, None, None);
        Ok(LineStanding {
            state: r.state,
            account: account.ok_or_else(|| DbError::damaged("a statement's account"))?,
            currency: currency_of(&r.currency)?,
        })
    })
    .transpose()
}

/// Unmatched lines of an account.
pub(super) async fn theirs(
    tx: &mut TenantTx,
    account: Account,
    currency: Currency,
) -> Result<Vec<Theirs>, DbError> {
    let rows = sqlx::query!(
        "SELECT l.line_id, l.reference, l.our_reference, l.amount_minor, l.at_ms, l.phone_blind
         FROM statement_line l JOIN statement s USING (company_id, statement_id)
         WHERE l.company_id = $1 AND l.account = $2 AND s.currency = $3 AND l.state = 'unmatched'
         ORDER BY l.at_ms DESC, l.line_id LIMIT $4",
        tx.company().0,
        account.key().0,
        currency.as_str(),
        OURS_MAX
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| Theirs {
        id: r.line_id,
        references: vec![r.reference, r.our_reference],
        amount_minor: r.amount_minor,
        at: Instant(r.at_ms),
        phone: r.phone_blind,
    });
    Ok(rows.collect())
}

/// Movements of an account that no line explains: payments and refunds of its provider, and
/// entries that no payment of ours made.
pub(super) async fn ours(
    tx: &mut TenantTx,
    account: Account,
    currency: Currency,
    (from, to): (Instant, Instant),
) -> Result<Vec<Ours>, DbError> {
    let kind = account.key().0;
    let provider = if account == Account::MobileMoneyClearing {
        Some("momo")
    } else {
        (account == Account::CardClearing).then_some("card")
    };
    let rows = sqlx::query!(
        r#"SELECT w.kind AS "kind!", w.id AS "id!", w.names AS "names!", w.amount AS "amount!",
                  w.at AS "at!", w.phone
           FROM (
               SELECT 'payment' AS kind, p.payment_id AS id,
                      ARRAY[p.provider_ref::text, coalesce(p.provider_id, ''), b.reference] AS names,
                      p.amount_minor AS amount, coalesce(p.captured_at_ms, p.created_at_ms) AS at,
                      b.phone_blind AS phone
               FROM payment p JOIN booking b USING (company_id, booking_id)
               WHERE p.company_id = $1 AND p.state = 'captured' AND p.provider = $2
                 AND p.currency = $3
               UNION ALL
               SELECT 'refund', r.refund_id,
                      ARRAY[r.provider_ref::text, coalesce(r.provider_id, ''), b.reference],
                      -r.amount_minor, coalesce(r.done_at_ms, r.created_at_ms), b.phone_blind
               FROM refund r JOIN booking b USING (company_id, booking_id)
               WHERE r.company_id = $1 AND r.state = 'done' AND r.provider = $2
                 AND r.currency = $3
               UNION ALL
               SELECT 'entry', e.entry_id, ARRAY[e.entry_id::text],
                      sum(q.amount_minor)::bigint, e.posted_at_ms, NULL
               FROM ledger_account a
               JOIN ledger_posting q USING (company_id, account_id)
               JOIN ledger_entry e USING (company_id, entry_id)
               WHERE a.company_id = $1 AND a.kind = $4 AND a.currency = $3
                 AND ($2::text IS NULL OR EXISTS (
                     SELECT FROM ledger_posting t
                     JOIN ticket k ON k.company_id = t.company_id AND k.ticket_id = t.ticket_id
                     WHERE t.company_id = e.company_id AND t.entry_id = e.entry_id
                       AND k.issuer_node IS NOT NULL))
               GROUP BY e.entry_id, e.posted_at_ms HAVING sum(q.amount_minor) <> 0) AS w
           WHERE w.at BETWEEN $5 AND $6
             AND NOT EXISTS (SELECT FROM statement_line s
                             WHERE s.company_id = $1 AND s.matched_kind = w.kind
                               AND s.matched_id = w.id)
             AND NOT EXISTS (SELECT FROM statement_line s
                             WHERE s.company_id = $1 AND s.account = $4 AND w.kind = 'entry'
                               AND s.entry_id = w.id)
           ORDER BY w.at DESC, w.id LIMIT $7"#,
        tx.company().0,
        provider,
        currency.as_str(),
        kind,
        from.0,
        to.0,
        OURS_MAX
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| Ours {
        kind: match r.kind.as_str() {
            "payment" => "payment",
            "refund" => "refund",
            _ => "entry",
        },
        id: r.id,
        references: r.names,
        amount_minor: r.amount,
        at: Instant(r.at),
        phone: r.phone,
    });
    Ok(rows.collect())
}

/// Lines of an account or statement, by id.
pub(super) async fn lines(
    tx: &mut TenantTx,
    statement: Option<Uuid>,
    account: Option<&str>,
    state: Option<&str>,
    cursor: &Cursor,
) -> Result<Vec<StatementLine>, DbError> {
    let rows = sqlx::query!(
        "SELECT l.line_id, l.statement_id, l.line_no, l.account, l.kind, l.at_ms, l.reference,
                l.our_reference, l.amount_minor, l.fee_minor, s.currency, l.state, l.matched_kind,
                l.matched_id, l.matched_by, l.entry_id
         FROM statement_line l JOIN statement s USING (company_id, statement_id)
         WHERE l.company_id = $1 AND ($2::uuid IS NULL OR l.statement_id = $2)
           AND ($3::text IS NULL OR l.account = $3) AND ($4::text IS NULL OR l.state = $4)
           AND l.line_id > $5
         ORDER BY l.line_id LIMIT $6",
        tx.company().0,
        statement,
        account,
        state,
        cursor.part(0, Uuid::nil()),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| StatementLine {
        line: r.line_id,
        statement: r.statement_id,
        line_no: r.line_no,
        account: r.account,
        kind: r.kind,
        at: time(r.at_ms),
        reference: r.reference,
        our_reference: r.our_reference,
        amount_minor: r.amount_minor,
        fee_minor: r.fee_minor,
        currency: r.currency,
        state: r.state,
        matched_kind: r.matched_kind,
        matched: r.matched_id,
        matched_by: r.matched_by,
        entry: r.entry_id,
    });
    Ok(rows.collect())
}
