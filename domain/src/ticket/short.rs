//! The short code of a ticket: sixteen digits that a passenger without a smartphone shows, as an
//! SMS or beneath the QR code on paper, and a driver types.
//!
//! Eighty bits as Crockford Base32 in groups of four, from the highest down:
//!
//! | bits | what |
//! | --- | --- |
//! | 6 | slot: the first bits of the `kid` of the issuer's MAC key for the trip |
//! | 9 | the seat as printed, 1 to 500 |
//! | 6 | the stop where the passenger boards |
//! | 6 | the stop where the passenger leaves, less one |
//! | 5 | the sale ordinal |
//! | 12 | the right: see [`right_tag`] |
//! | 36 | the first bits of HMAC-SHA256 over [`LABEL`] and the 44 bits before, as six bytes |
//!
//! The key is the issuer's MAC key for the trip ([`super::mac_key`]), so that a code says neither
//! trip nor issuer and is good for one of each. Whoever can check a code could have made it:
//! what is not on the manifest is always flagged, and guesses are counted.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{KeyMaterial, KeyRecord, TicketClaim, TicketLease};
use crate::base32::{self, Base32Error};
use crate::ids::{Issuer, Kid, LayoutVersion, SaleOrdinal, SeatNo, StopSeq, TicketId, TripId};
use crate::layout::SEATS_MAX;
use crate::trip::Legs;

/// How many digits a code has.
pub const SHORT_DIGITS: usize = 16;
/// What the MAC covers before the code's own bits.
const LABEL: &[u8] = b"mwimule short code v1";
const RIGHT_LABEL: &[u8] = b"mwimule short code right v1";
const STAND_IN_LABEL: &[u8] = b"mwimule short code stand-in v1";
const GROUP: usize = 4;

const SEAT_BITS: u32 = 9;
const STOP_BITS: u32 = 6;
const ORDINAL_BITS: u32 = 5;
const RIGHT_BITS: u32 = 12;
const MAC_BITS: u32 = 36;
/// How far the slot stands from the lowest bit of what is said.
const SLOT_SHIFT: u32 = SEAT_BITS + 2 * STOP_BITS + ORDINAL_BITS + RIGHT_BITS;
const SAYS_BITS: u32 = SLOT_SHIFT + 6;

/// What a code says, without its MAC: 44 bits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct ShortClaim(#[n(0)] u64);

/// A code as read or made. Only [`ShortCode::is_of`] says whether it is genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShortCode {
    /// What it says.
    pub claim: ShortClaim,
    mac: u64,
}

/// Why a text is no short code, in words for a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShortCodeError {
    /// Another number of digits.
    #[error("a code to type has {SHORT_DIGITS} letters and digits, this one has {0}")]
    Length(usize),
    /// A letter that no code has.
    #[error("no code has a {found:?}, which is in group {group}: look again")]
    BadCharacter {
        /// The letter.
        found: char,
        /// Which group of four it is in, counted from 1.
        group: usize,
    },
    /// Digits that lead to no seat or journey.
    #[error("the code leads to no seat: compare each group with the message")]
    Nowhere,
}

impl ShortClaim {
    /// What the code of a ticket says; `None` for a rehearsal, for a seat that was sold under one
    /// right more than 31 times, and for a journey that leads nowhere.
    pub fn of(ticket: &TicketClaim, issuer: Issuer) -> Option<Self> {
        let legs = ticket.legs()?;
        let fits = (1..=SEATS_MAX).contains(&ticket.seat.0.into())
            && u32::from(ticket.ordinal.0) < 1 << ORDINAL_BITS
            && !ticket.test;
        let mut says = u64::from(slot(super::mac_kid(ticket.trip, issuer)));
        let mut put = |bits: u32, value: u16| says = says << bits | u64::from(value);
        put(SEAT_BITS, ticket.seat.0);
        put(STOP_BITS, legs.from().0.into());
        put(STOP_BITS, u16::from(legs.to().0) - 1);
        put(ORDINAL_BITS, ticket.ordinal.0);
        put(RIGHT_BITS, right_tag(ticket.lease, ticket.layout_version));
        fits.then_some(Self(says))
    }

    const fn bits(self, shift: u32, bits: u32) -> u16 {
        (self.0 >> shift & ((1 << bits) - 1)) as u16
    }

    /// The first bits of the `kid`s of the keys that it may have been made with.
    pub const fn slot(self) -> u8 {
        self.bits(SLOT_SHIFT, 6) as u8
    }

    /// The seat as printed.
    pub const fn seat(self) -> SeatNo {
        SeatNo(self.bits(SLOT_SHIFT - SEAT_BITS, SEAT_BITS))
    }

    /// The journey; always there for a code that was read.
    pub const fn legs(self) -> Option<Legs> {
        let shift = ORDINAL_BITS + RIGHT_BITS;
        let from = self.bits(shift + STOP_BITS, STOP_BITS) as u8;
        let to = self.bits(shift, STOP_BITS) as u8;
        Legs::new(StopSeq(from), StopSeq(to + 1))
    }

