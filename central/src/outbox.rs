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
