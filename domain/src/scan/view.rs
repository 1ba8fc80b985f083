//! What a validator knows of one trip.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Shown, WRONG_CODES_MAX, WRONG_CODES_WITHIN_MS};

use crate::ids::{
    Issuer, Kid, LayoutVersion, LeaseNo, NodeId, SaleOrdinal, SeatNo, TicketId, TripId,
};
use crate::lease::Grant;
use crate::swap::{NO_SEAT, Swaps};
use crate::ticket::{KeyRecord, ShortClaim};
use crate::time::Instant;
use crate::trip::Legs;

/// A validator's knowledge of one trip; as old as its last contact.
#[derive(Debug, Clone)]
pub struct TripView {
    /// The trip.
    pub trip: TripId,
    /// The keys it trusts. Four-byte names may collide, so each has a list.
    pub keys: BTreeMap<Kid, Vec<KeyRecord>>,
    /// The grants it has seen, by holder and number; their signatures are already checked.
    pub grants: BTreeMap<(NodeId, LeaseNo), Grant>,
    /// The manifest: tickets that the hub calls live, with their seats of today.
    pub listed: BTreeMap<TicketId, SeatHold>,
    /// Tickets that were taken back.
    pub revoked: BTreeSet<TicketId>,
    /// Genuine tickets of this trip that some validator has seen.
    pub seen: BTreeMap<TicketId, SeenTicket>,
    /// When its key bundle was made; `None` if it never got one.
    pub bundle_at: Option<Instant>,
    /// How the bus was swapped, as far as this device has heard.
    pub swaps: Swaps,
    /// Which numbering the seats of `listed` are in; 0 as long as the trip is not known.
    pub numbering: LayoutVersion,
    /// The short codes of every ticket that the hub told of, void ones too.
    pub codes: BTreeMap<ShortClaim, TicketId>,
    /// Those of tickets that were let on and that no manifest explained.
    unlisted: BTreeMap<ShortClaim, TicketId>,
    /// When the last wrong codes were typed here, oldest first.
    wrong_codes: VecDeque<Instant>,
}

/// A claim on some legs of a seat, and which sale of which right made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct SeatHold {
    /// The seat, as numbered today.
    #[n(0)]
    pub seat: SeatNo,
    /// The legs.
    #[n(1)]
    pub legs: Legs,
    /// Who signed the ticket.
    #[n(2)]
    pub issuer: Issuer,
    /// The grant it was sold under; the hub needs none.
    #[n(3)]
    pub lease_no: Option<LeaseNo>,
    /// Which sale of this seat under this grant it was.
    #[n(4)]
    pub ordinal: SaleOrdinal,
}

/// A genuine ticket that was shown to a validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenTicket {
    /// What it claims.
    pub hold: SeatHold,
    /// Which numbering its seat is in.
    pub under: LayoutVersion,
    /// When its passenger was let on; `None` if never.
    pub used: Option<TicketUse>,
}

/// A passenger was let on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketUse {
    /// When, by the validator's clock.
    pub at: Instant,
    /// By which validator.
    pub by: NodeId,
}

impl SeatHold {
    /// Whether both need the same seat on some leg.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.seat == other.seat && self.seat != NO_SEAT && self.legs.overlaps(other.legs)
    }

    /// Whether this is a later sale of the same seat-legs out of the same right, which its
    /// issuer makes only after taking the earlier ticket back.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.overlaps(other)
            && self.issuer == other.issuer
            && self.lease_no == other.lease_no
            && self.ordinal > other.ordinal
    }
}

impl TripView {
    /// A validator that knows nothing of the trip yet.
    pub const fn new(trip: TripId) -> Self {
        Self {
            trip,
            keys: BTreeMap::new(),
            grants: BTreeMap::new(),
            listed: BTreeMap::new(),
            revoked: BTreeSet::new(),
            seen: BTreeMap::new(),
            bundle_at: None,
            swaps: Swaps::NONE,
            numbering: LayoutVersion(0),
            codes: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            wrong_codes: VecDeque::new(),
        }
    }

    /// How old its key bundle is; `None` if it never got one.
    pub(super) fn bundle_age_ms(&self, now: Instant) -> Option<i64> {
        self.bundle_at.map(|at| now.0.saturating_sub(at.0).max(0))
    }

