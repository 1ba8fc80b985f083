//! What an event says. Field and variant numbers are for ever; new ones are added, none reused.

use crate::event::{Envelope, ticket_id};
use crate::ids::{
    Kid, LayoutVersion, LeaseEpoch, LeaseNo, SaleOrdinal, SeatNo, Seq, ShiftNo, TicketId, TripId,
};
use crate::money::{Currency, Minor};
use crate::passenger::PassengerClass;
use crate::scan::ScanAnswer;
use crate::ticket::{SignedTicket, Suite, TicketClaim, TicketLease};
use crate::time::Instant;
use crate::trip::Legs;

/// The kinds of event. A kind that a reader does not know is quarantined, never dropped.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum EventBody {
    /// An agent began to sell.
    #[n(0)]
    ShiftOpened(#[n(0)] ShiftOpened),
    /// Tickets were sold; all of them or none.
    #[n(1)]
    Sale(#[n(0)] Sale),
    /// A ticket was taken back in the shift that sold it.
    #[n(2)]
    Void(#[n(0)] VoidRecord),
    /// An agent counted the drawer.
    #[n(3)]
    ShiftClosed(#[n(0)] ShiftClosed),
    /// The node sells from a grant from here on.
    #[n(4)]
    LeaseAccepted(#[n(0)] LeaseAccepted),
    /// The node will never again sell from a grant.
    #[n(5)]
    LeaseSurrendered(#[n(0)] LeaseSurrendered),
    /// Paper was asked for.
    #[n(6)]
    PrintAttempted(#[n(0)] PrintAttempted),
    /// A ticket was shown to a validator.
    #[n(7)]
    Scan(#[n(0)] ScanRecord),
    /// The device's clock jumped.
    #[n(8)]
    ClockStep(#[n(0)] Instant, #[n(1)] Instant),
}

/// An agent began to sell.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ShiftOpened {
    /// Its number on this node.
    #[n(0)]
    pub shift: ShiftNo,
    /// Who sells, at most 64 characters.
    #[n(1)]
    pub agent: String,
    /// Cash in the drawer to begin with.
    #[n(2)]
    pub float_minor: Minor,
    /// What the drawer holds.
    #[n(3)]
    pub currency: Currency,
}

/// How a tender line was paid.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum TenderKind {
    /// Notes and coins into the agent's drawer.
    #[n(0)]
    Cash,
    /// Mobile money, already confirmed on the customer's phone.
    #[n(1)]
    MobileMoney,
    /// A card terminal.
    #[n(2)]
    Card,
}

/// A part of the price and how it was paid.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct TenderLine {
    /// How.
    #[n(0)]
    pub kind: TenderKind,
    /// How much.
    #[n(1)]
    pub amount_minor: Minor,
}

/// One passenger's journey on one seat. The ticket's id is derived from the position.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Coupon {
    /// Which trip.
    #[n(0)]
    pub trip: TripId,
    /// Which seat.
    #[n(1)]
    pub seat: SeatNo,
    /// From where to where.
    #[n(2)]
    pub legs: Legs,
    /// Who travels.
    #[n(3)]
    pub class: PassengerClass,
    /// Which sale of this (lease, seat) it is.
    #[n(4)]
    pub ordinal: SaleOrdinal,
    /// The grant it was sold under.
    #[n(5)]
    pub lease_no: LeaseNo,
    /// That grant's fencing token.
    #[n(6)]
    pub epoch: LeaseEpoch,
    /// The seat numbering in force at the sale.
    #[n(7)]
    pub layout_version: LayoutVersion,
    /// What the passenger paid.
    #[n(8)]
    pub fare_minor: Minor,
    /// Not for travel.
    #[n(9)]
    pub test: bool,
    /// The ticket's signature (64 bytes) or MAC (32 bytes).
    #[n(10)]
    #[cbor(with = "minicbor::bytes")]
    pub tag: Vec<u8>,
}

/// Tickets sold together; the node held rights to all of them.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Sale {
    /// The shift whose drawer took the money.
    #[n(0)]
    pub shift: ShiftNo,
    /// What was paid in.
    #[n(1)]
    pub currency: Currency,
    /// The key that signed the tickets.
    #[n(2)]
    pub kid: Kid,
    /// How they are signed.
    #[n(3)]
    pub suite: Suite,
    /// The journeys, 1 to 64.
    #[n(4)]
    pub coupons: Vec<Coupon>,
    /// How it was paid; adds up to the fares.
    #[n(5)]
    pub tender: Vec<TenderLine>,
}

/// The most coupons of one sale.
pub const COUPONS_MAX: usize = 64;

impl Sale {
    /// What the passengers paid together, or `None` when it leaves 64 bits.
    pub fn total(&self) -> Option<Minor> {
        Minor::checked_sum(self.coupons.iter().map(|c| c.fare_minor))
    }

    /// The ticket that coupon `index` printed.
    pub fn ticket(&self, envelope: &Envelope, index: usize) -> Option<SignedTicket> {
        let coupon = self.coupons.get(index)?;
        let claim = coupon.claim(
            ticket_id(envelope, index, coupon.trip, coupon.seat),
            envelope.at,
        );
        SignedTicket::from_parts(claim, self.kid, self.suite, &coupon.tag).ok()
    }
}

impl Coupon {
    /// What its ticket says.
    pub fn claim(&self, id: TicketId, issued_at: Instant) -> TicketClaim {
        TicketClaim {
            id,
            trip: self.trip,
            seat: self.seat,
            from: self.legs.from(),
            to: self.legs.to(),
            class: self.class,
            ordinal: self.ordinal,
            issued_at,
            lease: Some(TicketLease {
                no: self.lease_no,
                epoch: self.epoch,
            }),
            layout_version: self.layout_version,
            test: self.test,
        }
    }
}

/// Why a ticket was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum VoidReason {
    /// The agent mistyped.
    #[n(0)]
    Mistake,
    /// The passenger changed their mind.
    #[n(1)]
    PassengerRequest,
    /// The paper never came out.
    #[n(2)]
    PrintFailed,
}

/// A ticket was taken back and its fare returned from the drawer.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct VoidRecord {
    /// The shift, the one that sold it.
    #[n(0)]
    pub shift: ShiftNo,
    /// Which ticket.
    #[n(1)]
    pub ticket: TicketId,
    /// Why.
    #[n(2)]
    pub reason: VoidReason,
}

/// An agent counted the drawer.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ShiftClosed {
    /// Which shift.
    #[n(0)]
    pub shift: ShiftNo,
    /// What the agent counted, float included.
    #[n(1)]
    pub declared_minor: Minor,
    /// What the node says should be there, float included.
    #[n(2)]
    pub expected_minor: Minor,
}

