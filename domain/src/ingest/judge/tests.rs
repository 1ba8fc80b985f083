use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Admission, admit};
use super::*;
use crate::event::{ChainHead, Envelope, LeaseAccepted, TenderLine, VoidReason, encode_body};
use crate::ids::{
    EventHash, Kid, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, NodeIncarnation, RequestId,
    SaleOrdinal, SeatNo, Seq, ShiftNo, StopSeq, TripId,
};
use crate::lease::{Grant, LeaseStanding};
use crate::money::Currency;
use crate::passenger::PassengerClass;
use crate::ticket::Suite;
use crate::time::Instant;
use crate::trip::Legs;

fn node() -> NodeId {
    NodeId(Uuid::from_u128(1))
}

fn legs(from: u8, to: u8) -> Legs {
    Legs::new(StopSeq(from), StopSeq(to)).unwrap()
}

/// A node that logs anything it is told to, and the hub's loaded state.
struct World {
    state: IngestState,
    head: ChainHead,
    key: SigningKey,
}

impl World {
    fn new() -> Self {
        let mut state = IngestState::new(node(), "Africa/Lusaka".parse().unwrap());
        let grant = Grant {
            trip: TripId(1),
            lease_no: LeaseNo(1),
            holder: node(),
            epoch: LeaseEpoch(3),
            boarding: StopSeq(0),
            claims: vec![
                SeatClaim {
                    seat: SeatNo(1),
                    legs: legs(0, 4),
                },
                SeatClaim {
                    seat: SeatNo(2),
                    legs: legs(0, 2),
                },
            ],
            layout_version: LayoutVersion(1),
            sell_until: Instant(0),
            request: RequestId(Uuid::nil()),
        };
        let lease = LeaseStanding {
            grant,
            status: LeaseStatus::Offered,
        };
        state.leases.insert((TripId(1), LeaseNo(1)), lease);
        let mut world = Self {
            state,
            head: ChainHead::empty(NodeIncarnation(1)),
            key: SigningKey::from_bytes(&[1; 32]),
        };
        world.say(&EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(1),
            agent: "Mary".to_owned(),
            float_minor: Minor(500),
            currency: Currency::ZMW,
        }));
        world
    }

    fn event(&mut self, body: &EventBody) -> SignedEvent {
        let event = Envelope {
            node: node(),
            incarnation: self.head.incarnation,
            seq: Seq(self.head.seq.0 + 1),
            prev: self.head.hash,
            at: Instant(1_795_000_000_000),
            personal: None,
            body: encode_body(body),
        }
        .sign(&self.key, None);
        self.head = event.head();
        event
    }

    fn say(&mut self, body: &EventBody) -> Judgement {
        let event = self.event(body);
        judge(&mut self.state, &event)
    }

    fn sell(&mut self, coupons: &[Coupon]) -> Judgement {
        self.say(&sale(coupons))
    }
}

fn coupon(seat: u16, from: u8, to: u8, fare: i64) -> Coupon {
    Coupon {
        trip: TripId(1),
        seat: SeatNo(seat),
        legs: legs(from, to),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        lease_no: LeaseNo(1),
        epoch: LeaseEpoch(3),
        layout_version: LayoutVersion(1),
        fare_minor: Minor(fare),
        test: false,
        tag: vec![0; 64],
    }
}

fn sale(coupons: &[Coupon]) -> EventBody {
    let total = coupons.iter().map(|c| c.fare_minor.0).sum();
    EventBody::Sale(Sale {
        shift: ShiftNo(1),
        currency: Currency::ZMW,
        kid: Kid([0; 4]),
        suite: Suite::Ed25519,
        coupons: coupons.to_vec(),
        tender: vec![TenderLine {
            kind: TenderKind::Cash,
            amount_minor: Minor(total),
        }],
    })
}

fn balances(judgements: &[Judgement]) -> BTreeMap<Account, i64> {
    let mut balances = BTreeMap::new();
    for effect in judgements.iter().flat_map(|j| &j.effects) {
        if let Effect::Post(entry) = effect {
            for p in entry.postings() {
                *balances.entry(p.account).or_insert(0) += p.amount_minor.0;
            }
        }
    }
    balances
}

fn sold_ticket(judgement: &Judgement) -> TicketId {
    judgement
        .effects
        .iter()
        .find_map(|e| {
            if let Effect::InsertTicket(t) = e {
                Some(t.ticket.claim.id)
            } else {
                None
            }
        })
        .unwrap()
}

