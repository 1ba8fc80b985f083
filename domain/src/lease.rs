//! Leases: the right to sell seat-legs, held by one node at a time.
//!
//! A grant is an immutable, numbered value signed by the hub. Safety never depends on a clock:
//! `sell_until` stops the holder from selling, it never lets the hub take seats back.

mod grantor;

pub use grantor::{
    GrantRefusal, LeasePolicy, LeaseStanding, LeaseStatus, TripInventory, decide_grant,
};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::codec::{from_cbor, to_cbor};
use crate::ids::{LayoutVersion, LeaseEpoch, LeaseNo, NodeId, RequestId, SeatNo, StopSeq, TripId};
use crate::swap::Swaps;
use crate::time::Instant;
use crate::trip::Legs;
use crate::typ;

/// The most claims one grant may carry.
pub const CLAIMS_MAX: usize = 500;

/// Some legs of one seat.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
)]
#[cbor(array)]
pub struct SeatClaim {
    /// The seat.
    #[n(0)]
    pub seat: SeatNo,
    /// Its legs.
    #[n(1)]
    pub legs: Legs,
}

/// How many seats a node asks for up to one stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct SeatWant {
    /// The stop that the rights shall reach.
    #[n(0)]
    pub to: StopSeq,
    /// How many seats.
    #[n(1)]
    pub count: u16,
}

/// A node's wish for rights; a retry carries the same request id and gets the same grant.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct LeaseRequest {
    /// Names the wish, once for all its retries.
    #[n(0)]
    pub request: RequestId,
    /// Which trip.
    #[n(1)]
    pub trip: TripId,
    /// The stop that tickets sold under it board at.
    #[n(2)]
    pub boarding: StopSeq,
    /// How many seats to where.
    #[n(3)]
    pub wants: Vec<SeatWant>,
}

/// The right to sell some seat-legs of a trip: immutable, numbered, signed by the hub.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Grant {
    /// Which trip.
    #[n(0)]
    pub trip: TripId,
    /// Its number, per trip and holder.
    #[n(1)]
    pub lease_no: LeaseNo,
    /// Who may sell.
    #[n(2)]
    pub holder: NodeId,
    /// The fencing token.
    #[n(3)]
    pub epoch: LeaseEpoch,
    /// The stop its tickets board at.
    #[n(4)]
    pub boarding: StopSeq,
    /// What may be sold.
    #[n(5)]
    pub claims: Vec<SeatClaim>,
    /// The seat numbering the claims are in.
    #[n(6)]
    pub layout_version: LayoutVersion,
    /// When the holder must stop selling: boarding close.
    #[n(7)]
    pub sell_until: Instant,
    /// The request it answers.
    #[n(8)]
    pub request: RequestId,
}

impl Grant {
    /// Whether a ticket for these legs of this seat may be sold under it.
    pub fn allows(&self, seat: SeatNo, legs: Legs) -> bool {
        legs.from() == self.boarding
            && self
                .claims
                .iter()
                .any(|c| c.seat == seat && c.legs.contains(legs))
    }

    /// What may be sold, as the seats are numbered today; without those that have no place.
    pub fn claims_now<'a>(&'a self, swaps: &'a Swaps) -> impl Iterator<Item = SeatClaim> + 'a {
        self.claims.iter().filter_map(|claim| {
            let seat = swaps.place(claim.seat, self.layout_version)?;
            Some(SeatClaim { seat, ..*claim })
        })
    }
}

/// A grant as it travels: the exact bytes the hub signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct SignedGrant {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    signature: Vec<u8>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Typed {
    #[n(0)]
    typ: u64,
    #[n(1)]
    grant: Grant,
}

/// A grant that cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not the bytes of a grant.
    #[error("these bytes are not a grant")]
    Malformed,
    /// Signed by nobody we trust.
    #[error("the grant is not signed by this hub")]
    BadSignature,
}

impl SignedGrant {
    /// Signs a grant with the hub's key.
    pub fn sign(grant: &Grant, key: &SigningKey) -> Self {
        let bytes = to_cbor(&Typed {
            typ: typ::GRANT,
            grant: grant.clone(),
        });
        let signature = key.sign(&bytes).to_bytes().to_vec();
        Self { bytes, signature }
    }

    /// The grant, once the hub's signature over it has been checked.
    pub fn verify(&self, hub: &VerifyingKey) -> Result<Grant, GrantError> {
        let signature =
            Signature::from_slice(&self.signature).map_err(|_| GrantError::BadSignature)?;
        hub.verify_strict(&self.bytes, &signature)
            .map_err(|_| GrantError::BadSignature)?;
        let typed: Typed = from_cbor(&self.bytes).map_err(|_| GrantError::Malformed)?;
        if typed.typ != typ::GRANT || typed.grant.claims.len() > CLAIMS_MAX {
            return Err(GrantError::Malformed);
        }
        Ok(typed.grant)
    }
}