/// The node sells from a grant from here on.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct LeaseAccepted {
    /// Which trip.
    #[n(0)]
    pub trip: TripId,
    /// Which grant.
    #[n(1)]
    pub lease_no: LeaseNo,
    /// Its fencing token.
    #[n(2)]
    pub epoch: LeaseEpoch,
}

/// The node will never again sell from a grant.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct LeaseSurrendered {
    /// Which trip.
    #[n(0)]
    pub trip: TripId,
    /// Which grant.
    #[n(1)]
    pub lease_no: LeaseNo,
    /// Its fencing token.
    #[n(2)]
    pub epoch: LeaseEpoch,
    /// The position before this one: every sale under the grant is at or before it.
    #[n(3)]
    pub last_seq: Seq,
}

/// What became of a print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum PrintOutcome {
    /// The printer took it.
    #[n(0)]
    Sent,
    /// The printer did not take it.
    #[n(1)]
    Failed,
}

/// Paper was asked for.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct PrintAttempted {
    /// Which ticket.
    #[n(0)]
    pub ticket: TicketId,
    /// What became of it.
    #[n(1)]
    pub outcome: PrintOutcome,
}

/// A ticket was shown to a validator.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ScanRecord {
    /// The trip that the validator was on.
    #[n(0)]
    pub trip: TripId,
    /// What it answered.
    #[n(1)]
    pub answer: ScanAnswer,
    /// Which ticket, where it could be read.
    #[n(2)]
    pub ticket: Option<TicketId>,
    /// The code as scanned, cut to 512 bytes, where the hub may not know the ticket.
    #[n(3)]
    pub text: Option<String>,
}
