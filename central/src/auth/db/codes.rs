//! One-use codes.

use domain::time::Instant;
use uuid::Uuid;

use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// A code to be stored.
#[derive(Debug)]
pub(crate) struct NewCode {
    pub(crate) id: Uuid,
    pub(crate) purpose: &'static str,
    pub(crate) contact_blind: Vec<u8>,
    pub(crate) person: Option<Uuid>,
    pub(crate) code_hash: Vec<u8>,
    pub(crate) about_sealed: Option<Vec<u8>>,
    pub(crate) delivery_sealed: Option<Vec<u8>>,
    pub(crate) attempts: i16,
    pub(crate) expires: Instant,
}

pub(crate) async fn insert(tx: &mut TenantTx, new: &NewCode, now: Instant) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO one_use_code (code_id, purpose, contact_blind, person_id, code_hash,
             about_sealed, delivery_sealed, attempts_left, created_at_ms, expires_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id,
        new.purpose,
        new.contact_blind,
        new.person,
        new.code_hash,
        new.about_sealed,
        new.delivery_sealed,
        new.attempts,
        now.0,
        new.expires.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A code as stored.
#[derive(Debug)]
pub(crate) struct CodeRow {
    pub(crate) purpose: String,
    pub(crate) contact_blind: Vec<u8>,
    pub(crate) person: Option<Uuid>,
    pub(crate) code_hash: Vec<u8>,
    pub(crate) about_sealed: Option<Vec<u8>>,
    pub(crate) attempts_left: i16,
    pub(crate) expires: Instant,
    pub(crate) used: bool,
}

/// A code, locked: tries take turns.
pub(crate) async fn lock(tx: &mut TenantTx, id: Uuid) -> Result<Option<CodeRow>, DbError> {
    let row = sqlx::query!(
        r#"SELECT purpose, contact_blind, person_id, code_hash, about_sealed, attempts_left,
               expires_at_ms, used_at_ms IS NOT NULL AS "used!"
           FROM one_use_code WHERE code_id = $1 FOR UPDATE"#,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| CodeRow {
        purpose: r.purpose,
        contact_blind: r.contact_blind,
        person: r.person_id,
        code_hash: r.code_hash,
        about_sealed: r.about_sealed,
        attempts_left: r.attempts_left,
        expires: Instant(r.expires_at_ms),
        used: r.used,
    }))
}

pub(crate) async fn miss(tx: &mut TenantTx, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE one_use_code SET attempts_left = attempts_left - 1 WHERE code_id = $1",
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Uses a code up; what was sealed with it goes.
pub(crate) async fn use_up(tx: &mut TenantTx, id: Uuid, now: Instant) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE one_use_code SET used_at_ms = $2, about_sealed = NULL, delivery_sealed = NULL
         WHERE code_id = $1",
        id,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn undelivered(
    db: &Db,
    limit: i64,
    now: Instant,
) -> Result<Vec<(Uuid, Vec<u8>)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT code_id, delivery_sealed AS "sealed!" FROM one_use_code
           WHERE delivery_sealed IS NOT NULL AND expires_at_ms > $1
           ORDER BY created_at_ms, code_id LIMIT $2"#,
        now.0,
        limit
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|r| (r.code_id, r.sealed)).collect())
}

pub(crate) async fn delivered(db: &Db, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE one_use_code SET delivery_sealed = NULL WHERE code_id = $1",
        id
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Removes what has ended: codes, counters and sessions, refresh tokens with them. Sessions are
/// kept for a while, so that a reuse is still told from a token that never was.
pub(crate) async fn sweep(db: &Db, kept_ms: i64, now: Instant) -> Result<u64, DbError> {
    let mut gone = sqlx::query!(
        "DELETE FROM one_use_code WHERE code_id IN
             (SELECT code_id FROM one_use_code WHERE expires_at_ms < $1 LIMIT 1000)",
        now.0 - kept_ms
    )
    .execute(db.pool())
    .await?
    .rows_affected();
    gone += sqlx::query!(
        "DELETE FROM throttle WHERE (kind, subject) IN
             (SELECT kind, subject FROM throttle WHERE ends_at_ms < $1 LIMIT 1000)",
        now.0
    )
    .execute(db.pool())
    .await?
    .rows_affected();
    gone += sqlx::query!(
        "DELETE FROM session WHERE session_id IN
             (SELECT session_id FROM session
              WHERE least(idle_ends_at_ms, ends_at_ms) < $1 LIMIT 1000)",
        now.0 - kept_ms
    )
    .execute(db.pool())
    .await?
    .rows_affected();
    Ok(gone)
}
