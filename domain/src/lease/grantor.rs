//! The grantor: which seats a node gets, decided over one trip's inventory.

use std::collections::BTreeMap;

use super::{CLAIMS_MAX, Grant, LeaseRequest, SeatClaim};
use crate::ids::{
    HubIncarnation, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, RequestId, SeatNo, StopSeq, TripId,
};
use crate::restore::{LEASES_SKIPPED, first_epoch};
use crate::seatmap::SeatMap;
use crate::time::Instant;
use crate::trip::Legs;
use crate::weaken::{Weakness, weakened};

/// Where a lease stands with the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseStatus {
    /// Granted, not yet heard to be accepted; it binds all the same.
    Offered,
    /// The holder logged that it sells from it.
    Accepted,
    /// The holder's surrender was stored and understood.
    Closed,
}

/// A grant and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStanding {
    /// What was granted.
    pub grant: Grant,
    /// Where it stands.
    pub status: LeaseStatus,
}

/// One trip as the grantor sees it.
#[derive(Debug, Clone)]
pub struct TripInventory {
    /// Which trip.
    pub trip: TripId,
    /// How many legs it has.
    pub leg_count: u8,
    /// The seat numbering in force.
    pub layout_version: LayoutVersion,
    /// When each stop stops boarding, by stop sequence.
    pub boarding_closes: Vec<Instant>,
    /// The pool: what no claim and no live ticket covers is free.
    pub pool: SeatMap,
    /// Every lease of the trip, closed ones too: their numbers are never used again.
    pub leases: BTreeMap<(NodeId, LeaseNo), LeaseStanding>,
    /// Which installation of the hub grants.
    pub hub: HubIncarnation,
    /// The hub was restored, and not all who may hold rights on the trip have told of them.
    pub frozen: bool,
}

/// How generous the company is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// The most seats one request may ask for.
    pub seats_per_request_max: u16,
}

impl Default for LeasePolicy {
    fn default() -> Self {
        Self {
            seats_per_request_max: 60,
        }
    }
}

/// Why a request got nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, minicbor::Encode, minicbor::Decode,
)]
pub enum GrantRefusal {
    /// Nobody knows the trip.
    #[error("the hub does not know this trip: sync the timetable")]
    #[n(0)]
    UnknownTrip,
    /// The stops are not stops of the trip, in order.
    #[error("the trip does not run between these stops")]
    #[n(1)]
    BadStops,
    /// No seats asked for, or more than the company allows at once.
    #[error("ask for 1 to {most} seats at a time")]
    #[n(2)]
    BadCount {
        /// The company's limit.
        #[n(0)]
        most: u16,
    },
    /// Boarding has closed.
    #[error("boarding at this stop has closed")]
    #[n(3)]
    BoardingClosed,
    /// No seat is free on these legs.
    #[error("no seat is left on these legs")]
    #[n(4)]
    SoldOut,
    /// The node's rights are frozen, as after a fork of its log.
    #[error("this device's rights are frozen: call the office")]
    #[n(5)]
    Frozen,
    /// Every lease number of the node on this trip is used up.
    #[error("this device has had too many leases on this trip")]
    #[n(6)]
    TooManyLeases,
    /// The hub was restored from a backup and does not know yet who holds what.
    #[error(
        "the hub was restored and waits for every device to tell what it holds of this trip: sell \
         from what this device has, and ask again later"
    )]
    #[n(7)]
    TripFrozen,
}

fn existing(inventory: &TripInventory, holder: NodeId, request: RequestId) -> Option<&Grant> {
    if weakened(Weakness::RetryGetsSecondGrant) {
        return None;
    }
    inventory
        .leases
        .range((holder, LeaseNo(0))..=(holder, LeaseNo(u16::MAX)))
        .map(|(_, lease)| &lease.grant)
        .find(|grant| grant.request == request)
}

/// Frees what expired leases hold: the mistake that `sell_until` must never be used for.
fn free_expired(inventory: &TripInventory, pool: &mut SeatMap, now: Instant) {
    for lease in inventory.leases.values() {
        if lease.status != LeaseStatus::Closed && now > lease.grant.sell_until {
            for claim in &lease.grant.claims {
                pool.release(claim.seat, claim.legs);
            }
        }
    }
}

