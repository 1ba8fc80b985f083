//! The rows of endpoints and deliveries.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(in crate::payment) id: Uuid,
    pub(in crate::payment) url: String,
    pub(in crate::payment) description: String,
    /// Of events; `None`: all.
    pub(in crate::payment) kinds: Option<Vec<String>>,
    pub(in crate::payment) secret_sealed: Vec<u8>,
    /// The one before, and until when it signs too.
    pub(in crate::payment) before: Option<(Vec<u8>, Instant)>,
    pub(in crate::payment) enabled: bool,
    pub(in crate::payment) disabled_why: Option<String>,
    pub(in crate::payment) since: Instant,
    pub(in crate::payment) version: i32,
}

/// Endpoints of the company in the order of their numbers, one of them where named.
pub async fn endpoints(
    tx: &mut TenantTx,
    one: Option<Uuid>,
    after: Option<Uuid>,
    most: i64,
) -> Result<Vec<Endpoint>, DbError> {
    let rows = sqlx::query!(
        "SELECT endpoint_id, url, description, kinds, secret_sealed, secret_before_sealed,
             before_until_ms, enabled, disabled_why, since_ms, version
         FROM webhook_endpoint
         WHERE company_id = $1 AND ($2::uuid IS NULL OR endpoint_id = $2)
             AND ($3::uuid IS NULL OR endpoint_id > $3)
         ORDER BY endpoint_id LIMIT $4",
        tx.company().0,
        one,
        after,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    let endpoint = rows.into_iter().map(|r| Endpoint {
        id: r.endpoint_id,
        url: r.url,
        description: r.description,
        kinds: r.kinds,
        secret_sealed: r.secret_sealed,
        before: r.secret_before_sealed.zip(r.before_until_ms.map(Instant)),
        enabled: r.enabled,
        disabled_why: r.disabled_why,
        since: Instant(r.since_ms),
        version: r.version,
    });
    Ok(endpoint.collect())
}

pub async fn insert(tx: &mut TenantTx, new: &Endpoint) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO webhook_endpoint (company_id, endpoint_id, url, description, kinds,
             secret_sealed, since_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        new.id,
        new.url,
        new.description,
        new.kinds.as_deref(),
        new.secret_sealed,
        new.since.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes everything that people may change; switched on again it begins with a clean slate.
pub async fn update(tx: &mut TenantTx, changed: &Endpoint) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE webhook_endpoint SET url = $3, description = $4, kinds = $5, secret_sealed = $6,
             secret_before_sealed = $7, before_until_ms = $8, enabled = $9, disabled_why = $10,
             version = version + 1
         WHERE company_id = $1 AND endpoint_id = $2",
        tx.company().0,
        changed.id,
        changed.url,
        changed.description,
        changed.kinds.as_deref(),
        changed.secret_sealed,
        changed.before.as_ref().map(|(sealed, _)| sealed.as_slice()),
        changed.before.as_ref().map(|(_, until)| until.0),
        changed.enabled,
        changed.disabled_why
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn delete(tx: &mut TenantTx, endpoint: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM webhook_endpoint WHERE company_id = $1 AND endpoint_id = $2",
        tx.company().0,
        endpoint
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Companies with events that were not fanned out.
pub async fn with_news(pool: &sqlx::PgPool) -> Result<Vec<Uuid>, DbError> {
    let rows = sqlx::query_scalar!(r#"SELECT companies_with_news() AS "company!""#)
        .fetch_all(pool)
        .await?;
    Ok(rows)
}

/// Makes a delivery per endpoint out of each fresh event; how many events that were.
pub async fn fan_out(tx: &mut TenantTx, now: Instant, most: i64) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "WITH fresh AS (
             UPDATE outbox o SET webhooks_done = true
             WHERE o.company_id = $1 AND o.event_no IN (
                 SELECT event_no FROM outbox WHERE company_id = $1 AND NOT webhooks_done
                 ORDER BY event_no LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING o.event_no, o.event_id, o.kind, o.at_ms
         ), made AS (
             INSERT INTO webhook_delivery (company_id, endpoint_id, event_no, event_id, kind,
                 next_try_at_ms, created_at_ms)
             SELECT $1, e.endpoint_id, f.event_no, f.event_id, f.kind, $2, $2
             FROM fresh f JOIN webhook_endpoint e ON e.company_id = $1 AND e.enabled
                 AND f.at_ms >= e.since_ms AND (e.kinds IS NULL OR f.kind = ANY (e.kinds))
             ON CONFLICT DO NOTHING
         )
         SELECT count(*) AS \"count!\" FROM fresh",
        tx.company().0,
        now.0,
        most
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(done.count as u64)
}

/// Deliveries whose time has come, of any company.
pub async fn due(
    pool: &sqlx::PgPool,
    now: Instant,
    most: i32,
) -> Result<Vec<(Uuid, i64)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", delivery_no AS "delivery!"
           FROM due_deliveries($1, $2)"#,
        now.0,
        most
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|r| (r.company, r.delivery)).collect())
}

