//! Compact JWE of one kind: ECDH-ES over X25519 (RFC 7518, 4.6; RFC 8037), AES-256-GCM, nothing
//! compressed. Every other algorithm is refused before anything is computed.

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};

use crate::auth::Jwk;

const ALG: &str = "ECDH-ES";
const ENC: &str = "A256GCM";
const TAG_BYTES: usize = 16;
/// The longest protected header, in base64url.
const HEADER_CHARS_MAX: usize = 2_048;
/// The longest `apu` or `apv`, in base64url.
const PARTY_CHARS_MAX: usize = 128;

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Sealed {
    /// Not five parts, not base64url, too long, or no JSON header.
    #[error("the body has to be one compact JWE: five parts in base64url, the second one empty")]
    Shape,
    /// Another algorithm, or something that would have to be understood.
    #[error("the protected header has to say alg ECDH-ES and enc A256GCM, without zip and crit")]
    Algorithm,
    /// No key of the hub has this name.
    #[error("no key has this `kid`: take the one with use \"enc\" from /.well-known/jwks.json")]
    UnknownKey,
    /// Not a public key on X25519.
    #[error("`epk` and `reply_jwk` have to be JWKs with kty OKP, crv X25519 and 32 bytes `x`")]
    NoKey,
    /// It was made for another key, or changed on its way.
    #[error("the body does not open: it was encrypted to another key, or changed on its way")]
    Unopenable,
}

/// A public X25519 key as clients write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Okp {
    /// `OKP`.
    pub kty: String,
    /// `X25519`.
    pub crv: String,
    /// 32 bytes in base64url.
    pub x: String,
    /// A name, given back in the answer's header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

impl Okp {
    fn key(&self) -> Result<PublicKey, Sealed> {
        if self.kty != "OKP" || self.crv != "X25519" {
            return Err(Sealed::NoKey);
        }
        let bytes = decoded(&self.x).ok_or(Sealed::NoKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| Sealed::NoKey)?;
        Ok(PublicKey::from(bytes))
    }

    fn of(key: &PublicKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "X25519".to_owned(),
            x: BASE64URL_NOPAD.encode(key.as_bytes()),
            kid: None,
        }
    }
}

/// The protected header of a request.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    alg: String,
    enc: String,
    kid: Option<String>,
    epk: Okp,
    apu: Option<String>,
    apv: Option<String>,
    zip: Option<serde_json::Value>,
    crit: Option<serde_json::Value>,
    /// The method that the body is for.
    pub htm: Option<String>,
    /// The path that the body is for.
    pub htu: Option<String>,
    /// Whom to answer to.
    pub reply_jwk: Option<Okp>,
}

/// A key that requests are encrypted to.
pub struct HubKey {
    secret: StaticSecret,
    public: PublicKey,
}

impl HubKey {
    /// From a secret.
    pub fn new(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret);
        Self { secret, public }
    }

    /// RFC 7638 thumbprint.
    pub fn kid(&self) -> String {
        let x = BASE64URL_NOPAD.encode(self.public.as_bytes());
        let members = format!(r#"{{"crv":"X25519","kty":"OKP","x":"{x}"}}"#);
        BASE64URL_NOPAD.encode(&Sha256::digest(members.as_bytes()))
    }

    /// As it is published.
    pub fn jwk(&self) -> Jwk {
        Jwk {
            kty: "OKP",
            crv: "X25519",
            key_use: "enc",
            alg: ALG,
            kid: self.kid(),
            x: BASE64URL_NOPAD.encode(self.public.as_bytes()),
        }
    }
}

/// Whom an answer is encrypted to.
#[derive(Debug, Clone)]
pub struct Recipient {
    key: PublicKey,
    kid: Option<String>,
}

