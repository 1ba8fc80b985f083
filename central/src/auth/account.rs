//! A person's own account: registration, passwords, names and contacts.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::codes::{self, CODE_MS, Purpose, Wanted};
use super::contact::Contact;
use super::db::people::{self as rows, Credentials};
use super::db::sessions as session_rows;
use super::error::AuthError;
use super::person::{self, NewPerson, blind, note};
use super::session::{self, Opened, SignIn};
use super::standing::Standing;
use super::throttle::{ACCOUNT, CODES, CODES_FROM, charge, clear};
use super::{HUB, factor, password};
use crate::access::Identity;
use crate::audit::Actor;
use crate::http::Api;
use crate::vault::Vault;

/// An account that waits for its code.
#[derive(Serialize, Deserialize)]
struct Waiting {
    name: String,
    contact: String,
    password_hash: String,
}

/// A contact that waits for its code.
#[derive(Serialize, Deserialize)]
struct WaitingContact {
    contact: String,
}

/// What may be sent is bounded, per contact and per address.
async fn may_send(
    api: &Api,
    contact: &Contact,
    address: Option<&[u8]>,
    now: Instant,
) -> Result<(), AuthError> {
    if let Some(address) = address {
        charge(api, CODES_FROM, address, now).await?;
    }
    charge(api, CODES, &blind(&api.vault, contact)?, now).await?;
    Ok(())
}

/// Begins an account. It exists once the code was shown; a contact that has one already gets a
/// code as well, and hears of it then.
pub(crate) async fn register(
    api: &Api,
    (name, contact, password): (&str, &Contact, &str),
    address: Option<&[u8]>,
    now: Instant,
) -> Result<(Uuid, Instant), AuthError> {
    let name = person::checked_name(name)?.to_owned();
    password::checked(password)?;
    may_send(api, contact, address, now).await?;
    let waiting = Waiting {
        name,
        contact: contact.as_str().to_owned(),
        password_hash: password::hash(&api.auth, password).await?,
    };
    let about = serde_json::to_vec(&waiting).map_err(|_| AuthError::Broken("an account"))?;
    let wanted = Wanted {
        purpose: Purpose::Register,
        contact,
        person: None,
        about: Some(&about),
        silent: false,
        lives_ms: CODE_MS,
    };
    let mut tx = api.db.tenant(HUB).await?;
    let made = codes::make(&mut tx, &api.vault, &wanted, now).await?;
    tx.commit().await?;
    Ok(made)
}

