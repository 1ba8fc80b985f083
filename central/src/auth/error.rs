//! Why a request of this service is not done.

use crate::access::UnknownWord;
use crate::company::CompanyError;
use crate::db::DbError;
use crate::vault::VaultError;

use super::token::SigningError;

/// Refusals first, failures last.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No such account, another password, another second factor: never said which.
    #[error("identifier, password or code is wrong")]
    WrongCredentials,
    /// The password was right; the second factor is missing.
    #[error("send `totp` from the authenticator, or a `recovery_code`")]
    SecondFactorNeeded,
    /// Tried too often.
    #[error("too many tries: wait {retry_after_s} seconds")]
    TooMany {
        /// How long to wait, in seconds.
        retry_after_s: i64,
    },
    /// More passwords are being checked than this process can.
    #[error("too many people sign in at this moment: try again shortly")]
    Busy,
    /// A refresh token that is unknown, ended or was used before.
    #[error("the refresh token does not count: sign in again")]
    RefreshRefused,
    /// The session has ended meanwhile.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// Not a company that the person may choose.
    #[error("you do not work for this company, or it does not exist")]
    NotYourCompany,
    /// A one-use code that is wrong, used, or too old.
    #[error("the code is wrong, was used, or has ended: ask for another one")]
    WrongCode,
    /// The contact belongs to an account already.
    #[error("this e-mail address or phone number has an account: sign in, or reset its password")]
    ContactTaken,
    /// The second factor is in force already.
    #[error("a second factor is in force: remove it first, with one of its codes")]
    SecondFactorInForce,
    /// There is nothing to confirm or remove.
    #[error("no second factor was enrolled")]
    NoSecondFactor,
    /// Giving or taking what one does not have.
    #[error("this reaches beyond what you may do yourself: {0}")]
    BeyondYours(String),
    /// Nobody would be left to answer for the company.
    #[error("this is the company's last admin: name another one first")]
    LastAdmin,
    /// The person works for the company already.
    #[error("this person works for the company already: change their roles instead")]
    AlreadyMember,
    /// Nothing is there.
    #[error("{0}")]
    NotFound(&'static str),
    /// Somebody else changed it meanwhile.
    #[error("it was changed meanwhile: read it again")]
    Stale,
    /// More of something than one may have.
    #[error("{0}")]
    Full(&'static str),
    /// What was sent cannot be used.
    #[error("{0}")]
    Input(String),
    /// A sealed value does not open, or none can be made.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No token could be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// The hub did something that it should not.
    #[error("{0}")]
    Broken(&'static str),
    /// The company is the trouble.
    #[error(transparent)]
    Company(#[from] CompanyError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for AuthError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

impl From<UnknownWord> for AuthError {
    fn from(error: UnknownWord) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<sqlx::Error> for AuthError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}
