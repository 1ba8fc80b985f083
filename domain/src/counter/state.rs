//! What a selling node knows of itself, rebuilt from its log.

use std::collections::BTreeMap;

use crate::event::{Envelope, EventBody, Sale, TenderKind, VoidRecord, ticket_id};
use crate::ids::{
    LayoutVersion, LeaseNo, NodeIncarnation, SaleOrdinal, SeatNo, ShiftNo, StopSeq, TicketId,
    TripId,
};
use crate::lease::Grant;
use crate::money::{Currency, Minor};
use crate::seatmap::SeatMap;
use crate::trip::Legs;

/// How far apart the shift numbers of two incarnations begin.
const SHIFTS_PER_INCARNATION: u32 = 1_000;

/// The shift that sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenShift {
    /// Its number.
    pub shift: ShiftNo,
    /// Who sells.
    pub agent: String,
    /// What the drawer holds.
    pub currency: Currency,
    /// Cash in the drawer to begin with.
    pub float_minor: Minor,
    /// Cash taken less cash returned.
    pub cash_minor: Minor,
    /// Tickets sold less tickets voided.
    pub tickets: u32,
}

/// A grant that the node sells from.
#[derive(Debug, Clone)]
pub struct HeldLease {
    /// What was granted.
    pub grant: Grant,
    /// Its claims, less what was sold.
    pub map: SeatMap,
    /// How often each seat was sold.
    pub ordinals: BTreeMap<SeatNo, SaleOrdinal>,
}

/// A ticket that this node sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldTicket {
    /// The shift that sold it.
    pub shift: ShiftNo,
    /// The trip.
    pub trip: TripId,
    /// The grant.
    pub lease_no: LeaseNo,
    /// The seat, as its code has it.
    pub seat: SeatNo,
    /// The numbering that the seat is of.
    pub layout_version: LayoutVersion,
    /// The legs.
    pub legs: Legs,
    /// What was paid.
    pub fare_minor: Minor,
    /// Taken back.
    pub void: bool,
}

/// What a selling node knows of itself.
#[derive(Debug, Clone, Default)]
pub struct CounterState {
    /// Grants by trip and number, as delivered by the hub; only accepted ones are sold from.
    offered: BTreeMap<(TripId, LeaseNo), Grant>,
    held: BTreeMap<(TripId, LeaseNo), HeldLease>,
    gone: std::collections::BTreeSet<(TripId, LeaseNo)>,
    shift: Option<OpenShift>,
    last_shift: u32,
    tickets: BTreeMap<TicketId, SoldTicket>,
}

fn seat_count_of(grant: &Grant) -> u16 {
    grant.claims.iter().map(|c| c.seat.0).max().unwrap_or(0)
}

impl CounterState {
    /// Takes a grant that the hub delivered. It is sold from once its acceptance is logged.
    pub fn deliver(&mut self, grant: Grant) {
        let key = (grant.trip, grant.lease_no);
        if !self.gone.contains(&key) {
            self.offered.insert(key, grant);
        }
    }

    /// Grants delivered and neither accepted nor surrendered.
    pub fn unaccepted(&self) -> impl Iterator<Item = &Grant> {
        self.offered
            .iter()
            .filter(|(key, _)| !self.held.contains_key(key))
            .map(|(_, grant)| grant)
    }

    /// A delivered grant.
    pub fn grant(&self, trip: TripId, lease_no: LeaseNo) -> Option<&Grant> {
        self.offered.get(&(trip, lease_no))
    }

    /// Whether the node surrendered this grant.
    pub fn is_gone(&self, trip: TripId, lease_no: LeaseNo) -> bool {
        self.gone.contains(&(trip, lease_no))
    }

    /// The leases that the node sells from.
    pub fn leases(&self) -> impl Iterator<Item = &HeldLease> {
        self.held.values()
    }

    /// The leases of one trip whose tickets board at one stop.
    pub fn leases_at(&self, trip: TripId, boarding: StopSeq) -> impl Iterator<Item = &HeldLease> {
        self.held
            .range((trip, LeaseNo(0))..=(trip, LeaseNo(u16::MAX)))
            .map(|(_, lease)| lease)
            .filter(move |lease| lease.grant.boarding == boarding)
    }

