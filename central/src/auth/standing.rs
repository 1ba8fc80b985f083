//! What this process remembers for a moment: signing keys, and whether a session still stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Moment};

use domain::ids::CompanyId;
use domain::time::Instant;
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::db::sessions as session_rows;
use super::error::AuthError;
use super::keyring::{Keyring, TokenKey};
use super::token::{self, Claims, TokenError};
use super::{HUB, db, rules};
use crate::access::Role;
use crate::db::Db;
use crate::sync::bus::{Bus, BusEvent};
use crate::vault::{Place, Vault};

/// How long a session is believed to stand as it did: the bound on how late a revocation is heard
/// of by another process.
pub const STANDING_KEPT: Duration = Duration::from_secs(5);
/// How long the signing keys are kept.
const RING_KEPT: Duration = Duration::from_secs(30);
/// A token with an unknown key makes the keys be read again, but no more often than this.
const RING_RELOAD: Duration = Duration::from_secs(5);
/// Beyond so many sessions the remembered ones are forgotten.
const STANDINGS_MAX: usize = 20_000;
/// How often the use of a cookie is written down, in milliseconds.
const TOUCH_MS: i64 = 5 * 60 * 1000;
/// How many passwords are checked at once.
const HASHES_AT_ONCE: usize = 4;

/// How a session is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By access and refresh tokens.
    Token,
    /// By a browser's cookie.
    Cookie,
}

impl Transport {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Cookie => "cookie",
        }
    }
}

/// A session as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub session: Uuid,
    /// Whose.
    pub person: Uuid,
    /// For which company.
    pub company: Option<CompanyId>,
    /// The roles that count in it.
    pub roles: Vec<Role>,
    /// Whether a second factor was proved in it.
    pub second_factor: bool,
    /// The person's count of changed rights.
    pub authority: i32,
    /// Whether it is neither ended nor its person disabled.
    pub live: bool,
    /// How it is carried.
    pub transport: Transport,
}

type Kept<T> = (Moment, T);

/// What the service keeps in memory.
#[derive(Debug)]
pub struct Auth {
    ring: Mutex<Option<Kept<Arc<Keyring>>>>,
    /// By session, or by the hash of a cookie.
    standings: Mutex<HashMap<[u8; 32], Kept<Standing>>>,
    /// Lets so many passwords be checked at once.
    pub hashing: Semaphore,
    /// Tells the other processes of the hub.
    bus: Bus,
}

impl Default for Auth {
    fn default() -> Self {
        Self::new(Bus::new())
    }
}

