//! Ingest: the hub's verdict on what a node's log says, given the state that it loaded.
//!
//! Two steps. [`admit`] looks at positions and hashes only and decides what is stored.
//! [`judge`] looks at what a stored event says and decides what follows from it. A sale that
//! breaks a rule is never dropped: its seat is quarantined, its money posts to suspense.

mod judge;

mod unlisted;

pub use judge::{judge, stands_against};
pub use unlisted::{Unlisted, unlisted};

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{ChainHead, Coupon, EventBody, ScanRecord, SignedEvent};
use crate::ids::{EventHash, LeaseNo, NodeId, SeatNo, Seq, ShiftNo, TicketId, TripId};
use crate::lease::{LeaseStanding, SeatClaim};
use crate::ledger::Entry;
use crate::money::{Currency, Minor};
use crate::swap::Swaps;
use crate::ticket::{KeyRecord, SignedTicket};
use crate::time::{Instant, ServiceDate, Zone};
use crate::trip::Legs;
use crate::weaken::{Weakness, weakened};

/// Where an event belongs, by its position and hash alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It extends the log.
    Next,
    /// The same event is stored already.
    Duplicate,
    /// The position is taken by another event, or the event continues another history.
    Fork,
    /// Events before it are missing: the node must send from the cursor.
    Gap,
}

/// Decides where an event belongs. `stored` gives the hash at a position at or before `cursor`.
pub fn admit(
    cursor: &ChainHead,
    stored: impl Fn(Seq) -> Option<EventHash>,
    event: &SignedEvent,
) -> Admission {
    let at = &event.envelope;
    if at.seq.0 > cursor.seq.0 + 1 {
        return Admission::Gap;
    }
    if at.seq.0 == cursor.seq.0 + 1 {
        return if at.prev == cursor.hash {
            Admission::Next
        } else {
            Admission::Fork
        };
    }
    if weakened(Weakness::BatchDerivedIdentity) {
        return Admission::Next;
    }
    if stored(at.seq) == Some(event.hash) {
        Admission::Duplicate
    } else {
        Admission::Fork
    }
}

/// What became of an event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
)]
pub enum Verdict {
    /// It took effect.
    #[n(0)]
    Applied,
    /// It was here before.
    #[n(1)]
    Duplicate,
    /// It is kept and waits for a person; its money stands in suspense.
    #[n(2)]
    Quarantined(#[n(0)] QuarantineReason),
}

/// Why an event waits for a person.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    minicbor::Encode,
    minicbor::Decode,
    thiserror::Error,
)]
#[cbor(index_only)]
pub enum QuarantineReason {
    /// A kind or version this hub cannot read.
    #[error("this hub cannot read this kind of event")]
    #[n(0)]
    NotUnderstood,
    /// The node's log forked.
    #[error("the device's log forked: two events stand at one position")]
    #[n(1)]
    Forked,
    /// The hub never granted this lease to the node.
    #[error("the seat was sold under a lease that was never granted")]
    #[n(2)]
    LeaseUnknown,
    /// The lease had been surrendered.
    #[error("the seat was sold under a lease that had been closed")]
    #[n(3)]
    LeaseClosed,
    /// The fencing token is not the lease's.
    #[error("the seat was sold under an older epoch of the lease")]
    #[n(4)]
    StaleEpoch,
    /// The lease does not hold the seat on these legs.
    #[error("the lease does not hold this seat between these stops")]
    #[n(5)]
    OutsideLease,
    /// A live ticket holds an overlapping leg.
    #[error("another live ticket holds this seat")]
    #[n(6)]
    SeatTaken,
    /// The shift is not known or closed.
    #[error("the shift is not open")]
    #[n(7)]
    ShiftNotOpen,
    /// No such ticket of this node.
    #[error("this device never sold this ticket")]
    #[n(8)]
    TicketUnknown,
    /// The ticket was taken back before.
    #[error("the ticket is void already")]
    #[n(9)]
    AlreadyVoid,
    /// The ticket belongs to another shift.
    #[error("only the shift that sold the ticket may void it")]
    #[n(10)]
    OtherShift,
    /// The sale contradicts itself: no coupons, amounts below zero, tender that does not add up.
    #[error("the sale contradicts itself")]
    #[n(11)]
    BadSale,
    /// The database refused what the rules allowed; see the hub's log.
    #[error("the hub could not apply it; its log says why")]
    #[n(12)]
    Backstop,
    /// The bus was swapped, and the other one has no place for the seat.
    #[error("the bus was swapped, and the other one has no place for this seat")]
    #[n(13)]
    NoPlace,
}

