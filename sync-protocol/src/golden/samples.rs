//! One value of every kind, always the same.

use domain::codec::to_cbor;
use domain::event::{
    ChainHead, Coupon, Envelope, EventBody, LeaseAccepted, LeaseSurrendered, PrintAttempted,
    PrintOutcome, Sale, ScanRecord, ShiftClosed, ShiftOpened, SignedEvent, TenderKind, TenderLine,
    VoidReason, VoidRecord, personal_hash,
};
use domain::fare::{FareRow, FareTable};
use domain::ids::{
    CompanyId, EventHash, HubIncarnation, Issuer, Kid, LayoutVersion, LeaseEpoch, LeaseNo, NodeId,
    NodeIncarnation, RequestId, SaleOrdinal, SeatNo, Seq, ShiftNo, StopCode, StopSeq, TicketId,
    TripId,
};
use domain::ingest::{QuarantineReason, TicketState, Verdict};
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::lease::{Grant, GrantRefusal, LeaseRequest, SeatClaim, SeatWant, SignedGrant};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::scan::ScanAnswer;
use domain::swap::{SeatMoves, SeatSwap};
use domain::ticket::{KeyRecord, ShortClaim, Suite, TicketClaim, TicketLease};
use domain::time::Instant;
use domain::tracking::{Fix, Source};
use domain::trip::{Legs, Trip, TripStop};
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use crate::batch::EventBatch;
use crate::frame::{
    BucketChunk, BucketCursor, BucketId, EdgeFrame, GrantReport, Hello, HubFrame, Introduction,
    Item, KnownIssuer, LeaseAnswer, ListedTicket, LogHead, SeqVerdict, StoredMark, TAKES_POSITIONS,
    Welcome,
};

/// Whose log the samples are from.
pub(super) const NODE: NodeId = NodeId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
const TRIP: TripId = TripId(70_001);
const NOW: Instant = Instant(1_790_000_000_000);
const INCARNATION: NodeIncarnation = NodeIncarnation(2);

/// The key that the samples' log is signed with.
pub(super) fn node_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// The key that the samples' grant is signed with.
pub(super) fn hub_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

fn legs(from: u8, to: u8) -> Legs {
    Legs::new(StopSeq(from), StopSeq(to)).unwrap()
}

fn ticket(n: u128) -> TicketId {
    TicketId(Uuid::from_u128(
        0x01a0_c3f5_9c00_7000_8000_0000_0000_0000 + n,
    ))
}

fn short_claim(n: u128, issuer: Issuer, lease_no: Option<LeaseNo>) -> Option<ShortClaim> {
    let claim = TicketClaim {
        id: ticket(n),
        trip: TRIP,
        seat: SeatNo(24),
        from: StopSeq(1),
        to: StopSeq(3),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: NOW,
        lease: lease_no.map(|no| TicketLease {
            no,
            epoch: LeaseEpoch(7),
        }),
        layout_version: LayoutVersion(1),
        test: false,
    };
    ShortClaim::of(&claim, issuer)
}

fn request() -> RequestId {
    RequestId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00aa))
}

fn mark() -> StoredMark {
    StoredMark {
        incarnation: INCARNATION,
        through: Seq(300),
    }
}

