//! The rows of payments and of the calls made for them.

use domain::time::Zone;
use uuid::Uuid;

use super::calls::Call;
use crate::audit::Actor;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// How an actor is written down.
pub(super) fn actor_columns(actor: Actor) -> (&'static str, Option<Uuid>) {
    match actor {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    }
}

pub(super) async fn company_zone(tx: &mut TenantTx) -> Result<Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone.parse()
        .map_err(|_| DbError::damaged(format!("the time zone {zone}")))
}

pub(super) async fn insert_call(
    tx: &mut TenantTx,
    call: &Call,
    payment: Option<Uuid>,
    refund: Option<Uuid>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO provider_call (company_id, payment_id, refund_id, operation, answer, detail,
             at_ms, took_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.company().0,
        payment,
        refund,
        call.operation,
        call.answer,
        call.detail,
        call.at.0,
        call.took_ms
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
