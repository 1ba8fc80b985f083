//! What happened, written in the transaction that made it true, for whoever is to be told.

use domain::time::Instant;
use serde_json::Value;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Happened<'a> {
    /// Like `booking.confirmed`, `payment.failed`, `trip.cancelled`.
    pub kind: &'a str,
    /// Like `booking:7F3K-22QX`.
    pub subject: &'a str,
    /// What a listener needs; no personal data.
    pub body: Value,
}

/// Puts it into the outbox; gives its id, by which a listener knows a repetition.
pub async fn put(tx: &mut TenantTx, event: Happened<'_>, now: Instant) -> Result<Uuid, DbError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO outbox (company_id, event_id, kind, subject, body, at_ms)
         VALUES ($1, gen_random_uuid(), $2, $3, $4, $5) RETURNING event_id",
        tx.company().0,
        event.kind,
        event.subject,
        event.body,
        now.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(id)
}

/// Deletes events from before a moment, the oldest first: those that the broker has confirmed and
/// that no delivery of a webhook may be sent again from. How many.
pub(crate) async fn prune(tx: &mut TenantTx, before: Instant, most: i64) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "DELETE FROM outbox WHERE company_id = $1 AND event_no IN (
             SELECT o.event_no FROM outbox o
             WHERE o.company_id = $1 AND o.at_ms < $2 AND o.published AND o.webhooks_done
                 AND NOT EXISTS (
                     SELECT FROM webhook_delivery d
                     WHERE d.company_id = $1 AND d.event_no = o.event_no)
             ORDER BY o.at_ms LIMIT $3 FOR UPDATE SKIP LOCKED)",
        tx.company().0,
        before.0,
        most
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
