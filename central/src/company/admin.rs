//! Creating a company, and the bearer tokens of its office.

use domain::codec::to_hex;
use domain::ids::{CompanyId, IdError};
use domain::money::Currency;
use domain::time::{Instant, Zone};
use sha2::{Digest as _, Sha256};
use sync_protocol::{BucketId, Item};
use uuid::Uuid;

use super::db;
use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::sync::buckets;

/// What every bearer token begins with, so that one that leaked can be recognised.
pub const TOKEN_PREFIX: &str = "mwt_";
/// The longest name of a company or of a token, in characters.
const NAME_CHARS_MAX: usize = 120;

/// Why a company could not be made or found.
#[derive(Debug, thiserror::Error)]
pub enum CompanyError {
    /// The name is taken.
    #[error("there is a company {0:?} already")]
    NameTaken(String),
    /// Nobody has that name.
    #[error("there is no company {0:?}: make it with `mwimule-hub company create`")]
    Unknown(String),
    /// Empty or too long.
    #[error("a name has 1 to {NAME_CHARS_MAX} characters")]
    BadName,
    /// A zone or currency that does not exist.
    #[error(transparent)]
    BadValue(#[from] IdError),
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for CompanyError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

/// A company to be.
#[derive(Debug, Clone)]
pub struct NewCompany {
    /// Unique on this hub.
    pub name: String,
    /// Whose dates its office counts in.
    pub zone: Zone,
    /// What it is paid in.
    pub currency: Currency,
}

/// A token as it is shown, once.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What goes behind `Authorization: Bearer`.
    pub token: String,
    /// Whose rows it opens.
    pub company: CompanyId,
}

fn check_name(name: &str) -> Result<(), CompanyError> {
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(CompanyError::BadName);
    }
    Ok(())
}

/// Makes a company, and publishes the key that its validators check the hub's tickets with.
pub async fn create(
    db: &Db,
    keys: &HubKeys,
    company: &NewCompany,
    now: Instant,
) -> Result<CompanyId, CompanyError> {
    check_name(&company.name)?;
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)?;
    let id = CompanyId(uuid::Builder::from_random_bytes(bits).into_uuid());
    let mut tx = db.tenant(id).await?;
    match db::insert_company(&mut tx, company, now).await {
        Err(error) if error.constraint() == Some("company_name_key") => {
            return Err(CompanyError::NameTaken(company.name.clone()));
        }
        done => done?,
    }
    let record = keys.record();
    let key = buckets::key_item_key(&record);
    buckets::publish(&mut tx, &BucketId::Company.name(), &key, Item::Key(record)).await?;
    tx.commit().await?;
    Ok(id)
}

/// The company with this name.
pub async fn company_named(db: &Db, name: &str) -> Result<CompanyId, CompanyError> {
    db::find_by_name(db, name)
        .await?
        .ok_or_else(|| CompanyError::Unknown(name.to_owned()))
}

/// Makes a bearer token for a company's office. Only its hash is kept.
pub async fn create_token(
    db: &Db,
    company: CompanyId,
    name: &str,
    now: Instant,
) -> Result<NewToken, CompanyError> {
    check_name(name)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let token = format!("{TOKEN_PREFIX}{}", to_hex(&secret));
    let mut tx = db.tenant(company).await?;
    db::insert_token(&mut tx, &token_hash(&token), name, now).await?;
    tx.commit().await?;
    Ok(NewToken { token, company })
}

/// What the hub knows a token by.
pub(super) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A random identifier, in the order of time.
pub(crate) fn fresh_uuid(now: Instant) -> Result<Uuid, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(domain::event::uuid_v7(now, &bits).0)
}
