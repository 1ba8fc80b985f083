//! Storing and judging, with the same rules as the real hub.

use std::collections::BTreeSet;

use domain::codec::from_cbor;
use domain::event::{ChainHead, Coupon, EventBody, SignedEvent};
use domain::ids::{Issuer, NodeId, NodeIncarnation, SeatNo, Seq, TicketId, TripId};
use domain::ingest::{
    Admission, Effect, IngestState, Judgement, Needs, QuarantineReason, TicketStanding,
    TicketState, Verdict, admit, judge,
};
use domain::lease::{LeaseStatus, SeatClaim};
use domain::swap::NO_SEAT;
use domain::ticket::ShortClaim;
use sync_protocol::batch::EventBatch;
use sync_protocol::frame::{ListedTicket, SeqVerdict, StoredMark};
use sync_protocol::{BucketId, Item};

use super::{Block, Hub, HubTicket};

/// What became of a batch.
#[derive(Debug)]
pub enum Stored {
    /// It is stored; the mark and the verdicts go back.
    Done {
        /// Up to where.
        mark: StoredMark,
        /// What was judged.
        judged: StoredMark,
        /// What was not plainly applied.
        exceptions: Vec<SeqVerdict>,
    },
    /// Events before it are missing, or it cannot be read.
    NotNow,
}

impl Hub {
    /// Stores a batch, then judges what is stored and not judged.
    pub fn ingest(&mut self, node: NodeId, batch: &EventBatch) -> Stored {
        let Some(record) = self.disk.nodes.get(&node) else {
            return Stored::NotNow;
        };
        if batch.incarnation > record.highest {
            return Stored::NotNow;
        }
        let Ok(events) = batch.unpack(node, &record.event_key) else {
            return Stored::NotNow;
        };
        let log = (node, batch.incarnation);
        for event in events {
            let stored = self.disk.logs.entry(log).or_default();
            let cursor = stored
                .last()
                .map_or(ChainHead::empty(log.1), SignedEvent::head);
            let hash_at = |seq: Seq| stored.get(seq.0 as usize - 1).map(|e| e.hash);
            match admit(&cursor, hash_at, &event) {
                Admission::Next => stored.push(event),
                Admission::Duplicate => {}
                Admission::Gap => return Stored::NotNow,
                Admission::Fork => {
                    let at = (node, log.1, event.envelope.seq, event.hash);
                    self.store_fork(at, event);
                }
            }
        }
        let exceptions = self.judge_backlog(node, log.1);
        if !self.disk.awaited.is_empty() {
            self.judge_everything();
        }
        let through = Seq(self
            .disk
            .judged
            .get(&log)
            .map_or(0, |judged| *judged as u64));
        Stored::Done {
            mark: StoredMark {
                incarnation: log.1,
                through: batch.last(),
            },
            judged: StoredMark {
                incarnation: log.1,
                through,
            },
            exceptions,
        }
    }

    /// A fork is stored beside the log; what it took stands in suspense.
    fn store_fork(
        &mut self,
        at: (NodeId, NodeIncarnation, Seq, domain::ids::EventHash),
        event: SignedEvent,
    ) {
        if self.disk.forks.contains_key(&at) {
            return;
        }
        if let Some(record) = self.disk.nodes.get_mut(&at.0) {
            record.frozen = true;
        }
        let judgement = self.judge_one(at.0, &event);
        self.apply(at.0, judgement.effects);
        self.disk.forks.insert(at, event);
    }

    pub(super) fn judge_backlog(
        &mut self,
        node: NodeId,
        incarnation: NodeIncarnation,
    ) -> Vec<SeqVerdict> {
        let log = (node, incarnation);
        let mut exceptions = vec![];
        if self.waits_to_judge(node) {
            return exceptions;
        }
        loop {
            let at = self.disk.judged.get(&log).copied().unwrap_or(0);
            let event = self.disk.logs.get(&log).and_then(|l| l.get(at)).cloned();
            let Some(event) = event else {
                return exceptions;
            };
            if self.waits(node, &event) {
                return exceptions;
            }
            let judgement = self.judge_one(node, &event);
            if judgement.verdict != Verdict::Applied {
                let verdict = judgement.verdict;
                exceptions.push(SeqVerdict {
                    seq: event.envelope.seq,
                    verdict,
                });
            }
            self.apply(node, judgement.effects);
            self.disk.judged.insert(log, at + 1);
        }
    }

    fn waits(&self, node: NodeId, event: &SignedEvent) -> bool {
        let Ok(body) = from_cbor::<EventBody>(&event.envelope.body) else {
            return false;
        };
        self.waits_for_another(&self.load(node, &body), event)
    }

    fn judge_one(&self, node: NodeId, event: &SignedEvent) -> Judgement {
        let Ok(body) = from_cbor::<EventBody>(&event.envelope.body) else {
            return Judgement {
                verdict: Verdict::Quarantined(QuarantineReason::NotUnderstood),
                effects: vec![],
            };
        };
        judge(&mut self.load(node, &body), event)
    }

