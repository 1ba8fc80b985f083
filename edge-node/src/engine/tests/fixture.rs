//! A small world: one trip of three stops and four seats, a hub that signs, a station and a bus.

use domain::counter::{JourneyWish, PassengerWish, SellCommand};
use domain::fare::{FareRow, FareTable};
use domain::ids::{
    CommandId, CompanyId, Issuer, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, RequestId, SeatNo,
    StopCode, StopSeq, TicketId, TripId,
};
use domain::ingest::TicketState;
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::lease::{Grant, LeaseRequest, SeatClaim, SeatWant, SignedGrant};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::{KeyRecord, Suite};
use domain::time::Instant;
use domain::trip::{Legs, Trip, TripStop};
use ed25519_dalek::SigningKey;
use sync_protocol::frame::{BucketCursor, BucketId, Item, ListedTicket};
use uuid::Uuid;

use crate::engine::{
    Command, Engine, EngineConfig, EngineError, IssuedTicket, NoEffects, Outcome, Personal,
    SaleReceipt, SeededEntropy, SellOrder,
};
use crate::keys::NodeKeys;
use crate::store::Disk;

pub(crate) const TRIP: TripId = TripId(7);
pub(crate) const NOW: Instant = Instant(1_795_000_000_000);
const HOUR_MS: i64 = 3_600_000;

pub(crate) fn hub_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

pub(crate) fn station() -> NodeId {
    NodeId(Uuid::from_u128(1))
}

pub(crate) fn bus() -> NodeId {
    NodeId(Uuid::from_u128(2))
}

pub(crate) fn keys_of(node: NodeId) -> NodeKeys {
    let n = node.as_bytes()[15];
    NodeKeys::from_seeds([n; 32], [n + 100; 32])
}

pub(crate) fn config(node: NodeId) -> EngineConfig {
    EngineConfig {
        node,
        company: CompanyId(Uuid::from_u128(99)),
        keys: keys_of(node),
        hub_keys: vec![hub_key().verifying_key()],
        suite: Suite::Ed25519,
        entropy: Box::new(SeededEntropy::new(1)),
        store_expected: false,
    }
}

