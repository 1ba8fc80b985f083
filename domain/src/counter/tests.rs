use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::*;
use crate::event::{Envelope, EventBody, Sale, TenderKind, TenderLine, VoidReason, ticket_id};
use crate::fare::{FareRow, FareTable};
use crate::ids::{
    EventHash, Kid, LayoutVersion, LeaseEpoch, NodeId, NodeIncarnation, RequestId, Seq,
};
use crate::layout::{Seat, SeatAttributes};
use crate::lease::{Grant, SeatClaim};
use crate::ticket::{Suite, sign_ticket, signing_kid};
use crate::trip::{Legs, TripStop};

const NOON: Instant = Instant(1_795_000_000_000);

fn code(text: &str) -> StopCode {
    text.parse().unwrap()
}

fn trip() -> Trip {
    let stop = |name: &str, hours: i64| TripStop {
        code: code(name),
        name: name.to_owned(),
        zone: "Africa/Lusaka".parse().unwrap(),
        arrives: NOON.plus_ms(hours * 3_600_000),
        departs: NOON.plus_ms(hours * 3_600_000),
    };
    Trip {
        id: TripId(1),
        route: "LUN-SOL".to_owned(),
        headsign: "Solwezi".to_owned(),
        service_date: "2026-11-22".parse().unwrap(),
        layout: "mini".to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: 6,
        fare_table: "f".to_owned(),
        currency: Currency::ZMW,
        stops: vec![stop("LUN", 1), stop("KAB", 3), stop("NDO", 6)],
        swaps: crate::swap::Swaps::NONE,
    }
}

fn catalogue() -> Catalogue {
    let seats = (1..=6)
        .map(|n: u16| Seat {
            label: format!("{}{}", n.div_ceil(2), if n % 2 == 1 { 'A' } else { 'B' }),
            row: n.div_ceil(2),
            column: (n as u8 + 1) % 2 + 1,
            attributes: SeatAttributes::default(),
        })
        .collect();
    let row = |from: &str, to: &str, class, fare| FareRow {
        from: code(from),
        to: code(to),
        class,
        fare_minor: Minor(fare),
    };
    let table = FareTable {
        id: "f".to_owned(),
        currency: Currency::ZMW,
        rows: vec![
            row("LUN", "KAB", PassengerClass::Adult, 10_500),
            row("LUN", "NDO", PassengerClass::Adult, 24_000),
            row("LUN", "NDO", PassengerClass::Child, 12_000),
        ],
    };
    let mut catalogue = Catalogue::default();
    catalogue.trips.insert(TripId(1), trip());
    let layout = SeatLayout::new("mini", LayoutVersion(1), seats).unwrap();
    catalogue.layouts.insert("mini".to_owned(), layout);
    catalogue
        .fares
        .insert("f".to_owned(), FareIndex::new(&table));
    catalogue
}

/// A counter with its log: decides, commits, applies.
struct Desk {
    state: CounterState,
    catalogue: Catalogue,
    seq: u64,
}

impl Desk {
    fn new(claims: &[(u16, u8, u8)]) -> Self {
        let mut desk = Self {
            state: CounterState::default(),
            catalogue: catalogue(),
            seq: 0,
        };
        desk.state.deliver(Grant {
            trip: TripId(1),
            lease_no: LeaseNo(1),
            holder: NodeId(Uuid::from_u128(1)),
            epoch: LeaseEpoch(4),
            boarding: StopSeq(0),
            claims: claims
                .iter()
                .map(|(seat, from, to)| SeatClaim {
                    seat: SeatNo(*seat),
                    legs: Legs::new(StopSeq(*from), StopSeq(*to)).unwrap(),
                })
                .collect(),
            layout_version: LayoutVersion(1),
            sell_until: NOON.plus_ms(3_000_000),
            request: RequestId(Uuid::nil()),
        });
        desk
    }

    fn open(claims: &[(u16, u8, u8)]) -> Self {
        let mut desk = Self::new(claims);
        desk.commit(decide_accept(&desk.state, TripId(1), LeaseNo(1)).unwrap());
        desk.commit(decide_open_shift(&desk.state, "Mary", Minor(5_000), Currency::ZMW).unwrap());
        desk
    }

    fn commit(&mut self, body: EventBody) -> Envelope {
        self.seq += 1;
        let envelope = Envelope {
            node: NodeId(Uuid::from_u128(1)),
            incarnation: NodeIncarnation(1),
            seq: Seq(self.seq),
            prev: EventHash::GENESIS,
            at: NOON,
            personal: None,
            body: vec![],
        };
        self.state.apply(&envelope, &body);
        envelope
    }

    fn wish(to: &str, passengers: &[(PassengerClass, Option<&str>)]) -> SellCommand {
        SellCommand {
            journeys: vec![JourneyWish {
                trip: TripId(1),
                from: code("LUN"),
                to: code(to),
                passengers: passengers
                    .iter()
                    .map(|(class, seat)| PassengerWish {
                        class: *class,
                        seat: seat.map(str::to_owned),
                    })
                    .collect(),
            }],
            tender: vec![],
            test: false,
        }
    }