    /// Every numbering that the trip's seats have had.
    pub(super) fn numberings(&self) -> impl Iterator<Item = LayoutVersion> + '_ {
        let first = self.swaps.iter().next().map(|swap| swap.layout_version);
        [first.unwrap_or(self.numbering)]
            .into_iter()
            .chain(self.swaps.iter().map(|swap| swap.numbering))
    }

    /// The ticket that a genuine code of this trip stands for.
    pub(super) fn known_by_code(&self, code: ShortClaim) -> Option<TicketId> {
        let known = self.codes.get(&code).or_else(|| self.unlisted.get(&code));
        known.copied()
    }

    /// Under which other name the passenger of this ticket was let on, before the manifest had it.
    /// Of two QR codes with one short code each is a ticket of its own: a seat sold twice.
    pub(super) fn unlisted_as(&self, shown: &Shown, issuer: Issuer) -> Option<TicketId> {
        if self.unlisted.is_empty() {
            return None;
        }
        let code = shown.code(issuer)?;
        let known = self.unlisted.get(&code).copied();
        known.filter(|id| shown.is_typed() || *id == code.stand_in(self.trip))
    }

    /// Learns that the passenger of an unlisted ticket was let on.
    pub fn note_unlisted(&mut self, code: ShortClaim, id: TicketId) {
        self.unlisted.entry(code).or_insert(id);
    }

    /// Learns that a wrong code was typed.
    pub fn note_wrong_code(&mut self, at: Instant) {
        self.wrong_codes.push_back(at);
        if self.wrong_codes.len() > WRONG_CODES_MAX {
            self.wrong_codes.pop_front();
        }
    }

    /// Until when no code is looked at here, if too many of late were wrong.
    pub fn codes_locked_until(&self, now: Instant) -> Option<Instant> {
        let oldest = self.wrong_codes.front()?;
        let until = oldest.plus_ms(WRONG_CODES_WITHIN_MS);
        // A clock that was set back locks nobody out for longer.
        (self.wrong_codes.len() == WRONG_CODES_MAX && (*oldest..until).contains(&now))
            .then_some(until)
    }

    /// Hears of the trip's swaps.
    pub fn renumber(&mut self, swaps: &Swaps, numbering: LayoutVersion) {
        self.swaps = swaps.clone();
        self.numbering = numbering;
    }

    /// Whether a numbering is one that this device has not heard of: its seats cannot be compared
    /// with those known here.
    pub(super) fn is_to_come(&self, under: LayoutVersion) -> bool {
        self.numbering.0 > 0 && under > self.numbering
    }

    /// Which numbering the seat is in that is shown for a ticket of `under`.
    pub fn shown_under(&self, under: LayoutVersion) -> LayoutVersion {
        self.numbering.max(under)
    }

    /// Where a ticket's seat is today; `None` where the bus has no place for it.
    pub fn seat_now(&self, seat: SeatNo, under: LayoutVersion) -> Option<SeatNo> {
        self.swaps.place(seat, under)
    }

    /// What a ticket that was seen holds today: the manifest knows best.
    /// What has no seat today, or one that cannot be compared, stands in nobody's way.
    pub(super) fn today(&self, id: TicketId, seen: &SeenTicket) -> SeatHold {
        let seat = if let Some(listed) = self.listed.get(&id) {
            Some(listed.seat)
        } else if self.is_to_come(seen.under) {
            None
        } else {
            self.seat_now(seen.hold.seat, seen.under)
        };
        SeatHold {
            seat: seat.unwrap_or(NO_SEAT),
            ..seen.hold
        }
    }

    /// Trusts a key; the same record twice is once.
    pub fn add_key(&mut self, record: KeyRecord) {
        let records = self.keys.entry(record.kid).or_default();
        if !records.contains(&record) {
            records.push(record);
        }
    }

    /// Learns of a grant whose signature was checked.
    pub fn add_grant(&mut self, grant: Grant) {
        self.grants.insert((grant.holder, grant.lease_no), grant);
    }

    /// Learns that a genuine ticket was shown somewhere and, if its passenger was let on, when
    /// and by whom. The earliest use stands, in whatever order they are heard of.
    pub fn note_seen(
        &mut self,
        id: TicketId,
        hold: SeatHold,
        under: LayoutVersion,
        used: Option<TicketUse>,
    ) {
        let seen = self.seen.entry(id).or_insert(SeenTicket {
            hold,
            under,
            used: None,
        });
        seen.used = match (seen.used, used) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
