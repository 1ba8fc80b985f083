//! A hub that was restored to an earlier disk, with the same rules as the real one.

use domain::event::{ChainHead, SignedEvent};
use domain::ids::{Issuer, NodeId, Seq, TripId};
use domain::ingest::{IngestState, TicketState, Unlisted, stands_against};
use domain::lease::{LeaseStanding, LeaseStatus, SeatClaim};
use domain::restore::{Adoption, Awaited, LogStanding, Owned, decide_adoption, freezes};
use domain::time::Instant;
use sync_protocol::frame::{Known, LogHead};
use sync_protocol::resume::Resume;

use super::{Disk, Hub};

impl Hub {
    /// Goes on from an earlier disk as another installation, with everything frozen that somebody
    /// may hold rights on.
    pub fn restore(&mut self, from: Disk, backup_at: Instant, now: Instant) {
        let last = self.disk.incarnation.max(from.incarnation);
        self.disk = from;
        self.disk.incarnation = last.restored_at(now);
        // A disk that was in doubt when the backup was made is in doubt while trips wait for it.
        let unsettled = !self.disk.frozen.is_empty();
        let before = std::mem::take(&mut self.disk.awaited);
        let awaited = |node: &NodeId| Awaited {
            doubtful: unsettled && before.get(node).is_some_and(|a| a.doubtful),
            ..Awaited::default()
        };
        let nodes = self.disk.nodes.keys();
        self.disk.awaited = nodes.map(|node| (*node, awaited(node))).collect();
        let open = self.disk.trips.values().filter(|trip| {
            let last = trip.stops.last();
            last.is_none_or(|stop| freezes(stop.arrives, backup_at))
        });
        // What was frozen in the backup stays so, as it was not settled either.
        let open: Vec<TripId> = open.map(|trip| trip.id).collect();
        self.disk.frozen.extend(open);
    }

    /// Whether the node shall tell its grants; a doubtful disk is remembered.
    pub(super) fn note_greeting(&mut self, node: NodeId, resume: &Resume) -> bool {
        match self.disk.awaited.get_mut(&node) {
            Some(awaited) if awaited.told.is_none() => {
                awaited.doubtful |= resume.doubtful;
                true
            }
            _ => false,
        }
    }

    /// Takes the grants that a node told, its own and others'.
    pub fn take_grants(&mut self, node: NodeId, logs: &[LogHead], told: &Known) {
        for signed in told.grants.iter().chain(&told.others) {
            let Ok(told) = signed.verify(&self.key.verifying_key()) else {
                continue;
            };
            let key = (told.trip, told.holder, told.lease_no);
            let known = self.disk.leases.get(&key).map(|lease| &lease.grant);
            if decide_adoption(known, &told) != Adoption::Adopt {
                continue;
            }
            let status = LeaseStatus::Offered;
            let grant = told.clone();
            self.disk
                .leases
                .insert(key, LeaseStanding { grant, status });
            self.disk.grants.insert(key, signed.clone());
            self.publish_grant(&told, signed);
        }
        if let Some(awaited) = self.disk.awaited.get_mut(&node) {
            let heads = logs.iter().map(|log| ChainHead::from(*log)).collect();
            awaited.told.get_or_insert(heads);
        }
        self.judge_everything();
    }

    /// Judges what waited, until nothing moves any more, and opens the trips when all is in.
    pub(super) fn judge_everything(&mut self) {
        loop {
            let before = self.disk.judged.clone();
            let logs: Vec<_> = self.disk.logs.keys().copied().collect();
            for (node, incarnation) in logs {
                self.judge_backlog(node, incarnation);
            }
            if self.disk.judged == before {
                break;
            }
        }
        let open = |(node, awaited): (&NodeId, &Awaited)| {
            awaited
                .waits_for(|head| self.standing_of(*node, head))
                .is_none()
        };
        if self.disk.frozen.is_empty() || !self.disk.awaited.iter().all(open) {
            return;
        }
        for trip in std::mem::take(&mut self.disk.frozen) {
            self.keep_seats(trip);
        }
    }

