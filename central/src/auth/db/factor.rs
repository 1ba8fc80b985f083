//! Second factors and recovery codes.

use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// Notes that a code of a step was used; false when one of it or a later one was before.
pub(crate) async fn use_step(tx: &mut TenantTx, person: Uuid, step: i64) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE person SET totp_last_step = $2 WHERE person_id = $1 AND totp_last_step < $2",
        person,
        step
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn use_recovery(
    tx: &mut TenantTx,
    person: Uuid,
    hash: &[u8],
    now: Instant,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE recovery_code SET used_at_ms = $3
         WHERE person_id = $1 AND code_hash = $2 AND used_at_ms IS NULL",
        person,
        hash,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn enrol(tx: &mut TenantTx, person: Uuid, sealed: &[u8]) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET totp_sealed = $2, totp_confirmed_at_ms = NULL, totp_last_step = 0
         WHERE person_id = $1",
        person,
        sealed
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A secret that waits to be confirmed.
pub(crate) async fn enrolled(tx: &mut TenantTx, person: Uuid) -> Result<Option<Vec<u8>>, DbError> {
    let sealed = sqlx::query_scalar!(
        "SELECT totp_sealed FROM person
         WHERE person_id = $1 AND totp_confirmed_at_ms IS NULL",
        person
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(sealed.flatten())
}

pub(crate) async fn confirm(
    tx: &mut TenantTx,
    person: Uuid,
    step: i64,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET totp_confirmed_at_ms = $3, totp_last_step = $2 WHERE person_id = $1",
        person,
        step,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn replace_recovery(
    tx: &mut TenantTx,
    person: Uuid,
    hashes: &[Vec<u8>],
) -> Result<(), DbError> {
    sqlx::query!("DELETE FROM recovery_code WHERE person_id = $1", person)
        .execute(tx.conn())
        .await?;
    sqlx::query!(
        "INSERT INTO recovery_code (person_id, code_hash) SELECT $1, * FROM UNNEST($2::bytea[])",
        person,
        hashes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn remove(tx: &mut TenantTx, person: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET totp_sealed = NULL, totp_confirmed_at_ms = NULL WHERE person_id = $1",
        person
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!("DELETE FROM recovery_code WHERE person_id = $1", person)
        .execute(tx.conn())
        .await?;
    Ok(())
}
