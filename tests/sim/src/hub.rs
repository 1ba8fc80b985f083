//! The hub in memory: `domain`'s grantor and `domain::ingest` over maps instead of tables.
//!
//! What is in [`Disk`] survives a crash; work that has not been done yet and sessions do not.

mod buckets;
pub mod ingest;
pub mod restore;
pub mod swap;

use std::collections::{BTreeMap, BTreeSet};

use domain::event::SignedEvent;
use domain::ids::{
    EventHash, HubIncarnation, Issuer, LeaseNo, NodeId, NodeIncarnation, RequestId, SeatNo, Seq,
    ShiftNo, TicketId, TripId,
};
use domain::ingest::{Case, ShiftStanding, TicketState, Unlisted};
use domain::layout::SeatLayout;
use domain::lease::{
    Grant, GrantRefusal, LeasePolicy, LeaseRequest, LeaseStanding, LeaseStatus, SeatClaim,
    SignedGrant, TripInventory, decide_grant,
};
use domain::ledger::Entry;
use domain::money::Minor;
use domain::restore::{Awaited, FIRST};
use domain::seatmap::SeatMap;
use domain::ticket::{KeyRecord, SignedTicket};
use domain::time::{Instant, Zone};
use domain::trip::{Legs, Trip};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sync_protocol::frame::{Hello, LeaseAnswer, LogHead, PROTOCOL_VERSION, Welcome};
use sync_protocol::resume::{KnownLog, decide_resume};
use sync_protocol::{BucketId, Item};

use buckets::Buckets;
use swap::{Offer, SwapRow};

/// A node as the hub knows it.
#[derive(Debug, Clone)]
pub struct NodeRecord {
    /// Its log's key.
    pub event_key: VerifyingKey,
    /// Its tickets' key.
    pub ticket_key: KeyRecord,
    /// A station's stop; `None` for a bus.
    pub stop: Option<domain::ids::StopCode>,
    /// The highest incarnation the hub ever gave it.
    pub highest: NodeIncarnation,
    /// Its log forked.
    pub frozen: bool,
}

/// A ticket as the hub knows it.
#[derive(Debug, Clone)]
pub struct HubTicket {
    /// As printed.
    pub ticket: SignedTicket,
    /// Its seat as numbered today; [`domain::swap::NO_SEAT`] for none.
    pub seat: SeatNo,
    /// Its legs.
    pub legs: Legs,
    /// Who sold it.
    pub issuer: Issuer,
    /// The shift that sold it.
    pub shift: ShiftNo,
    /// What was paid.
    pub fare_minor: Minor,
    /// Where it stands.
    pub state: TicketState,
}

/// Seats that wait until the bus has applied a change.
#[derive(Debug, Clone)]
pub struct Block {
    /// Which trip.
    pub trip: TripId,
    /// Which legs of which seat.
    pub claim: SeatClaim,
    /// The change of the trip's bucket that the bus must have applied.
    pub waits_for: u64,
}

