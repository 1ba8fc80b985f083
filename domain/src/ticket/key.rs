//! The keys that tickets are checked with, and how they are named and derived.

use core::fmt;

use ed25519_dalek::VerifyingKey;
use hkdf::Hkdf;
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use sha2::{Digest, Sha256};

use super::Suite;
use crate::codec::fixed_bytes;
use crate::ids::{Issuer, Kid, TripId};
use crate::signature::CheckingKey;

const SIGNING_KID_LABEL: &[u8] = b"mwimule ticket key";
const MAC_KID_LABEL: &[u8] = b"mwimule ticket mac kid v1";
const MAC_KEY_LABEL: &[u8] = b"mwimule ticket mac key v1";

/// A key and what it may be used for. The record fixes the algorithm: a ticket that names
/// another one is invalid.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct KeyRecord {
    /// The key's short name. Four bytes may collide, so a holder of many keys tries each match.
    #[n(0)]
    pub kid: Kid,
    /// Whose tickets it checks.
    #[n(1)]
    pub issuer: Issuer,
    /// The only trip it is good for; always set for a MAC key.
    #[n(2)]
    pub trip: Option<TripId>,
    /// The key itself.
    #[n(3)]
    pub material: KeyMaterial,
}

/// The bytes of a key. Debug output never shows a secret one.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A public key, ready for use.
    Ed25519(Box<CheckingKey>),
    /// A secret shared by the issuer and the validators of one trip.
    Hmac256([u8; 32]),
}

impl KeyRecord {
    /// The record of an issuer's public key, named by its fingerprint.
    pub fn signing(issuer: Issuer, key: VerifyingKey) -> Self {
        Self {
            kid: signing_kid(&key),
            issuer,
            trip: None,
            material: KeyMaterial::Ed25519(Box::new(key.into())),
        }
    }

    /// The record of an issuer's MAC key for one trip.
    pub fn mac(issuer: Issuer, trip: TripId, trip_key: &[u8; 32]) -> Self {
        Self {
            kid: mac_kid(trip, issuer),
            issuer,
            trip: Some(trip),
            material: KeyMaterial::Hmac256(mac_key(trip_key, trip, issuer)),
        }
    }

    /// The only suite whose tickets this key may check.
    pub const fn suite(&self) -> Suite {
        match self.material {
            KeyMaterial::Ed25519(_) => Suite::Ed25519,
            KeyMaterial::Hmac256(_) => Suite::Hmac256,
        }
    }
}

/// The first four bytes of SHA-256("mwimule ticket key" ‖ public key).
pub fn signing_kid(key: &VerifyingKey) -> Kid {
    short_hash(
        Sha256::new()
            .chain_update(SIGNING_KID_LABEL)
            .chain_update(key.as_bytes()),
    )
}

/// The first four bytes of SHA-256("mwimule ticket mac kid v1" ‖ trip ‖ issuer), the trip as 8
/// bytes big endian, the issuer as the byte 00 for the hub or 01 and the node's 16 bytes.
pub fn mac_kid(trip: TripId, issuer: Issuer) -> Kid {
    let (place, len) = trip_and_issuer(trip, issuer);
    short_hash(
        Sha256::new()
            .chain_update(MAC_KID_LABEL)
            .chain_update(&place[..len]),
    )
}

/// An issuer's MAC key for a trip: 32 bytes of HKDF-SHA256 with no salt, the trip key as input
/// and the info "mwimule ticket mac key v1" ‖ trip ‖ issuer, these two as in [`mac_kid`].
pub fn mac_key(trip_key: &[u8; 32], trip: TripId, issuer: Issuer) -> [u8; 32] {
    let (place, len) = trip_and_issuer(trip, issuer);
    let mut key = [0; 32];
    #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
    Hkdf::<Sha256>::new(None, trip_key)
        .expand_multi_info(&[MAC_KEY_LABEL, &place[..len]], &mut key)
        .expect("32 bytes are within HKDF's reach");
    key
}

fn short_hash(hash: Sha256) -> Kid {
    let digest: [u8; 32] = hash.finalize().into();
    Kid([digest[0], digest[1], digest[2], digest[3]])
}

fn trip_and_issuer(trip: TripId, issuer: Issuer) -> ([u8; 25], usize) {
    let mut place = [0; 25];
    place[..8].copy_from_slice(&trip.0.to_be_bytes());
    match issuer {
        Issuer::Hub => (place, 9),
        Issuer::Node(node) => {
            place[8] = 1;
            place[9..].copy_from_slice(node.as_bytes());
            (place, 25)
        }
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(key) => write!(f, "Ed25519({})", crate::codec::to_hex(key.as_bytes())),
            Self::Hmac256(_) => f.write_str("Hmac256(secret)"),
        }
    }
}

impl<C> minicbor::Encode<C> for KeyMaterial {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Ed25519(key) => e.array(2)?.u8(0)?.bytes(key.as_bytes())?.ok(),
            Self::Hmac256(key) => e.array(2)?.u8(1)?.bytes(key)?.ok(),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for KeyMaterial {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        if d.array()? != Some(2) {
            return Err(DecodeError::message("a key is an array of two"));
        }
        let kind = d.u8()?;
        let bytes: [u8; 32] = fixed_bytes(d)?;
        match kind {
            0 => match VerifyingKey::from_bytes(&bytes) {
                Ok(key) if !key.is_weak() => Ok(Self::Ed25519(Box::new(key.into()))),
                _ => Err(DecodeError::message("not a usable Ed25519 public key")),
            },
            1 => Ok(Self::Hmac256(bytes)),
            _ => Err(DecodeError::message("a key of an unknown kind")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{from_cbor, to_cbor};
    use crate::ids::NodeId;

    #[test]
    fn a_key_record_survives_the_wire_and_hides_its_secret() {
        let node = Issuer::Node(NodeId::from_bytes([3; 16]));
        let public = ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key();
        for record in [
            KeyRecord::signing(node, public),
            KeyRecord::mac(Issuer::Hub, TripId(9), &[7; 32]),
        ] {
            let bytes = to_cbor(&record);
            assert_eq!(from_cbor::<KeyRecord>(&bytes).unwrap(), record);
        }
        let secret = KeyRecord::mac(node, TripId(9), &[7; 32]);
        assert!(format!("{secret:?}").contains("Hmac256(secret)"));
    }

    #[test]
    fn mac_keys_differ_by_trip_issuer_and_trip_key() {
        let node = Issuer::Node(NodeId::from_bytes([0; 16]));
        let keys = [
            mac_key(&[1; 32], TripId(1), Issuer::Hub),
            mac_key(&[2; 32], TripId(1), Issuer::Hub),
            mac_key(&[1; 32], TripId(2), Issuer::Hub),
            mac_key(&[1; 32], TripId(1), node),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
        assert_ne!(mac_kid(TripId(1), Issuer::Hub), mac_kid(TripId(1), node));
    }

    #[test]
    fn a_public_key_of_small_order_is_refused() {
        let mut bytes = vec![0x82, 0x00, 0x58, 0x20, 0x01];
        bytes.extend([0; 31]);
        assert!(from_cbor::<KeyMaterial>(&bytes).is_err());
    }
}
