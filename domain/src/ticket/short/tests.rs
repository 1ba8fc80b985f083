use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ids::{LeaseEpoch, LeaseNo, NodeId};
use crate::passenger::PassengerClass;
use crate::time::Instant;

const TRIP: TripId = TripId(4021);
const TRIP_KEY: [u8; 32] = [0x33; 32];
const STATION: Issuer = Issuer::Node(NodeId::from_bytes([0x44; 16]));

fn ticket() -> TicketClaim {
    TicketClaim {
        id: TicketId::from_bytes([1; 16]),
        trip: TRIP,
        seat: SeatNo(17),
        from: StopSeq(0),
        to: StopSeq(3),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: Instant(1_795_384_800_000),
        lease: Some(TicketLease {
            no: LeaseNo(2),
            epoch: LeaseEpoch(7),
        }),
        layout_version: LayoutVersion(1),
        test: false,
    }
}

fn record(issuer: Issuer) -> KeyRecord {
    KeyRecord::mac(issuer, TRIP, &TRIP_KEY)
}

prop_compose! {
    fn any_ticket()(
        seat in 1_u16..=500, from in 0_u8..64, len in 1_u8..64, ordinal in 0_u16..32,
        lease in proptest::option::of((any::<u16>(), any::<u32>())), numbering in any::<u32>(),
    ) -> TicketClaim {
        TicketClaim {
            seat: SeatNo(seat),
            from: StopSeq(from),
            to: StopSeq((from + len).min(64)),
            ordinal: SaleOrdinal(ordinal),
            lease: lease.map(|(no, epoch)| TicketLease {
                no: LeaseNo(no),
                epoch: LeaseEpoch(epoch),
            }),
            layout_version: LayoutVersion(numbering),
            ..ticket()
        }
    }
}

proptest! {
    #[test]
    fn a_code_says_what_its_ticket_says(ticket in any_ticket()) {
        let code = ShortCode::of(&ticket, &record(STATION)).unwrap();
        let text = code.to_string();
        prop_assert_eq!(text.len(), SHORT_DIGITS + 3);
        let read = ShortCode::read(&text.to_lowercase()).unwrap();
        prop_assert_eq!(read, code);
        prop_assert!(read.is_of(&record(STATION)));
        prop_assert_eq!(read.claim.seat(), ticket.seat);
        prop_assert_eq!(read.claim.legs(), ticket.legs());
        prop_assert_eq!(read.claim.ordinal(), ticket.ordinal);
        prop_assert!(read.claim.is_under(ticket.lease, ticket.layout_version));
    }

    #[test]
    fn no_wrong_digit_goes_unnoticed(at in 0_usize..16, turn in 1_u8..32, ticket in any_ticket()) {
        const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let text = ShortCode::of(&ticket, &record(STATION)).unwrap().to_string();
        let mut typed = text.replace('-', "").into_bytes();
        let digit = DIGITS.iter().position(|d| *d == typed[at]).unwrap();
        typed[at] = DIGITS[(digit + usize::from(turn)) % 32];
        let typed = String::from_utf8(typed).unwrap();
        prop_assert!(ShortCode::read(&typed).map_or(true, |code| !code.is_of(&record(STATION))));
    }
}

#[test]
fn a_code_is_good_for_one_issuer_trip_and_right() {
    let code = ShortCode::of(&ticket(), &record(STATION)).unwrap();
    let other_node = Issuer::Node(NodeId::from_bytes([0x45; 16]));
    let others = [
        record(Issuer::Hub),
        record(other_node),
        KeyRecord::mac(STATION, TripId(4022), &TRIP_KEY),
        KeyRecord::mac(STATION, TRIP, &[0x34; 32]),
    ];
    assert!(others.iter().all(|other| !code.is_of(other)));
    let sold = |change: &dyn Fn(&mut TicketClaim)| {
        let mut ticket = ticket();
        change(&mut ticket);
        ShortClaim::of(&ticket, STATION).unwrap()
    };
    let all: BTreeSet<ShortClaim> = [
        sold(&|_| {}),
        sold(&|t| t.ordinal = SaleOrdinal(2)),
        sold(&|t| t.layout_version = LayoutVersion(2)),
        sold(&|t| t.lease = None),
        sold(&|t| {
            t.lease = Some(TicketLease {
                no: LeaseNo(3),
                epoch: LeaseEpoch(7),
            });
        }),
    ]
    .into();
    assert_eq!(all.len(), 5);
    let names: BTreeSet<TicketId> = all.iter().map(|claim| claim.stand_in(TRIP)).collect();
    assert_eq!(names.len(), 5);
    assert_ne!(code.claim.stand_in(TRIP), code.claim.stand_in(TripId(1)));
}

#[test]
fn what_has_no_code_gets_none() {
    let none = |change: &dyn Fn(&mut TicketClaim)| {
        let mut ticket = ticket();
        change(&mut ticket);
        assert_eq!(ShortCode::of(&ticket, &record(STATION)), None);
    };
    none(&|t| t.test = true);
    none(&|t| t.ordinal = SaleOrdinal(32));
    none(&|t| t.seat = SeatNo(0));
    none(&|t| t.to = t.from);
    none(&|t| t.trip = TripId(1));
}

#[test]
fn what_was_typed_wrongly_is_named() {
    let read = |text: &str| ShortCode::read(text).unwrap_err();
    assert_eq!(read("7F3K-22QX"), ShortCodeError::Length(8));
    assert_eq!(
        read("7F3K-22QX-9U4T-0KZ1"),
        ShortCodeError::BadCharacter {
            found: 'U',
            group: 3
        }
    );
    assert_eq!(read("0000-0000-0000-0000"), ShortCodeError::Nowhere);
}