/// What the hub has committed.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Known devices.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// Stored logs.
    pub logs: BTreeMap<(NodeId, NodeIncarnation), Vec<SignedEvent>>,
    /// How many of each log are judged.
    pub judged: BTreeMap<(NodeId, NodeIncarnation), usize>,
    /// Second histories.
    pub forks: BTreeMap<(NodeId, NodeIncarnation, Seq, EventHash), SignedEvent>,
    /// Trips.
    pub trips: BTreeMap<TripId, Trip>,
    /// Leases.
    pub leases: BTreeMap<(TripId, NodeId, LeaseNo), LeaseStanding>,
    /// Grants as signed.
    pub grants: BTreeMap<(TripId, NodeId, LeaseNo), SignedGrant>,
    /// Blocked seats.
    pub blocks: Vec<Block>,
    /// Tickets.
    pub tickets: BTreeMap<TicketId, HubTicket>,
    /// Shifts.
    pub shifts: BTreeMap<(NodeId, ShiftNo), ShiftStanding>,
    /// Entries, in order.
    pub ledger: Vec<Entry>,
    /// Open cases.
    pub cases: Vec<Case>,
    /// How many scans were heard of.
    pub scans: usize,
    /// Tickets whose passengers a validator let on.
    pub boarded: BTreeSet<TicketId>,
    /// The buses of the company, by name.
    pub layouts: BTreeMap<String, SeatLayout>,
    /// Swaps of the trips, in order, undoings among them.
    pub swaps: BTreeMap<TripId, Vec<SwapRow>>,
    /// Tickets that a swap left without a place.
    pub displaced: BTreeSet<TicketId>,
    /// What their passengers were offered.
    pub offers: Vec<Offer>,
    /// Change logs.
    pub buckets: Buckets,
    /// Which installation of the hub this is.
    pub incarnation: HubIncarnation,
    /// Nodes that have to tell what they hold, since a restore.
    pub awaited: BTreeMap<NodeId, Awaited>,
    /// Trips whose pool waits for them.
    pub frozen: BTreeSet<TripId>,
    /// Tickets of the hub that are lost, seen by a validator.
    pub unlisted: Vec<Unlisted>,
    /// What of their seats is kept from being sold.
    pub kept: Vec<(TripId, SeatClaim)>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            logs: BTreeMap::new(),
            judged: BTreeMap::new(),
            forks: BTreeMap::new(),
            trips: BTreeMap::new(),
            leases: BTreeMap::new(),
            grants: BTreeMap::new(),
            blocks: vec![],
            tickets: BTreeMap::new(),
            shifts: BTreeMap::new(),
            ledger: vec![],
            cases: vec![],
            scans: 0,
            boarded: BTreeSet::new(),
            layouts: BTreeMap::new(),
            swaps: BTreeMap::new(),
            displaced: BTreeSet::new(),
            offers: vec![],
            buckets: Buckets::default(),
            incarnation: FIRST,
            awaited: BTreeMap::new(),
            frozen: BTreeSet::new(),
            unlisted: vec![],
            kept: vec![],
        }
    }
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    /// What survives a crash.
    pub disk: Disk,
    /// Signs grants and the hub's own tickets.
    pub key: SigningKey,
    /// The bus that validates every trip.
    pub bus: NodeId,
    /// The company's local time.
    pub zone: Zone,
}

/// Minutes before departure that boarding closes, in ms.
const BOARDING_CLOSES_MS: i64 = 5 * 60_000;

impl Hub {
    /// Lays out a trip's inventory from claims and live tickets.
    pub fn inventory(&self, trip: TripId) -> Option<TripInventory> {
        let known = self.disk.trips.get(&trip)?;
        let mut pool = SeatMap::whole(known.seat_count);
        let mut leases = BTreeMap::new();
        for ((_, node, no), lease) in self.disk.leases.iter().filter(|((t, ..), _)| *t == trip) {
            if lease.status != LeaseStatus::Closed {
                for claim in lease.grant.claims_now(&known.swaps) {
                    pool.mark_taken(claim.seat, claim.legs);
                }
            }
            leases.insert((*node, *no), lease.clone());
        }
        for block in self.disk.blocks.iter().filter(|b| b.trip == trip) {
            pool.mark_taken(block.claim.seat, block.claim.legs);
        }
        for (_, claim) in self.disk.kept.iter().filter(|(t, _)| *t == trip) {
            pool.mark_taken(claim.seat, claim.legs);
        }
        for ticket in self.disk.tickets.values() {
            if ticket.ticket.claim.trip == trip && ticket.state == TicketState::Live {
                pool.mark_taken(ticket.seat, ticket.legs);
            }
        }
        Some(TripInventory {
            trip,
            leg_count: known.leg_count(),
            layout_version: known.numbering(),
            boarding_closes: known
                .stops
                .iter()
                .map(|s| s.departs.plus_ms(-BOARDING_CLOSES_MS))
                .collect(),
            pool,
            leases,
            hub: self.disk.incarnation,
            frozen: self.disk.frozen.contains(&trip),
        })
    }

    /// Decides a lease request and commits what follows.
    pub fn decide_lease(
        &mut self,
        node: NodeId,
        request: &LeaseRequest,
        now: Instant,
    ) -> LeaseAnswer {
        if self.disk.nodes.get(&node).is_none_or(|n| n.frozen) {
            return LeaseAnswer::Refused(GrantRefusal::Frozen);
        }
        let Some(inventory) = self.inventory(request.trip) else {
            return LeaseAnswer::Refused(GrantRefusal::UnknownTrip);
        };
        let grant = match decide_grant(&inventory, node, request, LeasePolicy::default(), now) {
            Ok(grant) => grant,
            Err(refusal) => return LeaseAnswer::Refused(refusal),
        };
        let key = (grant.trip, node, grant.lease_no);
        if let Some(signed) = self.disk.grants.get(&key) {
            return LeaseAnswer::Granted(signed.clone());
        }
        let signed = SignedGrant::sign(&grant, &self.key);
        self.disk.leases.insert(
            key,
            LeaseStanding {
                grant: grant.clone(),
                status: LeaseStatus::Offered,
            },
        );
        self.disk.grants.insert(key, signed.clone());
        self.publish_grant(&grant, &signed);
        LeaseAnswer::Granted(signed)
    }