/// Decides a request: the earlier grant when it is a retry, a new one from the pool by best fit,
/// or why not. Fewer seats than asked are granted when fewer are free.
pub fn decide_grant(
    inventory: &TripInventory,
    holder: NodeId,
    request: &LeaseRequest,
    policy: LeasePolicy,
    now: Instant,
) -> Result<Grant, GrantRefusal> {
    if let Some(grant) = existing(inventory, holder, request.request) {
        return Ok(grant.clone());
    }
    if inventory.frozen && !weakened(Weakness::NoFreezeAfterRestore) {
        return Err(GrantRefusal::TripFrozen);
    }
    let asked: usize = request.wants.iter().map(|w| usize::from(w.count)).sum();
    let most = policy.seats_per_request_max.min(CLAIMS_MAX as u16);
    if asked == 0 || asked > usize::from(most) {
        return Err(GrantRefusal::BadCount { most });
    }
    let closes = inventory
        .boarding_closes
        .get(usize::from(request.boarding.0));
    let sell_until = *closes.ok_or(GrantRefusal::BadStops)?;
    let mut pool = inventory.pool.clone();
    if weakened(Weakness::RegrantOnExpiry) {
        free_expired(inventory, &mut pool, now);
    } else if now > sell_until {
        return Err(GrantRefusal::BoardingClosed);
    }
    let claims = pick(&mut pool, inventory.leg_count, request)?;
    if claims.is_empty() {
        return Err(GrantRefusal::SoldOut);
    }
    Ok(Grant {
        trip: inventory.trip,
        lease_no: next_number(inventory, holder)?,
        holder,
        epoch: next_epoch(inventory),
        boarding: request.boarding,
        claims,
        layout_version: inventory.layout_version,
        sell_until,
        request: request.request,
    })
}

fn pick(
    pool: &mut SeatMap,
    leg_count: u8,
    request: &LeaseRequest,
) -> Result<Vec<SeatClaim>, GrantRefusal> {
    let mut claims: Vec<SeatClaim> = vec![];
    for want in &request.wants {
        let legs = Legs::new(request.boarding, want.to)
            .filter(|l| l.to() <= StopSeq(leg_count))
            .ok_or(GrantRefusal::BadStops)?;
        for _ in 0..want.count {
            let Some(seat) = pool.best_fit(legs) else {
                break;
            };
            pool.mark_taken(seat, legs);
            claims.push(SeatClaim { seat, legs });
        }
    }
    claims.sort_unstable();
    Ok(claims)
}

fn next_number(inventory: &TripInventory, holder: NodeId) -> Result<LeaseNo, GrantRefusal> {
    let mut of_holder = inventory
        .leases
        .range((holder, LeaseNo(0))..=(holder, LeaseNo(u16::MAX)));
    let last = of_holder.next_back();
    let (no, epoch) = last.map_or((0, LeaseEpoch(0)), |((_, no), l)| (no.0, l.grant.epoch));
    // Numbers that an earlier installation gave and this one never heard of are left out.
    let step = if epoch < first_epoch(inventory.hub) {
        LEASES_SKIPPED
    } else {
        1
    };
    no.checked_add(step)
        .or(no.checked_add(1))
        .map(LeaseNo)
        .ok_or(GrantRefusal::TooManyLeases)
}

fn next_epoch(inventory: &TripInventory) -> LeaseEpoch {
    let highest = inventory.leases.values().map(|l| l.grant.epoch).max();
    let highest = highest.unwrap_or(LeaseEpoch(0)).0.saturating_add(1);
    LeaseEpoch(highest).max(first_epoch(inventory.hub))
}

impl TripInventory {
    /// Takes a decided grant into the inventory, as the hub does when it stores it.
    pub fn admit(&mut self, grant: &Grant) {
        for claim in &grant.claims {
            self.pool.mark_taken(claim.seat, claim.legs);
        }
        self.leases.insert(
            (grant.holder, grant.lease_no),
            LeaseStanding {
                grant: grant.clone(),
                status: LeaseStatus::Offered,
            },
        );
    }