fn check_quarantined(coupons: &[Coupon], reason: QuarantineReason) {
    let mut world = World::new();
    let judgement = world.sell(coupons);
    assert_eq!(judgement.verdict, Verdict::Quarantined(reason));
    let total: i64 = coupons.iter().map(|c| c.fare_minor.0).sum();
    let balances = balances(std::slice::from_ref(&judgement));
    assert_eq!(
        balances.get(&Account::Suspense),
        Some(&-total),
        "its money is in suspense"
    );
    assert_eq!(
        balances.get(&Account::AgentCash(node(), ShiftNo(1))),
        Some(&total)
    );
    assert!(
        judgement
            .effects
            .iter()
            .any(|e| matches!(e, Effect::OpenCase(c) if c.reason == reason))
    );
    for effect in &judgement.effects {
        if let Effect::InsertTicket(t) = effect {
            assert_eq!(t.state, TicketState::Disputed);
        }
    }
}

#[test]
fn a_sale_inside_its_lease_is_applied_and_posts_deferred_revenue() {
    let mut world = World::new();
    let judgement = world.sell(&[coupon(1, 0, 4, 240), coupon(2, 0, 2, 100)]);
    assert_eq!(judgement.verdict, Verdict::Applied);
    let balances = balances(&[judgement]);
    assert_eq!(balances[&Account::DeferredRevenue(TripId(1))], -340);
    assert_eq!(balances[&Account::AgentCash(node(), ShiftNo(1))], 340);
}

#[test]
fn a_seat_outside_the_lease_is_quarantined_and_its_money_is_kept() {
    check_quarantined(&[coupon(3, 0, 4, 240)], QuarantineReason::OutsideLease);
    check_quarantined(&[coupon(2, 0, 3, 240)], QuarantineReason::OutsideLease);
    check_quarantined(&[coupon(1, 1, 4, 240)], QuarantineReason::OutsideLease);
}

#[test]
fn one_bad_coupon_quarantines_the_whole_sale() {
    check_quarantined(
        &[coupon(1, 0, 4, 240), coupon(3, 0, 4, 240)],
        QuarantineReason::OutsideLease,
    );
}

#[test]
fn a_stale_epoch_sale_is_quarantined_not_dropped() {
    let mut stale = coupon(1, 0, 4, 240);
    stale.epoch = LeaseEpoch(2);
    check_quarantined(&[stale], QuarantineReason::StaleEpoch);
}

#[test]
fn a_sale_under_a_lease_never_granted_is_quarantined() {
    let mut unknown = coupon(1, 0, 4, 240);
    unknown.lease_no = LeaseNo(9);
    check_quarantined(&[unknown], QuarantineReason::LeaseUnknown);
}

#[test]
fn a_sale_that_takes_one_seat_twice_is_quarantined() {
    check_quarantined(
        &[coupon(1, 0, 2, 240), coupon(1, 0, 4, 240)],
        QuarantineReason::BadSale,
    );
}

#[test]
fn the_second_live_ticket_of_a_seat_is_quarantined_with_the_first_as_evidence() {
    let mut world = World::new();
    let first = world.sell(&[coupon(1, 0, 4, 240)]);
    let mut again = coupon(1, 0, 2, 100);
    again.ordinal = SaleOrdinal(2);
    let second = world.sell(&[again]);
    assert_eq!(
        second.verdict,
        Verdict::Quarantined(QuarantineReason::SeatTaken)
    );
    let against = second.effects.iter().find_map(|e| {
        if let Effect::OpenCase(case) = e {
            Some(case.against.clone())
        } else {
            None
        }
    });
    assert_eq!(against, Some(vec![sold_ticket(&first)]));
}

#[test]
fn a_sale_after_the_surrender_is_quarantined() {
    let mut world = World::new();
    let last_seq = world.head.seq;
    let surrender = EventBody::LeaseSurrendered(LeaseSurrendered {
        trip: TripId(1),
        lease_no: LeaseNo(1),
        epoch: LeaseEpoch(3),
        last_seq,
    });
    assert_eq!(world.say(&surrender).verdict, Verdict::Applied);
    let judgement = world.sell(&[coupon(1, 0, 4, 240)]);
    assert_eq!(
        judgement.verdict,
        Verdict::Quarantined(QuarantineReason::LeaseClosed)
    );
    let twice = world.say(&surrender);
    assert!(matches!(twice.verdict, Verdict::Quarantined(_)));
}

#[test]
fn a_surrender_must_name_the_position_before_it() {
    let mut world = World::new();
    let surrender = EventBody::LeaseSurrendered(LeaseSurrendered {
        trip: TripId(1),
        lease_no: LeaseNo(1),
        epoch: LeaseEpoch(3),
        last_seq: Seq(40),
    });
    assert_eq!(
        world.say(&surrender).verdict,
        Verdict::Quarantined(QuarantineReason::StaleEpoch)
    );
    assert_eq!(
        world.sell(&[coupon(1, 0, 4, 240)]).verdict,
        Verdict::Applied
    );
}

