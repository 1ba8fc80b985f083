//! The keys of access tokens.

use domain::time::Instant;

use crate::auth::keyring::TokenKey;
use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// What processes take turns under while they make a key.
const MAKING_LOCK: i64 = 0x6d77_6b65_7973;

/// A key as stored.
pub(crate) struct KeyRow {
    pub(crate) kid: String,
    pub(crate) secret_sealed: Vec<u8>,
    pub(crate) signs_from: Instant,
    pub(crate) withdrawn_at: Option<Instant>,
}

pub(crate) async fn all(db: &Db) -> Result<Vec<KeyRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT kid, secret_sealed, signs_from_ms, withdrawn_at_ms FROM auth_key
         ORDER BY signs_from_ms DESC LIMIT 50"
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| KeyRow {
            kid: r.kid,
            secret_sealed: r.secret_sealed,
            signs_from: Instant(r.signs_from_ms),
            withdrawn_at: r.withdrawn_at_ms.map(Instant),
        })
        .collect())
}

pub(crate) async fn lock(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", MAKING_LOCK)
        .fetch_one(tx.conn())
        .await?;
    Ok(())
}

pub(crate) async fn any_signs(tx: &mut TenantTx, now: Instant) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM auth_key
                          WHERE withdrawn_at_ms IS NULL AND signs_from_ms <= $1) AS "any!""#,
        now.0
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    key: &TokenKey,
    sealed: &[u8],
    now: Instant,
) -> Result<(), DbError> {
    let public = key.secret.verifying_key().to_bytes();
    sqlx::query!(
        "INSERT INTO auth_key (kid, public_key, secret_sealed, signs_from_ms, created_at_ms)
         VALUES ($1, $2, $3, $4, $5)",
        key.kid,
        &public[..],
        sealed,
        key.signs_from.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn withdraw_all(tx: &mut TenantTx, now: Instant) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE auth_key SET withdrawn_at_ms = $1 WHERE withdrawn_at_ms IS NULL",
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
