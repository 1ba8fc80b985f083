//! Which key signs access tokens and which ones still count: pure.
//!
//! A key is published as soon as it exists and signs some time later, so that every service that
//! keeps a copy of the key set knows it before it meets it. Its forerunner counts until the last
//! token that it signed has ended.

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use domain::time::Instant;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// How long an access token lives.
pub const ACCESS_MS: i64 = 10 * 60 * 1000;
/// How long others may keep a copy of the key set.
pub const KEY_SET_MS: i64 = 5 * 60 * 1000;
/// From its publication to its first signature: every copy has been renewed by then.
pub const LEAD_MS: i64 = 2 * KEY_SET_MS;
/// How much longer a key counts than what it signed: clocks differ.
const SLACK_MS: i64 = 60 * 1000;

/// A key that signs access tokens. Debug output shows its name only.
#[derive(Clone)]
pub struct TokenKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The secret.
    pub secret: SigningKey,
    /// When it takes over.
    pub signs_from: Instant,
    /// When it was withdrawn, if it was.
    pub withdrawn_at: Option<Instant>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({} from {})", self.kid, self.signs_from)
    }
}

impl TokenKey {
    /// From a secret.
    pub fn new(secret: SigningKey, signs_from: Instant) -> Self {
        Self {
            kid: thumbprint(&secret.verifying_key()),
            secret,
            signs_from,
            withdrawn_at: None,
        }
    }
}

/// The name of a key: RFC 7638, for an RFC 8037 key.
pub fn thumbprint(key: &VerifyingKey) -> String {
    let x = BASE64URL_NOPAD.encode(key.as_bytes());
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64URL_NOPAD.encode(&Sha256::digest(members.as_bytes()))
}

/// A public key as others read it (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Jwk {
    /// `OKP`.
    pub kty: &'static str,
    /// `Ed25519` of tokens, `X25519` of encrypted bodies.
    pub crv: &'static str,
    /// `sig` or `enc`.
    #[serde(rename = "use")]
    #[schema(rename = "use")]
    pub key_use: &'static str,
    /// `EdDSA` or `ECDH-ES`.
    pub alg: &'static str,
    /// Its name in a token's header.
    pub kid: String,
    /// The public key, 32 bytes in base64url.
    pub x: String,
}

/// Every key, the one that signs last first.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: Vec<TokenKey>,
}

impl Keyring {
    /// Of these keys.
    pub fn new(mut keys: Vec<TokenKey>) -> Self {
        keys.retain(|k| k.withdrawn_at.is_none());
        keys.sort_by(|a, b| (b.signs_from, &b.kid).cmp(&(a.signs_from, &a.kid)));
        Self { keys }
    }

    /// The key that signs.
    pub fn signer(&self, now: Instant) -> Option<&TokenKey> {
        self.keys.iter().find(|k| k.signs_from <= now)
    }

    /// The key of this name, while it counts.
    pub fn verifier(&self, kid: &str, now: Instant) -> Option<&TokenKey> {
        self.counting(now).find(|k| k.kid == kid)
    }

    /// What others are told.
    pub fn published(&self, now: Instant) -> Vec<Jwk> {
        self.counting(now)
            .map(|key| Jwk {
                kty: "OKP",
                crv: "Ed25519",
                key_use: "sig",
                alg: "EdDSA",
                kid: key.kid.clone(),
                x: BASE64URL_NOPAD.encode(key.secret.verifying_key().as_bytes()),
            })
            .collect()
    }

    /// Keys to come, the one that signs, and those whose tokens may still live.
    fn counting(&self, now: Instant) -> impl Iterator<Item = &TokenKey> {
        self.keys
            .iter()
            .enumerate()
            .filter_map(move |(index, key)| {
                let successor = index.checked_sub(1).and_then(|i| self.keys.get(i));
                let ends = successor.map(|s| s.signs_from.plus_ms(ACCESS_MS + SLACK_MS));
                ends.is_none_or(|ends| now < ends).then_some(key)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn key(seed: u8, from: i64) -> TokenKey {
        TokenKey::new(SigningKey::from_bytes(&[seed; 32]), Instant(from))
    }

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037() {
        // RFC 8037, appendix A.3.
        let x = BASE64URL_NOPAD
            .decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .unwrap();
        let key = VerifyingKey::from_bytes(&x.try_into().unwrap()).unwrap();
        assert_eq!(
            thumbprint(&key),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_key_is_known_before_it_signs_and_counts_until_its_last_token_has_ended() {
        let (old, new) = (key(1, 0), key(2, DAY));
        let ring = Keyring::new(vec![old.clone(), new.clone()]);
        let at = |ms: i64| {
            let now = Instant(DAY + ms);
            let signer = ring.signer(now).unwrap().kid.clone();
            let known: Vec<String> = ring.published(now).into_iter().map(|k| k.kid).collect();
            (signer, known)
        };
        let both = vec![new.kid.clone(), old.kid.clone()];
        assert_eq!(at(-LEAD_MS), (old.kid.clone(), both.clone()));
        assert_eq!(at(-1), (old.kid.clone(), both.clone()));
        assert_eq!(at(0), (new.kid.clone(), both.clone()));
        assert_eq!(at(ACCESS_MS), (new.kid.clone(), both));
        assert_eq!(
            at(ACCESS_MS + SLACK_MS),
            (new.kid.clone(), vec![new.kid.clone()])
        );
        assert!(ring.verifier(&old.kid, Instant(2 * DAY)).is_none());
    }

    #[test]
    fn a_withdrawn_key_counts_for_nothing() {
        let mut stolen = key(1, 0);
        stolen.withdrawn_at = Some(Instant(5));
        let ring = Keyring::new(vec![stolen.clone(), key(2, 5)]);
        assert!(ring.verifier(&stolen.kid, Instant(6)).is_none());
        assert_eq!(ring.published(Instant(6)).len(), 1);
        assert!(Keyring::default().signer(Instant(0)).is_none());
    }
}