pub(super) fn edge_frames() -> Vec<EdgeFrame> {
    let ack = |bucket, change| EdgeFrame::BucketAck(BucketCursor { bucket, change });
    vec![
        EdgeFrame::Hello(Hello {
            version: 1,
            logs: vec![
                LogHead {
                    incarnation: NodeIncarnation(1),
                    seq: Seq(40),
                    hash: EventHash([0x1a; 32]),
                },
                LogHead::from(ChainHead::empty(INCARNATION)),
            ],
            restored: false,
            buckets: vec![BucketCursor {
                bucket: BucketId::Company,
                change: 12,
            }],
            hub: None,
            me: None,
        }),
        EdgeFrame::Hello(Hello {
            version: 1,
            logs: vec![LogHead::from(ChainHead::empty(INCARNATION))],
            restored: false,
            buckets: vec![],
            hub: Some(HubIncarnation(478_080)),
            me: None,
        }),
        EdgeFrame::Hello(Hello {
            version: 1,
            logs: vec![LogHead::from(ChainHead::empty(INCARNATION))],
            restored: false,
            buckets: vec![],
            hub: None,
            me: Some(Introduction {
                company: CompanyId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00cc)),
                event_key: [0xe1; 32],
                ticket_key: [0x71; 32],
            }),
        }),
        EdgeFrame::Report(GrantReport {
            hub: HubIncarnation(478_080),
            logs: vec![LogHead::from(ChainHead::empty(INCARNATION))],
            piece: 0,
            pieces: 2,
            grants: vec![SignedGrant::sign(&grant(), &hub_key())],
            others: vec![],
            issuers: vec![],
        }),
        EdgeFrame::Report(GrantReport {
            hub: HubIncarnation(478_080),
            logs: vec![LogHead::from(ChainHead::empty(INCARNATION))],
            piece: 1,
            pieces: 2,
            grants: vec![],
            others: vec![SignedGrant::sign(&grant(), &hub_key())],
            issuers: vec![KnownIssuer {
                node: NodeId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00dd)),
                ticket_key: [0x72; 32],
            }],
        }),
        EdgeFrame::Events(EventBatch::pack(&events()).unwrap()),
        EdgeFrame::LeaseRequest(LeaseRequest {
            request: request(),
            trip: TRIP,
            boarding: StopSeq(0),
            wants: vec![SeatWant {
                to: StopSeq(3),
                count: 12,
            }],
        }),
        ack(BucketId::Node, 0),
        ack(BucketId::Company, 23),
        ack(BucketId::Trip(TRIP), 24),
        ack(BucketId::Station(StopCode("LSK".to_owned())), 70_000),
        EdgeFrame::TimeRequest(86_400_000),
        EdgeFrame::Positions(vec![
            Fix {
                trip: TRIP,
                seq: 41,
                at: NOW,
                lat_e7: -154_167_000,
                lon_e7: 282_833_000,
                speed_cm_s: Some(2_230),
                bearing_deg: Some(271),
                accuracy_m: Some(4),
                source: Source::Receiver,
            },
            Fix {
                trip: TRIP,
                seq: 40,
                at: NOW,
                lat_e7: -154_167_000,
                lon_e7: 282_833_000,
                speed_cm_s: None,
                bearing_deg: None,
                accuracy_m: None,
                source: Source::Simulated,
            },
        ]),
    ]
}

pub(super) fn hub_frames() -> Vec<HubFrame> {
    let lease = |answer| HubFrame::Lease(request(), answer);
    let mut frames = vec![
        HubFrame::Welcome(Welcome {
            version: 1,
            hub_incarnation: HubIncarnation(1),
            now: NOW,
            stored: vec![mark()],
            begin: None,
            buckets: vec![
                BucketId::Node,
                BucketId::Station(StopCode("LSK".to_owned())),
            ],
            tell_grants: false,
            takes: None,
        }),
        HubFrame::Welcome(Welcome {
            version: 1,
            hub_incarnation: HubIncarnation(2),
            now: NOW,
            stored: vec![],
            begin: Some(NodeIncarnation(3)),
            buckets: vec![],
            tell_grants: false,
            takes: None,
        }),
        HubFrame::Welcome(Welcome {
            version: 1,
            hub_incarnation: HubIncarnation(478_080),
            now: NOW,
            stored: vec![mark()],
            begin: None,
            buckets: vec![BucketId::Node],
            tell_grants: true,
            takes: None,
        }),
        HubFrame::Welcome(Welcome {
            version: 1,
            hub_incarnation: HubIncarnation(2),
            now: NOW,
            stored: vec![],
            begin: None,
            buckets: vec![BucketId::Trip(TRIP)],
            tell_grants: false,
            takes: Some(TAKES_POSITIONS),
        }),
        HubFrame::PositionsTaken(vec![7, 8, 70_000]),
        HubFrame::Stored(mark()),
        HubFrame::Verdicts(mark(), verdicts()),
        lease(LeaseAnswer::Granted(SignedGrant::sign(
            &grant(),
            &hub_key(),
        ))),
        HubFrame::Bucket(BucketChunk {
            bucket: BucketId::Trip(TRIP),
            after: 3,
            checkpoint: 9,
            piece: 0,
            pieces: 1,
            items: zstd::bulk::compress(&to_cbor(&items()), 3).unwrap(),
        }),
        HubFrame::Time(86_400_000, NOW),
        HubFrame::Refused("this device is not known: ask the office".to_owned()),
        HubFrame::Reported(HubIncarnation(478_080)),
    ];
    let refusals = [
        GrantRefusal::UnknownTrip,
        GrantRefusal::BadStops,
        GrantRefusal::BadCount { most: 40 },
        GrantRefusal::BoardingClosed,
        GrantRefusal::SoldOut,
        GrantRefusal::Frozen,
        GrantRefusal::TooManyLeases,
        GrantRefusal::TripFrozen,
    ];
    frames.extend(refusals.map(|why| lease(LeaseAnswer::Refused(why))));
    frames
}

