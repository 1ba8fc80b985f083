//! Sessions and their refresh tokens.

use domain::ids::CompanyId;
use domain::time::Instant;
use uuid::Uuid;

use crate::access::Role;
use crate::auth::rules;
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