/// Makes the account that waited for this code, and signs its owner in.
pub(crate) async fn confirm_registration(
    api: &Api,
    (id, code): (Uuid, &str),
    how: (super::Transport, &str),
    now: Instant,
) -> Result<Opened, AuthError> {
    let (mut tx, shown) = codes::take(api, id, &[Purpose::Register], code, now).await?;
    let about = shown.about.ok_or(AuthError::Broken("a registration"))?;
    let waiting: Waiting =
        serde_json::from_slice(&about).map_err(|_| AuthError::Broken("a registration"))?;
    let contact = Contact::parse(&waiting.contact);
    let contact = contact.map_err(|_| AuthError::Broken("a registration's contact"))?;
    let new = NewPerson {
        name: &waiting.name,
        contacts: std::slice::from_ref(&contact),
        verified: true,
        password_hash: Some(waiting.password_hash),
        super_admin: false,
    };
    let made = person::insert(&mut tx, &api.vault, &new, now).await?;
    let by = Actor::Caller(Identity::Person(made));
    note(&mut tx, made, by, "person.register", None, now).await?;
    let known = rows::by_id(&mut tx, made).await?;
    let known = known.ok_or(AuthError::Broken("a person just made"))?;
    let wish = SignIn {
        contact,
        password: "",
        totp: None,
        recovery_code: None,
        company: None,
        transport: how.0,
        device: how.1,
        address: None,
    };
    let opened = session::begin(api, &mut tx, &known, &wish, false, now).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Sends a code to choose a password with, when the contact has an account; the answer is the
/// same when it has none.
pub(crate) async fn ask_reset(
    api: &Api,
    contact: &Contact,
    address: Option<&[u8]>,
    now: Instant,
) -> Result<(Uuid, Instant), AuthError> {
    may_send(api, contact, address, now).await?;
    let known = rows::credentials(&api.db, contact.kind(), &blind(&api.vault, contact)?).await?;
    let person = known.filter(|k| !k.disabled).map(|k| k.person);
    let wanted = Wanted {
        purpose: Purpose::Reset,
        contact,
        person,
        about: None,
        silent: person.is_none(),
        lives_ms: CODE_MS,
    };
    let mut tx = api.db.tenant(HUB).await?;
    let made = codes::make(&mut tx, &api.vault, &wanted, now).await?;
    tx.commit().await?;
    Ok(made)
}

/// Sets a password on a code of a reset or an invitation. Every session ends; a second factor
/// stays in force.
pub(crate) async fn reset(
    api: &Api,
    (id, code): (Uuid, &str),
    chosen: &str,
    now: Instant,
) -> Result<(), AuthError> {
    password::checked(chosen)?;
    let purposes = [Purpose::Reset, Purpose::Invite];
    let (mut tx, shown) = codes::take(api, id, &purposes, code, now).await?;
    let person = shown.person.ok_or(AuthError::WrongCode)?;
    let hash = password::hash(&api.auth, chosen).await?;
    rows::set_password(&mut tx, person, &hash).await?;
    rows::verify_contact(&mut tx, person, &shown.contact_blind, now).await?;
    session_rows::end_all(&mut tx, person, None, "the password was reset", now).await?;
    let by = Actor::Caller(Identity::Person(person));
    note(&mut tx, person, by, "password.reset", None, now).await?;
    tx.commit().await?;
    clear(api, ACCOUNT, &shown.contact_blind).await?;
    api.auth.forget_standings();
    Ok(())
}

/// Changes one's own password, on the present one. Every other session ends.
pub(crate) async fn change_password(
    api: &Api,
    standing: &Standing,
    (present, chosen): (&str, &str),
    now: Instant,
) -> Result<(), AuthError> {
    password::checked(chosen)?;
    check_password(api, standing, present, now).await?;
    let hash = password::hash(&api.auth, chosen).await?;
    let mut tx = api.db.tenant(HUB).await?;
    rows::set_password(&mut tx, standing.person, &hash).await?;
    let why = "the password was changed";
    session_rows::end_all(&mut tx, standing.person, Some(standing.session), why, now).await?;
    let by = Actor::Caller(Identity::Person(standing.person));
    note(&mut tx, standing.person, by, "password.change", None, now).await?;
    tx.commit().await?;
    api.auth.forget_standings();
    Ok(())
}

/// The password once more, before something that a passer-by at an open screen must not do.
async fn check_password(
    api: &Api,
    standing: &Standing,
    present: &str,
    now: Instant,
) -> Result<(), AuthError> {
    let subject = factor::person_subject(api, &standing.person)?;
    charge(api, ACCOUNT, &subject, now).await?;
    let mut tx = api.db.tenant(HUB).await?;
    let known = rows::by_id(&mut tx, standing.person).await?;
    tx.rollback().await?;
    let known = known
        .filter(|k| !k.disabled)
        .ok_or(AuthError::SessionEnded)?;
    let hash = known.password_hash.as_deref();
    if !password::verify(&api.auth, present, hash).await?.right {
        return Err(AuthError::WrongCredentials);
    }
    clear(api, ACCOUNT, &subject).await
}

/// Renames oneself.
pub(crate) async fn rename(
    api: &Api,
    standing: &Standing,
    name: &str,
    now: Instant,
) -> Result<(), AuthError> {
    let name = person::checked_name(name)?;
    let sealed = person::seal(&api.vault, &standing.person, "name", name.as_bytes())?;
    let mut tx = api.db.tenant(HUB).await?;
    rows::set_name(&mut tx, standing.person, &sealed).await?;
    let by = Actor::Caller(Identity::Person(standing.person));
    note(&mut tx, standing.person, by, "person.rename", None, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Sends a code to an e-mail address or phone number that one wants to sign in with.
pub(crate) async fn add_contact(
    api: &Api,
    standing: &Standing,
    (contact, present): (&Contact, &str),
    address: Option<&[u8]>,
    now: Instant,
) -> Result<(Uuid, Instant), AuthError> {
    check_password(api, standing, present, now).await?;
    may_send(api, contact, address, now).await?;
    let waiting = WaitingContact {
        contact: contact.as_str().to_owned(),
    };
    let about = serde_json::to_vec(&waiting).map_err(|_| AuthError::Broken("a contact"))?;
    let wanted = Wanted {
        purpose: Purpose::Contact,
        contact,
        person: Some(standing.person),
        about: Some(&about),
        silent: false,
        lives_ms: CODE_MS,
    };
    let mut tx = api.db.tenant(HUB).await?;
    let made = codes::make(&mut tx, &api.vault, &wanted, now).await?;
    tx.commit().await?;
    Ok(made)
}

/// Takes over the contact that a code was sent to, in the place of the one of its kind.
pub(crate) async fn confirm_contact(
    api: &Api,
    standing: &Standing,
    (id, code): (Uuid, &str),
    now: Instant,
) -> Result<(), AuthError> {
    let (mut tx, shown) = codes::take(api, id, &[Purpose::Contact], code, now).await?;
    if shown.person != Some(standing.person) {
        return Err(AuthError::WrongCode);
    }
    let about = shown.about.ok_or(AuthError::Broken("a contact"))?;
    let waiting: WaitingContact =
        serde_json::from_slice(&about).map_err(|_| AuthError::Broken("a contact"))?;
    let contact = Contact::parse(&waiting.contact);
    let contact = contact.map_err(|_| AuthError::Broken("a contact"))?;
    let person = standing.person;
    let sealed = person::seal_contact(&api.vault, &person, &contact, Some(now))?;
    rows::set_contact(&mut tx, person, contact.kind(), &sealed)
        .await
        .map_err(person::taken)?;
    let by = Actor::Caller(Identity::Person(person));
    let detail = json!({ "kind": contact.kind() });
    note(&mut tx, person, by, "person.contact", Some(detail), now).await?;
    tx.commit().await?;
    Ok(())
}

/// A person as they see themselves.
#[derive(Debug, Clone)]
pub(crate) struct Myself {
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) second_factor: bool,
}

/// Opens a person's own fields.
pub(crate) fn myself(vault: &Vault, known: &Credentials) -> Result<Myself, AuthError> {
    let open = |column: &str, sealed: &Vec<u8>| person::open(vault, &known.person, column, sealed);
    let email = known.email_sealed.as_ref().map(|s| open("email", s));
    let phone = known.phone_sealed.as_ref().map(|s| open("phone", s));
    Ok(Myself {
        name: open("name", &known.name_sealed)?,
        email: email.transpose()?,
        phone: phone.transpose()?,
        second_factor: known.totp_sealed.is_some(),
    })
}
