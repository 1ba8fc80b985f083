//! Passwords: Argon2id, and bcrypt of an import until its first use.

use std::sync::OnceLock;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use super::error::AuthError;
use super::standing::Auth;

/// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
/// What every hash of ours begins with; another beginning is outdated.
const BEGINNING: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// A password has so many characters.
const CHARS: std::ops::RangeInclusive<usize> = 10..=128;
/// How long a request waits for its turn to be hashed.
const PATIENCE: Duration = Duration::from_secs(8);
/// The strongest bcrypt that is checked: each step more doubles the work.
const BCRYPT_COST_MAX: u32 = 14;
/// What people choose most, among those that are long enough.
const TOO_COMMON: [&str; 12] = [
    "0123456789",
    "1234567890",
    "12345678910",
    "1234567891",
    "1q2w3e4r5t",
    "1qaz2wsx3edc",
    "iloveyou123",
    "password01",
    "password12",
    "password123",
    "qwerty12345",
    "qwertyuiop",
];

/// What checking a password came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is the one.
    pub(crate) right: bool,
    /// Its hash should be made anew.
    pub(crate) outdated: bool,
}

/// A password as it may be chosen.
pub(crate) fn checked(password: &str) -> Result<(), AuthError> {
    let chars = password.chars().count();
    let mut distinct: Vec<char> = password.to_lowercase().chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let common = TOO_COMMON.contains(&password.to_lowercase().as_str());
    if !CHARS.contains(&chars) || common || distinct.len() < 4 {
        let what = "a password has 10 to 128 characters and is none of the most common ones: \
                    a few words are easy to remember";
        return Err(AuthError::Input(what.to_owned()));
    }
    Ok(())
}

/// Whether a hash of another system can be taken over.
pub(crate) fn is_bcrypt(hash: &str) -> bool {
    let cost = hash
        .parse::<bcrypt::HashParts>()
        .map(|parts| parts.get_cost());
    cost.is_ok_and(|cost| (4..=BCRYPT_COST_MAX).contains(&cost)) && hash.len() == 60
}

fn hasher() -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES));
    let params = params.map_err(|_| AuthError::Broken("the parameters of Argon2id"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &str) -> Result<String, AuthError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &salt);
    let hash = hash.map_err(|_| AuthError::Broken("a password could not be hashed"))?;
    Ok(hash.to_string())
}

/// A hash that no password has, so that an unknown account takes as long as a known one.
fn nobodys_hash() -> Result<&'static str, AuthError> {
    static NOBODY: OnceLock<String> = OnceLock::new();
    if let Some(hash) = NOBODY.get() {
        return Ok(hash);
    }
    let mut unknown = [0; 32];
    getrandom::fill(&mut unknown)?;
    let hash = hash_now(&data_encoding::BASE64URL_NOPAD.encode(&unknown))?;
    Ok(NOBODY.get_or_init(|| hash))
}

fn verify_now(password: &str, hash: Option<&str>) -> Result<Verdict, AuthError> {
    let Some(hash) = hash else {
        let nobody = nobodys_hash()?;
        let _ = hasher()?.verify_password(password.as_bytes(), nobody);
        return Ok(Verdict {
            right: false,
            outdated: false,
        });
    };
    let right = if hash.starts_with("$argon2") {
        hasher()?.verify_password(password.as_bytes(), hash).is_ok()
    } else {
        is_bcrypt(hash) && bcrypt::verify(password, hash).unwrap_or(false)
    };
    Ok(Verdict {
        right,
        outdated: !hash.starts_with(BEGINNING),
    })
}

/// Hashes a password, when its turn comes.
pub(crate) async fn hash(auth: &Auth, password: &str) -> Result<String, AuthError> {
    let password = password.to_owned();
    in_turn(auth, move || hash_now(&password)).await
}

/// Checks a password, when its turn comes; without a hash as much work is done in vain.
pub(crate) async fn verify(
    auth: &Auth,
    password: &str,
    hash: Option<&str>,
) -> Result<Verdict, AuthError> {
    let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
    in_turn(auth, move || verify_now(&password, hash.as_deref())).await
}

/// So much memory and work is done by a few at a time, away from the threads that serve.
async fn in_turn<T: Send + 'static>(
    auth: &Auth,
    work: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
) -> Result<T, AuthError> {
    let turn = tokio::time::timeout(PATIENCE, auth.hashing.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(AuthError::Busy);
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| AuthError::Broken("a password could not be hashed"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_of_the_parameters_and_salted() {
        let (one, two) = (
            hash_now("correct horse").unwrap(),
            hash_now("correct horse").unwrap(),
        );
        assert!(one.starts_with(BEGINNING), "{one}");
        assert_ne!(one, two);
        let right = Verdict {
            right: true,
            outdated: false,
        };
        assert_eq!(verify_now("correct horse", Some(&one)).unwrap(), right);
        assert!(!verify_now("correct horsf", Some(&one)).unwrap().right);
        assert!(!verify_now("correct horse", None).unwrap().right);
        for damaged in ["", "$argon2id$", "$argon2id$v=19$m=1", "plain", "$2b$31$x"] {
            assert!(!verify_now("correct horse", Some(damaged)).unwrap().right);
        }
    }

    #[test]
    fn a_bcrypt_hash_counts_and_is_outdated() {
        let old = bcrypt::hash("correct horse", 4).unwrap();
        assert!(is_bcrypt(&old));
        let verdict = verify_now("correct horse", Some(&old)).unwrap();
        assert!(verdict.right && verdict.outdated);
        assert!(!verify_now("wrong horse", Some(&old)).unwrap().right);
        assert!(!is_bcrypt(
            "$2b$15$abcdefghijklmnopqrstuuO6w0vqJk1p1hNLBLBBsgj0yq5rYw1Fi"
        ));
        assert!(!is_bcrypt("plain text"));
    }

    #[test]
    fn weak_passwords_are_refused() {
        for weak in ["", "short", "Password123", "aaaaaaaaaaaa", "ababababab"] {
            assert!(checked(weak).is_err(), "{weak}");
        }
        assert!(checked(&"x".repeat(129)).is_err());
        for good in ["correct horse", "zebra-lamp-9", "ku Lusaka nawa"] {
            assert!(checked(good).is_ok(), "{good}");
        }
    }
}
