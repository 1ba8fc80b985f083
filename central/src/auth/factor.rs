//! The second factor: an authenticator's codes, and recovery codes for when it is lost.

use domain::time::Instant;
use uuid::Uuid;

use super::db::people::Credentials;
use super::db::{factor as rows, people as people_rows, sessions as session_rows};
use super::error::AuthError;
use super::person::{self, note};
use super::standing::Standing;
use super::throttle::{ACCOUNT, charge, clear};
use super::{HUB, password, session, totp};
use crate::access::Identity;
use crate::audit::Actor;
use crate::http::Api;
use crate::tenant::TenantTx;
use crate::vault::{Vault, VaultError};

/// How many recovery codes are given at once.
const RECOVERY_CODES: usize = 10;
/// Letters and digits that nobody confuses.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What an authenticator is set up with.
#[derive(Debug, Clone)]
pub(crate) struct Enrolment {
    pub(crate) secret: String,
    pub(crate) uri: String,
    pub(crate) qr: String,
}

/// Whether a second factor was proved: not without one in force, and each code once.
pub(crate) async fn prove(
    tx: &mut TenantTx,
    vault: &Vault,
    known: &Credentials,
    code: Option<&str>,
    recovery: Option<&str>,
    now: Instant,
) -> Result<bool, AuthError> {
    let Some(sealed) = &known.totp_sealed else {
        return Ok(false);
    };
    let proved = match (code, recovery) {
        (Some(code), _) => {
            let secret = open_secret(vault, &known.person, sealed)?;
            match totp::accepted_step(&secret, code, now, known.totp_last_step) {
                Some(step) => rows::use_step(tx, known.person, step).await?,
                None => false,
            }
        }
        (None, Some(recovery)) => {
            let hash = recovery_hash(vault, &known.person, recovery)?;
            let used = rows::use_recovery(tx, known.person, &hash, now).await?;
            if used {
                let by = Actor::Caller(Identity::Person(known.person));
                note(tx, known.person, by, "second_factor.recovery", None, now).await?;
            }
            used
        }
        (None, None) => false,
    };
    if proved {
        Ok(true)
    } else {
        Err(AuthError::WrongCredentials)
    }
}

/// Begins to set up an authenticator; it is in force once confirmed.
pub(crate) async fn enrol(
    api: &Api,
    standing: &Standing,
    now: Instant,
) -> Result<Enrolment, AuthError> {
    let mut tx = api.db.tenant(HUB).await?;
    let known = person_of(&mut tx, standing).await?;
    if known.totp_sealed.is_some() {
        return Err(AuthError::SecondFactorInForce);
    }
    let mut secret = [0; totp::SECRET_BYTES];
    getrandom::fill(&mut secret)?;
    let sealed = person::seal(&api.vault, &known.person, "totp", &secret)?;
    rows::enrol(&mut tx, known.person, &sealed).await?;
    let by = Actor::Caller(Identity::Person(known.person));
    note(&mut tx, known.person, by, "second_factor.enrol", None, now).await?;
    let account = account_name(&api.vault, &known)?;
    tx.commit().await?;
    let uri = totp::uri(&secret, &account);
    Ok(Enrolment {
        secret: totp::secret_text(&secret),
        qr: totp::qr_text(&uri).ok_or(AuthError::Broken("no QR code of a second factor"))?,
        uri,
    })
}

/// Puts an enrolled authenticator in force, for this session too; gives the recovery codes, once.
pub(crate) async fn confirm(
    api: &Api,
    standing: &Standing,
    code: &str,
    now: Instant,
) -> Result<Vec<String>, AuthError> {
    let subject = person_subject(api, &standing.person)?;
    charge(api, ACCOUNT, &subject, now).await?;
    let mut tx = api.db.tenant(HUB).await?;
    let known = person_of(&mut tx, standing).await?;
    if known.totp_sealed.is_some() {
        return Err(AuthError::SecondFactorInForce);
    }
    let sealed = rows::enrolled(&mut tx, known.person).await?;
    let sealed = sealed.ok_or(AuthError::NoSecondFactor)?;
    let secret = open_secret(&api.vault, &known.person, &sealed)?;
    let step = totp::accepted_step(&secret, code, now, known.totp_last_step);
    let step = step.ok_or(AuthError::WrongCode)?;
    rows::confirm(&mut tx, known.person, step, now).await?;
    session_rows::prove_second_factor(&mut tx, standing.session).await?;
    let codes = fresh_codes(&mut tx, &api.vault, &known.person).await?;
    let by = Actor::Caller(Identity::Person(known.person));
    note(
        &mut tx,
        known.person,
        by,
        "second_factor.confirm",
        None,
        now,
    )
    .await?;
    tx.commit().await?;
    clear(api, ACCOUNT, &subject).await?;
    api.auth.forget_standings();
    Ok(codes)
}