#[test]
fn a_void_returns_the_fare_and_its_seat_waits_when_the_lease_closes() {
    let mut world = World::new();
    let sold = world.sell(&[coupon(1, 0, 4, 240)]);
    let void = EventBody::Void(VoidRecord {
        shift: ShiftNo(1),
        ticket: sold_ticket(&sold),
        reason: VoidReason::Mistake,
    });
    let voided = world.say(&void);
    assert_eq!(voided.verdict, Verdict::Applied);
    let twice = world.say(&void);
    assert_eq!(
        twice.verdict,
        Verdict::Quarantined(QuarantineReason::AlreadyVoid)
    );
    let sums = balances(&[sold, voided]);
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
    let last_seq = world.head.seq;
    let closed = world.say(&EventBody::LeaseSurrendered(LeaseSurrendered {
        trip: TripId(1),
        lease_no: LeaseNo(1),
        epoch: LeaseEpoch(3),
        last_seq,
    }));
    let blocked = vec![SeatClaim {
        seat: SeatNo(1),
        legs: legs(0, 4),
    }];
    let expected = Effect::CloseLease {
        trip: TripId(1),
        lease_no: LeaseNo(1),
        blocked,
    };
    assert_eq!(closed.effects, vec![expected]);
}

#[test]
fn a_void_after_the_lease_closed_blocks_the_seat() {
    let mut world = World::new();
    let sold = world.sell(&[coupon(1, 0, 4, 240)]);
    let last_seq = world.head.seq;
    world.say(&EventBody::LeaseSurrendered(LeaseSurrendered {
        trip: TripId(1),
        lease_no: LeaseNo(1),
        epoch: LeaseEpoch(3),
        last_seq,
    }));
    let voided = world.say(&EventBody::Void(VoidRecord {
        shift: ShiftNo(1),
        ticket: sold_ticket(&sold),
        reason: VoidReason::Mistake,
    }));
    let block = Effect::Block(
        TripId(1),
        SeatClaim {
            seat: SeatNo(1),
            legs: legs(0, 4),
        },
    );
    assert!(voided.effects.contains(&block));
}

#[test]
fn a_close_names_what_is_missing_from_the_drawer() {
    let mut world = World::new();
    let sold = world.sell(&[coupon(1, 0, 4, 240)]);
    let closed = world.say(&EventBody::ShiftClosed(ShiftClosed {
        shift: ShiftNo(1),
        declared_minor: Minor(730),
        expected_minor: Minor(740),
    }));
    let sums = balances(&[sold, closed]);
    assert_eq!(sums[&Account::AgentCash(node(), ShiftNo(1))], 0);
    assert_eq!(sums[&Account::Vault(node())], 230);
    assert_eq!(sums[&Account::CashOverShort], 10);
    let late = world.sell(&[coupon(2, 0, 2, 100)]);
    assert_eq!(
        late.verdict,
        Verdict::Quarantined(QuarantineReason::ShiftNotOpen)
    );
    assert_eq!(balances(&[late])[&Account::Suspense], -100);
}

#[test]
fn an_event_of_an_unknown_kind_waits_and_blocks_nothing() {
    let mut world = World::new();
    let event = Envelope {
        node: node(),
        incarnation: NodeIncarnation(1),
        seq: Seq(world.head.seq.0 + 1),
        prev: world.head.hash,
        at: Instant(0),
        personal: None,
        body: vec![0x82, 0x18, 99, 0x80],
    }
    .sign(&world.key, None);
    world.head = event.head();
    let unknown = judge(&mut world.state, &event);
    assert_eq!(
        unknown.verdict,
        Verdict::Quarantined(QuarantineReason::NotUnderstood)
    );
    assert_eq!(
        world.sell(&[coupon(1, 0, 4, 240)]).verdict,
        Verdict::Applied
    );
}

#[test]
fn a_grant_is_accepted_once_granted() {
    let mut world = World::new();
    let accept = |lease_no| {
        EventBody::LeaseAccepted(LeaseAccepted {
            trip: TripId(1),
            lease_no: LeaseNo(lease_no),
            epoch: LeaseEpoch(3),
        })
    };
    assert_eq!(world.say(&accept(1)).verdict, Verdict::Applied);
    let unknown = world.say(&accept(2));
    assert_eq!(
        unknown.verdict,
        Verdict::Quarantined(QuarantineReason::LeaseUnknown)
    );
}

