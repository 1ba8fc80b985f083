//! People and what they are to companies.

use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
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