/// Every verdict, with every reason.
pub(super) fn verdicts() -> Vec<SeqVerdict> {
    let reasons = [
        QuarantineReason::NotUnderstood,
        QuarantineReason::Forked,
        QuarantineReason::LeaseUnknown,
        QuarantineReason::LeaseClosed,
        QuarantineReason::StaleEpoch,
        QuarantineReason::OutsideLease,
        QuarantineReason::SeatTaken,
        QuarantineReason::ShiftNotOpen,
        QuarantineReason::TicketUnknown,
        QuarantineReason::AlreadyVoid,
        QuarantineReason::OtherShift,
        QuarantineReason::BadSale,
        QuarantineReason::Backstop,
    ];
    [Verdict::Applied, Verdict::Duplicate]
        .into_iter()
        .chain(reasons.map(Verdict::Quarantined))
        .zip(250..)
        .map(|(verdict, seq)| SeqVerdict {
            seq: Seq(seq),
            verdict,
        })
        .collect()
}

/// Verdicts with reasons that came later than the sample of verdicts.
pub(super) fn later_verdicts() -> Vec<SeqVerdict> {
    vec![SeqVerdict {
        seq: Seq(270),
        verdict: Verdict::Quarantined(QuarantineReason::NoPlace),
    }]
}

/// A trip whose bus was swapped, and swapped back.
pub(super) fn swapped_trip() -> Item {
    let moves = |to: &[u16]| {
        let to: Vec<Option<SeatNo>> = to
            .iter()
            .map(|seat| Some(SeatNo(*seat)).filter(|s| s.0 > 0))
            .collect();
        SeatMoves::new(&to).unwrap()
    };
    let swap = |numbering, layout: &str, to: &[u16], undoes| SeatSwap {
        numbering: LayoutVersion(numbering),
        layout: layout.to_owned(),
        layout_version: LayoutVersion(1),
        moves: moves(to),
        undoes,
    };
    let mut trip = trip();
    for swap in [
        swap(2, "coach-3", &[2, 1, 0], None),
        swap(3, "coach-2", &[2, 1], Some(LayoutVersion(2))),
    ] {
        trip.swaps.push(swap).unwrap();
    }
    Item::Trip(trip)
}

pub(super) fn grant() -> Grant {
    Grant {
        trip: TRIP,
        lease_no: LeaseNo(3),
        holder: NODE,
        epoch: LeaseEpoch(1000),
        boarding: StopSeq(0),
        claims: vec![
            SeatClaim {
                seat: SeatNo(1),
                legs: legs(0, 3),
            },
            SeatClaim {
                seat: SeatNo(24),
                legs: legs(0, 64),
            },
        ],
        layout_version: LayoutVersion(1),
        sell_until: NOW.plus_ms(3_600_000),
        request: request(),
    }
}

pub(super) fn items() -> Vec<Item> {
    let listed = |n, issuer, lease_no, state| {
        Item::Ticket(ListedTicket {
            id: ticket(n),
            trip: TRIP,
            seat: SeatNo(24),
            legs: legs(1, 3),
            issuer,
            lease_no,
            ordinal: SaleOrdinal(1),
            state,
            // One without, as an older hub tells it.
            code: short_claim(n, issuer, lease_no).filter(|_| state != TicketState::Disputed),
        })
    };
    let (node, lease) = (Issuer::Node(NODE), Some(LeaseNo(3)));
    vec![
        Item::Layout(layout()),
        Item::Fares(FareTable {
            id: "intercity".to_owned(),
            currency: Currency::ZMW,
            rows: vec![FareRow {
                from: StopCode("LSK".to_owned()),
                to: StopCode("KBW".to_owned()),
                class: PassengerClass::Child,
                fare_minor: Minor(7_500),
            }],
        }),
        Item::Trip(trip()),
        Item::Key(KeyRecord::signing(Issuer::Hub, hub_key().verifying_key())),
        Item::Key(KeyRecord::mac(node, TRIP, &[7; 32])),
        Item::Grant(SignedGrant::sign(&grant(), &hub_key())),
        listed(1, node, lease, TicketState::Live),
        listed(2, node, lease, TicketState::Void),
        listed(3, node, lease, TicketState::Disputed),
        listed(4, Issuer::Hub, None, TicketState::Live),
    ]
}

fn layout() -> SeatLayout {
    let seat = |label: &str, column, attributes| Seat {
        label: label.to_owned(),
        row: 1,
        column,
        attributes,
    };
    let front = SeatAttributes::WINDOW.with(SeatAttributes::FRONT);
    let seats = vec![
        seat("1A", 1, front),
        seat("1B", 2, SeatAttributes::default()),
    ];
    SeatLayout::new("coach-2", LayoutVersion(1), seats).unwrap()
}

fn trip() -> Trip {
    let stop = |code: &str, name: &str, minutes: i64| TripStop {
        code: StopCode(code.to_owned()),
        name: name.to_owned(),
        zone: "Africa/Lusaka".parse().unwrap(),
        arrives: NOW.plus_ms(minutes * 60_000),
        departs: NOW.plus_ms((minutes + 10) * 60_000),
    };
    Trip {
        id: TRIP,
        route: "LSK-KBW".to_owned(),
        headsign: "Kabwe".to_owned(),
        service_date: "2026-09-21".parse().unwrap(),
        layout: "coach-2".to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: 2,
        fare_table: "intercity".to_owned(),
        currency: Currency::ZMW,
        stops: vec![stop("LSK", "Lusaka", 0), stop("KBW", "Kabwe", 140)],
        swaps: domain::swap::Swaps::NONE,
    }
}