    /// The shift that sells.
    pub fn shift(&self) -> Option<&OpenShift> {
        self.shift.as_ref()
    }

    /// The number that the next shift gets.
    pub fn next_shift(&self) -> ShiftNo {
        ShiftNo(self.last_shift + 1)
    }

    /// The tickets that this node sold.
    pub fn tickets(&self) -> &BTreeMap<TicketId, SoldTicket> {
        &self.tickets
    }

    /// Begins a new incarnation of the node: every lease of the older one is in doubt and is
    /// never sold from again.
    /// Shifts are numbered from a thousand per incarnation, because the older log may have
    /// opened shifts that this one does not remember.
    pub fn begin_incarnation(&mut self, incarnation: NodeIncarnation) {
        let before = incarnation
            .0
            .saturating_sub(1)
            .saturating_mul(SHIFTS_PER_INCARNATION);
        self.last_shift = self.last_shift.max(before);
        self.gone.extend(self.offered.keys().copied());
        self.offered.clear();
        self.held.clear();
        self.shift = None;
    }

    /// Takes what was committed to the log.
    pub fn apply(&mut self, envelope: &Envelope, body: &EventBody) {
        match body {
            EventBody::ShiftOpened(e) => {
                self.last_shift = self.last_shift.max(e.shift.0);
                self.shift = Some(OpenShift {
                    shift: e.shift,
                    agent: e.agent.clone(),
                    currency: e.currency,
                    float_minor: e.float_minor,
                    cash_minor: Minor::ZERO,
                    tickets: 0,
                });
            }
            EventBody::ShiftClosed(_) => self.shift = None,
            EventBody::Sale(sale) => self.apply_sale(envelope, sale),
            EventBody::Void(void) => self.apply_void(void),
            EventBody::LeaseAccepted(e) => {
                if let Some(grant) = self.offered.get(&(e.trip, e.lease_no)) {
                    let mut map = SeatMap::nothing(seat_count_of(grant));
                    grant.claims.iter().for_each(|c| map.own(c.seat, c.legs));
                    let lease = HeldLease {
                        grant: grant.clone(),
                        map,
                        ordinals: BTreeMap::new(),
                    };
                    self.held.insert((e.trip, e.lease_no), lease);
                }
            }
            EventBody::LeaseSurrendered(e) => {
                let key = (e.trip, e.lease_no);
                self.gone.insert(key);
                self.offered.remove(&key);
                self.held.remove(&key);
            }
            EventBody::PrintAttempted(_) | EventBody::Scan(_) | EventBody::ClockStep(..) => {}
        }
    }

    fn apply_sale(&mut self, envelope: &Envelope, sale: &Sale) {
        for (i, c) in sale.coupons.iter().enumerate() {
            if let Some(lease) = self.held.get_mut(&(c.trip, c.lease_no)) {
                lease.map.mark_taken(c.seat, c.legs);
                lease.ordinals.insert(c.seat, c.ordinal);
            }
            self.tickets.insert(
                ticket_id(envelope, i, c.trip, c.seat),
                SoldTicket {
                    shift: sale.shift,
                    trip: c.trip,
                    lease_no: c.lease_no,
                    seat: c.seat,
                    layout_version: c.layout_version,
                    legs: c.legs,
                    fare_minor: c.fare_minor,
                    void: false,
                },
            );
        }
        if let Some(shift) = self.shift.as_mut().filter(|s| s.shift == sale.shift) {
            let cash = sale.tender.iter().filter(|t| t.kind == TenderKind::Cash);
            shift.cash_minor.0 += cash.map(|t| t.amount_minor.0).sum::<i64>();
            shift.tickets += sale.coupons.len() as u32;
        }
    }

    fn apply_void(&mut self, void: &VoidRecord) {
        let Some(ticket) = self.tickets.get_mut(&void.ticket).filter(|t| !t.void) else {
            return;
        };
        ticket.void = true;
        if let Some(lease) = self.held.get_mut(&(ticket.trip, ticket.lease_no)) {
            lease.map.release(ticket.seat, ticket.legs);
        }
        if let Some(shift) = self.shift.as_mut().filter(|s| s.shift == void.shift) {
            shift.cash_minor.0 -= ticket.fare_minor.0;
            shift.tickets = shift.tickets.saturating_sub(1);
        }
    }
}
