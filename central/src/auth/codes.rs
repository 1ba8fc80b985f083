//! One-use codes: sent to an e-mail address or phone, typed in once.
//!
//! The code itself stands in one place only, sealed in its own row, until it was sent. What it
//! will make true waits sealed beside it, so that an account exists once its owner has shown that
//! the contact is theirs, and nobody can take an address that is not.

use core::fmt;

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::HUB;
use super::contact::Contact;
use super::db::codes::{self as rows, NewCode};
use super::error::AuthError;
use super::person::blind;
use crate::company::fresh_uuid;
use crate::db::Db;
use crate::http::Api;
use crate::tenant::TenantTx;
use crate::vault::{Place, Vault, VaultError};

const MINUTE_MS: i64 = 60_000;
/// How long a code counts.
pub(crate) const CODE_MS: i64 = 15 * MINUTE_MS;
/// How long an invitation counts.
pub(crate) const INVITATION_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
/// How many wrong tries end a code.
const ATTEMPTS: i16 = 5;
/// Digits of a code.
const DIGITS: usize = 8;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A customer makes an account.
    Register,
    /// A password is chosen anew.
    Reset,
    /// A company has named somebody, who chooses a password.
    Invite,
    /// A person adds or changes an e-mail address or phone number.
    Contact,
}

impl Purpose {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Reset => "reset",
            Self::Invite => "invite",
            Self::Contact => "contact",
        }
    }
}

/// A code on its way. Debug output shows neither code nor contact.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// `email` or `phone`.
    pub channel: String,
    /// Where to.
    pub contact: String,
    /// What to type.
    pub code: String,
    /// What for: `register`, `reset`, `invite`, `contact`.
    pub purpose: String,
    /// What the code is shown with: part of the address.
    pub request: Uuid,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({} by {})", self.purpose, self.channel)
    }
}

/// A code to be made.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) contact: &'a Contact,
    pub(crate) person: Option<Uuid>,
    /// What becomes true once it is shown.
    pub(crate) about: Option<&'a [u8]>,
    /// Nobody is told: the contact has no account, and the answer must not say so.
    pub(crate) silent: bool,
    pub(crate) lives_ms: i64,
}

/// A code that was shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) person: Option<Uuid>,
    pub(crate) contact_blind: Vec<u8>,
    pub(crate) about: Option<Vec<u8>>,
}

fn place<'a>(code: &'a Uuid, column: &'a str) -> Place<'a> {
    Place {
        company: HUB,
        table: "one_use_code",
        row: code.as_bytes(),
        column,
    }
}

fn keyed(vault: &Vault, id: Uuid, code: &str) -> Result<Vec<u8>, VaultError> {
    vault.blind(HUB, "one-use-code", &format!("{id}:{code}"))
}

/// Eight digits, each as likely as the other.
fn fresh_code() -> Result<String, AuthError> {
    let mut code = String::with_capacity(DIGITS);
    while code.len() < DIGITS {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let even = bytes.iter().filter(|b| **b < 250).map(|b| b % 10);
        code.extend(even.take(DIGITS - code.len()).map(|d| char::from(b'0' + d)));
    }
    Ok(code)
}

/// Makes a code; its number is what the client shows it with.
pub(crate) async fn make(
    tx: &mut TenantTx,
    vault: &Vault,
    wanted: &Wanted<'_>,
    now: Instant,
) -> Result<(Uuid, Instant), AuthError> {
    let id = fresh_uuid(now)?;
    let code = fresh_code()?;
    let delivery = Delivery {
        channel: wanted.contact.kind().to_owned(),
        contact: wanted.contact.as_str().to_owned(),
        code: code.clone(),
        purpose: wanted.purpose.as_str().to_owned(),
        request: id,
    };
    let delivery = serde_json::to_vec(&delivery).map_err(|_| AuthError::Broken("a code"))?;
    let sealed = vault.seal(place(&id, "delivery"), &delivery)?;
    let about = wanted.about.map(|a| vault.seal(place(&id, "about"), a));
    let expires = now.plus_ms(wanted.lives_ms);
    let new = NewCode {
        id,
        purpose: wanted.purpose.as_str(),
        contact_blind: blind(vault, wanted.contact)?,
        person: wanted.person,
        code_hash: keyed(vault, id, &code)?,
        about_sealed: about.transpose()?,
        delivery_sealed: (!wanted.silent).then_some(sealed),
        attempts: ATTEMPTS,
        expires,
    };
    rows::insert(tx, &new, now).await?;
    Ok((id, expires))
}

/// Takes a code that somebody typed. The transaction goes on with what it makes true; a wrong
/// one is counted and committed before the refusal.
pub(crate) async fn take(
    api: &Api,
    id: Uuid,
    purposes: &[Purpose],
    typed: &str,
    now: Instant,
) -> Result<(TenantTx, Shown), AuthError> {
    let bare: String = typed
        .chars()
        .filter(char::is_ascii_digit)
        .take(20)
        .collect();
    let mut tx = api.db.tenant(HUB).await?;
    let known = rows::lock(&mut tx, id).await?.ok_or(AuthError::WrongCode)?;
    let fits = purposes.iter().any(|p| p.as_str() == known.purpose);
    if !fits || known.used || known.attempts_left <= 0 || now >= known.expires {
        return Err(AuthError::WrongCode);
    }
    if keyed(&api.vault, id, &bare)? != known.code_hash {
        rows::miss(&mut tx, id).await?;
        tx.commit().await?;
        return Err(AuthError::WrongCode);
    }
    rows::use_up(&mut tx, id, now).await?;
    let about = known.about_sealed.as_deref();
    let about = about.map(|sealed| api.vault.open(place(&id, "about"), sealed));
    let shown = Shown {
        person: known.person,
        contact_blind: known.contact_blind,
        about: about.transpose()?,
    };
    Ok((tx, shown))
}

/// Codes that wait to be sent, the oldest first, with their numbers.
pub async fn undelivered(
    db: &Db,
    vault: &Vault,
    limit: i64,
    now: Instant,
) -> Result<Vec<(Uuid, Delivery)>, AuthError> {
    let mut found = vec![];
    for (id, sealed) in rows::undelivered(db, limit, now).await? {
        let bytes = vault.open(place(&id, "delivery"), &sealed)?;
        let delivery = serde_json::from_slice(&bytes);
        found.push((
            id,
            delivery.map_err(|_| AuthError::Broken("a sealed code"))?,
        ));
    }
    Ok(found)
}

/// A code was sent, or cannot be: it stands nowhere any more.
pub async fn delivered(db: &Db, code: Uuid) -> Result<(), AuthError> {
    Ok(rows::delivered(db, code).await?)
}
