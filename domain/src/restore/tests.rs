//! What a restored hub may and may not do, over everything that nodes may have told.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::ids::{EventHash, LayoutVersion, LeaseNo, RequestId, StopSeq, TripId};
use crate::lease::{
    GrantRefusal, LeasePolicy, LeaseRequest, SeatWant, TripInventory, decide_grant,
};
use crate::seatmap::SeatMap;

const NOVEMBER: Instant = Instant(1_795_327_200_000);

fn node(n: u128) -> NodeId {
    NodeId(Uuid::from_u128(n))
}

fn head(incarnation: u32, seq: u64) -> ChainHead {
    ChainHead {
        incarnation: NodeIncarnation(incarnation),
        seq: Seq(seq),
        hash: EventHash([1; 32]),
    }
}

fn inventory(hub: HubIncarnation) -> TripInventory {
    TripInventory {
        trip: TripId(7),
        leg_count: 4,
        layout_version: LayoutVersion(1),
        boarding_closes: vec![NOVEMBER; 5],
        pool: SeatMap::whole(60),
        leases: BTreeMap::new(),
        hub,
        frozen: false,
    }
}

fn ask(id: u128, count: u16) -> LeaseRequest {
    LeaseRequest {
        request: RequestId(Uuid::from_u128(id)),
        trip: TripId(7),
        boarding: StopSeq(0),
        wants: vec![SeatWant {
            to: StopSeq(4),
            count,
        }],
    }
}

fn grant(inventory: &mut TripInventory, holder: NodeId, id: u128) -> Grant {
    let policy = LeasePolicy::default();
    let grant = decide_grant(inventory, holder, &ask(id, 1), policy, Instant(0)).unwrap();
    inventory.admit(&grant);
    grant
}

fn judged(up_to: u64) -> LogStanding {
    LogStanding {
        judged: Seq(up_to),
        fork_judged: false,
    }
}

#[test]
fn an_installation_follows_the_one_before_whatever_the_clock_says() {
    let first = FIRST.restored_at(NOVEMBER);
    assert!(first > FIRST);
    let again = FIRST.restored_at(NOVEMBER.plus_ms(60_000));
    assert!(
        again > first,
        "two restores of one backup are two installations"
    );
    assert_eq!(first.restored_at(Instant(0)).0, first.0 + 1);
    assert!(HubIncarnation(u32::MAX).restored_at(NOVEMBER).0 == u32::MAX);
}

#[test]
fn a_frozen_trip_grants_nothing_but_what_it_granted_before() {
    let mut trip = inventory(FIRST);
    let had = grant(&mut trip, node(1), 1);
    trip.frozen = true;
    let policy = LeasePolicy::default();
    let again = decide_grant(&trip, node(1), &ask(1, 1), policy, Instant(0));
    assert_eq!(again, Ok(had));
    let more = decide_grant(&trip, node(1), &ask(2, 1), policy, Instant(0));
    assert_eq!(more, Err(GrantRefusal::TripFrozen));
}

#[test]
fn a_trip_waits_for_grants_then_for_events_then_for_a_person_where_a_disk_is_doubtful() {
    let mut node = Awaited::default();
    assert_eq!(node.waits_for(|_| judged(99)), Some(WaitsFor::Grants));
    node.told = Some(vec![head(1, 7), head(2, 3)]);
    assert_eq!(node.waits_for(|_| judged(5)), Some(WaitsFor::Events));
    assert_eq!(node.waits_for(|_| judged(7)), None);
    let fork = LogStanding {
        judged: Seq(2),
        fork_judged: true,
    };
    assert_eq!(node.waits_for(|_| fork), None);
    node.doubtful = true;
    assert_eq!(node.waits_for(|_| judged(7)), Some(WaitsFor::Nothing));
}

#[test]
fn a_trip_waits_for_a_node_that_is_not_known_until_it_is_taken_in_or_given_up() {
    let mut node = Awaited {
        membership: Membership::Unknown,
        ..Awaited::default()
    };
    assert_eq!(node.waits_for(|_| judged(99)), Some(WaitsFor::Unknown));
    node.membership = Membership::Asks;
    assert_eq!(node.waits_for(|_| judged(99)), Some(WaitsFor::Approval));
    node.membership = Membership::Enrolled;
    assert_eq!(node.waits_for(|_| judged(99)), Some(WaitsFor::Grants));
    node.given_up = true;
    assert_eq!(node.waits_for(|_| judged(99)), None);
    node.membership = Membership::Asks;
    assert_eq!(node.waits_for(|_| judged(99)), None);
}

#[test]
fn one_node_makes_a_hub_wait_for_so_many_strangers_and_not_more() {
    let known = |n: NodeId| n == node(1) || n == node(2);
    let named = [node(1), node(3), node(2), node(4), node(3)];
    let found = unheard_of(named, node(4), known);
    assert_eq!(found, BTreeSet::from([node(3)]));
    let many = (100..10_000).map(node);
    assert_eq!(unheard_of(many, node(1), known).len(), UNKNOWN_TOLD_MAX);
}

