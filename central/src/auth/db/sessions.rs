//! Sessions and their refresh tokens.

use domain::ids::CompanyId;
use domain::time::Instant;
use uuid::Uuid;

use crate::access::Role;
use crate::auth::rules;
use crate::auth::session::Workplace;
use crate::auth::standing::{Standing, Transport};
use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// A session as a token's bearer is checked against it; roles are the token's own.
pub(crate) async fn standing(
    db: &Db,
    session: Uuid,
    now: Instant,
) -> Result<Option<Standing>, DbError> {
    let row = sqlx::query!(
        r#"SELECT s.person_id, s.works_for, s.second_factor, s.transport, p.authority_no,
               s.ended_at_ms IS NULL AND s.ends_at_ms > $2 AND p.disabled_at_ms IS NULL AS "live!"
           FROM session s JOIN person p ON p.person_id = s.person_id
           WHERE s.session_id = $1"#,
        session,
        now.0
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|r| Standing {
        session,
        person: r.person_id,
        company: r.works_for.map(CompanyId),
        roles: vec![],
        second_factor: r.second_factor,
        authority: r.authority_no,
        live: r.live,
        transport: transport_of(&r.transport),
    }))
}

/// A session as a cookie's bearer is checked against it, with the roles that count.
pub(crate) async fn cookie_standing(
    db: &Db,
    secret_hash: &[u8; 32],
    now: Instant,
) -> Result<Option<Standing>, DbError> {
    let row = sqlx::query!(
        r#"SELECT s.session_id, s.person_id, s.works_for, s.second_factor, s.transport,
               p.authority_no, p.super_admin,
               s.ended_at_ms IS NULL AND s.ends_at_ms > $2 AND s.idle_ends_at_ms > $2
                   AND p.disabled_at_ms IS NULL AS "live!",
               (SELECT c.roles FROM companies_of_person(s.person_id) c
                WHERE c.company_id = s.works_for) AS roles
           FROM session s JOIN person p ON p.person_id = s.person_id
           WHERE s.secret_hash = $1"#,
        &secret_hash[..],
        now.0
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|r| {
        let held: Vec<Role> = rules::roles_of(&r.roles.unwrap_or_default());
        Standing {
            session: r.session_id,
            person: r.person_id,
            company: r.works_for.map(CompanyId),
            roles: rules::roles_in_force(&held, r.super_admin, r.second_factor),
            second_factor: r.second_factor,
            authority: r.authority_no,
            live: r.live,
            transport: transport_of(&r.transport),
        }
    }))
}

fn transport_of(word: &str) -> Transport {
    if word == Transport::Cookie.as_str() {
        Transport::Cookie
    } else {
        Transport::Token
    }
}

/// A session to be.
#[derive(Debug, Clone)]
pub(crate) struct NewSession<'a> {
    pub(crate) session: Uuid,
    pub(crate) person: Uuid,
    pub(crate) transport: Transport,
    pub(crate) secret_hash: Option<[u8; 32]>,
    pub(crate) company: Option<CompanyId>,
    pub(crate) second_factor: bool,
    pub(crate) device: &'a str,
    pub(crate) idle_ends: Instant,
    pub(crate) ends: Instant,
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    new: &NewSession<'_>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO session (session_id, person_id, transport, secret_hash, works_for,
             second_factor, device, began_at_ms, seen_at_ms, idle_ends_at_ms, ends_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)",
        new.session,
        new.person,
        new.transport.as_str(),
        new.secret_hash.as_ref().map(|h| &h[..]),
        new.company.map(|c| c.0),
        new.second_factor,
        new.device,
        now.0,
        new.idle_ends.0,
        new.ends.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A refresh token with all that decides whether it counts.
#[derive(Debug, Clone)]
pub(crate) struct Refreshable {
    pub(crate) session: Uuid,
    pub(crate) person: Uuid,
    pub(crate) company: Option<CompanyId>,
    pub(crate) second_factor: bool,
    pub(crate) authority: i32,
    pub(crate) super_admin: bool,
    pub(crate) disabled: bool,
    pub(crate) used_at: Option<Instant>,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) idle_ends: Instant,
    pub(crate) ends: Instant,
}

/// The company that a refresh token's session works for.
pub(crate) async fn company_of_refresh(
    db: &Db,
    hash: &[u8; 32],
) -> Result<Option<CompanyId>, DbError> {
    let row = sqlx::query_scalar!(
        "SELECT s.works_for FROM refresh_token r JOIN session s ON s.session_id = r.session_id
         WHERE r.token_hash = $1",
        &hash[..]
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.flatten().map(CompanyId))
}

/// A refresh token, its session locked: rotations of one family take turns.
pub(crate) async fn lock_refresh(
    tx: &mut TenantTx,
    hash: &[u8; 32],
) -> Result<Option<Refreshable>, DbError> {
    let session = sqlx::query_scalar!(
        "SELECT session_id FROM session
         WHERE session_id = (SELECT session_id FROM refresh_token WHERE token_hash = $1)
         FOR UPDATE",
        &hash[..]
    )
    .fetch_optional(tx.conn())
    .await?;
    if session.is_none() {
        return Ok(None);
    }
    // Read once the lock is held: whoever had it may have used the token.
    let row = sqlx::query!(
        r#"SELECT r.used_at_ms, s.session_id, s.person_id, s.works_for, s.second_factor,
               s.ended_at_ms, s.idle_ends_at_ms, s.ends_at_ms, p.authority_no, p.super_admin,
               p.disabled_at_ms IS NOT NULL AS "disabled!"
           FROM refresh_token r
           JOIN session s ON s.session_id = r.session_id
           JOIN person p ON p.person_id = s.person_id
           WHERE r.token_hash = $1"#,
        &hash[..]
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| Refreshable {
        session: r.session_id,
        person: r.person_id,
        company: r.works_for.map(CompanyId),
        second_factor: r.second_factor,
        authority: r.authority_no,
        super_admin: r.super_admin,
        disabled: r.disabled,
        used_at: r.used_at_ms.map(Instant),
        ended_at: r.ended_at_ms.map(Instant),
        idle_ends: Instant(r.idle_ends_at_ms),
        ends: Instant(r.ends_at_ms),
    }))
}