    fn publish_grant(&mut self, grant: &Grant, signed: &SignedGrant) {
        let node = grant.holder;
        let name = format!("grant:{node}:{}:{}", grant.trip, grant.lease_no);
        let buckets = &mut self.disk.buckets;
        buckets.publish(&format!("node:{node}"), &name, Item::Grant(signed.clone()));
        buckets.publish(
            &BucketId::Trip(grant.trip).name(),
            &name,
            Item::Grant(signed.clone()),
        );
    }

    /// How often each request id was granted.
    pub fn grants_per_request(&self) -> BTreeMap<(NodeId, RequestId), usize> {
        let mut counts = BTreeMap::new();
        for ((_, node, _), lease) in &self.disk.leases {
            *counts.entry((*node, lease.grant.request)).or_insert(0) += 1;
        }
        counts
    }

    /// Greets a node: decides how its logs go on and what it is sent.
    pub fn greet(&mut self, node: NodeId, hello: &Hello, now: Instant) -> Option<Welcome> {
        let known: Vec<KnownLog> = hello
            .logs
            .iter()
            .map(|log| self.known_log(node, log))
            .collect();
        let record = self.disk.nodes.get_mut(&node)?;
        let hub = self.disk.incarnation;
        let resume = decide_resume(hello, &known, record.highest, hub);
        record.frozen |= resume.forked;
        let running = hello.logs.last().map(|log| log.incarnation);
        record.highest = record.highest.max(resume.begin.or(running)?);
        let tell_grants = self.note_greeting(node, &resume);
        let record = self.disk.nodes.get(&node)?;
        let mut buckets = vec![BucketId::Node, BucketId::Company];
        match &record.stop {
            Some(stop) => buckets.push(BucketId::Station(stop.clone())),
            None => buckets.extend(self.disk.trips.keys().map(|t| BucketId::Trip(*t))),
        }
        Some(Welcome {
            version: PROTOCOL_VERSION,
            hub_incarnation: hub,
            now,
            stored: resume.stored,
            begin: resume.begin,
            buckets,
            tell_grants,
            takes: None,
        })
    }

    fn known_log(&self, node: NodeId, log: &LogHead) -> KnownLog {
        let events = self.disk.logs.get(&(node, log.incarnation));
        let events = events.map_or(&[][..], Vec::as_slice);
        let head = events.last().map_or(
            domain::event::ChainHead::empty(log.incarnation),
            SignedEvent::head,
        );
        KnownLog {
            head,
            hash_at_hello: (log.seq.0 as usize)
                .checked_sub(1)
                .and_then(|i| events.get(i))
                .map(|e| e.hash),
            fork_stored: self
                .disk
                .forks
                .contains_key(&(node, log.incarnation, log.seq, log.hash)),
        }
    }

    /// The facts of a bucket after a change, for one node.
    pub fn load_bucket(&self, node: NodeId, bucket: &BucketId, after: u64) -> (u64, Vec<Item>) {
        self.disk.buckets.after(&bucket_name(node, bucket), after)
    }

    /// A node has applied a bucket up to a change: what waited for the bus is free again.
    pub fn acked(&mut self, node: NodeId, bucket: &BucketId, change: u64) {
        if let (BucketId::Trip(trip), true) = (bucket, node == self.bus) {
            self.disk
                .blocks
                .retain(|b| b.trip != *trip || b.waits_for > change);
        }
    }
}

/// The name a bucket is kept under.
pub fn bucket_name(node: NodeId, bucket: &BucketId) -> String {
    match bucket {
        BucketId::Node => format!("node:{node}"),
        other @ (BucketId::Company | BucketId::Trip(_) | BucketId::Station(_)) => other.name(),
    }
}
