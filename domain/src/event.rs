//! The event log: what a node signs, how its events are chained, and what they say.
//!
//! A node signs the exact bytes of an [`Envelope`]. The wire leaves out what the receiver can
//! rebuild (node, incarnation, position, previous hash, hash of the personal blob); the body's
//! bytes always travel untouched, so a body of a later version still verifies.

mod body;

pub use body::{
    COUPONS_MAX, Coupon, EventBody, LeaseAccepted, LeaseSurrendered, PrintAttempted, PrintOutcome,
    Sale, ScanRecord, ShiftClosed, ShiftOpened, TenderKind, TenderLine, VoidReason, VoidRecord,
};

use ed25519_dalek::{Signature, Signer};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::codec::to_cbor;
use crate::ids::{EventHash, NodeId, NodeIncarnation, SeatNo, Seq, TicketId, TripId};
use crate::signature::CheckingKey;
use crate::time::Instant;
use crate::typ;

/// The most bytes a body may have.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// The most bytes a personal blob may have.
pub const PERSONAL_BYTES_MAX: usize = 8 * 1024;

/// Where an event stands, and what stood there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Which installation of the node.
    pub incarnation: NodeIncarnation,
    /// The last position taken; 0 when the log is empty.
    pub seq: Seq,
    /// The hash of the event there.
    pub hash: EventHash,
}

impl ChainHead {
    /// The head of an empty log.
    pub const fn empty(incarnation: NodeIncarnation) -> Self {
        Self {
            incarnation,
            seq: Seq(0),
            hash: EventHash::GENESIS,
        }
    }
}

/// What a node signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Whose log.
    pub node: NodeId,
    /// Which installation of it.
    pub incarnation: NodeIncarnation,
    /// Which position, from 1 without gaps.
    pub seq: Seq,
    /// The hash of the event before, or [`EventHash::GENESIS`].
    pub prev: EventHash,
    /// When the node says it happened, by its own clock.
    pub at: Instant,
    /// SHA-256 of the personal blob, which holds its own salt; so that it can be erased.
    pub personal: Option<[u8; 32]>,
    /// The encoded [`EventBody`].
    pub body: Vec<u8>,
}

/// The version of the envelope's layout.
const ENVELOPE_VERSION: u64 = 1;

impl Envelope {
    /// The exact bytes that are signed: a CBOR array of typ, version, node, incarnation,
    /// position, previous hash, time, personal hash or null, body.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.body.len());
        let mut e = minicbor::Encoder::new(&mut bytes);
        #[expect(clippy::expect_used, reason = "a Vec accepts every write")]
        e.array(9)
            .and_then(|e| e.u64(typ::EVENT))
            .and_then(|e| e.u64(ENVELOPE_VERSION))
            .and_then(|e| e.bytes(self.node.as_bytes()))
            .and_then(|e| e.u32(self.incarnation.0))
            .and_then(|e| e.u64(self.seq.0))
            .and_then(|e| e.bytes(&self.prev.0))
            .and_then(|e| e.i64(self.at.0))
            .and_then(|e| match &self.personal {
                Some(hash) => e.bytes(hash),
                None => e.null(),
            })
            .and_then(|e| e.bytes(&self.body))
            .map(|_| ())
            .expect("a Vec accepts every write");
        bytes
    }

    /// Signs it.
    pub fn sign(self, key: &impl Signer<Signature>, personal: Option<Vec<u8>>) -> SignedEvent {
        let bytes = self.signed_bytes();
        let signature = key.sign(&bytes).to_bytes();
        SignedEvent {
            hash: hash_of(&bytes),
            envelope: self,
            signature,
            personal,
        }
    }
}

fn hash_of(bytes: &[u8]) -> EventHash {
    EventHash(Sha256::digest(bytes).into())
}

/// SHA-256 of a personal blob.
pub fn personal_hash(blob: &[u8]) -> [u8; 32] {
    Sha256::digest(blob).into()
}

/// An event with its signature and, unless erased, its personal blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvent {
    /// What was signed.
    pub envelope: Envelope,
    /// SHA-256 of the signed bytes: the event's identity at its position.
    pub hash: EventHash,
    /// Ed25519 over the signed bytes.
    pub signature: [u8; 64],
    /// Names and phone numbers, with a salt; erasable.
    pub personal: Option<Vec<u8>>,
}