pub(crate) async fn insert_refresh(
    tx: &mut TenantTx,
    hash: &[u8; 32],
    session: Uuid,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO refresh_token (token_hash, session_id, issued_at_ms) VALUES ($1, $2, $3)",
        &hash[..],
        session,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn use_refresh(
    tx: &mut TenantTx,
    hash: &[u8; 32],
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE refresh_token SET used_at_ms = $2 WHERE token_hash = $1 AND used_at_ms IS NULL",
        &hash[..],
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn was_used(tx: &mut TenantTx, hash: &[u8; 32]) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM refresh_token
                          WHERE token_hash = $1 AND used_at_ms IS NOT NULL) AS "used!""#,
        &hash[..]
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(crate) async fn seen(
    tx: &mut TenantTx,
    session: Uuid,
    idle_ends: Instant,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET seen_at_ms = $3, idle_ends_at_ms = $2 WHERE session_id = $1",
        session,
        idle_ends.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A cookie was used: it lasts as much longer as its session is wide. At most one write in a
/// while.
pub(crate) async fn touch(
    db: &Db,
    session: Uuid,
    every_ms: i64,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET seen_at_ms = $2, idle_ends_at_ms = idle_ends_at_ms + ($2 - seen_at_ms)
         WHERE session_id = $1 AND seen_at_ms < $2 - $3::bigint",
        session,
        now.0,
        every_ms
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

pub(crate) async fn end(
    tx: &mut TenantTx,
    session: Uuid,
    why: &str,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET ended_at_ms = $2, ended_why = $3
         WHERE session_id = $1 AND ended_at_ms IS NULL",
        session,
        now.0,
        why
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends a session if it is this person's; whether there is such a one.
pub(crate) async fn end_own(
    tx: &mut TenantTx,
    person: Uuid,
    session: Uuid,
    now: Instant,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE session SET ended_at_ms = coalesce(ended_at_ms, $3),
             ended_why = coalesce(ended_why, 'signed out')
         WHERE session_id = $1 AND person_id = $2",
        session,
        person,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends every session of a person but one.
pub(crate) async fn end_all(
    tx: &mut TenantTx,
    person: Uuid,
    but: Option<Uuid>,
    why: &str,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET ended_at_ms = $3, ended_why = $4
         WHERE person_id = $1 AND ended_at_ms IS NULL AND session_id IS DISTINCT FROM $2",
        person,
        but,
        now.0,
        why
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn work_for(
    tx: &mut TenantTx,
    session: Uuid,
    company: Option<CompanyId>,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET works_for = $2 WHERE session_id = $1",
        session,
        company.map(|c| c.0)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn prove_second_factor(tx: &mut TenantTx, session: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET second_factor = true WHERE session_id = $1",
        session
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// No session counts as having proved a second factor any more.
pub(crate) async fn unprove_second_factor(tx: &mut TenantTx, person: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE session SET second_factor = false WHERE person_id = $1 AND ended_at_ms IS NULL",
        person
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn workplaces(tx: &mut TenantTx, person: Uuid) -> Result<Vec<Workplace>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company_id!", name AS "name!", roles AS "roles!"
           FROM companies_of_person($1)"#,
        person
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Workplace {
            company: CompanyId(r.company_id),
            name: r.name,
            roles: rules::roles_of(&r.roles),
        })
        .collect())
}

/// Every company, up to a thousand.
pub(crate) async fn companies(tx: &mut TenantTx) -> Result<Vec<(CompanyId, String)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company_id!", name AS "name!" FROM company_names() LIMIT 1000"#
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (CompanyId(r.company_id), r.name))
        .collect())
}

/// A session in a list of one's own.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) session: Uuid,
    pub(crate) transport: String,
    pub(crate) device: String,
    pub(crate) company: Option<Uuid>,
    pub(crate) second_factor: bool,
    pub(crate) began_at: Instant,
    pub(crate) seen_at: Instant,
    pub(crate) ends_at: Instant,
}

pub(crate) async fn of_person(
    tx: &mut TenantTx,
    person: Uuid,
    now: Instant,
) -> Result<Vec<SessionRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT session_id, transport, device, works_for, second_factor, began_at_ms, seen_at_ms,
               least(idle_ends_at_ms, ends_at_ms) AS "ends_at_ms!"
           FROM session
           WHERE person_id = $1 AND ended_at_ms IS NULL
               AND idle_ends_at_ms > $2 AND ends_at_ms > $2
           ORDER BY session_id DESC LIMIT 100"#,
        person,
        now.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| SessionRow {
            session: r.session_id,
            transport: r.transport,
            device: r.device,
            company: r.works_for,
            second_factor: r.second_factor,
            began_at: Instant(r.began_at_ms),
            seen_at: Instant(r.seen_at_ms),
            ends_at: Instant(r.ends_at_ms),
        })
        .collect())
}
