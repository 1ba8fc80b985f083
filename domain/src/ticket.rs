//! The ticket: a signed claim to one seat between two stops, short enough for a QR code.
//!
//! `MW1:` and the Base45 of a tagged COSE message (RFC 9052), either `COSE_Sign1` with Ed25519 or
//! `COSE_Mac0` with HMAC-SHA256. A ticket has exactly one text: whatever parses, prints back to
//! itself. `docs/ticket-format/` tells a stranger how to check one.

mod base45;
mod claim;
mod cose;
mod key;
mod short;

pub use base45::ALPHABET as BASE45_ALPHABET;
pub use claim::{TicketClaim, TicketLease};
pub use key::{KeyMaterial, KeyRecord, mac_key, mac_kid, signing_kid};
pub use short::{SHORT_DIGITS, ShortClaim, ShortCode, ShortCodeError, slot as short_slot};

use ed25519_dalek::{Signature, Signer};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::Kid;

/// What every ticket's QR text begins with.
pub const QR_PREFIX: &str = "MW1:";
/// The most bytes that a message may have: what a version 8 QR code holds at ECC level M.
pub const MESSAGE_LEN_MAX: usize = 144;
/// The most characters that a QR text may have.
pub const QR_LEN_MAX: usize = QR_PREFIX.len() + MESSAGE_LEN_MAX / 2 * 3;

/// How a ticket is authenticated.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum Suite {
    /// `COSE_Sign1`, `EdDSA` (−8) with Ed25519: anybody with the public key can check it.
    #[n(0)]
    Ed25519,
    /// `COSE_Mac0`, HMAC 256/256 (5): whoever can check it could have made it.
    #[n(1)]
    Hmac256,
}

/// The bytes that authenticate a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A signature.
    Ed25519([u8; 64]),
    /// A message authentication code.
    Hmac256([u8; 32]),
}

/// A ticket as read or made. Only [`verify`] says whether it is genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignedTicket {
    /// The key it names.
    pub kid: Kid,
    /// What it says.
    pub claim: TicketClaim,
    /// What should bear it out.
    pub proof: Proof,
}

/// Why a text is no genuine ticket, in words for a person at a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Another kind of QR code.
    #[error("this is not one of our tickets: its code does not begin with {QR_PREFIX}")]
    NotOurs,
    /// More than any ticket has.
    #[error("the code is too long to be a ticket (at most {QR_LEN_MAX} characters)")]
    TooLong,
    /// A piece is missing.
    #[error("the code is cut short: scan it again, or type every character")]
    CutShort,
    /// A character that no ticket has at this place, counted from 1.
    #[error("character {position} of the code cannot stand there: scan it again")]
    NotBase45 {
        /// Counted from 1, the prefix included.
        position: usize,
    },
    /// Base45, but no COSE message of the two kinds we use.
    #[error("the code does not hold a signed message")]
    NotCose,
    /// The protected header does not fit the message or the key.
    #[error("the ticket names a way of signing that is not the one its key is for")]
    WrongAlgorithm,
    /// Something else that was signed.
    #[error("the code was signed as something else than a ticket (type {typ})")]
    NotATicket {
        /// The `typ` found; see `domain::typ`.
        typ: u64,
    },
    /// The payload cannot be understood.
    #[error("the ticket's contents cannot be read")]
    Unreadable,
    /// The same contents, written in a way that we never write them.
    #[error("the ticket is not written the way our tickets are: it was altered or forged")]
    NotCanonical,
    /// The journey does not lead forwards, or past stop 64.
    #[error("the ticket's journey leads nowhere that a bus goes")]
    NoJourney,
    /// The signature bytes given have the wrong number.
    #[error("a signature of {len} bytes does not fit this kind of ticket")]
    ProofLength {
        /// How many were given.
        len: usize,
    },
    /// The record given is not the one the ticket names.
    #[error("the ticket was signed with key {named}, not with key {given}")]
    WrongKey {
        /// The ticket's.
        named: Kid,
        /// The record's.
        given: Kid,
    },
    /// A key for one trip, used on another.
    #[error("the ticket's key belongs to another trip")]
    KeyOfAnotherTrip,
    /// Altered or forged.
    #[error("the signature does not match: the ticket was altered or forged")]
    SignatureMismatch,
}

