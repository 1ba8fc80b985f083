//! Counters of tries.

use domain::time::Instant;

use crate::auth::throttle::Rule;
use crate::db::{Db, DbError};

/// Counts one more; gives the count of the window and when it ends.
pub(crate) async fn charge(
    db: &Db,
    rule: Rule,
    subject: &[u8],
    now: Instant,
) -> Result<(i32, Instant), DbError> {
    let row = sqlx::query!(
        "INSERT INTO throttle AS t (kind, subject, tries, ends_at_ms)
         VALUES ($1, $2, 1, $3::bigint + $4::bigint)
         ON CONFLICT (kind, subject) DO UPDATE SET
             -- A window that has ended begins anew; one more than allowed is as far as it counts.
             tries = CASE WHEN t.ends_at_ms <= $3 THEN 1 ELSE least(t.tries + 1, $5 + 1) END,
             -- The last allowed try starts the lock.
             ends_at_ms = CASE WHEN t.ends_at_ms <= $3 THEN $3 + $4
                               WHEN t.tries + 1 = $5 THEN $3 + $6::bigint
                               ELSE t.ends_at_ms END
         RETURNING tries, ends_at_ms",
        rule.kind,
        subject,
        now.0,
        rule.window_ms,
        rule.tries_max,
        rule.lock_ms
    )
    .fetch_one(db.pool())
    .await?;
    Ok((row.tries, Instant(row.ends_at_ms)))
}

pub(crate) async fn clear(db: &Db, rule: Rule, subject: &[u8]) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM throttle WHERE kind = $1 AND subject = $2",
        rule.kind,
        subject
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

pub(crate) async fn give_back(db: &Db, rule: Rule, subject: &[u8]) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE throttle SET tries = greatest(tries - 1, 0) WHERE kind = $1 AND subject = $2",
        rule.kind,
        subject
    )
    .execute(db.pool())
    .await?;
    Ok(())
}