    /// Which sale of the seat it was.
    pub const fn ordinal(self) -> SaleOrdinal {
        SaleOrdinal(self.bits(RIGHT_BITS, ORDINAL_BITS))
    }

    /// Whether it was sold under this right, as far as twelve bits tell.
    pub fn is_under(self, lease: Option<TicketLease>, numbering: LayoutVersion) -> bool {
        self.bits(0, RIGHT_BITS) == right_tag(lease, numbering)
    }

    /// A name for a ticket of which nothing but the code is known, on its trip: a UUID of
    /// version 8 (RFC 9562) from SHA-256 over a label, the trip and the code's bits.
    pub fn stand_in(self, trip: TripId) -> TicketId {
        let hash = Sha256::new()
            .chain_update(STAND_IN_LABEL)
            .chain_update(trip.0.to_be_bytes())
            .chain_update(self.0.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        TicketId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    fn mac(self, key: &[u8; 32]) -> u64 {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(LABEL);
        mac.update(&self.0.to_be_bytes()[2..]);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut first = [0; 8];
        first.copy_from_slice(&tag[..8]);
        u64::from_be_bytes(first) >> (64 - MAC_BITS)
    }
}

/// The slot of a MAC key: the first six bits of its name.
pub const fn slot(kid: Kid) -> u8 {
    kid.0[0] >> 2
}

/// The first twelve bits of SHA-256 over a label, the lease's number (2 bytes) and epoch
/// (4 bytes), all zero for the hub's own tickets, and the seat numbering (4 bytes), big endian: a
/// seat is sold anew under another lease, and is another seat in another numbering.
fn right_tag(lease: Option<TicketLease>, numbering: LayoutVersion) -> u16 {
    let (no, epoch) = lease.map_or((0, 0), |lease| (lease.no.0, lease.epoch.0));
    let hash = Sha256::new()
        .chain_update(RIGHT_LABEL)
        .chain_update(no.to_be_bytes())
        .chain_update(epoch.to_be_bytes())
        .chain_update(numbering.0.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    u16::from_be_bytes([hash[0], hash[1]]) >> (16 - RIGHT_BITS)
}

impl ShortCode {
    /// The code of a ticket, by its issuer's MAC key for its trip; `None` as for
    /// [`ShortClaim::of`], and for a key of another kind or trip.
    pub fn of(ticket: &TicketClaim, record: &KeyRecord) -> Option<Self> {
        let key = key_of(record).filter(|_| record.trip == Some(ticket.trip))?;
        let claim = ShortClaim::of(ticket, record.issuer)?;
        Some(Self {
            claim,
            mac: claim.mac(key),
        })
    }

    /// Whether it was made with this key, for its trip.
    pub fn is_of(&self, record: &KeyRecord) -> bool {
        key_of(record).is_some_and(|key| {
            slot(record.kid) == self.claim.slot() && self.claim.mac(key) == self.mac
        })
    }

    /// Reads what a driver typed, after [`base32`]'s rules.
    pub fn read(text: &str) -> Result<Self, ShortCodeError> {
        let digits = base32::digits_in(text).unwrap_or(0);
        if digits != SHORT_DIGITS {
            return Err(ShortCodeError::Length(digits));
        }
        let bytes = base32::decode(text).map_err(|error| match error {
            Base32Error::BadCharacter { found, after } => ShortCodeError::BadCharacter {
                found,
                group: after / GROUP + 1,
            },
            Base32Error::Length | Base32Error::Trailing => ShortCodeError::Length(digits),
        })?;
        let all = bytes
            .iter()
            .fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
        let claim = ShortClaim((all >> MAC_BITS) as u64);
        let seat = usize::from(claim.seat().0);
        if claim.legs().is_none() || !(1..=SEATS_MAX).contains(&seat) {
            return Err(ShortCodeError::Nowhere);
        }
        Ok(Self {
            claim,
            mac: (all & ((1 << MAC_BITS) - 1)) as u64,
        })
    }
}

const fn key_of(record: &KeyRecord) -> Option<&[u8; 32]> {
    match &record.material {
        KeyMaterial::Hmac256(key) => Some(key),
        KeyMaterial::Ed25519(_) => None,
    }
}

/// Four groups of four, as `7F3K-22QX-9M4T-0KZ1`.
impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = u128::from(self.claim.0) << MAC_BITS | u128::from(self.mac);
        let bytes = all.to_be_bytes();
        let unused = bytes.len() - ((SAYS_BITS + MAC_BITS) / 8) as usize;
        let text = base32::encode(&bytes[unused..]);
        for (at, digit) in text.chars().enumerate() {
            let gap = if at > 0 && at % GROUP == 0 { "-" } else { "" };
            write!(f, "{gap}{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
