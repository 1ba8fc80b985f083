//! What a device and the hub say to each other at enrolment. Their bytes are kept for ever.

use core::fmt;

use domain::ids::{CompanyId, Kid, NodeId};
use minicbor::{Decode, Encode};

/// The longest name a device may suggest for itself, in bytes.
pub const NAME_HINT_BYTES_MAX: usize = 64;

/// A device asks to become a node.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrolmentRequest {
    /// The secret of the code.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub secret: [u8; 16],
    /// A certificate signing request over the device's TLS key, DER.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub csr: Vec<u8>,
    /// The Ed25519 key that signs the device's log.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub event_public_key: [u8; 32],
    /// The Ed25519 key that signs the device's tickets.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub ticket_public_key: [u8; 32],
    /// What the device would like to be called; at most 64 bytes, and only a suggestion.
    #[n(4)]
    pub name_hint: String,
}

impl fmt::Debug for EnrolmentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentRequest")
            .field("name_hint", &self.name_hint)
            .finish_non_exhaustive()
    }
}

/// The hub's answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum EnrolmentAnswer {
    /// The device is a node.
    #[n(0)]
    Granted(#[n(0)] EnrolmentGrant),
    /// It is not.
    #[n(1)]
    Refused(#[n(0)] EnrolmentRefusal),
}

/// What makes a device a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrolmentGrant {
    /// Who the node is from now on.
    #[n(0)]
    pub node_id: NodeId,
    /// Whose it is.
    #[n(1)]
    pub company_id: CompanyId,
    /// The node's client certificate, DER.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub certificate: Vec<u8>,
    /// The hub's CA certificate, DER: what the node pins.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub ca_certificate: Vec<u8>,
    /// The keys that the hub signs with.
    #[n(4)]
    pub hub_keys: Vec<HubKey>,
    /// What else the node is told; opaque here.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub config: Vec<u8>,
}

/// One Ed25519 key of the hub.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HubKey {
    /// What it signs.
    #[n(0)]
    pub key_use: HubKeyUse,
    /// Its short name.
    #[n(1)]
    pub kid: Kid,
    /// The key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub public_key: [u8; 32],
}

/// What a key of the hub signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum HubKeyUse {
    /// The hub's own tickets.
    #[n(0)]
    Tickets,
    /// Grants of leases.
    #[n(1)]
    Grants,
    /// Everything the hub signs.
    #[n(2)]
    All,
}

/// Why a device does not become a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum EnrolmentRefusal {
    /// The hub never made this code.
    #[n(0)]
    #[error("it does not know this code: check it, or ask the office for a new one")]
    UnknownCode,
    /// Another device has used this code.
    #[n(1)]
    #[error("this code has been used already: ask the office for a new one")]
    UsedCode,
    /// The code is too old.
    #[n(2)]
    #[error("this code is too old: ask the office for a new one")]
    ExpiredCode,
    /// Too many wrong codes came from here.
    #[n(3)]
    #[error("too many wrong codes were tried: wait {} s and try again", retry_after_ms.div_ceil(1000))]
    TooManyAttempts {
        /// When to try again, in ms from now.
        #[n(0)]
        retry_after_ms: u64,
    },
    /// The request itself is not usable.
    #[n(4)]
    #[error("it could not use what this device sent ({what}): update this device")]
    BadRequest {
        /// What is wrong with it.
        #[n(0)]
        what: String,
    },
    /// The hub cannot decide just now; the code is not used up.
    #[n(5)]
    #[error("it cannot enrol just now ({what}): try again in a while")]
    NotNow {
        /// Why.
        #[n(0)]
        what: String,
    },
}

impl EnrolmentRefusal {
    /// Whether the same code can still succeed later.
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::TooManyAttempts { .. } | Self::NotNow { .. } => true,
            Self::UnknownCode | Self::UsedCode | Self::ExpiredCode | Self::BadRequest { .. } => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::codec::{from_cbor, from_hex, to_cbor, to_hex};
    use uuid::Uuid;

    use super::*;

    /// The committed sample of a message; the CDDL is checked against it.
    macro_rules! sample {
        ($kind:literal) => {
            include_str!(concat!(
                "../../../sync-protocol/golden/enrolment-",
                $kind,
                ".hex"
            ))
        };
    }

