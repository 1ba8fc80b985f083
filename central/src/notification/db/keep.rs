//! How long messages are kept, and those that are not any longer.

use domain::time::Instant;

use crate::db::DbError;
use crate::notification::Settings;
use crate::tenant::TenantTx;

/// The company's settings with their version; the defaults under 0 where it has none.
pub(in crate::notification) async fn settings(
    tx: &mut TenantTx,
) -> Result<(i32, Settings), DbError> {
    let row = sqlx::query!(
        "SELECT keep_days, version FROM notice_settings WHERE company_id = $1",
        tx.company().0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or((0, Settings::default()), |r| {
        let settings = Settings {
            keep_days: r.keep_days,
        };
        (r.version, settings)
    }))
}

/// Writes them; gives their version.
pub(in crate::notification) async fn put_settings(
    tx: &mut TenantTx,
    s: &Settings,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "INSERT INTO notice_settings AS s (company_id, keep_days) VALUES ($1, $2)
         ON CONFLICT (company_id) DO UPDATE
         SET keep_days = EXCLUDED.keep_days, version = s.version + 1
         RETURNING version",
        tx.company().0,
        s.keep_days
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// Deletes messages from before a moment with their ways out, the oldest first, but none that is
/// still to go out. How many.
pub(in crate::notification) async fn prune(
    tx: &mut TenantTx,
    before: Instant,
    most: i64,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "DELETE FROM notice WHERE company_id = $1 AND notice_id IN (
             SELECT n.notice_id FROM notice n
             WHERE n.company_id = $1 AND n.created_at_ms < $2 AND NOT EXISTS (
                 SELECT FROM notice_delivery d
                 WHERE d.company_id = $1 AND d.notice_id = n.notice_id
                     AND d.next_try_at_ms IS NOT NULL)
             ORDER BY n.created_at_ms LIMIT $3 FOR UPDATE SKIP LOCKED)",
        tx.company().0,
        before.0,
        most
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}
