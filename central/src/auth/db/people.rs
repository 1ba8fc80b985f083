//! People and what they are to companies.

use domain::time::Instant;
use uuid::Uuid;

use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// A value of a person that is sealed and found again.
#[derive(Debug, Clone, Default)]
pub(crate) struct SealedContact {
    pub(crate) sealed: Vec<u8>,
    pub(crate) blind: Vec<u8>,
    pub(crate) verified_at: Option<Instant>,
}

/// A person to be.
#[derive(Debug, Clone)]
pub(crate) struct NewPersonRow {
    pub(crate) person: Uuid,
    pub(crate) name_sealed: Vec<u8>,
    pub(crate) email: Option<SealedContact>,
    pub(crate) phone: Option<SealedContact>,
    pub(crate) password_hash: Option<String>,
    pub(crate) super_admin: bool,
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    new: &NewPersonRow,
    now: Instant,
) -> Result<(), DbError> {
    let (email, phone) = (new.email.as_ref(), new.phone.as_ref());
    sqlx::query!(
        "INSERT INTO person (person_id, name_sealed, email_sealed, email_blind,
             email_verified_at_ms, phone_sealed, phone_blind, phone_verified_at_ms, password_hash,
             super_admin, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        new.person,
        new.name_sealed,
        email.map(|c| &c.sealed[..]),
        email.map(|c| &c.blind[..]),
        email.and_then(|c| c.verified_at).map(|at| at.0),
        phone.map(|c| &c.sealed[..]),
        phone.map(|c| &c.blind[..]),
        phone.and_then(|c| c.verified_at).map(|at| at.0),
        new.password_hash,
        new.super_admin,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a person is to be to a company.
#[derive(Debug, Clone)]
pub(crate) struct NewMembership<'a> {
    pub(crate) person: Uuid,
    pub(crate) roles: &'a [String],
    pub(crate) name_sealed: Vec<u8>,
    pub(crate) contact_sealed: Vec<u8>,
    pub(crate) contact_blind: Vec<u8>,
}

pub(crate) async fn insert_membership(
    tx: &mut TenantTx,
    new: &NewMembership<'_>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO membership (company_id, person_id, roles, name_sealed, contact_sealed,
             contact_blind, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        new.person,
        new.roles,
        new.name_sealed,
        new.contact_sealed,
        new.contact_blind,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What it takes to let a person in.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) person: Uuid,
    pub(crate) password_hash: Option<String>,
    pub(crate) super_admin: bool,
    pub(crate) disabled: bool,
    pub(crate) authority: i32,
    /// Of a second factor that is in force.
    pub(crate) totp_sealed: Option<Vec<u8>>,
    pub(crate) totp_last_step: i64,
    pub(crate) name_sealed: Vec<u8>,
    pub(crate) email_sealed: Option<Vec<u8>>,
    pub(crate) phone_sealed: Option<Vec<u8>>,
}

macro_rules! credentials {
    ($row:expr) => {
        $row.map(|r| Credentials {
            person: r.person_id,
            password_hash: r.password_hash,
            super_admin: r.super_admin,
            disabled: r.disabled,
            authority: r.authority_no,
            totp_sealed: r.totp_sealed,
            totp_last_step: r.totp_last_step,
            name_sealed: r.name_sealed,
            email_sealed: r.email_sealed,
            phone_sealed: r.phone_sealed,
        })
    };
}