impl QuarantineReason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::NotUnderstood,
        Self::Forked,
        Self::LeaseUnknown,
        Self::LeaseClosed,
        Self::StaleEpoch,
        Self::OutsideLease,
        Self::SeatTaken,
        Self::ShiftNotOpen,
        Self::TicketUnknown,
        Self::AlreadyVoid,
        Self::OtherShift,
        Self::BadSale,
        Self::Backstop,
        Self::NoPlace,
    ];

    /// The reason that is stored under a word.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The word it is stored and shown under.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotUnderstood => "not_understood",
            Self::Forked => "forked",
            Self::LeaseUnknown => "lease_unknown",
            Self::LeaseClosed => "lease_closed",
            Self::StaleEpoch => "stale_epoch",
            Self::OutsideLease => "outside_lease",
            Self::SeatTaken => "seat_taken",
            Self::ShiftNotOpen => "shift_not_open",
            Self::TicketUnknown => "ticket_unknown",
            Self::AlreadyVoid => "already_void",
            Self::OtherShift => "other_shift",
            Self::BadSale => "bad_sale",
            Self::Backstop => "backstop",
            Self::NoPlace => "no_place",
        }
    }
}

/// Where a ticket stands with the hub.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum TicketState {
    /// It holds its seat.
    #[n(0)]
    Live,
    /// It was taken back.
    #[n(1)]
    Void,
    /// It was sold against a rule; it holds no seat until somebody decides.
    #[n(2)]
    Disputed,
}

impl TicketState {
    /// The word it is stored and shown under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Void => "void",
            Self::Disputed => "disputed",
        }
    }
}

/// A ticket of the node, as far as a void needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketStanding {
    /// The shift that sold it.
    pub shift: ShiftNo,
    /// Where and when it rides, the seat as it is numbered today.
    pub place: (TripId, SeatNo, Legs),
    /// Which grant it was sold under.
    pub lease_no: LeaseNo,
    /// What was paid.
    pub fare_minor: Minor,
    /// Where it stands.
    pub state: TicketState,
    /// The grant it was sold under is over.
    pub lease_closed: bool,
}

/// A shift of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftStanding {
    /// What the drawer holds.
    pub currency: Currency,
    /// The day it counts to.
    pub business_date: ServiceDate,
    /// Cash in the drawer to begin with.
    pub float_minor: Minor,
    /// Cash taken less cash returned, without the float.
    pub cash_minor: Minor,
    /// Whether it still sells.
    pub open: bool,
}

/// What the hub loads before it judges a batch of one node's events.
#[derive(Debug, Clone)]
pub struct IngestState {
    /// Whose events.
    pub node: NodeId,
    /// The node's local time, for business dates.
    pub zone: Zone,
    /// The log forked: nothing that it sells is taken as given.
    pub frozen: bool,
    /// The node's leases that the batch names.
    pub leases: BTreeMap<(TripId, LeaseNo), LeaseStanding>,
    /// Swaps of the trips that the batch names, where there were any.
    pub swaps: BTreeMap<TripId, Swaps>,
    /// Live tickets on the seats that the batch names, as those are numbered today, whoever sold
    /// them.
    pub seats: BTreeMap<(TripId, SeatNo), Vec<(TicketId, Legs)>>,
    /// The tickets that the batch names.
    pub tickets: BTreeMap<TicketId, TicketStanding>,
    /// Seat-legs voided under the leases that the batch surrenders.
    pub voided: BTreeMap<(TripId, LeaseNo), BTreeSet<SeatClaim>>,
    /// The node's shifts that the batch names.
    pub shifts: BTreeMap<ShiftNo, ShiftStanding>,
    /// Trips whose fares are earned: nothing about them is deferred.
    pub recognised: BTreeSet<TripId>,
    /// What the hub signs its own tickets with; empty where it need not look for lost ones.
    pub hub_keys: Vec<KeyRecord>,
    /// The hub's own tickets among those that the batch scans.
    pub own_tickets: BTreeSet<TicketId>,
}

impl IngestState {
    /// A state in which nothing is known yet.
    pub fn new(node: NodeId, zone: Zone) -> Self {
        Self {
            node,
            zone,
            frozen: false,
            leases: BTreeMap::new(),
            swaps: BTreeMap::new(),
            seats: BTreeMap::new(),
            tickets: BTreeMap::new(),
            voided: BTreeMap::new(),
            shifts: BTreeMap::new(),
            recognised: BTreeSet::new(),
            hub_keys: vec![],
            own_tickets: BTreeSet::new(),
        }
    }
}

impl IngestState {
    /// Where a sold seat is today: by the numbering of the lease that it was sold under, whatever
    /// the ticket says. `None` where the bus of today has no place for it.
    pub fn seat_now(&self, coupon: &Coupon) -> Option<SeatNo> {
        let swaps = self.swaps.get(&coupon.trip);
        let Some(swaps) = swaps.filter(|_| !weakened(Weakness::LateSaleKeepsItsNumber)) else {
            return Some(coupon.seat);
        };
        let lease = self.leases.get(&(coupon.trip, coupon.lease_no));
        let under = lease.map_or(coupon.layout_version, |l| l.grant.layout_version);
        swaps.place(coupon.seat, under)
    }
}