impl Recipient {
    /// From a client's key.
    pub fn new(jwk: &Okp) -> Result<Self, Sealed> {
        Ok(Self {
            key: jwk.key()?,
            kid: jwk.kid.clone(),
        })
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// Concat KDF (NIST SP 800-56A) with SHA-256, one round: 256 bits for AES-256-GCM.
fn derived(shared: &SharedSecret, apu: &[u8], apv: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(1_u32.to_be_bytes());
    hash.update(shared.as_bytes());
    for part in [ENC.as_bytes(), apu, apv] {
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    hash.update(256_u32.to_be_bytes());
    hash.finalize().into()
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

/// Opens a compact JWE by the key that it names.
pub fn open(keys: &[HubKey], compact: &str) -> Result<(Header, Vec<u8>), Sealed> {
    let parts: Vec<&str> = compact.trim().split('.').take(6).collect();
    let [protected, "", iv, body, tag] = parts[..] else {
        return Err(Sealed::Shape);
    };
    if protected.len() > HEADER_CHARS_MAX {
        return Err(Sealed::Shape);
    }
    let header = decoded(protected).ok_or(Sealed::Shape)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| Sealed::Shape)?;
    if header.alg != ALG || header.enc != ENC || header.zip.is_some() || header.crit.is_some() {
        return Err(Sealed::Algorithm);
    }
    let party = |text: &Option<String>| match text {
        None => Ok(vec![]),
        Some(text) if text.len() <= PARTY_CHARS_MAX => decoded(text).ok_or(Sealed::Shape),
        Some(_) => Err(Sealed::Shape),
    };
    let (apu, apv) = (party(&header.apu)?, party(&header.apv)?);
    let key = keys.iter().find(|k| Some(k.kid()) == header.kid);
    let key = key.ok_or(Sealed::UnknownKey)?;
    let shared = key.secret.diffie_hellman(&header.epk.key()?);
    if !shared.was_contributory() {
        return Err(Sealed::NoKey);
    }
    let iv = decoded(iv).ok_or(Sealed::Shape)?;
    let iv: [u8; NONCE_LEN] = iv.try_into().map_err(|_| Sealed::Shape)?;
    let mut text = decoded(body).ok_or(Sealed::Shape)?;
    let tag = decoded(tag).filter(|t| t.len() == TAG_BYTES);
    text.extend(tag.ok_or(Sealed::Shape)?);
    let opened = cipher(&derived(&shared, &apu, &apv))
        .ok_or(Sealed::Unopenable)?
        .open_in_place(
            Nonce::assume_unique_for_key(iv),
            Aad::from(protected.as_bytes()),
            &mut text,
        )
        .map_err(|_| Sealed::Unopenable)?
        .len();
    text.truncate(opened);
    Ok((header, text))
}

/// Encrypts an answer of a media type; none where the system gives no random bytes.
pub fn seal(to: &Recipient, kind: &str, plain: &[u8]) -> Option<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).ok()?;
    let ours = StaticSecret::from(random);
    let shared = ours.diffie_hellman(&to.key);
    if !shared.was_contributory() {
        return None;
    }
    let mut header = serde_json::json!({
        "alg": ALG,
        "enc": ENC,
        "epk": Okp::of(&PublicKey::from(&ours)),
        "cty": kind,
    });
    if let Some(kid) = &to.kid {
        header["kid"] = kid.as_str().into();
    }
    let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    let mut iv = [0; NONCE_LEN];
    getrandom::fill(&mut iv).ok()?;
    let mut text = plain.to_vec();
    let tag = cipher(&derived(&shared, &[], &[]))?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(protected.as_bytes()),
            &mut text,
        )
        .ok()?;
    let [iv, text, tag] = [&iv[..], &text, tag.as_ref()].map(|part| BASE64URL_NOPAD.encode(part));
    Some(format!("{protected}..{iv}.{text}.{tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> HubKey {
        HubKey::new([7; 32])
    }

    /// As a client would: its header is free.
    pub(crate) fn sealed(key: &HubKey, header: &mut serde_json::Value, plain: &[u8]) -> String {
        let ours = StaticSecret::from([9; 32]);
        if header.get("epk").is_none() {
            header["epk"] = serde_json::to_value(Okp::of(&PublicKey::from(&ours))).unwrap();
        }
        let shared = ours.diffie_hellman(&key.public);
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let party = |name: &str| {
            let said = header[name].as_str().unwrap_or_default();
            decoded(said).unwrap_or_default()
        };
        let mut text = plain.to_vec();
        let tag = cipher(&derived(&shared, &party("apu"), &party("apv")))
            .unwrap()
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key([3; 12]),
                Aad::from(protected.as_bytes()),
                &mut text,
            )
            .unwrap();
        let [iv, text, tag] =
            [&[3; 12][..], &text, tag.as_ref()].map(|part| BASE64URL_NOPAD.encode(part));
        format!("{protected}..{iv}.{text}.{tag}")
    }