impl SignedTicket {
    /// Puts a ticket together again from what a log keeps of it: the claim's fields, the key
    /// and the signature's bytes.
    pub fn from_parts(
        claim: TicketClaim,
        kid: Kid,
        suite: Suite,
        proof: &[u8],
    ) -> Result<Self, TicketError> {
        let wrong = |_| TicketError::ProofLength { len: proof.len() };
        Ok(Self {
            kid,
            claim: claim.normalised(),
            proof: match suite {
                Suite::Ed25519 => Proof::Ed25519(proof.try_into().map_err(wrong)?),
                Suite::Hmac256 => Proof::Hmac256(proof.try_into().map_err(wrong)?),
            },
        })
    }

    /// The suite that its proof is of.
    pub const fn suite(&self) -> Suite {
        self.proof.suite()
    }

    /// The tagged COSE message.
    pub fn to_message(&self) -> Vec<u8> {
        cose::message(self)
    }

    /// The text to print as a QR code, in alphanumeric mode.
    pub fn to_qr(&self) -> String {
        let mut text = String::with_capacity(QR_LEN_MAX);
        text.push_str(QR_PREFIX);
        base45::encode(&self.to_message(), &mut text);
        text
    }
}

impl Proof {
    /// The suite these bytes belong to.
    pub const fn suite(&self) -> Suite {
        match self {
            Self::Ed25519(_) => Suite::Ed25519,
            Self::Hmac256(_) => Suite::Hmac256,
        }
    }

    /// The bytes: 64 or 32.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) => bytes,
            Self::Hmac256(bytes) => bytes,
        }
    }
}

/// Signs a claim with an issuer's private key; `kid` is that key's, from [`signing_kid`].
pub fn sign_ticket(claim: &TicketClaim, kid: Kid, key: &impl Signer<Signature>) -> SignedTicket {
    let claim = claim.normalised();
    let proof = key.sign(&cose::to_be_signed(&claim, kid, Suite::Ed25519));
    SignedTicket {
        kid,
        claim,
        proof: Proof::Ed25519(proof.to_bytes()),
    }
}

/// Authenticates a claim with an issuer's key for its trip, from [`mac_key`] and [`mac_kid`].
pub fn mac_ticket(claim: &TicketClaim, kid: Kid, key: &[u8; 32]) -> SignedTicket {
    let claim = claim.normalised();
    let tag = mac_over(&claim, kid, key).finalize();
    SignedTicket {
        kid,
        claim,
        proof: Proof::Hmac256(tag.into_bytes().into()),
    }
}

/// Reads a QR text. Needs no key and trusts nothing: [`verify`] comes next.
pub fn parse_qr(text: &str) -> Result<SignedTicket, TicketError> {
    let body = text.strip_prefix(QR_PREFIX).ok_or(TicketError::NotOurs)?;
    if text.len() > QR_LEN_MAX {
        return Err(TicketError::TooLong);
    }
    let mut message = [0; MESSAGE_LEN_MAX];
    let len = base45::decode(body.as_bytes(), QR_PREFIX.len(), &mut message)?;
    parse_message(&message[..len])
}

/// Reads the COSE message of a ticket; strict, like [`parse_qr`].
pub fn parse_message(message: &[u8]) -> Result<SignedTicket, TicketError> {
    if message.len() > MESSAGE_LEN_MAX {
        return Err(TicketError::TooLong);
    }
    cose::parse(message)
}

/// Whether the ticket was made with this key. The record decides the algorithm.
pub fn verify(ticket: &SignedTicket, record: &KeyRecord) -> Result<(), TicketError> {
    if ticket.kid != record.kid {
        return Err(TicketError::WrongKey {
            named: ticket.kid,
            given: record.kid,
        });
    }
    if record.trip.is_some_and(|trip| trip != ticket.claim.trip) {
        return Err(TicketError::KeyOfAnotherTrip);
    }
    let genuine = match (&record.material, &ticket.proof) {
        (KeyMaterial::Ed25519(key), Proof::Ed25519(signature)) => key.verify_strict(
            &cose::to_be_signed(&ticket.claim, ticket.kid, Suite::Ed25519),
            signature,
        ),
        (KeyMaterial::Hmac256(key), Proof::Hmac256(tag)) => {
            mac_over(&ticket.claim, ticket.kid, key)
                .verify_slice(tag)
                .is_ok()
        }
        (KeyMaterial::Ed25519(_), Proof::Hmac256(_))
        | (KeyMaterial::Hmac256(_), Proof::Ed25519(_)) => return Err(TicketError::WrongAlgorithm),
    };
    if genuine {
        Ok(())
    } else {
        Err(TicketError::SignatureMismatch)
    }
}

fn mac_over(claim: &TicketClaim, kid: Kid, key: &[u8; 32]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(&cose::to_be_signed(claim, kid, Suite::Hmac256));
    mac
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