/// What is to be sent.
#[derive(Debug)]
pub struct Parcel {
    pub(in crate::payment) endpoint: Uuid,
    pub(in crate::payment) event_id: Uuid,
    pub(in crate::payment) kind: String,
    pub(in crate::payment) subject: String,
    pub(in crate::payment) body: Value,
    pub(in crate::payment) at: Instant,
    pub(in crate::payment) attempts: i32,
}

/// Takes a due delivery for a while.
pub async fn claim(
    tx: &mut TenantTx,
    delivery: i64,
    until: Instant,
    now: Instant,
) -> Result<Option<Parcel>, DbError> {
    let row = sqlx::query!(
        "UPDATE webhook_delivery d SET next_try_at_ms = $4, attempts = d.attempts + 1
         FROM outbox o
         WHERE d.company_id = $1 AND d.delivery_no = $2 AND d.next_try_at_ms <= $3
             AND o.company_id = d.company_id AND o.event_no = d.event_no
         RETURNING d.endpoint_id, d.event_id, d.kind, o.subject, o.body, o.at_ms, d.attempts",
        tx.company().0,
        delivery,
        now.0,
        until.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| Parcel {
        endpoint: r.endpoint_id,
        event_id: r.event_id,
        kind: r.kind,
        subject: r.subject,
        body: r.body,
        at: Instant(r.at_ms),
        attempts: r.attempts,
    }))
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Attempt {
    pub(in crate::payment) state: &'static str,
    pub(in crate::payment) next_try_at: Option<Instant>,
    pub(in crate::payment) status: Option<i32>,
    pub(in crate::payment) error: Option<String>,
    /// When it began.
    pub(in crate::payment) at: Instant,
    /// In milliseconds.
    pub(in crate::payment) took_ms: i64,
}

/// An attempt of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it began, in milliseconds since 1970.
    pub(in crate::payment) at_ms: i64,
    /// How long it took, in milliseconds.
    pub(in crate::payment) took_ms: i64,
    /// The HTTP status, where there was an answer.
    pub(in crate::payment) status: Option<i32>,
    /// What was wrong.
    pub(in crate::payment) error: Option<String>,
}

/// How many attempts of a delivery are kept.
const TRIES_MAX: i32 = 40;

