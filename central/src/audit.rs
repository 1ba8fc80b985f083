//! The append-only log of changes: who, what, before, after.

use domain::time::Instant;
use serde_json::Value;

use crate::access::Identity;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// Who is written down for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Somebody who asked.
    Caller(Identity),
    /// The hub by itself: a sweeper, an import on the command line.
    System,
}

impl From<Identity> for Actor {
    fn from(identity: Identity) -> Self {
        Self::Caller(identity)
    }
}

/// One change.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// What was done: service and verb, like `fare.update`.
    pub action: &'a str,
    /// To what, like `fare:STD`.
    pub subject: &'a str,
    /// As it was, without personal data and secrets.
    pub before: Option<Value>,
    /// As it is now.
    pub after: Option<Value>,
}

/// Writes a change down in the transaction that makes it.
pub async fn note(
    tx: &mut TenantTx,
    actor: impl Into<Actor>,
    change: Change<'_>,
    now: Instant,
) -> Result<(), DbError> {
    let (kind, id) = match actor.into() {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    };
    sqlx::query!(
        "INSERT INTO audit_log (company_id, at_ms, actor_kind, actor_id, action, subject, before,
             after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.company().0,
        now.0,
        kind,
        id,
        change.action,
        change.subject,
        change.before,
        change.after
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