/// What a batch names, so that the hub can load it with a handful of set-based queries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Leases of the node.
    pub leases: BTreeSet<(TripId, LeaseNo)>,
    /// Leases whose voided seats matter, because they are surrendered.
    pub surrendered: BTreeSet<(TripId, LeaseNo)>,
    /// Seats that are sold, as their leases number them.
    pub seats: BTreeSet<(TripId, SeatNo)>,
    /// Tickets that are voided or scanned.
    pub tickets: BTreeSet<TicketId>,
    /// Shifts of the node.
    pub shifts: BTreeSet<ShiftNo>,
    /// Tickets that were shown and that the validator did not find on its manifest.
    pub shown: BTreeSet<TicketId>,
}

impl Needs {
    /// Adds what one event names.
    pub fn add(&mut self, body: &EventBody) {
        match body {
            EventBody::ShiftOpened(e) => {
                self.shifts.insert(e.shift);
            }
            EventBody::Sale(sale) => {
                self.shifts.insert(sale.shift);
                for c in &sale.coupons {
                    self.leases.insert((c.trip, c.lease_no));
                    self.seats.insert((c.trip, c.seat));
                }
            }
            EventBody::Void(e) => {
                self.shifts.insert(e.shift);
                self.tickets.insert(e.ticket);
            }
            EventBody::ShiftClosed(e) => {
                self.shifts.insert(e.shift);
            }
            EventBody::LeaseAccepted(e) => {
                self.leases.insert((e.trip, e.lease_no));
            }
            EventBody::LeaseSurrendered(e) => {
                self.leases.insert((e.trip, e.lease_no));
                self.surrendered.insert((e.trip, e.lease_no));
            }
            EventBody::Scan(scan) => {
                if scan.text.is_some() {
                    self.shown.extend(scan.ticket);
                }
            }
            EventBody::PrintAttempted(_) | EventBody::ClockStep(..) => {}
        }
    }
}

/// A ticket to store, with the sale's key and proof, so that its code can be shown again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// The ticket as printed.
    pub ticket: SignedTicket,
    /// The seat as it is numbered today; [`crate::swap::NO_SEAT`] where it has none.
    pub seat: SeatNo,
    /// Its legs.
    pub legs: Legs,
    /// The shift that sold it.
    pub shift: ShiftNo,
    /// What was paid.
    pub fare_minor: Minor,
    /// What it was paid in.
    pub currency: Currency,
    /// Live, or disputed from the start.
    pub state: TicketState,
}

/// Something that a person at the office must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What was broken.
    pub reason: QuarantineReason,
    /// The tickets that broke it.
    pub tickets: Vec<TicketId>,
    /// The live tickets they stand against.
    pub against: Vec<TicketId>,
}

/// What follows from an event, for the hub to write in sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A shift began.
    OpenShift {
        /// Its number.
        shift: ShiftNo,
        /// Who sells.
        agent: String,
        /// Its standing.
        standing: ShiftStanding,
        /// When, by the node's clock.
        at: Instant,
    },
    /// A shift ended.
    CloseShift {
        /// Its number.
        shift: ShiftNo,
        /// What the agent counted, float included.
        declared_minor: Minor,
        /// What should have been there, float included.
        expected_minor: Minor,
        /// When, by the node's clock.
        at: Instant,
    },
    /// The holder sells from a grant.
    AcceptLease(TripId, LeaseNo),
    /// A grant is over: its unsold rest returns to the pool, but for the blocked seats, whose
    /// voided tickets the onboard validator must hear of first.
    CloseLease {
        /// Which trip.
        trip: TripId,
        /// Which grant.
        lease_no: LeaseNo,
        /// What must wait.
        blocked: Vec<SeatClaim>,
    },
    /// These legs wait until the onboard validator has heard of a void.
    Block(TripId, SeatClaim),
    /// A ticket exists.
    InsertTicket(Box<NewTicket>),
    /// A ticket was taken back.
    VoidTicket(TicketId, TripId),
    /// Money moved.
    Post(Entry),
    /// A ticket was shown.
    RecordScan(ScanRecord, Instant),
    /// Somebody must decide.
    OpenCase(Case),
    /// A ticket that the hub signed and does not know was shown: its seat is not sold again.
    KeepSeat(Box<Unlisted>),
}

/// The verdict on an event and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What became of it.
    pub verdict: Verdict,
    /// What to write.
    pub effects: Vec<Effect>,
}
