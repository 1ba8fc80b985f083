//! What the command line does to people: the first admin, people of an older system, help for
//! who has lost a second factor.

use std::collections::BTreeSet;

use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::contact::Contact;
use super::db::people as rows;
use super::error::AuthError;
use super::person::{self, NewPerson, note};
use super::standing::Auth;
use super::{HUB, factor, password, session};
use crate::access::Role;
use crate::audit::{self, Actor, Change};
use crate::csvio::{Column, CsvError, Fault, Fields, Sheet, Tally};
use crate::db::Db;
use crate::tenant::TenantTx;
use crate::vault::Vault;

/// Somebody to be made on the command line.
#[derive(Debug, Clone)]
pub struct NewAccount<'a> {
    /// As they are called.
    pub name: &'a str,
    /// E-mail address or phone number.
    pub contact: &'a str,
    /// What they are to be.
    pub role: Role,
    /// Where: none for a customer and a super admin.
    pub company: Option<CompanyId>,
    /// Their password; one is made when nothing is said.
    pub password: Option<&'a str>,
}

/// Makes a person who can sign in at once; gives the password if one was made.
pub async fn create_account(
    db: &Db,
    vault: &Vault,
    new: &NewAccount<'_>,
    now: Instant,
) -> Result<(Uuid, Option<String>), AuthError> {
    let contact = contact_of(new.contact)?;
    let in_company = match new.role {
        Role::Customer | Role::SuperAdmin => false,
        Role::Driver | Role::Agent | Role::Clerk | Role::CompanyAdmin => true,
    };
    if in_company != new.company.is_some() {
        let role = new.role.as_str();
        let what = if in_company {
            format!("say with --company where they are {role}")
        } else {
            format!("a {role} belongs to no company: leave --company out")
        };
        return Err(AuthError::Input(what));
    }
    let made = match new.password {
        Some(_) => None,
        None => Some(
            session::fresh_secret()?
                .chars()
                .take(24)
                .collect::<String>(),
        ),
    };
    let secret = new.password.or(made.as_deref()).unwrap_or_default();
    password::checked(secret)?;
    let hash = password::hash(&Auth::default(), secret).await?;
    let mut tx = db.tenant(new.company.unwrap_or(HUB)).await?;
    let row = NewPerson {
        name: new.name,
        contacts: std::slice::from_ref(&contact),
        verified: true,
        password_hash: Some(hash),
        super_admin: new.role == Role::SuperAdmin,
    };
    let person = person::insert(&mut tx, vault, &row, now).await?;
    if in_company {
        let known_as = (new.name, &contact);
        person::join(&mut tx, vault, (person, &[new.role]), known_as, now).await?;
        let after = json!({ "roles": [new.role.as_str()], "disabled": false });
        let change = Change {
            action: "person.create",
            subject: &format!("person:{person}"),
            before: None,
            after: Some(after),
        };
        audit::note(&mut tx, Actor::System, change, now).await?;
    }
    let detail = json!({ "role": new.role.as_str() });
    note(
        &mut tx,
        person,
        Actor::System,
        "person.create",
        Some(detail),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok((person, made))
}

/// Takes the second factor of somebody who has lost it, recovery codes and all.
pub async fn forget_second_factor(
    db: &Db,
    vault: &Vault,
    contact: &str,
    now: Instant,
) -> Result<Uuid, AuthError> {
    let contact = contact_of(contact)?;
    let blind = person::blind(vault, &contact)?;
    let known = rows::credentials(db, contact.kind(), &blind).await?;
    let known = known.ok_or(AuthError::NotFound("nobody signs in with this"))?;
    let mut tx = db.tenant(HUB).await?;
    factor::take_away(&mut tx, known.person, Actor::System, now).await?;
    tx.commit().await?;
    Ok(known.person)
}

fn contact_of(text: &str) -> Result<Contact, AuthError> {
    Contact::parse(text).map_err(|error| AuthError::Input(error.to_string()))
}

/// The columns of a file of people.
const COLUMNS: &[Column] = &[
    Column::needed("name", "as they are called"),
    Column::optional("email", "to sign in with"),
    Column::optional("phone", "to sign in with, with its country code"),
    Column::optional(
        "password_hash",
        "bcrypt, as in $2b$12$…; empty: they reset it",
    ),
    Column::optional("roles", "in the company of the import, separated by blanks"),
    Column::optional(
        "verified",
        "whether the contacts were verified; yes when empty",
    ),
];

/// Takes over people of an older system, all of the file or nothing. Whoever has an account is
/// left as they are. Gives what it did, or would do.
pub async fn import(
    db: &Db,
    vault: &Vault,
    bytes: &[u8],
    (company, dry_run): (Option<CompanyId>, bool),
    now: Instant,
) -> Result<Tally, ImportError> {
    let sheet = Sheet::read(bytes, COLUMNS).map_err(CsvError::from)?;
    let mut tally = Tally::default();
    let mut seen = BTreeSet::new();
    let mut tx = db
        .tenant(company.unwrap_or(HUB))
        .await
        .map_err(AuthError::from)?;
    for fields in sheet.rows() {
        match read(&fields, company.is_some(), &mut seen) {
            Err(fault) => tally.fault(fields.row(), fault),
            Ok(row) => take_over(db, &mut tx, vault, &row, (&mut tally, fields.row()), now).await?,
        }
    }
    if tally.is_clean() && !dry_run {
        if company.is_some() {
            let change = Change {
                action: "person.import",
                subject: "people",
                before: None,
                after: Some(json!({ "created": tally.created, "unchanged": tally.unchanged })),
            };
            let noted = audit::note(&mut tx, Actor::System, change, now).await;
            noted.map_err(AuthError::from)?;
        }
        tx.commit().await.map_err(AuthError::from)?;
    }
    Ok(tally)
}

/// Why a file of people came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no such file.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// Something else is wrong.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

struct Imported {
    name: String,
    contacts: Vec<Contact>,
    hash: Option<String>,
    roles: Vec<Role>,
    verified: bool,
}

fn read(
    fields: &Fields<'_>,
    in_company: bool,
    seen: &mut BTreeSet<String>,
) -> Result<Imported, Fault> {
    let name = fields.needed("name")?;
    let name = person::checked_name(name)
        .map_err(|error| Fault::new("name", error.to_string(), "shorten it"))?;
    let mut contacts = vec![];
    for column in ["email", "phone"] {
        let text = fields.text(column);
        if text.is_empty() {
            continue;
        }
        let remedy = "write an address like name@example.com, a number like +260971234567";
        let contact = Contact::parse(text).ok().filter(|c| c.kind() == column);
        let contact = contact
            .ok_or_else(|| Fault::new(column, format!("{text:?} reaches nobody"), remedy))?;
        if !seen.insert(contact.as_str().to_owned()) {
            let wrong = format!("{text:?} stands in another row, too");
            return Err(Fault::new(column, wrong, "give each person their own"));
        }
        contacts.push(contact);
    }
    if contacts.is_empty() {
        let remedy = "give an e-mail address or a phone number to sign in with";
        return Err(Fault::new(
            "email",
            "neither email nor phone is given",
            remedy,
        ));
    }
    let hash = fields.text("password_hash");
    if !hash.is_empty() && !password::is_bcrypt(hash) {
        let remedy = "give a bcrypt hash of cost 4 to 14, or nothing: they reset their password";
        return Err(Fault::new("password_hash", "it is no bcrypt hash", remedy));
    }
    let words = fields.text("roles").split_whitespace();
    let roles: Result<Vec<Role>, _> = words.map(str::parse::<Role>).collect();
    let remedy = "choose among driver, agent, clerk, company_admin, separated by blanks";
    let roles = roles.map_err(|error| Fault::new("roles", error.to_string(), remedy))?;
    let beyond = [Role::Customer, Role::SuperAdmin];
    if let Some(role) = roles.iter().find(|r| beyond.contains(r)) {
        let wrong = format!("{} is no role of a company", role.as_str());
        return Err(Fault::new("roles", wrong, remedy));
    }
    if !roles.is_empty() && !in_company {
        let remedy = "import with --company, or leave roles empty";
        return Err(Fault::new("roles", "no company was named", remedy));
    }
    Ok(Imported {
        name: name.to_owned(),
        contacts,
        hash: (!hash.is_empty()).then(|| hash.to_owned()),
        roles,
        verified: fields.yes_no("verified", true)?,
    })
}

async fn take_over(
    db: &Db,
    tx: &mut TenantTx,
    vault: &Vault,
    row: &Imported,
    (tally, at): (&mut Tally, usize),
    now: Instant,
) -> Result<(), AuthError> {
    let mut known = BTreeSet::new();
    let mut free = false;
    for contact in &row.contacts {
        let blind = person::blind(vault, contact)?;
        match rows::credentials(db, contact.kind(), &blind).await? {
            Some(found) => {
                known.insert(found.person);
            }
            None => free = true,
        }
    }
    if known.len() > 1 || (!known.is_empty() && free) {
        let wrong = "one of the contacts has an account, the other has another or none";
        tally.fault(
            at,
            Fault::new("email", wrong, "leave out the one that does not belong"),
        );
        return Ok(());
    }
    if !known.is_empty() {
        tally.unchanged += 1;
        return Ok(());
    }
    let new = NewPerson {
        name: &row.name,
        contacts: &row.contacts,
        verified: row.verified,
        password_hash: row.hash.clone(),
        super_admin: false,
    };
    let person = person::insert(tx, vault, &new, now).await?;
    if let (false, Some(contact)) = (row.roles.is_empty(), row.contacts.first()) {
        let known_as = (row.name.as_str(), contact);
        person::join(tx, vault, (person, &row.roles), known_as, now).await?;
    }
    note(tx, person, Actor::System, "person.import", None, now).await?;
    tally.created += 1;
    Ok(())
}