/// Takes the second factor away, on the password and one of its codes. Roles that need one wait
/// again.
pub(crate) async fn remove(
    api: &Api,
    standing: &Standing,
    (password, code): (&str, &str),
    now: Instant,
) -> Result<(), AuthError> {
    let subject = person_subject(api, &standing.person)?;
    charge(api, ACCOUNT, &subject, now).await?;
    let mut tx = api.db.tenant(HUB).await?;
    let known = person_of(&mut tx, standing).await?;
    if known.totp_sealed.is_none() {
        return Err(AuthError::NoSecondFactor);
    }
    let hash = known.password_hash.as_deref();
    if !password::verify(&api.auth, password, hash).await?.right {
        return Err(AuthError::WrongCredentials);
    }
    let (totp, recovery) = if code.trim().len() > 7 {
        (None, Some(code))
    } else {
        (Some(code), None)
    };
    prove(&mut tx, &api.vault, &known, totp, recovery, now).await?;
    let by = Actor::Caller(Identity::Person(known.person));
    take_away(&mut tx, known.person, by, now).await?;
    tx.commit().await?;
    clear(api, ACCOUNT, &subject).await?;
    api.auth.forget_standings();
    Ok(())
}

/// Removes the second factor of a person; their sessions count as without one.
pub(crate) async fn take_away(
    tx: &mut TenantTx,
    person: Uuid,
    by: Actor,
    now: Instant,
) -> Result<(), AuthError> {
    rows::remove(tx, person).await?;
    session_rows::unprove_second_factor(tx, person).await?;
    people_rows::bump_authority(tx, person).await?;
    note(tx, person, by, "second_factor.remove", None, now).await
}

async fn person_of(tx: &mut TenantTx, standing: &Standing) -> Result<Credentials, AuthError> {
    let known = people_rows::by_id(tx, standing.person).await?;
    known.filter(|k| !k.disabled).ok_or(AuthError::SessionEnded)
}

/// What the tries of a person who has signed in are counted under.
pub(crate) fn person_subject(api: &Api, person: &Uuid) -> Result<Vec<u8>, VaultError> {
    api.vault.blind(HUB, "person", &person.to_string())
}

/// The e-mail address or phone number that an authenticator shows.
fn account_name(vault: &Vault, known: &Credentials) -> Result<String, VaultError> {
    match (&known.email_sealed, &known.phone_sealed) {
        (Some(email), _) => person::open(vault, &known.person, "email", email),
        (None, Some(phone)) => person::open(vault, &known.person, "phone", phone),
        (None, None) => Ok("account".to_owned()),
    }
}

fn open_secret(vault: &Vault, person: &Uuid, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    person::open_bytes(vault, person, "totp", sealed)
}

async fn fresh_codes(
    tx: &mut TenantTx,
    vault: &Vault,
    person: &Uuid,
) -> Result<Vec<String>, AuthError> {
    let mut codes = Vec::with_capacity(RECOVERY_CODES);
    let mut hashes = Vec::with_capacity(RECOVERY_CODES);
    for _ in 0..RECOVERY_CODES {
        let mut bits = [0; 10];
        getrandom::fill(&mut bits)?;
        let digit = |b: &u8| char::from(DIGITS[usize::from(b & 31)]);
        let text: String = bits.iter().map(digit).collect();
        let code = format!("{}-{}", &text[..5], &text[5..]);
        hashes.push(recovery_hash(vault, person, &code)?);
        codes.push(code);
    }
    rows::replace_recovery(tx, *person, &hashes).await?;
    Ok(codes)
}

/// However it was typed.
fn recovery_hash(vault: &Vault, person: &Uuid, code: &str) -> Result<Vec<u8>, VaultError> {
    let typed = code.chars().filter(char::is_ascii_alphanumeric).take(20);
    let bare: String = typed
        .map(|c| match c.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            other => other,
        })
        .collect();
    vault.blind(HUB, "recovery", &format!("{person}:{bare}"))
}

/// A new access token for a session whose second factor was just proved.
pub(crate) async fn reopened(
    api: &Api,
    standing: &Standing,
    now: Instant,
) -> Result<session::Opened, AuthError> {
    let proved = Standing {
        second_factor: true,
        ..standing.clone()
    };
    session::switch(api, &proved, standing.company, now).await
}