    fn sell(&mut self, command: &SellCommand) -> Result<Vec<(TicketId, u16, u16)>, Refusal> {
        let draft = decide_sale(&self.state, &self.catalogue, command, NOON)?;
        let sale = Sale {
            shift: draft.shift,
            currency: draft.currency,
            kid: Kid([0; 4]),
            suite: Suite::Ed25519,
            coupons: draft.coupons,
            tender: draft.tender,
        };
        let envelope = self.commit(EventBody::Sale(sale.clone()));
        let id = |(i, c): (usize, &crate::event::Coupon)| {
            (
                ticket_id(&envelope, i, c.trip, c.seat),
                c.seat.0,
                c.ordinal.0,
            )
        };
        Ok(sale.coupons.iter().enumerate().map(id).collect())
    }
}

use crate::ids::TicketId;
use PassengerClass::{Adult, Child};

#[test]
fn a_sale_needs_a_shift_and_a_lease() {
    let mut desk = Desk::new(&[(1, 0, 2)]);
    assert_eq!(
        desk.sell(&Desk::wish("NDO", &[(Adult, None)])),
        Err(Refusal::NoShift)
    );
    desk.commit(decide_open_shift(&desk.state, "Mary", Minor(0), Currency::ZMW).unwrap());
    let refused = desk.sell(&Desk::wish("NDO", &[(Adult, None)]));
    assert_eq!(
        refused,
        Err(Refusal::NoLease {
            trip: TripId(1),
            from: code("LUN")
        })
    );
}

#[test]
fn a_short_journey_takes_the_claim_that_fits_it() {
    let mut desk = Desk::open(&[(1, 0, 2), (4, 0, 1)]);
    assert_eq!(
        desk.sell(&Desk::wish("KAB", &[(Adult, None)])).unwrap()[0].1,
        4
    );
    assert_eq!(
        desk.sell(&Desk::wish("NDO", &[(Adult, None)])).unwrap()[0].1,
        1
    );
}

#[test]
fn a_dry_lease_says_how_many_are_left() {
    let mut desk = Desk::open(&[(1, 0, 2), (2, 0, 2)]);
    let refused = desk.sell(&Desk::wish("NDO", &[(Adult, None); 3]));
    let dry = Refusal::LeaseDry {
        trip: TripId(1),
        from: code("LUN"),
        to: code("NDO"),
        wanted: 3,
        left: 2,
    };
    assert_eq!(refused, Err(dry));
    assert!(desk.sell(&Desk::wish("NDO", &[(Adult, None); 2])).is_ok());
}

#[test]
fn one_sale_never_takes_a_seat_twice() {
    let mut desk = Desk::open(&[(1, 0, 2), (2, 0, 2)]);
    let mut twice = Desk::wish("NDO", &[(Adult, Some("1A"))]);
    twice.journeys.push(twice.journeys[0].clone());
    assert_eq!(
        desk.sell(&twice),
        Err(Refusal::SeatNotHeld("1A".to_owned()))
    );
    let same = Desk::wish("NDO", &[(Adult, Some("1a")), (Adult, Some("1A"))]);
    assert_eq!(desk.sell(&same), Err(Refusal::SeatNotHeld("1A".to_owned())));
}

#[test]
fn a_chosen_seat_and_a_free_one_go_together() {
    let mut desk = Desk::open(&[(1, 0, 2), (2, 0, 2), (3, 0, 2)]);
    let sold = desk
        .sell(&Desk::wish("NDO", &[(Child, None), (Adult, Some("1A"))]))
        .unwrap();
    assert_eq!(sold[1].1, 1);
    assert_ne!(sold[0].1, 1);
    assert_eq!(desk.state.shift().unwrap().cash_minor, Minor(36_000));
}

#[test]
fn what_is_not_on_the_bus_is_named() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    let refused = |desk: &mut Desk, wish: &SellCommand| desk.sell(wish).unwrap_err();
    assert_eq!(
        refused(&mut desk, &Desk::wish("NDO", &[(Adult, Some("9Z"))])),
        Refusal::UnknownSeat("9Z".to_owned())
    );
    assert!(matches!(
        refused(&mut desk, &Desk::wish("LVI", &[(Adult, None)])),
        Refusal::BadStops { .. }
    ));
    assert!(matches!(
        refused(&mut desk, &Desk::wish("LUN", &[(Adult, None)])),
        Refusal::BadStops { .. }
    ));
    assert!(matches!(
        refused(&mut desk, &Desk::wish("KAB", &[(Child, None)])),
        Refusal::NoFare { .. }
    ));
    assert_eq!(
        refused(&mut desk, &Desk::wish("NDO", &[])),
        Refusal::BadPassengerCount
    );
    let mut other = Desk::wish("NDO", &[(Adult, None)]);
    other.journeys[0].trip = TripId(77);
    assert_eq!(refused(&mut desk, &other), Refusal::UnknownTrip(TripId(77)));
}