/// An event that cannot be taken as what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The signature does not match the device's key.
    #[error("the signature of the event at position {0} does not match this device's key")]
    BadSignature(Seq),
    /// The body or the blob is over its cap.
    #[error("the event at position {0} is too large")]
    TooLarge(Seq),
}

impl SignedEvent {
    /// Puts together what travelled and checks the signature strictly.
    pub fn rebuild(
        envelope: Envelope,
        signature: [u8; 64],
        personal: Option<Vec<u8>>,
        key: &CheckingKey,
    ) -> Result<Self, EventError> {
        let too_large = envelope.body.len() > BODY_BYTES_MAX
            || personal
                .as_ref()
                .is_some_and(|p| p.len() > PERSONAL_BYTES_MAX);
        if too_large {
            return Err(EventError::TooLarge(envelope.seq));
        }
        let bytes = envelope.signed_bytes();
        if !key.verify_strict(&bytes, &signature) {
            return Err(EventError::BadSignature(envelope.seq));
        }
        Ok(Self {
            hash: hash_of(&bytes),
            envelope,
            signature,
            personal,
        })
    }

    /// From a store that verified it when it was written.
    pub fn from_store(envelope: Envelope, signature: [u8; 64], personal: Option<Vec<u8>>) -> Self {
        let hash = hash_of(&envelope.signed_bytes());
        Self {
            envelope,
            hash,
            signature,
            personal,
        }
    }

    /// The head of the log once this event is in it.
    pub fn head(&self) -> ChainHead {
        ChainHead {
            incarnation: self.envelope.incarnation,
            seq: self.envelope.seq,
            hash: self.hash,
        }
    }
}

/// The id of coupon `index` of the sale in this envelope: UUIDv7 (RFC 9562), its time the
/// event's, its other bits from SHA-256 over the position, so that it need not travel and a
/// forked log never gives one id to two journeys.
pub fn ticket_id(envelope: &Envelope, index: usize, trip: TripId, seat: SeatNo) -> TicketId {
    let mut h = Sha256::new();
    h.update(b"mwimule ticket id");
    h.update(envelope.node.as_bytes());
    h.update(envelope.incarnation.0.to_be_bytes());
    h.update(envelope.seq.0.to_be_bytes());
    h.update(envelope.prev.0);
    h.update((index as u64).to_be_bytes());
    h.update(trip.0.to_be_bytes());
    h.update(seat.0.to_be_bytes());
    uuid_v7(envelope.at, &h.finalize().into())
}

/// A UUIDv7 from a time and bits that the caller chose.
pub fn uuid_v7(at: Instant, bits: &[u8; 32]) -> TicketId {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&(at.0.max(0) as u64).to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&bits[..10]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    TicketId(Uuid::from_bytes(bytes))
}

/// A body's bytes, ready for an envelope.
pub fn encode_body(body: &EventBody) -> Vec<u8> {
    to_cbor(body)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn envelope(seq: u64) -> Envelope {
        Envelope {
            node: NodeId(Uuid::from_u128(9)),
            incarnation: NodeIncarnation(1),
            seq: Seq(seq),
            prev: EventHash([3; 32]),
            at: Instant(1_790_000_000_000),
            personal: Some(personal_hash(b"salt and name")),
            body: vec![0x80],
        }
    }

    #[test]
    fn any_changed_field_breaks_the_signature() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let signed = envelope(5).sign(&key, None);
        let check = |e: Envelope| {
            SignedEvent::rebuild(e, signed.signature, None, &key.verifying_key().into())
                .map(|s| s.hash)
        };
        assert_eq!(check(envelope(5)), Ok(signed.hash));
        let mut other = envelope(5);
        other.personal = None;
        assert_eq!(check(other), Err(EventError::BadSignature(Seq(5))));
        assert_eq!(check(envelope(6)), Err(EventError::BadSignature(Seq(6))));
    }

    #[test]
    fn a_ticket_id_is_a_uuid_v7_of_its_position() {
        let id = ticket_id(&envelope(5), 0, TripId(1), SeatNo(2));
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id, ticket_id(&envelope(5), 0, TripId(1), SeatNo(2)));
        assert_ne!(id, ticket_id(&envelope(5), 1, TripId(1), SeatNo(2)));
        assert_ne!(id, ticket_id(&envelope(6), 0, TripId(1), SeatNo(2)));
    }
}
