//! Reading the audit log.

use domain::time::Instant;

use crate::auth::audit_view::{AuditFilter, AuditRow};
use crate::db::DbError;
use crate::tenant::TenantTx;

/// Entries that fit, the latest first, from before an entry.
pub(crate) async fn list(
    tx: &mut TenantTx,
    filter: &AuditFilter,
    before: i64,
    limit: i64,
) -> Result<Vec<AuditRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT entry_no, at_ms, actor_kind, actor_id, action, subject, before, after
         FROM audit_log
         WHERE company_id = $1 AND entry_no < $2
             AND ($3::text IS NULL OR subject = $3)
             AND ($4::text IS NULL OR action = $4 OR starts_with(action, $4 || '.'))
             AND ($5::text IS NULL OR actor_kind = $5)
             AND ($6::uuid IS NULL OR actor_id = $6)
             AND ($7::bigint IS NULL OR at_ms >= $7)
             AND ($8::bigint IS NULL OR at_ms < $8)
         ORDER BY entry_no DESC LIMIT $9",
        tx.company().0,
        before,
        filter.subject,
        filter.action,
        filter.actor_kind,
        filter.actor,
        filter.from.map(|at| at.0),
        filter.to.map(|at| at.0),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| AuditRow {
            entry: r.entry_no,
            at: Instant(r.at_ms),
            actor_kind: r.actor_kind,
            actor: r.actor_id,
            action: r.action,
            subject: r.subject,
            before: r.before,
            after: r.after,
        })
        .collect())
}
