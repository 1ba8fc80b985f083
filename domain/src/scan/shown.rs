//! What a code claims, whichever kind of code it is.

use crate::ids::{Issuer, LayoutVersion, SaleOrdinal, SeatNo, TicketId, TripId};
use crate::passenger::PassengerClass;
use crate::ticket::{ShortClaim, SignedTicket, Suite, TicketClaim, TicketLease};
use crate::time::Instant;
use crate::trip::Legs;

/// What bears a claim out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeKind {
    /// A QR code with a signature.
    Signature,
    /// A QR code with a MAC.
    Mac,
    /// A short code that was typed.
    Typed(ShortClaim),
}

/// What a code claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The ticket; of a typed code that no manifest explains, what stands in for it.
    pub id: TicketId,
    /// The trip.
    pub trip: TripId,
    /// The seat as printed.
    pub seat: SeatNo,
    /// The journey.
    pub legs: Legs,
    /// Which sale of the seat it was.
    pub ordinal: SaleOrdinal,
    /// The right it was sold under; `None` for the hub's own, and where a typed code's is not
    /// known here.
    pub lease: Option<TicketLease>,
    /// The numbering that the seat is of.
    pub layout_version: LayoutVersion,
    /// A rehearsal ticket.
    pub test: bool,
    /// What bears it out.
    pub kind: CodeKind,
}

impl Shown {
    /// What a QR code claims; `None` where its journey leads nowhere.
    pub fn signed(ticket: &SignedTicket) -> Option<Self> {
        let claim = &ticket.claim;
        Some(Self {
            id: claim.id,
            trip: claim.trip,
            seat: claim.seat,
            legs: claim.legs()?,
            ordinal: claim.ordinal,
            lease: claim.lease,
            layout_version: claim.layout_version,
            test: claim.test,
            kind: match ticket.suite() {
                Suite::Ed25519 => CodeKind::Signature,
                Suite::Hmac256 => CodeKind::Mac,
            },
        })
    }

    /// Whether its code was typed.
    pub const fn is_typed(&self) -> bool {
        matches!(self.kind, CodeKind::Typed(_))
    }

    /// What its short code says, where it can have one.
    pub fn code(&self, issuer: Issuer) -> Option<ShortClaim> {
        if let CodeKind::Typed(code) = self.kind {
            return Some(code);
        }
        let claim = TicketClaim {
            id: self.id,
            trip: self.trip,
            seat: self.seat,
            from: self.legs.from(),
            to: self.legs.to(),
            class: PassengerClass::Adult,
            ordinal: self.ordinal,
            issued_at: Instant(0),
            lease: self.lease,
            layout_version: self.layout_version,
            test: self.test,
        };
        ShortClaim::of(&claim, issuer)
    }
}