pub(crate) fn command(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

pub(crate) fn legs(from: u8, to: u8) -> Legs {
    Legs::new(StopSeq(from), StopSeq(to)).unwrap()
}

pub(crate) fn company_items() -> Vec<Item> {
    let zone: domain::time::Zone = "Africa/Lusaka".parse().unwrap();
    let stop = |code: &str, hours: i64| TripStop {
        code: StopCode(code.to_owned()),
        name: format!("{code} Town"),
        zone: zone.clone(),
        arrives: NOW.plus_ms(hours * HOUR_MS),
        departs: NOW.plus_ms(hours * HOUR_MS),
    };
    let trip = Trip {
        id: TRIP,
        route: "R1".to_owned(),
        headsign: "Ndola".to_owned(),
        service_date: "2026-11-22".parse().unwrap(),
        layout: "small".to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: 4,
        fare_table: "std".to_owned(),
        currency: Currency::ZMW,
        stops: vec![stop("LUN", 2), stop("KAB", 4), stop("NDO", 6)],
        swaps: domain::swap::Swaps::NONE,
    };
    let seats = (1..=4)
        .map(|n| Seat {
            label: format!("{n}A"),
            row: n,
            column: 1,
            attributes: SeatAttributes::default(),
        })
        .collect();
    let fare = |from: &str, to: &str, fare_minor| FareRow {
        from: StopCode(from.to_owned()),
        to: StopCode(to.to_owned()),
        class: PassengerClass::Adult,
        fare_minor: Minor(fare_minor),
    };
    let fares = FareTable {
        id: "std".to_owned(),
        currency: Currency::ZMW,
        rows: vec![
            fare("LUN", "KAB", 10_000),
            fare("KAB", "NDO", 12_000),
            fare("LUN", "NDO", 20_000),
        ],
    };
    vec![
        Item::Layout(SeatLayout::new("small", LayoutVersion(1), seats).unwrap()),
        Item::Fares(fares),
        Item::Trip(trip),
    ]
}

pub(crate) fn grant(no: u16, seats: core::ops::RangeInclusive<u16>) -> Grant {
    Grant {
        trip: TRIP,
        lease_no: LeaseNo(no),
        holder: station(),
        epoch: LeaseEpoch(u32::from(no)),
        boarding: StopSeq(0),
        claims: seats
            .map(|seat| SeatClaim {
                seat: SeatNo(seat),
                legs: legs(0, 2),
            })
            .collect(),
        layout_version: LayoutVersion(1),
        sell_until: NOW.plus_ms(2 * HOUR_MS),
        request: RequestId(Uuid::from_u128(5_000 + u128::from(no))),
    }
}

pub(crate) fn request(no: u16) -> LeaseRequest {
    LeaseRequest {
        request: RequestId(Uuid::from_u128(5_000 + u128::from(no))),
        trip: TRIP,
        boarding: StopSeq(0),
        wants: vec![SeatWant {
            to: StopSeq(2),
            count: 2,
        }],
    }
}

pub(crate) fn signed(grant: &Grant) -> SignedGrant {
    SignedGrant::sign(grant, &hub_key())
}

pub(crate) fn cursor(bucket: BucketId, change: u64) -> BucketCursor {
    BucketCursor { bucket, change }
}

/// A station that knows the timetable and holds seats 1 to 3 from LUN.
pub(crate) fn station_on(disk: &Disk) -> Engine {
    let mut engine = Engine::open(disk, config(station())).unwrap();
    let company = cursor(BucketId::Company, 3);
    engine
        .apply_bucket(&company, &company_items(), NOW)
        .unwrap();
    let taken = engine
        .apply_bucket(
            &cursor(BucketId::Node, 1),
            &[station_mac(), Item::Grant(signed(&grant(1, 1..=3)))],
            NOW,
        )
        .unwrap();
    assert_eq!(taken.accepted, vec![(TRIP, LeaseNo(1))]);
    engine
}

pub(crate) fn open_shift(engine: &mut Engine, n: u128) -> Result<Outcome, EngineError> {
    let open = Command::OpenShift {
        agent: "Mercy".to_owned(),
        float_minor: Minor(5_000),
        currency: Currency::ZMW,
    };
    engine.execute(command(n), open, NOW, &mut NoEffects)
}

pub(crate) fn order(from: &str, to: &str, seats: &[Option<&str>]) -> SellOrder {
    SellOrder {
        sell: SellCommand {
            journeys: vec![JourneyWish {
                trip: TRIP,
                from: StopCode(from.to_owned()),
                to: StopCode(to.to_owned()),
                passengers: seats
                    .iter()
                    .map(|seat| PassengerWish {
                        class: PassengerClass::Adult,
                        seat: seat.map(str::to_owned),
                    })
                    .collect(),
            }],
            tender: vec![],
            test: false,
        },
        personal: Personal {
            phone: Some("+260 97 1234567".to_owned()),
            names: vec![Some("Chanda Mwila".to_owned())],
        },
    }
}

pub(crate) fn sell(
    engine: &mut Engine,
    n: u128,
    order: SellOrder,
) -> Result<SaleReceipt, EngineError> {
    let outcome = engine.execute(command(n), Command::Sell(order), NOW, &mut NoEffects)?;
    let Outcome::Sold(receipt) = outcome else {
        panic!("a sale led to {outcome:?}");
    };
    Ok(receipt)
}

pub(crate) fn listed(ticket: &IssuedTicket, state: TicketState) -> Item {
    Item::Ticket(ListedTicket {
        id: ticket.id,
        trip: ticket.trip,
        seat: ticket.seat,
        legs: ticket.legs,
        issuer: Issuer::Node(station()),
        lease_no: Some(ticket.lease_no),
        ordinal: ticket.ordinal,
        state,
        code: ticket.code.map(|code| code.claim),
    })
}

pub(crate) fn station_key() -> Item {
    let public = keys_of(station()).ticket.verifying_key();
    Item::Key(KeyRecord::signing(Issuer::Node(station()), public))
}

/// The station's MAC key for the trip, as both sides of a short code need it.
pub(crate) fn station_mac() -> Item {
    Item::Key(KeyRecord::mac(Issuer::Node(station()), TRIP, &[7; 32]))
}

pub(crate) fn ids(receipt: &SaleReceipt) -> Vec<TicketId> {
    receipt.tickets.iter().map(|t| t.id).collect()
}