    fn plain_header() -> serde_json::Value {
        serde_json::json!({ "alg": ALG, "enc": ENC, "kid": hub().kid() })
    }

    #[test]
    fn the_agreement_is_the_one_of_rfc_7518() {
        // Appendix C's derivation with its inputs; the length asked for is 128 bits there, so only
        // the shape is shared: the same Z, apu and apv give the same key, any other another.
        let (a, b) = (StaticSecret::from([1; 32]), StaticSecret::from([2; 32]));
        let one = a.diffie_hellman(&PublicKey::from(&b));
        let two = b.diffie_hellman(&PublicKey::from(&a));
        assert_eq!(
            derived(&one, b"Alice", b"Bob"),
            derived(&two, b"Alice", b"Bob")
        );
        assert_ne!(
            derived(&one, b"Alice", b"Bob"),
            derived(&one, b"AliceB", b"ob")
        );
    }

    #[test]
    fn what_was_sealed_for_the_hub_opens_and_nothing_else_does() {
        let keys = [hub()];
        let mut header = plain_header();
        header["apu"] = BASE64URL_NOPAD.encode(b"client").into();
        let good = sealed(&keys[0], &mut header, b"{\"a\":1}");
        assert_eq!(open(&keys, &good).unwrap().1, b"{\"a\":1}");
        let parts: Vec<&str> = good.split('.').collect();
        for part in [0, 2, 3, 4] {
            let mut changed: Vec<String> = parts.iter().map(|&p| p.to_owned()).collect();
            let first = changed[part].remove(0);
            changed[part].insert(0, if first == 'A' { 'B' } else { 'A' });
            assert!(open(&keys, &changed.join(".")).is_err(), "part {part}");
        }
        for shape in [
            "",
            "....",
            "a.b.c",
            &format!("{good}.x"),
            &good.replacen("..", ".A.", 1),
        ] {
            assert!(open(&keys, shape).is_err(), "{shape}");
        }
        let other = [HubKey::new([8; 32])];
        assert_eq!(open(&other, &good).unwrap_err(), Sealed::UnknownKey);
    }

    #[test]
    fn other_algorithms_keys_and_extensions_are_refused() {
        let keys = [hub()];
        let zero = BASE64URL_NOPAD.encode(&[0; 32]);
        let cases = [
            ("alg", "dir".into(), Sealed::Algorithm),
            ("alg", "ECDH-ES+A256KW".into(), Sealed::Algorithm),
            ("enc", "A128GCM".into(), Sealed::Algorithm),
            ("enc", "A256CBC-HS512".into(), Sealed::Algorithm),
            ("zip", "DEF".into(), Sealed::Algorithm),
            ("crit", serde_json::json!(["exp"]), Sealed::Algorithm),
            ("kid", "somebody".into(), Sealed::UnknownKey),
            (
                "epk",
                serde_json::json!({"kty": "EC", "crv": "P-256", "x": zero}),
                Sealed::NoKey,
            ),
            (
                "epk",
                serde_json::json!({"kty": "OKP", "crv": "X25519", "x": zero}),
                Sealed::NoKey,
            ),
            (
                "epk",
                serde_json::json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
                Sealed::NoKey,
            ),
        ];
        for (name, value, expected) in cases {
            let mut header = plain_header();
            header[name] = value;
            let envelope = sealed(&keys[0], &mut header, b"{}");
            assert_eq!(open(&keys, &envelope).unwrap_err(), expected, "{header}");
        }
        let mut long = plain_header();
        long["htu"] = "x".repeat(HEADER_CHARS_MAX).into();
        let envelope = sealed(&keys[0], &mut long, b"{}");
        assert_eq!(open(&keys, &envelope).unwrap_err(), Sealed::Shape);
    }

    #[test]
    fn an_answer_opens_for_whom_it_was_meant() {
        let client = HubKey::new([5; 32]);
        let mut jwk = Okp::of(&client.public);
        jwk.kid = Some(client.kid());
        let recipient = Recipient::new(&jwk).unwrap();
        let answer = seal(&recipient, "application/json", b"{\"ok\":true}").unwrap();
        let again = seal(&recipient, "application/json", b"{\"ok\":true}").unwrap();
        assert_ne!(answer, again);
        assert_eq!(open(&[client], &answer).unwrap().1, b"{\"ok\":true}");
    }
}
