//! A person's sealed fields, and the way back to the person.

use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::Value;
use uuid::Uuid;

use super::HUB;
use super::contact::Contact;
use super::db::people::{self as rows, NewMembership, NewPersonRow, SealedContact};
use super::error::AuthError;
use super::rules;
use crate::access::Role;
use crate::audit::Actor;
use crate::company::fresh_uuid;
use crate::tenant::TenantTx;
use crate::vault::{Place, Vault, VaultError};

/// The longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 120;

/// A person to be.
#[derive(Debug, Clone)]
pub(crate) struct NewPerson<'a> {
    pub(crate) name: &'a str,
    pub(crate) contacts: &'a [Contact],
    /// Whether somebody saw that the contacts are theirs.
    pub(crate) verified: bool,
    pub(crate) password_hash: Option<String>,
    pub(crate) super_admin: bool,
}

/// A name as it may be stored.
pub(crate) fn checked_name(name: &str) -> Result<&str, AuthError> {
    let name = name.trim();
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    if !fits || name.chars().any(char::is_control) {
        let what = format!("a name has 1 to {NAME_CHARS_MAX} characters and no line breaks");
        return Err(AuthError::Input(what));
    }
    Ok(name)
}

fn place<'a>(person: &'a Uuid, column: &'a str) -> Place<'a> {
    Place {
        company: HUB,
        table: "person",
        row: person.as_bytes(),
        column,
    }
}

/// Seals a field of a person.
pub(crate) fn seal(
    vault: &Vault,
    person: &Uuid,
    column: &str,
    value: &[u8],
) -> Result<Vec<u8>, VaultError> {
    vault.seal(place(person, column), value)
}

/// Opens a field of a person that is text.
pub(crate) fn open(
    vault: &Vault,
    person: &Uuid,
    column: &str,
    sealed: &[u8],
) -> Result<String, VaultError> {
    let value = open_bytes(vault, person, column, sealed)?;
    String::from_utf8(value).map_err(|_| VaultError::Unopenable)
}

/// Opens a field of a person.
pub(crate) fn open_bytes(
    vault: &Vault,
    person: &Uuid,
    column: &str,
    sealed: &[u8],
) -> Result<Vec<u8>, VaultError> {
    vault.open(place(person, column), sealed)
}

/// What a contact is found by, hub-wide.
pub(crate) fn blind(vault: &Vault, contact: &Contact) -> Result<Vec<u8>, VaultError> {
    vault.blind(HUB, contact.kind(), contact.as_str())
}

/// Seals a contact of a person.
pub(crate) fn seal_contact(
    vault: &Vault,
    person: &Uuid,
    contact: &Contact,
    verified_at: Option<Instant>,
) -> Result<SealedContact, VaultError> {
    Ok(SealedContact {
        sealed: seal(vault, person, contact.kind(), contact.as_str().as_bytes())?,
        blind: blind(vault, contact)?,
        verified_at,
    })
}

/// Makes a person. A contact that has one already is [`AuthError::ContactTaken`].
pub(crate) async fn insert(
    tx: &mut TenantTx,
    vault: &Vault,
    new: &NewPerson<'_>,
    now: Instant,
) -> Result<Uuid, AuthError> {
    let person = fresh_uuid(now)?;
    let name = checked_name(new.name)?;
    let verified_at = new.verified.then_some(now);
    let mut row = NewPersonRow {
        person,
        name_sealed: seal(vault, &person, "name", name.as_bytes())?,
        email: None,
        phone: None,
        password_hash: new.password_hash.clone(),
        super_admin: new.super_admin,
    };
    for contact in new.contacts {
        let sealed = Some(seal_contact(vault, &person, contact, verified_at)?);
        match contact {
            Contact::Email(_) => row.email = sealed,
            Contact::Phone(_) => row.phone = sealed,
        }
    }
    rows::insert(tx, &row, now).await.map_err(taken)?;
    Ok(person)
}

/// A unique contact that has somebody already is a refusal.
pub(crate) fn taken(error: crate::db::DbError) -> AuthError {
    match error.constraint() {
        Some("person_email_blind_key" | "person_phone_blind_key") => AuthError::ContactTaken,
        _ => AuthError::Db(error),
    }
}

/// Writes down what happened to a person's account.
pub(crate) async fn note(
    tx: &mut TenantTx,
    person: Uuid,
    by: Actor,
    action: &str,
    detail: Option<Value>,
    now: Instant,
) -> Result<(), AuthError> {
    let actor = match by {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    };
    Ok(rows::insert_log(tx, person, actor, action, detail, now).await?)
}

/// The place of a membership's field: the company's own row.
pub(crate) fn member_place<'a>(company: CompanyId, person: &'a Uuid, column: &'a str) -> Place<'a> {
    Place {
        company,
        table: "membership",
        row: person.as_bytes(),
        column,
    }
}

/// What a member is found by inside a company.
pub(crate) fn member_blind(
    vault: &Vault,
    company: CompanyId,
    contact: &Contact,
) -> Result<Vec<u8>, VaultError> {
    vault.blind(company, contact.kind(), contact.as_str())
}

/// Lets a person work for the transaction's company, under the name that it knows them by.
pub(crate) async fn join(
    tx: &mut TenantTx,
    vault: &Vault,
    (person, roles): (Uuid, &[Role]),
    (name, contact): (&str, &Contact),
    now: Instant,
) -> Result<(), AuthError> {
    let company = tx.company();
    let name = checked_name(name)?;
    let roles = rules::words(roles);
    let contact_text = contact.as_str().as_bytes();
    let row = NewMembership {
        person,
        roles: &roles,
        name_sealed: vault.seal(member_place(company, &person, "name"), name.as_bytes())?,
        contact_sealed: vault.seal(member_place(company, &person, "contact"), contact_text)?,
        contact_blind: member_blind(vault, company, contact)?,
    };
    rows::insert_membership(tx, &row, now)
        .await
        .map_err(|error| match error.constraint() {
            Some("membership_pkey" | "membership_company_id_contact_blind_key") => {
                AuthError::AlreadyMember
            }
            _ => AuthError::Db(error),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_field_opens_for_that_person_and_column_only() {
        let vault = Vault::from_bytes([5; 32]);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = seal(&vault, &one, "name", b"Mutale").unwrap();
        assert_eq!(open(&vault, &one, "name", &sealed).as_deref(), Ok("Mutale"));
        assert!(open(&vault, &other, "name", &sealed).is_err());
        assert!(open(&vault, &one, "email", &sealed).is_err());
    }
}