pub async fn attempted(
    tx: &mut TenantTx,
    delivery: i64,
    attempt: &Attempt,
    now: Instant,
) -> Result<(), DbError> {
    let tried = Try {
        at_ms: attempt.at.0,
        took_ms: attempt.took_ms,
        status: attempt.status,
        error: attempt.error.clone(),
    };
    sqlx::query!(
        "UPDATE webhook_delivery SET state = $3, next_try_at_ms = $4, last_status = $5,
             last_error = $6, tried_at_ms = $7,
             tries = CASE WHEN jsonb_array_length(tries) >= $9 THEN tries - 0 ELSE tries END
                 || jsonb_build_array($8::jsonb),
             delivered_at_ms = CASE WHEN $3 = 'delivered' THEN $7 ELSE delivered_at_ms END
         WHERE company_id = $1 AND delivery_no = $2",
        tx.company().0,
        delivery,
        attempt.state,
        attempt.next_try_at.map(|at| at.0),
        attempt.status,
        attempt.error,
        now.0,
        serde_json::to_value(&tried).unwrap_or_default(),
        TRIES_MAX
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Switches an endpoint off, unless something reached it since then. Whether it did.
pub async fn disable(
    tx: &mut TenantTx,
    endpoint: Uuid,
    since: Instant,
    why: &str,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE webhook_endpoint e SET enabled = false, disabled_why = $4, version = version + 1
         WHERE e.company_id = $1 AND e.endpoint_id = $2 AND e.enabled AND NOT EXISTS (
             SELECT 1 FROM webhook_delivery d WHERE d.company_id = $1 AND d.endpoint_id = $2
                 AND d.delivered_at_ms >= $3)",
        tx.company().0,
        endpoint,
        since.0,
        why
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A delivery as it is shown.
#[derive(Debug)]
pub struct DeliveryRow {
    pub(in crate::payment) no: i64,
    pub(in crate::payment) event_id: Uuid,
    pub(in crate::payment) kind: String,
    pub(in crate::payment) state: String,
    pub(in crate::payment) attempts: i32,
    pub(in crate::payment) next_try_at: Option<Instant>,
    pub(in crate::payment) last_status: Option<i32>,
    pub(in crate::payment) last_error: Option<String>,
    pub(in crate::payment) created_at: Instant,
    pub(in crate::payment) tried_at: Option<Instant>,
    /// The first first.
    pub(in crate::payment) tries: Vec<Try>,
}

/// Deliveries of an endpoint, the latest first.
pub async fn deliveries(
    tx: &mut TenantTx,
    endpoint: Uuid,
    state: Option<&str>,
    before: i64,
    most: i64,
) -> Result<Vec<DeliveryRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT delivery_no, event_id, kind, state, attempts, next_try_at_ms, last_status,
             last_error, created_at_ms, tried_at_ms, tries
         FROM webhook_delivery
         WHERE company_id = $1 AND endpoint_id = $2 AND ($3::text IS NULL OR state = $3)
             AND delivery_no < $4
         ORDER BY delivery_no DESC LIMIT $5",
        tx.company().0,
        endpoint,
        state,
        before,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    let shown = rows.into_iter().map(|r| DeliveryRow {
        no: r.delivery_no,
        event_id: r.event_id,
        kind: r.kind,
        state: r.state,
        attempts: r.attempts,
        next_try_at: r.next_try_at_ms.map(Instant),
        last_status: r.last_status,
        last_error: r.last_error,
        created_at: Instant(r.created_at_ms),
        tried_at: r.tried_at_ms.map(Instant),
        tries: serde_json::from_value(r.tries).unwrap_or_default(),
    });
    Ok(shown.collect())
}

/// Sends a delivery again, from its first wait on. Whether there is such a one.
pub async fn resend(
    tx: &mut TenantTx,
    endpoint: Uuid,
    delivery: i64,
    now: Instant,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE webhook_delivery SET state = 'waiting', attempts = 0, next_try_at_ms = $4
         WHERE company_id = $1 AND endpoint_id = $2 AND delivery_no = $3",
        tx.company().0,
        endpoint,
        delivery,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes deliveries from before a moment that have ended, the oldest first. How many.
pub(crate) async fn prune(tx: &mut TenantTx, before: Instant, most: i64) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "DELETE FROM webhook_delivery WHERE company_id = $1 AND delivery_no IN (
             SELECT delivery_no FROM webhook_delivery
             WHERE company_id = $1 AND created_at_ms < $2 AND next_try_at_ms IS NULL
             ORDER BY created_at_ms LIMIT $3 FOR UPDATE SKIP LOCKED)",
        tx.company().0,
        before.0,
        most
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
