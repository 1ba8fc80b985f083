//! The people of one company.

use domain::time::Instant;
use uuid::Uuid;

use crate::auth::rules;
use crate::auth::staff::Member;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A member as stored.
#[derive(Debug, Clone)]
pub(crate) struct MemberRow {
    pub(crate) person: Uuid,
    pub(crate) roles: Vec<String>,
    pub(crate) name_sealed: Vec<u8>,
    pub(crate) contact_sealed: Vec<u8>,
    pub(crate) disabled_at: Option<Instant>,
    pub(crate) joined: bool,
    pub(crate) second_factor: bool,
    pub(crate) created_at: Instant,
    pub(crate) version: i32,
}

macro_rules! member {
    ($row:expr) => {
        $row.map(|r| MemberRow {
            person: r.person_id,
            roles: r.roles,
            name_sealed: r.name_sealed,
            contact_sealed: r.contact_sealed,
            disabled_at: r.disabled_at_ms.map(Instant),
            joined: r.joined,
            second_factor: r.second_factor,
            created_at: Instant(r.created_at_ms),
            version: r.version,
        })
    };
}

/// Which members to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemberFilter {
    /// With this role.
    pub(crate) role: Option<String>,
    /// Disabled ones, or the others.
    pub(crate) disabled: Option<bool>,
    /// Known by this contact.
    pub(crate) contact_blind: Option<Vec<u8>>,
}

pub(crate) async fn list(
    tx: &mut TenantTx,
    filter: &MemberFilter,
    after: Uuid,
    limit: i64,
) -> Result<Vec<MemberRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT m.person_id, m.roles, m.name_sealed, m.contact_sealed, m.disabled_at_ms,
               m.created_at_ms, m.version, p.password_hash IS NOT NULL AS "joined!",
               p.totp_confirmed_at_ms IS NOT NULL AS "second_factor!"
           FROM membership m JOIN person p ON p.person_id = m.person_id
           WHERE m.company_id = $1 AND m.person_id > $2
               AND ($3::text IS NULL OR $3 = ANY (m.roles))
               AND ($4::boolean IS NULL OR (m.disabled_at_ms IS NOT NULL) = $4)
               AND ($5::bytea IS NULL OR m.contact_blind = $5)
           ORDER BY m.person_id LIMIT $6"#,
        tx.company().0,
        after,
        filter.role,
        filter.disabled,
        filter.contact_blind,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(member!(rows.into_iter()).collect())
}

/// A member, locked.
pub(crate) async fn lock(tx: &mut TenantTx, person: Uuid) -> Result<Option<MemberRow>, DbError> {
    let row = sqlx::query!(
        r#"SELECT m.person_id, m.roles, m.name_sealed, m.contact_sealed, m.disabled_at_ms,
               m.created_at_ms, m.version, p.password_hash IS NOT NULL AS "joined!",
               p.totp_confirmed_at_ms IS NOT NULL AS "second_factor!"
           FROM membership m JOIN person p ON p.person_id = m.person_id
           WHERE m.company_id = $1 AND m.person_id = $2 FOR UPDATE OF m"#,
        tx.company().0,
        person
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(member!(row))
}

/// Changes to a company's people take turns: two admins cannot take each other away.
pub(crate) async fn lock_admins(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query!(
        "SELECT person_id FROM membership
         WHERE company_id = $1 AND 'company_admin' = ANY (roles)
         ORDER BY person_id FOR UPDATE",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(())
}

/// How many others answer for the company.
pub(crate) async fn other_admins(tx: &mut TenantTx, person: Uuid) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM membership
           WHERE company_id = $1 AND person_id <> $2 AND 'company_admin' = ANY (roles)
               AND disabled_at_ms IS NULL"#,
        tx.company().0,
        person
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(crate) async fn count(tx: &mut TenantTx) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM membership WHERE company_id = $1"#,
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Writes a member as they are to be; gives the version.
pub(crate) async fn update(
    tx: &mut TenantTx,
    member: &Member,
    name_sealed: &[u8],
) -> Result<i32, DbError> {
    let roles = rules::words(&member.roles);
    Ok(sqlx::query_scalar!(
        "UPDATE membership SET roles = $3, disabled_at_ms = $4, name_sealed = $5,
             version = version + 1
         WHERE company_id = $1 AND person_id = $2 RETURNING version",
        tx.company().0,
        member.person,
        &roles,
        member.disabled_at.map(|at| at.0),
        name_sealed
    )
    .fetch_one(tx.conn())
    .await?)
}
