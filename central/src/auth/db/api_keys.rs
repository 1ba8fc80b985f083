//! A company's API keys.

use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// A key to be stored.
#[derive(Debug)]
pub(crate) struct NewKey<'a> {
    pub(crate) hash: [u8; 32],
    pub(crate) name: &'a str,
    pub(crate) scopes: &'a [String],
    pub(crate) expires_at: Option<Instant>,
    pub(crate) created_by: Option<Uuid>,
}

/// A key as stored.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) key: Uuid,
    pub(crate) name: String,
    /// None: everything in the company.
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) created_at: Instant,
    pub(crate) created_by: Option<Uuid>,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) revoked_at: Option<Instant>,
}

macro_rules! key {
    ($row:expr) => {
        $row.map(|r| KeyRow {
            key: r.token_id,
            name: r.name,
            scopes: r.scopes,
            created_at: Instant(r.created_at_ms),
            created_by: r.created_by,
            expires_at: r.expires_at_ms.map(Instant),
            revoked_at: r.revoked_at_ms.map(Instant),
        })
    };
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    new: &NewKey<'_>,
    now: Instant,
) -> Result<KeyRow, DbError> {
    let row = sqlx::query!(
        "INSERT INTO api_token (company_id, token_hash, name, scopes, created_at_ms, expires_at_ms,
             created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING token_id, name, scopes, created_at_ms, created_by, expires_at_ms, revoked_at_ms",
        tx.company().0,
        &new.hash[..],
        new.name,
        new.scopes,
        now.0,
        new.expires_at.map(|at| at.0),
        new.created_by
    )
    .fetch_one(tx.conn())
    .await;
    Ok(key!(row)?)
}

pub(crate) async fn count_live(tx: &mut TenantTx, now: Instant) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM api_token
           WHERE company_id = $1 AND revoked_at_ms IS NULL
               AND (expires_at_ms IS NULL OR expires_at_ms > $2)"#,
        tx.company().0,
        now.0
    )
    .fetch_one(tx.conn())
    .await?)
}

/// A company's keys; `live` ones only, or those that count no more too.
pub(crate) async fn list(
    tx: &mut TenantTx,
    live: bool,
    after: Uuid,
    limit: i64,
    now: Instant,
) -> Result<Vec<KeyRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT token_id, name, scopes, created_at_ms, created_by, expires_at_ms, revoked_at_ms
         FROM api_token
         WHERE company_id = $1 AND token_id > $2
             AND (NOT $3::boolean
                  OR revoked_at_ms IS NULL AND (expires_at_ms IS NULL OR expires_at_ms > $5))
         ORDER BY token_id LIMIT $4",
        tx.company().0,
        after,
        live,
        limit,
        now.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(key!(rows.into_iter()).collect())
}

pub(crate) async fn lock(tx: &mut TenantTx, key: Uuid) -> Result<Option<KeyRow>, DbError> {
    let row = sqlx::query!(
        "SELECT token_id, name, scopes, created_at_ms, created_by, expires_at_ms, revoked_at_ms
         FROM api_token WHERE company_id = $1 AND token_id = $2 FOR UPDATE",
        tx.company().0,
        key
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(key!(row))
}

pub(crate) async fn revoke(tx: &mut TenantTx, key: Uuid, now: Instant) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE api_token SET revoked_at_ms = $3 WHERE company_id = $1 AND token_id = $2",
        tx.company().0,
        key,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