    fn load(&self, node: NodeId, body: &EventBody) -> IngestState {
        let disk = &self.disk;
        let mut needs = Needs::default();
        needs.add(body);
        let mut state = IngestState::new(node, self.zone.clone());
        state.frozen = disk.nodes.get(&node).is_some_and(|n| n.frozen);
        for (trip, no) in &needs.leases {
            if let Some(lease) = disk.leases.get(&(*trip, node, *no)) {
                state.leases.insert((*trip, *no), lease.clone());
            }
        }
        let seats = self.seats_sold(body, &mut state);
        for (id, t) in &disk.tickets {
            let claim = &t.ticket.claim;
            let place = (claim.trip, t.seat);
            if t.state == TicketState::Live && seats.contains(&place) {
                state.seats.entry(place).or_default().push((*id, t.legs));
            }
            if needs.tickets.contains(id) && t.issuer == Issuer::Node(node) {
                state.tickets.insert(*id, self.standing(node, t));
            }
            let lease = claim.lease.map(|l| (claim.trip, l.no));
            let lease = lease.filter(|key| needs.surrendered.contains(key));
            if let (Some(key), TicketState::Void) = (lease, t.state)
                && t.issuer == Issuer::Node(node)
            {
                let (seat, legs) = (t.seat, t.legs);
                let voided = state.voided.entry(key).or_default();
                voided.insert(SeatClaim { seat, legs });
            }
        }
        if !needs.shown.is_empty() {
            self.own_tickets(&mut state);
        }
        for shift in &needs.shifts {
            if let Some(standing) = disk.shifts.get(&(node, *shift)) {
                state.shifts.insert(*shift, standing.clone());
            }
        }
        state
    }

    /// The seats that a sale is for, as numbered today. The maps that lead there are loaded.
    fn seats_sold(&self, body: &EventBody, state: &mut IngestState) -> BTreeSet<(TripId, SeatNo)> {
        let EventBody::Sale(sale) = body else {
            return BTreeSet::new();
        };
        for coupon in &sale.coupons {
            let trip = self.disk.trips.get(&coupon.trip);
            if let Some(trip) = trip.filter(|t| !t.swaps.is_empty()) {
                state.swaps.insert(trip.id, trip.swaps.clone());
            }
        }
        let today = |c: &Coupon| Some((c.trip, state.seat_now(c)?));
        sale.coupons.iter().filter_map(today).collect()
    }

    fn standing(&self, node: NodeId, t: &HubTicket) -> TicketStanding {
        let claim = &t.ticket.claim;
        let lease_no = claim.lease.map_or(domain::ids::LeaseNo(0), |l| l.no);
        let lease = self.disk.leases.get(&(claim.trip, node, lease_no));
        TicketStanding {
            shift: t.shift,
            place: (claim.trip, t.seat, t.legs),
            lease_no,
            fare_minor: t.fare_minor,
            state: t.state,
            lease_closed: lease.is_some_and(|l| l.status == LeaseStatus::Closed),
        }
    }

    fn apply(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::OpenShift {
                    shift, standing, ..
                } => {
                    self.disk.shifts.insert((node, shift), standing);
                }
                Effect::CloseShift { shift, .. } => {
                    if let Some(standing) = self.disk.shifts.get_mut(&(node, shift)) {
                        standing.open = false;
                    }
                }
                Effect::AcceptLease(trip, no) => {
                    if let Some(lease) = self.disk.leases.get_mut(&(trip, node, no)) {
                        lease.status = LeaseStatus::Accepted;
                    }
                }
                Effect::CloseLease {
                    trip,
                    lease_no,
                    blocked,
                } => {
                    if let Some(lease) = self.disk.leases.get_mut(&(trip, node, lease_no)) {
                        lease.status = LeaseStatus::Closed;
                    }
                    for claim in blocked {
                        self.block(trip, claim);
                    }
                }
                Effect::Block(trip, claim) => self.block(trip, claim),
                Effect::InsertTicket(new) => {
                    let id = new.ticket.claim.id;
                    let ticket = HubTicket {
                        ticket: new.ticket,
                        seat: new.seat,
                        legs: new.legs,
                        issuer: Issuer::Node(node),
                        shift: new.shift,
                        fare_minor: new.fare_minor,
                        state: new.state,
                    };
                    self.disk.tickets.insert(id, ticket);
                    self.list(id);
                }
                Effect::VoidTicket(id, _) => self.void(id),
                Effect::Post(entry) => self.disk.ledger.push(entry),
                Effect::RecordScan(scan, _) => {
                    self.disk.scans += 1;
                    let boards = scan.answer.lets_on();
                    self.disk.boarded.extend(scan.ticket.filter(|_| boards));
                }
                Effect::OpenCase(case) => self.disk.cases.push(case),
                Effect::KeepSeat(lost) => self.keep_seat(*lost),
            }
        }
    }

    fn block(&mut self, trip: TripId, claim: SeatClaim) {
        // What has no seat since the bus was swapped keeps nobody from one.
        if claim.seat == NO_SEAT {
            return;
        }
        let waits_for = self.disk.buckets.last(&BucketId::Trip(trip).name());
        self.disk.blocks.push(Block {
            trip,
            claim,
            waits_for,
        });
    }

    fn void(&mut self, id: TicketId) {
        if let Some(t) = self.disk.tickets.get_mut(&id) {
            t.state = TicketState::Void;
            self.list(id);
        }
    }

    /// Puts a ticket on its trip's manifest.
    pub fn list(&mut self, id: TicketId) {
        let Some(t) = self.disk.tickets.get(&id) else {
            return;
        };
        let claim = &t.ticket.claim;
        let listed = ListedTicket {
            id,
            trip: claim.trip,
            seat: t.seat,
            legs: t.legs,
            issuer: t.issuer,
            lease_no: claim.lease.map(|l| l.no),
            ordinal: claim.ordinal,
            state: t.state,
            code: ShortClaim::of(claim, t.issuer),
        };
        let bucket = BucketId::Trip(claim.trip).name();
        self.disk
            .buckets
            .publish(&bucket, &format!("ticket:{id}"), Item::Ticket(listed));
    }
}