impl Auth {
    /// Tells others over this bus.
    pub fn new(bus: Bus) -> Self {
        Self {
            bus,
            ring: Mutex::default(),
            standings: Mutex::default(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
        }
    }

    /// The keys of access tokens; makes the first one.
    pub async fn keyring(
        &self,
        db: &Db,
        vault: &Vault,
        now: Instant,
    ) -> Result<Arc<Keyring>, AuthError> {
        self.ring_within(RING_KEPT, db, vault, now).await
    }

    async fn ring_within(
        &self,
        age: Duration,
        db: &Db,
        vault: &Vault,
        now: Instant,
    ) -> Result<Arc<Keyring>, AuthError> {
        let kept = self
            .ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((since, ring)) = kept
            && since.elapsed() < age
        {
            return Ok(ring);
        }
        let mut keys = load_keys(db, vault).await?;
        if !keys
            .iter()
            .any(|k| k.withdrawn_at.is_none() && k.signs_from <= now)
        {
            make_first_key(db, vault, now).await?;
            keys = load_keys(db, vault).await?;
        }
        let ring = Arc::new(Keyring::new(keys));
        let kept = Some((Moment::now(), Arc::clone(&ring)));
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(ring)
    }

    /// What an access token says, when it counts; the session is not looked at.
    pub async fn claims(
        &self,
        db: &Db,
        vault: &Vault,
        access: &str,
        now: Instant,
    ) -> Result<Result<Claims, TokenError>, AuthError> {
        let mut ring = self.keyring(db, vault, now).await?;
        let kid = token::kid_of(access);
        if kid.is_some_and(|kid| ring.verifier(&kid, now).is_none()) {
            // Another process may have made a key since.
            ring = self.ring_within(RING_RELOAD, db, vault, now).await?;
        }
        Ok(token::verify(&ring, access, now))
    }

    /// The session behind an access token, when both stand.
    pub async fn by_token(
        &self,
        db: &Db,
        claims: &Claims,
        now: Instant,
    ) -> Result<Option<Standing>, AuthError> {
        let key: [u8; 32] = Sha256::digest(claims.sid.as_bytes()).into();
        let found = match self.remembered(&key) {
            Some(found) => Some(found),
            None => self.remember(key, session_rows::standing(db, claims.sid, now).await?),
        };
        let standing = found.filter(|s| {
            s.live
                && s.transport == Transport::Token
                && s.person == claims.sub
                && s.authority == claims.authority
        });
        // The token's own company and roles: a switch of company leaves older tokens as they are.
        Ok(standing.map(|s| Standing {
            company: claims.company.map(CompanyId),
            roles: rules::roles_of(&claims.roles),
            second_factor: claims.amr.iter().any(|m| m == "otp"),
            ..s
        }))
    }

    /// The session behind a cookie, when it stands.
    pub async fn by_cookie(
        &self,
        db: &Db,
        secret: &str,
        now: Instant,
    ) -> Result<Option<Standing>, AuthError> {
        let key: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let found = if let Some(found) = self.remembered(&key) {
            Some(found)
        } else {
            let found = session_rows::cookie_standing(db, &key, now).await?;
            if let Some(standing) = found.as_ref().filter(|s| s.live) {
                session_rows::touch(db, standing.session, TOUCH_MS, now).await?;
            }
            self.remember(key, found)
        };
        Ok(found.filter(|s| s.live))
    }

    /// Looks again at every session the next time it is used, in every process of the hub.
    pub fn forget_standings(&self) {
        self.clear_standings();
        self.bus.tell_others(BusEvent::Standings);
    }

    /// Looks again at every session the next time it is used, in this process.
    pub fn clear_standings(&self) {
        self.standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Reads the signing keys again the next time they are used.
    pub fn forget_keys(&self) {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Standing> {
        let standings = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (since, standing) = standings.get(key)?;
        (since.elapsed() < STANDING_KEPT).then(|| standing.clone())
    }

    fn remember(&self, key: [u8; 32], standing: Option<Standing>) -> Option<Standing> {
        let mut standings = self
            .standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if standings.len() >= STANDINGS_MAX {
            standings.clear();
        }
        // What is not there is not remembered: it may be there the next moment.
        if let Some(standing) = &standing {
            standings.insert(key, (Moment::now(), standing.clone()));
        }
        standing
    }
}

fn place(kid: &str) -> Place<'_> {
    Place {
        company: HUB,
        table: "auth_key",
        row: kid.as_bytes(),
        column: "secret",
    }
}

async fn load_keys(db: &Db, vault: &Vault) -> Result<Vec<TokenKey>, AuthError> {
    let mut keys = vec![];
    for row in db::keys::all(db).await? {
        let secret = vault.open(place(&row.kid), &row.secret_sealed)?;
        let secret: [u8; 32] = secret
            .try_into()
            .map_err(|_| AuthError::Broken("a signing key of another length"))?;
        let mut key = TokenKey::new(SigningKey::from_bytes(&secret), row.signs_from);
        if key.kid != row.kid {
            return Err(AuthError::Broken("a signing key of another name"));
        }
        key.withdrawn_at = row.withdrawn_at;
        keys.push(key);
    }
    Ok(keys)
}

async fn make_first_key(db: &Db, vault: &Vault, now: Instant) -> Result<(), AuthError> {
    let mut tx = db.tenant(HUB).await?;
    db::keys::lock(&mut tx).await?;
    // Another process may have been first.
    if !db::keys::any_signs(&mut tx, now).await? {
        insert_key(&mut tx, vault, now, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn insert_key(
    tx: &mut crate::tenant::TenantTx,
    vault: &Vault,
    signs_from: Instant,
    now: Instant,
) -> Result<TokenKey, AuthError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let key = TokenKey::new(SigningKey::from_bytes(&seed), signs_from);
    let sealed = vault.seal(place(&key.kid), &seed)?;
    db::keys::insert(tx, &key, &sealed, now).await?;
    Ok(key)
}

/// Makes the next key. It takes over once every copy of the key set has been renewed; when the
/// present ones are `compromised` they are withdrawn, and it signs at once.
pub async fn rotate(
    db: &Db,
    vault: &Vault,
    compromised: bool,
    now: Instant,
) -> Result<TokenKey, AuthError> {
    let mut tx = db.tenant(HUB).await?;
    db::keys::lock(&mut tx).await?;
    let signs_from = if compromised {
        db::keys::withdraw_all(&mut tx, now).await?;
        now
    } else {
        now.plus_ms(super::keyring::LEAD_MS)
    };
    let key = insert_key(&mut tx, vault, signs_from, now).await?;
    tx.tell(BusEvent::TokenKeys);
    tx.commit().await?;
    Ok(key)
}