#[test]
fn positions_and_hashes_alone_decide_where_an_event_belongs() {
    let mut world = World::new();
    let cursor = world.head;
    let stored = |seq: Seq| (seq == cursor.seq).then_some(cursor.hash);
    let next = world.event(&sale(&[coupon(1, 0, 4, 1)]));
    let gap = world.event(&sale(&[coupon(1, 0, 4, 1)]));
    assert_eq!(admit(&cursor, stored, &next), Admission::Next);
    assert_eq!(admit(&cursor, stored, &gap), Admission::Gap);
    let after = next.head();
    let known = |seq: Seq| {
        if seq == after.seq {
            Some(after.hash)
        } else {
            stored(seq)
        }
    };
    assert_eq!(admit(&after, known, &next), Admission::Duplicate);
    let mut fork = next.envelope.clone();
    fork.at = Instant(5);
    let fork = fork.sign(&world.key, None);
    assert_eq!(admit(&after, known, &fork), Admission::Fork);
    let mut other = next.envelope;
    other.prev = EventHash([9; 32]);
    let other = other.sign(&world.key, None);
    assert_eq!(admit(&cursor, stored, &other), Admission::Fork);
}

proptest! {
    #[test]
    fn no_two_live_tickets_overlap_whatever_a_node_says(
        coupons in prop::collection::vec((0u16..4, 0u8..4, 1u8..5, prop::bool::ANY), 1..60),
    ) {
        let mut world = World::new();
        let mut sold = vec![];
        for (seat, from, len, void) in coupons {
            let judgement = world.sell(&[coupon(seat, from, from + len, 10)]);
            if judgement.verdict == Verdict::Applied && void {
                let ticket = sold_ticket(&judgement);
                let void = VoidRecord { shift: ShiftNo(1), ticket, reason: VoidReason::Mistake };
                world.say(&EventBody::Void(void));
            }
            sold.push(judgement);
        }
        for ((_, seat), live) in &world.state.seats {
            for (i, (_, a)) in live.iter().enumerate() {
                prop_assert!(live[i + 1..].iter().all(|(_, b)| !a.overlaps(*b)), "seat {}", seat);
            }
        }
        prop_assert_eq!(balances(&sold).values().sum::<i64>(), 0);
    }
}

/// The trip in another bus: seat 1 is its seat 9, seat 2 has no place.
fn swap_the_bus(world: &mut World) {
    let moves = crate::swap::SeatMoves::new(&[Some(SeatNo(9)), None]).unwrap();
    let mut swaps = crate::swap::Swaps::default();
    let swap = crate::swap::SeatSwap {
        numbering: LayoutVersion(2),
        layout: "old".to_owned(),
        layout_version: LayoutVersion(1),
        moves,
        undoes: None,
    };
    swaps.push(swap).unwrap();
    world.state.swaps.insert(TripId(1), swaps);
}

#[test]
fn a_late_sale_is_stored_where_its_leases_seat_is_today() {
    let mut world = World::new();
    swap_the_bus(&mut world);
    // A later sale of the hub on the seat that was number 1 in the other bus is no obstacle.
    let hubs = TicketId(Uuid::from_u128(5));
    let at = (TripId(1), SeatNo(1));
    world.state.seats.insert(at, vec![(hubs, legs(0, 4))]);
    let judged = world.sell(&[coupon(1, 0, 4, 100)]);
    assert_eq!(judged.verdict, Verdict::Applied);
    let stored = judged.effects.iter().find_map(|e| {
        let Effect::InsertTicket(new) = e else {
            return None;
        };
        Some((new.seat, new.ticket.claim.seat))
    });
    assert_eq!(stored, Some((SeatNo(9), SeatNo(1))));
    // What the ticket says of its numbering changes nothing: its lease counts.
    let mut liar = coupon(1, 0, 4, 100);
    liar.layout_version = LayoutVersion(2);
    let judged = world.sell(&[liar]);
    let taken = QuarantineReason::SeatTaken;
    assert_eq!(judged.verdict, Verdict::Quarantined(taken));
}

#[test]
fn a_late_sale_of_a_seat_without_a_place_is_a_case_and_its_money_stands_in_suspense() {
    let mut world = World::new();
    swap_the_bus(&mut world);
    let judged = world.sell(&[coupon(2, 0, 2, 100)]);
    let reason = QuarantineReason::NoPlace;
    assert_eq!(judged.verdict, Verdict::Quarantined(reason));
    let has = |wanted: &dyn Fn(&Effect) -> bool| judged.effects.iter().any(wanted);
    assert!(has(
        &|e| matches!(e, Effect::OpenCase(case) if case.reason == reason)
    ));
    assert!(has(&|e| matches!(e, Effect::InsertTicket(new)
        if new.seat == SeatNo(0) && new.state == TicketState::Disputed)));
    assert!(has(&|e| matches!(e, Effect::Post(entry) if entry
        .postings()
        .iter()
        .any(|p| p.account == Account::Suspense && p.amount_minor == Minor(-100)))));
}