pub(super) fn bodies() -> Vec<EventBody> {
    let void = |reason| {
        EventBody::Void(VoidRecord {
            shift: ShiftNo(7),
            ticket: ticket(1),
            reason,
        })
    };
    let printed = |outcome| {
        EventBody::PrintAttempted(PrintAttempted {
            ticket: ticket(1),
            outcome,
        })
    };
    let scan = |answer, ticket, text: Option<&str>| {
        EventBody::Scan(ScanRecord {
            trip: TRIP,
            answer,
            ticket,
            text: text.map(str::to_owned),
        })
    };
    vec![
        EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(7),
            agent: "Mutinta".to_owned(),
            float_minor: Minor(20_000),
            currency: Currency::ZMW,
        }),
        EventBody::Sale(sale(Suite::Ed25519)),
        EventBody::Sale(sale(Suite::Hmac256)),
        void(VoidReason::Mistake),
        void(VoidReason::PassengerRequest),
        void(VoidReason::PrintFailed),
        EventBody::ShiftClosed(ShiftClosed {
            shift: ShiftNo(7),
            declared_minor: Minor(61_500),
            expected_minor: Minor(62_000),
        }),
        EventBody::LeaseAccepted(LeaseAccepted {
            trip: TRIP,
            lease_no: LeaseNo(3),
            epoch: LeaseEpoch(1000),
        }),
        EventBody::LeaseSurrendered(LeaseSurrendered {
            trip: TRIP,
            lease_no: LeaseNo(3),
            epoch: LeaseEpoch(1000),
            last_seq: Seq(299),
        }),
        printed(PrintOutcome::Sent),
        printed(PrintOutcome::Failed),
        scan(ScanAnswer::Valid, Some(ticket(1)), None),
        scan(ScanAnswer::AlreadyUsed, Some(ticket(1)), None),
        scan(ScanAnswer::WrongTrip, Some(ticket(5)), Some("MW1:R")),
        scan(ScanAnswer::GoodButUnlisted, Some(ticket(6)), Some("MW1:S")),
        scan(ScanAnswer::SeatConflict, Some(ticket(2)), None),
        scan(ScanAnswer::Invalid, None, None),
        scan(ScanAnswer::Invalid, None, Some("hello")),
        EventBody::ClockStep(NOW, NOW.plus_ms(-600_000)),
    ]
}

fn sale(suite: Suite) -> Sale {
    let tag = match suite {
        Suite::Ed25519 => vec![0x5e; 64],
        Suite::Hmac256 => vec![0x6d; 32],
    };
    let coupons = PassengerClass::ALL.map(|class| Coupon {
        trip: TRIP,
        seat: SeatNo(24 + u16::from(class.code())),
        legs: legs(0, 3),
        class,
        ordinal: SaleOrdinal(1),
        lease_no: LeaseNo(3),
        epoch: LeaseEpoch(1000),
        layout_version: LayoutVersion(1),
        fare_minor: Minor(10_500),
        test: class == PassengerClass::Prm,
        tag: tag.clone(),
    });
    let tender = |kind, amount| TenderLine {
        kind,
        amount_minor: Minor(amount),
    };
    Sale {
        shift: ShiftNo(7),
        currency: Currency::ZMW,
        kid: Kid([0xca, 0xfe, 0x00, 0x01]),
        suite,
        coupons: coupons.to_vec(),
        tender: vec![
            tender(TenderKind::Cash, 21_000),
            tender(TenderKind::MobileMoney, 20_000),
            tender(TenderKind::Card, 1_000),
        ],
    }
}

/// An event of each kind of body in one log; the personal blobs by turns none, there and erased.
pub(super) fn events() -> Vec<SignedEvent> {
    let mut head = ChainHead {
        incarnation: INCARNATION,
        seq: Seq(299),
        hash: EventHash([0x29; 32]),
    };
    let mut events = vec![];
    for (i, body) in bodies().iter().enumerate() {
        let blob = (i % 3 > 0).then(|| format!("salt {i}, name").into_bytes());
        let event = Envelope {
            node: NODE,
            incarnation: INCARNATION,
            seq: Seq(head.seq.0 + 1),
            prev: head.hash,
            at: NOW.plus_ms(1_500 * i as i64),
            personal: blob.as_deref().map(personal_hash),
            body: to_cbor(body),
        }
        .sign(&node_key(), blob.filter(|_| i % 3 == 1));
        head = event.head();
        events.push(event);
    }
    events
}