    fn standing_of(&self, node: NodeId, head: &ChainHead) -> LogStanding {
        let log = (node, head.incarnation);
        let fork = (node, head.incarnation, head.seq, head.hash);
        LogStanding {
            judged: Seq(self
                .disk
                .judged
                .get(&log)
                .map_or(0, |judged| *judged as u64)),
            fork_judged: self.disk.forks.contains_key(&fork),
        }
    }

    fn is_drained(&self, node: NodeId) -> bool {
        let awaited = self.disk.awaited.get(&node);
        awaited.is_none_or(|a| a.is_drained(|head| self.standing_of(node, head)))
    }

    /// Nothing of a node is judged before it has told its grants.
    pub(super) fn waits_to_judge(&self, node: NodeId) -> bool {
        self.disk
            .awaited
            .get(&node)
            .is_some_and(|a| a.told.is_none())
    }

    /// A sale on a seat whose earlier ticket may have been taken back in the time that is lost waits
    /// for the log that would say so.
    pub(super) fn waits_for_another(&self, state: &IngestState, event: &SignedEvent) -> bool {
        !self.disk.awaited.is_empty()
            && stands_against(state, event).iter().any(|id| {
                let issuer = self.disk.tickets.get(id).map(|t| t.issuer);
                matches!(issuer, Some(Issuer::Node(other))
                    if other != state.node && !self.is_drained(other))
            })
    }

    /// The hub's own tickets that a batch may have seen without their being known.
    pub(super) fn own_tickets(&self, state: &mut IngestState) {
        if !self.disk.incarnation.is_restored() {
            return;
        }
        let key = domain::ticket::KeyRecord::signing(Issuer::Hub, self.key.verifying_key());
        state.hub_keys = vec![key];
        let hub = self
            .disk
            .tickets
            .iter()
            .filter(|(_, t)| t.issuer == Issuer::Hub);
        state.own_tickets = hub.map(|(id, _)| *id).collect();
        state
            .own_tickets
            .extend(self.disk.unlisted.iter().map(|lost| lost.ticket));
    }

    pub(super) fn keep_seat(&mut self, lost: Unlisted) {
        let trip = lost.trip;
        self.disk.unlisted.push(lost);
        self.keep_seats(trip);
    }

    /// Keeps what is free of the seats of lost tickets.
    fn keep_seats(&mut self, trip: TripId) {
        let mut owned = Owned::default();
        for claim in self.owned(trip) {
            owned.add(claim);
        }
        let Some(known) = self.disk.trips.get(&trip) else {
            return;
        };
        for lost in self.disk.unlisted.iter().filter(|lost| lost.trip == trip) {
            let Some(seat) = known.seat_now(lost.seat, lost.under) else {
                continue;
            };
            let legs = lost.legs;
            let claim = SeatClaim { seat, legs };
            let pieces = owned.cover(claim).into_iter();
            self.disk.kept.extend(pieces.map(|piece| (trip, piece)));
        }
    }

    fn owned(&self, trip: TripId) -> Vec<SeatClaim> {
        let disk = &self.disk;
        let leased = disk.trips.get(&trip).map(|known| self.rights(known));
        let leased = leased.into_iter().flatten();
        let kept = disk
            .kept
            .iter()
            .filter(|(t, _)| *t == trip)
            .map(|(_, c)| *c);
        let blocked = disk
            .blocks
            .iter()
            .filter(|b| b.trip == trip)
            .map(|b| b.claim);
        let live = disk
            .tickets
            .values()
            .filter(|t| t.ticket.claim.trip == trip && t.state == TicketState::Live);
        let sold = live.map(|t| SeatClaim {
            seat: t.seat,
            legs: t.legs,
        });
        leased.chain(kept).chain(blocked).chain(sold).collect()
    }
}