    /// A seat of the pool for a sale by the hub itself.
    pub fn pool_seat(&self, wanted: Option<SeatNo>, legs: Legs) -> Option<SeatNo> {
        match wanted {
            Some(seat) => self.pool.is_free(seat, legs).then_some(seat),
            None => self.pool.best_fit(legs),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::SeatWant;
    use super::*;

    fn inventory(seats: u16) -> TripInventory {
        TripInventory {
            trip: TripId(7),
            leg_count: 4,
            layout_version: LayoutVersion(1),
            boarding_closes: (1..=5).map(|h| Instant(h * 3_600_000)).collect(),
            pool: SeatMap::whole(seats),
            leases: BTreeMap::new(),
            hub: HubIncarnation(1),
            frozen: false,
        }
    }

    fn node(n: u128) -> NodeId {
        NodeId(Uuid::from_u128(n))
    }

    fn ask(id: u128, boarding: u8, wants: &[(u8, u16)]) -> LeaseRequest {
        LeaseRequest {
            request: RequestId(Uuid::from_u128(id)),
            trip: TripId(7),
            boarding: StopSeq(boarding),
            wants: wants
                .iter()
                .map(|(to, count)| SeatWant {
                    to: StopSeq(*to),
                    count: *count,
                })
                .collect(),
        }
    }

    fn grant(
        inventory: &mut TripInventory,
        holder: NodeId,
        request: &LeaseRequest,
    ) -> Result<Grant, GrantRefusal> {
        let grant = decide_grant(
            inventory,
            holder,
            request,
            LeasePolicy::default(),
            Instant(0),
        )?;
        inventory.admit(&grant);
        Ok(grant)
    }

    #[test]
    fn a_retry_gets_the_same_grant() {
        let mut inv = inventory(10);
        let first = grant(&mut inv, node(1), &ask(1, 0, &[(4, 3)])).unwrap();
        let again = grant(&mut inv, node(1), &ask(1, 0, &[(4, 3)])).unwrap();
        assert_eq!(first, again);
        assert_eq!(
            inv.pool
                .free_seats(Legs::new(StopSeq(0), StopSeq(4)).unwrap())
                .count(),
            7
        );
    }

    #[test]
    fn the_second_half_of_a_seat_goes_to_the_next_station() {
        let mut inv = inventory(4);
        let lusaka = grant(&mut inv, node(1), &ask(1, 0, &[(4, 2), (2, 2)])).unwrap();
        let kabwe = grant(&mut inv, node(2), &ask(2, 2, &[(4, 4)])).unwrap();
        assert_eq!(lusaka.claims.len(), 4);
        assert_eq!(
            kabwe.claims.iter().map(|c| c.seat.0).collect::<Vec<_>>(),
            vec![3, 4]
        );
        assert!(kabwe.epoch > lusaka.epoch);
        assert!(lusaka.allows(SeatNo(3), Legs::new(StopSeq(0), StopSeq(2)).unwrap()));
        assert!(!lusaka.allows(SeatNo(3), Legs::new(StopSeq(0), StopSeq(3)).unwrap()));
        assert!(!kabwe.allows(SeatNo(3), Legs::new(StopSeq(3), StopSeq(4)).unwrap()));
    }

    #[test]
    fn an_expired_lease_frees_nothing() {
        let mut inv = inventory(2);
        grant(&mut inv, node(1), &ask(1, 0, &[(4, 2)])).unwrap();
        let late = Instant(90 * 60_000);
        let refused = decide_grant(
            &inv,
            node(2),
            &ask(2, 2, &[(4, 1)]),
            LeasePolicy::default(),
            late,
        );
        assert_eq!(refused, Err(GrantRefusal::SoldOut));
    }

    #[test]
    fn what_cannot_be_granted_is_refused_with_its_reason() {
        let inv = inventory(2);
        let decide = |r: &LeaseRequest, now| {
            decide_grant(&inv, node(1), r, LeasePolicy::default(), Instant(now)).unwrap_err()
        };
        assert_eq!(
            decide(&ask(1, 0, &[]), 0),
            GrantRefusal::BadCount { most: 60 }
        );
        assert_eq!(
            decide(&ask(1, 0, &[(4, 61)]), 0),
            GrantRefusal::BadCount { most: 60 }
        );
        assert_eq!(decide(&ask(1, 2, &[(2, 1)]), 0), GrantRefusal::BadStops);
        assert_eq!(decide(&ask(1, 0, &[(5, 1)]), 0), GrantRefusal::BadStops);
        assert_eq!(decide(&ask(1, 9, &[(5, 1)]), 0), GrantRefusal::BadStops);
        assert_eq!(
            decide(&ask(1, 0, &[(4, 1)]), 4_000_000),
            GrantRefusal::BoardingClosed
        );
    }

    #[test]
    fn a_signed_grant_reads_back_and_a_changed_one_does_not() {
        use super::super::{GrantError, SignedGrant};
        use ed25519_dalek::SigningKey;
        let mut inv = inventory(10);
        let given = grant(&mut inv, node(1), &ask(1, 0, &[(4, 3)])).unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let signed = SignedGrant::sign(&given, &key);
        assert_eq!(signed.verify(&key.verifying_key()), Ok(given));
        let stranger = SigningKey::from_bytes(&[8; 32]);
        assert_eq!(
            signed.verify(&stranger.verifying_key()),
            Err(GrantError::BadSignature)
        );
    }
}