#[test]
fn a_grant_is_adopted_once_whoever_tells_it() {
    let mut lost = inventory(FIRST);
    let told = grant(&mut lost, node(1), 1);
    assert_eq!(decide_adoption(None, &told), Adoption::Adopt);
    assert_eq!(decide_adoption(Some(&told), &told), Adoption::Known);
    let other = Grant {
        epoch: LeaseEpoch(99),
        lease_no: LeaseNo(1),
        ..told.clone()
    };
    assert_eq!(decide_adoption(Some(&other), &told), Adoption::Strange);
}

#[test]
fn bits_become_the_legs_they_came_from() {
    let legs = |a, b| Legs::new(StopSeq(a), StopSeq(b)).unwrap();
    let of = |all: &[Legs]| runs(all.iter().fold(0, |mask, l| mask | l.mask()));
    assert_eq!(
        of(&[legs(0, 2), legs(1, 4), legs(7, 9)]),
        [legs(0, 4), legs(7, 9)]
    );
    assert_eq!(of(&[legs(0, 64)]), [legs(0, 64)]);
    assert_eq!(of(&[legs(63, 64)]), [legs(63, 64)]);
    assert!(of(&[]).is_empty());
}

proptest! {
    /// The backup, the time that was lost, and the time after the restore: no epoch and no number
    /// of a holder is given twice, whatever the restored hub has heard of.
    #[test]
    fn no_number_is_given_twice(
        before in proptest::collection::vec(0_u128..3, 0..12),
        lost in proptest::collection::vec(0_u128..3, 0..12),
        heard in proptest::collection::vec(any::<bool>(), 12),
        after in proptest::collection::vec(0_u128..3, 1..12),
        restored_after_min in 0_i64..100_000,
    ) {
        let mut id = 0;
        let mut next = || { id += 1; id };
        let mut hub = inventory(FIRST);
        for holder in before {
            grant(&mut hub, node(holder), next());
        }
        let mut restored = hub.clone();
        let mut seen: Vec<Grant> = vec![];
        for holder in lost {
            seen.push(grant(&mut hub, node(holder), next()));
        }
        restored.hub = FIRST.restored_at(NOVEMBER.plus_ms(restored_after_min * 60_000));
        for (told, heard) in seen.iter().zip(heard) {
            if heard {
                restored.admit(told);
            }
        }
        seen.extend(restored.leases.values().map(|l| l.grant.clone()));
        for holder in after {
            let fresh = grant(&mut restored, node(holder), next());
            for old in seen.iter().filter(|old| old.request != fresh.request) {
                prop_assert_ne!(old.epoch, fresh.epoch);
                prop_assert!(
                    old.holder != fresh.holder || old.lease_no != fresh.lease_no,
                    "{} of {} again", fresh.lease_no, fresh.holder
                );
            }
            seen.push(fresh);
        }
    }

    /// A trip opens only when each node has told and its whole log is judged.
    #[test]
    fn nothing_opens_before_every_node_is_drained(
        nodes in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), proptest::collection::vec((0_u64..9, 0_u64..9), 0..3)),
            1..5
        ),
    ) {
        let mut all_in = true;
        let mut opens = true;
        for (told, doubtful, logs) in nodes {
            let heads = (1..).zip(&logs).map(|(i, (seq, _))| head(i, *seq)).collect();
            let awaited = Awaited { told: told.then_some(heads), doubtful, ..Awaited::default() };
            let standing = |h: &ChainHead| judged(logs[h.incarnation.0 as usize - 1].1);
            opens &= awaited.waits_for(standing).is_none();
            all_in &= told && !doubtful && logs.iter().all(|(seq, judged)| judged >= seq);
        }
        prop_assert_eq!(opens, all_in);
    }

    /// Covering leaves no leg of a claim without an owner and gives none a second one.
    #[test]
    fn covering_gives_every_leg_one_owner(
        claims in proptest::collection::vec((1_u16..4, 0_u8..63, 1_u8..64), 0..20),
    ) {
        let mut owned = Owned::default();
        let mut bits = [0_u64; 4];
        for (seat, from, len) in claims {
            let to = (from + len).min(64);
            let Some(legs) = Legs::new(StopSeq(from), StopSeq(to)) else { continue };
            let claim = SeatClaim { seat: SeatNo(seat), legs };
            for piece in owned.cover(claim) {
                prop_assert_eq!(piece.seat, claim.seat);
                prop_assert_eq!(bits[usize::from(seat)] & piece.legs.mask(), 0);
                bits[usize::from(seat)] |= piece.legs.mask();
            }
            prop_assert_eq!(bits[usize::from(seat)] & legs.mask(), legs.mask());
        }
    }
}

#[test]
fn no_two_installations_share_a_numbering_however_far_apart_they_began() {
    assert_eq!(first_numbering(FIRST), None);
    let minute = |n: i64| FIRST.restored_at(NOVEMBER.plus_ms(n * 60_000));
    // Among them those that a multiple of 128 minutes lies between.
    let mut began: Vec<HubIncarnation> = (0..400).chain([128_000, 1_280_000]).map(minute).collect();
    // And those of a machine whose clock was behind.
    began.extend((2..200).map(HubIncarnation));
    began.sort_unstable();
    let most = crate::swap::SWAPS_MAX as u64;
    let first: Vec<u64> = began
        .iter()
        .filter_map(|hub| first_numbering(*hub))
        .collect();
    assert!(first.windows(2).all(|w| w[1] - w[0] > most));
}
