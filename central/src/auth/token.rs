//! Access tokens: JWT (RFC 7519) in the profile of RFC 9068, signed with Ed25519 (RFC 8037).
//!
//! The key that a token names decides how it is checked. A token's own header decides nothing: it
//! has `typ`, `alg` and `kid` with the values that this hub writes, and no other member.

use std::sync::Once;

use data_encoding::BASE64URL_NOPAD;
use domain::time::Instant;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keyring::{ACCESS_MS, Keyring};

/// Who signs.
pub const ISSUER: &str = "urn:mwimule:hub";
/// For whom: every service of Mwimule.
pub const AUDIENCE: &str = "urn:mwimule:api";
/// What kind of JWT (RFC 9068).
pub const TYPE: &str = "at+jwt";
/// A token of ours is shorter.
const TOKEN_BYTES_MAX: usize = 4096;
/// How far the clocks of two hub processes may differ, in seconds.
const LEEWAY_SECS: u64 = 5;
/// Every registered claim that has to be there.
const REQUIRED: [&str; 5] = ["exp", "nbf", "iss", "aud", "sub"];

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// From when on it counts, in seconds since 1970.
    pub nbf: i64,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// The person.
    pub sub: Uuid,
    /// This token's own number.
    pub jti: Uuid,
    /// The session that it belongs to.
    pub sid: Uuid,
    /// The person's count of changed rights: another one than theirs ends the token.
    pub authority: i32,
    /// The company that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<Uuid>,
    /// What the person is there; roles that wait for a second factor are left out.
    pub roles: Vec<String>,
    /// How the person proved themselves (RFC 8176): `pwd`, `otp`.
    pub amr: Vec<String>,
}

/// Whom a token is made for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Who.
    pub person: Uuid,
    /// In which session.
    pub session: Uuid,
    /// The person's count of changed rights.
    pub authority: i32,
    /// For which company.
    pub company: Option<Uuid>,
    /// As what.
    pub roles: Vec<String>,
    /// Whether a second factor was proved.
    pub second_factor: bool,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, or changed on its way.
    #[error("the access token is not one of this hub's")]
    Invalid,
    /// It was good once.
    #[error("the access token has ended: refresh it")]
    Ended,
}

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// There is no key that signs.
    #[error("no key signs access tokens")]
    NoKey,
    /// The library refused.
    #[error("an access token could not be signed: {0}")]
    Library(#[from] Error),
}

/// Makes an access token.
pub fn issue(
    ring: &Keyring,
    subject: &Subject,
    jti: Uuid,
    now: Instant,
) -> Result<(String, Claims), SigningError> {
    let key = ring.signer(now).ok_or(SigningError::NoKey)?;
    let mut amr = vec!["pwd".to_owned()];
    if subject.second_factor {
        amr.push("otp".to_owned());
    }
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        exp: now.plus_ms(ACCESS_MS).as_secs(),
        nbf: now.as_secs(),
        iat: now.as_secs(),
        sub: subject.person,
        jti,
        sid: subject.session,
        authority: subject.authority,
        company: subject.company,
        roles: subject.roles.clone(),
        amr,
    };
    Ok((sign(&key.kid, &key.secret, &claims)?, claims))
}

fn sign(kid: &str, secret: &SigningKey, claims: &Claims) -> Result<String, Error> {
    install_provider();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(
        &header,
        claims,
        &EncodingKey::from_ed_der(secret.as_bytes()),
    )
}

/// The members that a header of ours has; any other ends the reading.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OurHeader {
    typ: String,
    alg: String,
    kid: String,
}

/// Reads a token; what it says may be believed.
pub fn verify(ring: &Keyring, token: &str, now: Instant) -> Result<Claims, TokenError> {
    let header = header_of(token).ok_or(TokenError::Invalid)?;
    if header.typ != TYPE || header.alg != "EdDSA" {
        return Err(TokenError::Invalid);
    }
    let key = ring.verifier(&header.kid, now).ok_or(TokenError::Invalid)?;
    install_provider();
    let public = DecodingKey::from_ed_der(key.secret.verifying_key().as_bytes());
    let decoded = jsonwebtoken::decode::<Claims>(token, &public, &validation());
    let claims = decoded.map_err(|e| refused(&e))?.claims;
    // The library goes by the system's clock and lets a token of this second pass.
    if claims.exp <= now.as_secs() {
        return Err(TokenError::Ended);
    }
    Ok(claims)
}

/// The key that a token says it was signed with; not to be believed.
pub(crate) fn kid_of(token: &str) -> Option<String> {
    header_of(token).map(|h| h.kid)
}

fn header_of(token: &str) -> Option<OurHeader> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (first, _) = token.split_once('.')?;
    let header = BASE64URL_NOPAD.decode(first.as_bytes()).ok()?;
    serde_json::from_slice(&header).ok()
}

fn refused(error: &Error) -> TokenError {
    if matches!(error.kind(), ErrorKind::ExpiredSignature) {
        TokenError::Ended
    } else {
        TokenError::Invalid
    }
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&REQUIRED);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.validate_exp = true;
    validation.validate_nbf = true;
    validation.leeway = LEEWAY_SECS;
    validation
}

/// Ed25519 over the library that the rest of the hub signs with; no other algorithm exists.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        only_ed25519(*algorithm)?;
        Ok(Box::new(Ed25519Signer(seed(key)?)))
    },
    verifier_factory: |algorithm, key| {
        only_ed25519(*algorithm)?;
        Ok(Box::new(Ed25519Verifier(public(key)?)))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if PROVIDER.install_default().is_err() {
            tracing::error!("another library signs JWTs in this process");
        }
    });
}

fn only_ed25519(algorithm: Algorithm) -> Result<(), Error> {
    if algorithm == Algorithm::EdDSA {
        Ok(())
    } else {
        Err(ErrorKind::InvalidAlgorithm.into())
    }
}

fn seed(key: &EncodingKey) -> Result<SigningKey, Error> {
    let bytes = <&[u8; 32]>::try_from(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(SigningKey::from_bytes(bytes))
}

fn public(key: &DecodingKey) -> Result<VerifyingKey, Error> {
    let bytes = key.try_get_as_bytes()?;
    let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    VerifyingKey::from_bytes(bytes).map_err(|_| ErrorKind::InvalidEddsaKey.into())
}

struct Ed25519Signer(SigningKey);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(VerifyingKey);

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError::new())?;
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