#[test]
fn tender_must_add_up_to_the_coin() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    let mut wish = Desk::wish("NDO", &[(Adult, None)]);
    let line = |kind, amount| TenderLine {
        kind,
        amount_minor: Minor(amount),
    };
    wish.tender = vec![line(TenderKind::Cash, 20_000)];
    assert!(matches!(
        desk.sell(&wish),
        Err(Refusal::TenderMismatch { .. })
    ));
    wish.tender.push(line(TenderKind::MobileMoney, 4_000));
    desk.sell(&wish).unwrap();
    assert_eq!(desk.state.shift().unwrap().cash_minor, Minor(20_000));
    wish.tender = vec![line(TenderKind::Cash, -1)];
    assert!(desk.sell(&wish).is_err());
}

#[test]
fn a_voided_seat_is_sold_again_with_a_higher_ordinal() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    let (ticket, seat, ordinal) = desk.sell(&Desk::wish("NDO", &[(Adult, None)])).unwrap()[0];
    assert_eq!((seat, ordinal), (1, 1));
    let void = decide_void(&desk.state, ticket, VoidReason::Mistake).unwrap();
    desk.commit(void);
    assert_eq!(
        decide_void(&desk.state, ticket, VoidReason::Mistake),
        Err(Refusal::AlreadyVoid)
    );
    let (_, seat, ordinal) = desk.sell(&Desk::wish("KAB", &[(Adult, None)])).unwrap()[0];
    assert_eq!((seat, ordinal), (1, 2));
    assert_eq!(desk.state.shift().unwrap().cash_minor, Minor(10_500));
}

#[test]
fn another_shift_may_not_void() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    let (ticket, ..) = desk.sell(&Desk::wish("NDO", &[(Adult, None)])).unwrap()[0];
    let close = decide_close_shift(&desk.state, Minor(29_000)).unwrap();
    let EventBody::ShiftClosed(closed) = &close else {
        panic!("a close closes")
    };
    assert_eq!(closed.expected_minor, Minor(29_000));
    desk.commit(close);
    assert_eq!(
        decide_void(&desk.state, ticket, VoidReason::Mistake),
        Err(Refusal::NoShift)
    );
    desk.commit(decide_open_shift(&desk.state, "Joe", Minor(0), Currency::ZMW).unwrap());
    assert_eq!(
        decide_void(&desk.state, ticket, VoidReason::Mistake),
        Err(Refusal::OtherShift(ShiftNo(1)))
    );
}

#[test]
fn boarding_close_stops_the_holder() {
    let desk = Desk::open(&[(1, 0, 2)]);
    let wish = Desk::wish("NDO", &[(Adult, None)]);
    let late = NOON.plus_ms(3_000_001);
    let refused = decide_sale(&desk.state, &desk.catalogue, &wish, late);
    assert_eq!(refused, Err(Refusal::BoardingClosed(TripId(1))));
}

#[test]
fn a_surrendered_or_older_incarnations_lease_is_never_sold_from() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    let grant = desk.state.grant(TripId(1), LeaseNo(1)).unwrap().clone();
    let surrender =
        decide_surrender(&desk.state, TripId(1), LeaseNo(1), Seq(desk.seq + 1)).unwrap();
    desk.commit(surrender);
    desk.state.deliver(grant.clone());
    let wish = Desk::wish("NDO", &[(Adult, None)]);
    assert!(matches!(desk.sell(&wish), Err(Refusal::NoLease { .. })));

    let mut restored = Desk::open(&[(1, 0, 2)]);
    restored.state.begin_incarnation(NodeIncarnation(2));
    restored.state.deliver(grant);
    assert!(decide_accept(&restored.state, TripId(1), LeaseNo(1)).is_err());
}

#[test]
fn a_ticket_of_a_sale_is_rebuilt_from_the_log() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    let key = SigningKey::from_bytes(&[5; 32]);
    let kid = signing_kid(&key.verifying_key());
    let wish = Desk::wish("NDO", &[(Adult, None)]);
    let draft = decide_sale(&desk.state, &desk.catalogue, &wish, NOON).unwrap();
    let mut coupon = draft.coupons[0].clone();
    let envelope = desk.commit(EventBody::ClockStep(NOON, NOON));
    let claim = coupon.claim(
        ticket_id(&envelope, 0, coupon.trip, coupon.seat),
        envelope.at,
    );
    let printed = sign_ticket(&claim, kid, &key);
    coupon.tag = printed.proof.as_bytes().to_vec();
    let sale = Sale {
        shift: draft.shift,
        currency: draft.currency,
        kid,
        suite: Suite::Ed25519,
        coupons: vec![coupon],
        tender: draft.tender,
    };
    assert_eq!(sale.ticket(&envelope, 0).unwrap().to_qr(), printed.to_qr());
}

#[test]
fn a_new_incarnation_never_reuses_a_shift_number() {
    let mut desk = Desk::open(&[(1, 0, 2)]);
    desk.state.begin_incarnation(NodeIncarnation(3));
    assert_eq!(desk.state.next_shift(), ShiftNo(2_001));
}
