//! What a ticket says, and the one way to write it down.
//!
//! The payload is a CBOR map: 0 the id, 1 the trip, 2 the second of issue, 3 an array of seat,
//! from, to, class, ordinal, layout version, test flag and, where the ticket was sold under a
//! lease, its number and epoch. The array spares eight key bytes: without that the largest
//! ticket would not fit a version 8 QR code.

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::ids::{
    LayoutVersion, LeaseEpoch, LeaseNo, SaleOrdinal, SeatNo, StopSeq, TicketId, TripId,
};
use crate::passenger::PassengerClass;
use crate::time::Instant;
use crate::trip::Legs;

/// What a ticket says: one seat of one trip, from one stop to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketClaim {
    /// The ticket's own number.
    pub id: TicketId,
    /// The trip.
    pub trip: TripId,
    /// The seat at the time of sale; after a bus swap only a hint.
    pub seat: SeatNo,
    /// Where the passenger boards.
    pub from: StopSeq,
    /// Where the passenger leaves; after `from`, 64 at most.
    pub to: StopSeq,
    /// The fare class.
    pub class: PassengerClass,
    /// How often this seat of this lease had been sold, this sale included.
    pub ordinal: SaleOrdinal,
    /// When it was sold. Whole seconds from 1970 to 2106 are signed; see [`Self::normalised`].
    pub issued_at: Instant,
    /// The right it was sold under; the hub's own tickets have none.
    pub lease: Option<TicketLease>,
    /// The seat numbering that `seat` is of.
    pub layout_version: LayoutVersion,
    /// A rehearsal ticket, which no validator lets on.
    pub test: bool,
}

/// The grant a ticket was sold under; its holder is the issuer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
pub struct TicketLease {
    /// The grant's number, per trip and node.
    #[n(0)]
    pub no: LeaseNo,
    /// The grant's fencing token.
    #[n(1)]
    pub epoch: LeaseEpoch,
}

impl TicketClaim {
    /// The claim as its ticket will carry it: the time of issue cut down to whole seconds and
    /// clamped to the years 1970 to 2106. Signing does this by itself.
    pub fn normalised(mut self) -> Self {
        self.issued_at = Instant(i64::from(self.issued_at_s()) * 1000);
        self
    }

    /// The legs of the journey; always there for a ticket that was read.
    pub const fn legs(&self) -> Option<Legs> {
        Legs::new(self.from, self.to)
    }

    fn issued_at_s(&self) -> u32 {
        self.issued_at.as_secs().clamp(0, u32::MAX.into()) as u32
    }

    pub(super) fn encode_payload<W: Write>(
        &self,
        e: &mut Encoder<W>,
    ) -> Result<(), EncodeError<W::Error>> {
        e.map(4)?.u8(0)?.bytes(self.id.as_bytes())?;
        e.u8(1)?.u64(self.trip.0)?;
        e.u8(2)?.u32(self.issued_at_s())?;
        e.u8(3)?.array(if self.lease.is_some() { 9 } else { 7 })?;
        e.u16(self.seat.0)?.u8(self.from.0)?.u8(self.to.0)?;
        e.u8(self.class.code())?.u16(self.ordinal.0)?;
        e.u32(self.layout_version.0)?.bool(self.test)?;
        if let Some(lease) = self.lease {
            e.u16(lease.no.0)?.u32(lease.epoch.0)?;
        }
        e.ok()
    }

    /// Reads a payload leniently; the caller checks that it was written the one right way.
    pub(super) fn decode_payload(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        if d.map()? != Some(4) {
            return Err(DecodeError::message("the payload is a map of four"));
        }
        key(&mut d, 0)?;
        let id = d.decode()?;
        key(&mut d, 1)?;
        let trip = d.decode()?;
        key(&mut d, 2)?;
        let issued_at = Instant(i64::from(d.u32()?) * 1000);
        key(&mut d, 3)?;
        let len = d.array()?;
        Ok(Self {
            id,
            trip,
            issued_at,
            seat: d.decode()?,
            from: d.decode()?,
            to: d.decode()?,
            class: PassengerClass::from_code(d.u8()?)
                .ok_or_else(|| DecodeError::message("no such passenger class"))?,
            ordinal: d.decode()?,
            layout_version: d.decode()?,
            test: d.bool()?,
            lease: match len {
                Some(7) => None,
                Some(9) => Some(TicketLease {
                    no: d.decode()?,
                    epoch: d.decode()?,
                }),
                _ => return Err(DecodeError::message("the seat array has 7 or 9 members")),
            },
        })
    }
}

fn key(d: &mut Decoder<'_>, expected: u8) -> Result<(), DecodeError> {
    if d.u8()? == expected {
        Ok(())
    } else {
        Err(DecodeError::message(
            "a payload key is missing or out of order",
        ))
    }
}
