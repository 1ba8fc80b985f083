//! The rows of the outbox that wait for the broker, and those of the bus that stands in for it.

use domain::ids::CompanyId;
use domain::time::Instant;
use uuid::Uuid;

use super::{DeadLetter, Message};
use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// Companies with events that the broker has not confirmed.
pub(super) async fn with_news(db: &Db) -> Result<Vec<Uuid>, DbError> {
    let rows = sqlx::query_scalar!(r#"SELECT companies_to_publish() AS "company!""#)
        .fetch_all(db.pool())
        .await?;
    Ok(rows)
}

/// Events to publish, the first first, locked; those that another process is at are left out.
pub(super) async fn fresh(tx: &mut TenantTx, most: i64) -> Result<Vec<(i64, Message)>, DbError> {
    let company = tx.company();
    let rows = sqlx::query!(
        "SELECT event_no, event_id, kind, subject, body, at_ms FROM outbox
         WHERE company_id = $1 AND NOT published
         ORDER BY event_no LIMIT $2 FOR UPDATE SKIP LOCKED",
        company.0,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    let message = rows.into_iter().map(|r| {
        let message = Message {
            event: r.event_id,
            company,
            kind: r.kind,
            subject: r.subject,
            body: r.body,
            at_ms: r.at_ms,
        };
        (r.event_no, message)
    });
    Ok(message.collect())
}

/// They were confirmed.
pub(super) async fn mark(tx: &mut TenantTx, numbers: &[i64]) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE outbox SET published = true WHERE company_id = $1 AND event_no = ANY ($2)",
        tx.company().0,
        numbers
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Puts messages of the transaction's company into a queue; those that are there stay as they are.
pub(super) async fn put(
    tx: &mut TenantTx,
    queue: &str,
    messages: &[&Message],
    now: Instant,
) -> Result<(), DbError> {
    let events: Vec<Uuid> = messages.iter().map(|m| m.event).collect();
    let kinds: Vec<&str> = messages.iter().map(|m| m.kind.as_str()).collect();
    let subjects: Vec<&str> = messages.iter().map(|m| m.subject.as_str()).collect();
    let bodies: Vec<serde_json::Value> = messages.iter().map(|m| m.body.clone()).collect();
    let at: Vec<i64> = messages.iter().map(|m| m.at_ms).collect();
    sqlx::query!(
        "INSERT INTO bus_message (company_id, queue, event_id, kind, subject, body, at_ms,
             due_at_ms)
         SELECT $1, $2, w.event, w.kind, w.subject, w.body, w.at_ms, $8
         FROM UNNEST($3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[])
             AS w(event, kind, subject, body, at_ms)
         ON CONFLICT (company_id, queue, event_id) DO NOTHING",
        tx.company().0,
        queue,
        &events,
        &kinds as _,
        &subjects as _,
        &bodies,
        &at,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Messages whose time has come, of any company.
pub(super) async fn due(
    db: &Db,
    queue: &str,
    now: Instant,
    most: i32,
) -> Result<Vec<(CompanyId, i64)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", message_no AS "message!"
           FROM due_bus_messages($1, $2, $3)"#,
        queue,
        now.0,
        most
    )
    .fetch_all(db.pool())
    .await?;
    let pair = rows.into_iter().map(|r| (CompanyId(r.company), r.message));
    Ok(pair.collect())
}

/// A message in somebody's hands.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) no: i64,
    /// With this one.
    pub(super) tries: u32,
    pub(super) message: Message,
}

/// Takes due messages until a moment, after which they count as left behind.
pub(super) async fn take(
    tx: &mut TenantTx,
    numbers: &[i64],
    (now, until): (Instant, Instant),
) -> Result<Vec<Taken>, DbError> {
    let company = tx.company();
    let rows = sqlx::query!(
        "UPDATE bus_message b SET tries = b.tries + 1, due_at_ms = $4
         WHERE b.company_id = $1 AND b.message_no IN (
             SELECT message_no FROM bus_message
             WHERE company_id = $1 AND message_no = ANY ($2) AND due_at_ms <= $3
             FOR UPDATE SKIP LOCKED)
         RETURNING b.message_no, b.tries, b.event_id, b.kind, b.subject, b.body, b.at_ms",
        company.0,
        numbers,
        now.0,
        until.0
    )
    .fetch_all(tx.conn())
    .await?;
    let taken = rows.into_iter().map(|r| Taken {
        no: r.message_no,
        tries: r.tries as u32,
        message: Message {
            event: r.event_id,
            company,
            kind: r.kind,
            subject: r.subject,
            body: r.body,
            at_ms: r.at_ms,
        },
    });
    Ok(taken.collect())
}

/// They were handled.
pub(super) async fn done(tx: &mut TenantTx, numbers: &[i64]) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM bus_message WHERE company_id = $1 AND message_no = ANY ($2)",
        tx.company().0,
        numbers
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A try failed: it comes again at a moment, or is a dead letter from now on.
pub(super) async fn failed(
    tx: &mut TenantTx,
    number: i64,
    (reason, again): (&str, Option<Instant>),
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE bus_message SET reason = $3, due_at_ms = $4,
             dead_at_ms = CASE WHEN $4::bigint IS NULL THEN $5::bigint END
         WHERE company_id = $1 AND message_no = $2",
        tx.company().0,
        number,
        reason,
        again.map(|at| at.0),
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Where dead letters of a queue are, the oldest first.
pub(super) async fn dead(
    db: &Db,
    queue: &str,
    most: i32,
) -> Result<Vec<(CompanyId, i64)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", message_no AS "message!"
           FROM dead_bus_messages($1, $2)"#,
        queue,
        most
    )
    .fetch_all(db.pool())
    .await?;
    let pair = rows.into_iter().map(|r| (CompanyId(r.company), r.message));
    Ok(pair.collect())
}

/// Dead letters of the transaction's company.
pub(super) async fn dead_letters(
    tx: &mut TenantTx,
    numbers: &[i64],
) -> Result<Vec<DeadLetter>, DbError> {
    let company = tx.company();
    let rows = sqlx::query!(
        r#"SELECT tries, event_id, kind, subject, body, at_ms, reason,
               dead_at_ms AS "dead_at_ms!"
           FROM bus_message
           WHERE company_id = $1 AND message_no = ANY ($2) AND dead_at_ms IS NOT NULL
           ORDER BY dead_at_ms, message_no"#,
        company.0,
        numbers
    )
    .fetch_all(tx.conn())
    .await?;
    let letter = rows.into_iter().map(|r| DeadLetter {
        message: Message {
            event: r.event_id,
            company,
            kind: r.kind,
            subject: r.subject,
            body: r.body,
            at_ms: r.at_ms,
        },
        tries: r.tries as u32,
        reason: r.reason.unwrap_or_default(),
        dead_at_ms: r.dead_at_ms,
    });
    Ok(letter.collect())
}

/// Dead letters become due, as if never tried. How many.
pub(super) async fn revive(
    tx: &mut TenantTx,
    numbers: &[i64],
    only: Option<Uuid>,
    now: Instant,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "UPDATE bus_message SET tries = 0, reason = NULL, dead_at_ms = NULL, due_at_ms = $4
         WHERE company_id = $1 AND message_no = ANY ($2) AND dead_at_ms IS NOT NULL
             AND ($3::uuid IS NULL OR event_id = $3)",
        tx.company().0,
        numbers,
        only,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