    /// Checks that a message has its sample's bytes, that no shorter piece of them is read, and
    /// that with any byte changed they are refused or read as something no larger.
    #[track_caller]
    fn golden<T>(value: &T, sample: &str)
    where
        T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + fmt::Debug,
    {
        let hex: String = sample.split_ascii_whitespace().collect();
        assert_eq!(to_hex(&to_cbor(value)), hex);
        let bytes = from_hex(&hex).unwrap();
        assert_eq!(&from_cbor::<T>(&bytes).unwrap(), value);
        for len in 0..bytes.len() {
            assert!(from_cbor::<T>(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
        for (at, byte) in (0..bytes.len()).flat_map(|at| (0..=u8::MAX).map(move |b| (at, b))) {
            let mut garbled = bytes.clone();
            garbled[at] = byte;
            if let Ok(read) = from_cbor::<T>(&garbled) {
                assert!(to_cbor(&read).len() <= bytes.len(), "{}", to_hex(&garbled));
            }
        }
    }

    fn refused(refusal: EnrolmentRefusal) -> EnrolmentAnswer {
        EnrolmentAnswer::Refused(refusal)
    }

    #[test]
    fn a_request_keeps_its_bytes() {
        let request = EnrolmentRequest {
            secret: [1; 16],
            csr: vec![2, 3],
            event_public_key: [4; 32],
            ticket_public_key: [5; 32],
            name_hint: "Kabwe 2".to_owned(),
        };
        golden(&request, sample!("request"));
    }

    #[test]
    fn a_grant_keeps_its_bytes() {
        let grant = EnrolmentGrant {
            node_id: NodeId(Uuid::from_bytes([1; 16])),
            company_id: CompanyId(Uuid::from_bytes([2; 16])),
            certificate: vec![3],
            ca_certificate: vec![4, 5],
            hub_keys: vec![HubKey {
                key_use: HubKeyUse::Grants,
                kid: Kid([6; 4]),
                public_key: [7; 32],
            }],
            config: Vec::new(),
        };
        golden(&EnrolmentAnswer::Granted(grant), sample!("granted"));
    }

    #[test]
    fn every_refusal_keeps_its_bytes() {
        golden(
            &refused(EnrolmentRefusal::UnknownCode),
            sample!("refused-unknown-code"),
        );
        golden(
            &refused(EnrolmentRefusal::UsedCode),
            sample!("refused-used-code"),
        );
        golden(
            &refused(EnrolmentRefusal::ExpiredCode),
            sample!("refused-expired-code"),
        );
        let attempts = EnrolmentRefusal::TooManyAttempts {
            retry_after_ms: 1500,
        };
        golden(&refused(attempts), sample!("refused-too-many-attempts"));
        let what = "x".to_owned();
        golden(
            &refused(EnrolmentRefusal::BadRequest { what: what.clone() }),
            sample!("refused-bad-request"),
        );
        golden(
            &refused(EnrolmentRefusal::NotNow { what }),
            sample!("refused-not-now"),
        );
    }

    #[test]
    fn a_field_of_a_later_version_is_passed_over() {
        let known = HubKey {
            key_use: HubKeyUse::All,
            kid: Kid([1; 4]),
            public_key: [2; 32],
        };
        let mut bytes = to_cbor(&known);
        assert_eq!(bytes[0], 0xa3);
        bytes[0] = 0xa4;
        bytes.extend_from_slice(&[0x18, 0x63, 0x01]);
        assert_eq!(from_cbor::<HubKey>(&bytes).unwrap(), known);
    }

    #[test]
    fn a_request_with_a_short_key_is_refused() {
        let hex = format!("a50050{}014102024104034105046178", "01".repeat(16));
        assert!(from_cbor::<EnrolmentRequest>(&from_hex(&hex).unwrap()).is_err());
    }

    #[test]
    fn a_request_does_not_show_its_secret() {
        let request = EnrolmentRequest {
            secret: [0xab; 16],
            csr: Vec::new(),
            event_public_key: [0; 32],
            ticket_public_key: [0; 32],
            name_hint: String::new(),
        };
        assert!(!format!("{request:?}").contains("171"));
    }
}
