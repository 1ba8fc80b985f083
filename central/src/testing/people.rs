//! People who have signed in, without the way there.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::ids::CompanyId;
use uuid::Uuid;

use super::TestError;
use crate::access::Role;
use crate::auth::contact::Contact;
use crate::auth::db::sessions::{self, NewSession};
use crate::auth::person::{self, NewPerson};
use crate::auth::token::{self, Subject};
use crate::auth::{AuthError, HUB, Transport, rules};
use crate::clock;
use crate::company::fresh_uuid;
use crate::http::Api;

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub struct TestPerson {
    /// Who.
    pub person: Uuid,
    /// Their session.
    pub session: Uuid,
    /// What goes behind `Authorization: Bearer`.
    pub token: String,
}

/// Makes a person with a role in a company and gives their access token, second factor proved.
/// A customer's is for no company.
pub async fn token_for(api: &Api, company: CompanyId, role: Role) -> Result<String, TestError> {
    Ok(person_with(api, company, role).await?.token)
}

/// Makes a person with a role in a company, signed in for it.
pub async fn person_with(
    api: &Api,
    company: CompanyId,
    role: Role,
) -> Result<TestPerson, TestError> {
    static PEOPLE: AtomicU64 = AtomicU64::new(1);
    let number = PEOPLE.fetch_add(1, Ordering::Relaxed);
    let now = clock::now();
    let works_for = (role != Role::Customer).then_some(company);
    let name = format!("{} {number}", role.as_str());
    // Unique among the people of a database that several processes fill.
    let session = fresh_uuid(now).map_err(AuthError::from)?;
    let contact = Contact::Email(format!("p{}@example.com", session.simple()));
    let mut tx = api.db.tenant(works_for.unwrap_or(HUB)).await?;
    let new = NewPerson {
        name: &name,
        contacts: std::slice::from_ref(&contact),
        verified: true,
        password_hash: None,
        super_admin: role == Role::SuperAdmin,
    };
    let person = person::insert(&mut tx, &api.vault, &new, now).await?;
    let held: &[Role] = match role {
        Role::Customer | Role::SuperAdmin => &[],
        Role::Driver | Role::Agent | Role::Clerk | Role::CompanyAdmin => &[role],
    };
    if !held.is_empty() {
        let known_as = (name.as_str(), &contact);
        person::join(&mut tx, &api.vault, (person, held), known_as, now).await?;
    }
    let row = NewSession {
        session,
        person,
        transport: Transport::Token,
        secret_hash: None,
        company: works_for,
        second_factor: true,
        device: "a test",
        idle_ends: now.plus_ms(86_400_000),
        ends: now.plus_ms(86_400_000),
    };
    sessions::insert(&mut tx, &row, now).await?;
    tx.commit().await?;
    let subject = Subject {
        person,
        session,
        authority: 1,
        company: works_for.map(|c| c.0),
        roles: rules::words(&rules::roles_in_force(held, new.super_admin, true)),
        second_factor: true,
    };
    let ring = api.auth.keyring(&api.db, &api.vault, now).await?;
    let jti = fresh_uuid(now).map_err(AuthError::from)?;
    let (token, _) = token::issue(&ring, &subject, jti, now)?;
    Ok(TestPerson {
        person,
        session,
        token,
    })
}