/// The person with this contact.
pub(crate) async fn credentials(
    db: &Db,
    kind: &str,
    blind: &[u8],
) -> Result<Option<Credentials>, DbError> {
    let row = sqlx::query!(
        r#"SELECT person_id, password_hash, super_admin, authority_no, totp_last_step, name_sealed,
               email_sealed, phone_sealed, disabled_at_ms IS NOT NULL AS "disabled!",
               CASE WHEN totp_confirmed_at_ms IS NOT NULL THEN totp_sealed END AS totp_sealed
           FROM person
           WHERE ($1 = 'email' AND email_blind = $2) OR ($1 = 'phone' AND phone_blind = $2)"#,
        kind,
        blind
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(credentials!(row))
}

/// A person, their row locked.
pub(crate) async fn by_id(tx: &mut TenantTx, person: Uuid) -> Result<Option<Credentials>, DbError> {
    let row = sqlx::query!(
        r#"SELECT person_id, password_hash, super_admin, authority_no, totp_last_step, name_sealed,
               email_sealed, phone_sealed, disabled_at_ms IS NOT NULL AS "disabled!",
               CASE WHEN totp_confirmed_at_ms IS NOT NULL THEN totp_sealed END AS totp_sealed
           FROM person WHERE person_id = $1 FOR UPDATE"#,
        person
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(credentials!(row))
}

/// Replaces a hash that is still the one that was checked.
pub(crate) async fn rehash(
    tx: &mut TenantTx,
    person: Uuid,
    old: Option<&str>,
    fresh: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET password_hash = $3 WHERE person_id = $1 AND password_hash = $2",
        person,
        old,
        fresh
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Sets a password; every access token out there ends.
pub(crate) async fn set_password(
    tx: &mut TenantTx,
    person: Uuid,
    hash: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET password_hash = $2, authority_no = authority_no + 1,
             version = version + 1
         WHERE person_id = $1",
        person,
        hash
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn set_name(
    tx: &mut TenantTx,
    person: Uuid,
    name_sealed: &[u8],
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET name_sealed = $2, version = version + 1 WHERE person_id = $1",
        person,
        name_sealed
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Sets a contact that was verified.
pub(crate) async fn set_contact(
    tx: &mut TenantTx,
    person: Uuid,
    kind: &str,
    contact: &SealedContact,
) -> Result<(), DbError> {
    let verified = contact.verified_at.map(|at| at.0);
    if kind == "email" {
        sqlx::query!(
            "UPDATE person SET email_sealed = $2, email_blind = $3, email_verified_at_ms = $4,
                 version = version + 1
             WHERE person_id = $1",
            person,
            contact.sealed,
            contact.blind,
            verified
        )
        .execute(tx.conn())
        .await?;
    } else {
        sqlx::query!(
            "UPDATE person SET phone_sealed = $2, phone_blind = $3, phone_verified_at_ms = $4,
                 version = version + 1
             WHERE person_id = $1",
            person,
            contact.sealed,
            contact.blind,
            verified
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// Somebody has shown a code that was sent to this contact.
pub(crate) async fn verify_contact(
    tx: &mut TenantTx,
    person: Uuid,
    blind: &[u8],
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET
             email_verified_at_ms = CASE WHEN email_blind = $2
                 THEN coalesce(email_verified_at_ms, $3) ELSE email_verified_at_ms END,
             phone_verified_at_ms = CASE WHEN phone_blind = $2
                 THEN coalesce(phone_verified_at_ms, $3) ELSE phone_verified_at_ms END
         WHERE person_id = $1",
        person,
        blind,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The person's rights have changed: every access token out there ends.
pub(crate) async fn bump_authority(tx: &mut TenantTx, person: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE person SET authority_no = authority_no + 1 WHERE person_id = $1",
        person
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What happened to a person's account.
pub(crate) async fn insert_log(
    tx: &mut TenantTx,
    person: Uuid,
    (actor_kind, actor): (&str, Option<Uuid>),
    action: &str,
    detail: Option<serde_json::Value>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO person_log (at_ms, person_id, actor_kind, actor_id, action, detail)
         VALUES ($1, $2, $3, $4, $5, $6)",
        now.0,
        person,
        actor_kind,
        actor,
        action,
        detail
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An entry of a person's own log.
#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    pub(crate) entry: i64,
    pub(crate) at: Instant,
    pub(crate) actor_kind: String,
    pub(crate) action: String,
    pub(crate) detail: Option<serde_json::Value>,
}

/// A person's own log, the latest first, from before an entry.
pub(crate) async fn log_of(
    tx: &mut TenantTx,
    person: Uuid,
    before: i64,
    limit: i64,
) -> Result<Vec<LogRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT entry_no, at_ms, actor_kind, action, detail FROM person_log
         WHERE person_id = $1 AND entry_no < $2 ORDER BY entry_no DESC LIMIT $3",
        person,
        before,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| LogRow {
            entry: r.entry_no,
            at: Instant(r.at_ms),
            actor_kind: r.actor_kind,
            action: r.action,
            detail: r.detail,
        })
        .collect())
}
