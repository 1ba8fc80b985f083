//! What a node says of itself.

use domain::counter::{HeldLease, OpenShift};
use domain::ids::{LeaseNo, NodeId, NodeIncarnation, Seq, StopSeq, TripId};
use domain::time::Instant;
use domain::trip::Trip;

use super::Engine;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The node.
    pub node: NodeId,
    /// Which installation.
    pub incarnation: NodeIncarnation,
    /// The last position of the running log.
    pub last_seq: Seq,
    /// Everything up to here is stored at the hub.
    pub stored_seq: Seq,
    /// Everything up to here has its verdict.
    pub judged_seq: Seq,
    /// Events of every log on this disk that the hub has not stored.
    pub unsynced: u64,
    /// Why the node may not sell, if it may not.
    pub blocked: Option<String>,
    /// The open shift.
    pub shift: Option<OpenShift>,
    /// The leases that it sells from.
    pub leases: Vec<LeaseStatus>,
    /// Lease requests without an answer.
    pub waiting_requests: usize,
    /// Trips that it validates.
    pub validates: Vec<TripId>,
}

/// A lease and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Which trip.
    pub trip: TripId,
    /// Its number.
    pub lease_no: LeaseNo,
    /// The stop its tickets board at.
    pub boarding: StopSeq,
    /// How many claims were granted.
    pub seats: usize,
    /// How many of them are untouched.
    pub seats_left: usize,
    /// When selling stops.
    pub sell_until: Instant,
}

/// A trip and what this node may sell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripListing {
    /// The trip.
    pub trip: Trip,
    /// The leases held on it.
    pub leases: Vec<LeaseStatus>,
}

fn lease_status(lease: &HeldLease) -> LeaseStatus {
    let grant = &lease.grant;
    let untouched = grant
        .claims
        .iter()
        .filter(|c| lease.map.is_free(c.seat, c.legs));
    LeaseStatus {
        trip: grant.trip,
        lease_no: grant.lease_no,
        boarding: grant.boarding,
        seats: grant.claims.len(),
        seats_left: untouched.count(),
        sell_until: grant.sell_until,
    }
}

impl Engine {
    /// What the node says of itself.
    pub fn status(&self) -> Status {
        let loaded = &self.loaded;
        let head = loaded.head;
        let mark = loaded.marks.get(&head.incarnation);
        let stored = |incarnation| loaded.marks.get(&incarnation).map_or(0, |m| m.stored.0);
        let heads = loaded.older.iter().chain(std::iter::once(&head));
        Status {
            node: self.config.node,
            incarnation: head.incarnation,
            last_seq: head.seq,
            stored_seq: mark.map_or(Seq(0), |m| m.stored),
            judged_seq: mark.map_or(Seq(0), |m| m.judged),
            unsynced: heads
                .map(|h| h.seq.0.saturating_sub(stored(h.incarnation)))
                .sum(),
            blocked: loaded.doubt.as_ref().map(ToString::to_string),
            shift: loaded.state.shift().cloned(),
            leases: loaded.state.leases().map(lease_status).collect(),
            waiting_requests: self.open_wishes().len(),
            validates: self.validated_trips().collect(),
        }
    }

    /// The trips that have not ended, by departure.
    pub fn trips(&self, now: Instant) -> Vec<TripListing> {
        let mut trips: Vec<TripListing> = self
            .loaded
            .catalogue
            .trips
            .values()
            .filter(|trip| trip.stops.last().is_some_and(|s| s.arrives >= now))
            .map(|trip| TripListing {
                trip: trip.clone(),
                leases: self
                    .loaded
                    .state
                    .leases()
                    .filter(|l| l.grant.trip == trip.id)
                    .map(lease_status)
                    .collect(),
            })
            .collect();
        trips.sort_by_key(|t| (t.trip.stops.first().map(|s| s.departs), t.trip.id));
        trips
    }
}
