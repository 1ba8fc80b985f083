use ed25519_dalek::SigningKey;

use super::*;
use crate::ids::{
    Kid, LayoutVersion, LeaseEpoch, LeaseNo, RequestId, SaleOrdinal, SeatNo, StopSeq, TripId,
};
use crate::lease::{Grant, SeatClaim};
use crate::passenger::PassengerClass;
use crate::ticket::{
    TicketClaim, TicketLease, mac_key, mac_kid, mac_ticket, sign_ticket, signing_kid,
};
use crate::trip::Legs;

mod law;
mod typed;

const TRIP: TripId = TripId(70);
const STATION: NodeId = NodeId::from_bytes([1; 16]);
const BUS: NodeId = NodeId::from_bytes([9; 16]);
const NOW: Instant = Instant(1_795_400_000_000);
const TRIP_KEY: [u8; 32] = [4; 32];

fn legs(from: u8, to: u8) -> Legs {
    Legs::new(StopSeq(from), StopSeq(to)).unwrap()
}

fn key_of(issuer: Issuer) -> SigningKey {
    let seed = match issuer {
        Issuer::Hub => 200,
        Issuer::Node(node) => node.as_bytes()[0],
    };
    SigningKey::from_bytes(&[seed; 32])
}

fn grant(holder: NodeId, lease_no: u16, seats: &[u16], all: Legs) -> Grant {
    Grant {
        trip: TRIP,
        lease_no: LeaseNo(lease_no),
        holder,
        epoch: LeaseEpoch(lease_no.into()),
        boarding: all.from(),
        claims: seats
            .iter()
            .map(|&seat| SeatClaim {
                seat: SeatNo(seat),
                legs: all,
            })
            .collect(),
        layout_version: LayoutVersion(1),
        sell_until: NOW,
        request: RequestId::from_bytes([lease_no as u8; 16]),
    }
}

/// A validator that knows the hub's and one station's keys and the station's grant no. 1:
/// seats 1 to 4 on legs 0..3.
fn view() -> TripView {
    let mut view = TripView::new(TRIP);
    for issuer in [Issuer::Hub, Issuer::Node(STATION)] {
        view.add_key(KeyRecord::signing(issuer, key_of(issuer).verifying_key()));
        view.add_key(KeyRecord::mac(issuer, TRIP, &TRIP_KEY));
    }
    view.add_grant(grant(STATION, 1, &[1, 2, 3, 4], legs(0, 3)));
    view.bundle_at = Some(NOW.plus_ms(-7 * 3_600_000));
    view
}

/// The station's ticket `id` for seat 1 on legs 0..3 under grant no. 1.
fn claim(id: u8) -> TicketClaim {
    TicketClaim {
        id: TicketId::from_bytes([id; 16]),
        trip: TRIP,
        seat: SeatNo(1),
        from: StopSeq(0),
        to: StopSeq(3),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: NOW,
        lease: Some(TicketLease {
            no: LeaseNo(1),
            epoch: LeaseEpoch(1),
        }),
        layout_version: LayoutVersion(1),
        test: false,
    }
}

fn qr_by(issuer: Issuer, claim: &TicketClaim) -> String {
    let key = key_of(issuer);
    sign_ticket(claim, signing_kid(&key.verifying_key()), &key).to_qr()
}

fn qr(claim: &TicketClaim) -> String {
    qr_by(Issuer::Node(STATION), claim)
}

fn hold(claim: &TicketClaim) -> SeatHold {
    SeatHold {
        seat: claim.seat,
        legs: claim.legs().unwrap(),
        issuer: Issuer::Node(STATION),
        lease_no: claim.lease.map(|lease| lease.no),
        ordinal: claim.ordinal,
    }
}

fn list(view: &mut TripView, claim: &TicketClaim) {
    view.listed.insert(claim.id, hold(claim));
}

/// Scans and records, as a validator does.
fn scan(view: &mut TripView, text: &str) -> ScanDecision {
    let decision = decide_scan(view, text, NOW);
    record(view, &decision, NOW, BUS);
    decision
}

fn check(view: &TripView, text: &str, answer: ScanAnswer, reason: ScanReason) {
    let decision = decide_scan(view, text, NOW);
    assert_eq!((decision.answer, decision.reason), (answer, reason));
    assert!(!reason.to_string().is_empty());
}

#[test]
fn a_ticket_on_the_manifest_is_valid_then_already_used() {
    let mut view = view();
    list(&mut view, &claim(1));
    let text = qr(&claim(1));
    assert_eq!(scan(&mut view, &text).answer, ScanAnswer::Valid);
    let used = ScanReason::Used(TicketUse { at: NOW, by: BUS });
    check(&view, &text, ScanAnswer::AlreadyUsed, used);
    // Later repeats do not move the first use.
    let again = decide_scan(&view, &text, NOW.plus_ms(5));
    record(&mut view, &again, NOW.plus_ms(5), STATION);
    check(&view, &text, ScanAnswer::AlreadyUsed, used);
}

#[test]
fn a_sale_not_synced_yet_is_let_on_and_flagged_and_never_invalid() {
    let mut view = view();
    let text = qr(&claim(1));
    check(
        &view,
        &text,
        ScanAnswer::GoodButUnlisted,
        ScanReason::SaleNotSeen,
    );
    let later_grant = TicketClaim {
        lease: Some(TicketLease {
            no: LeaseNo(2),
            epoch: LeaseEpoch(8),
        }),
        seat: SeatNo(9),
        ..claim(2)
    };
    check(
        &view,
        &qr(&later_grant),
        ScanAnswer::GoodButUnlisted,
        ScanReason::GrantNotSeen {
            lease_no: LeaseNo(2),
        },
    );
    let other_epoch = TicketClaim {
        lease: Some(TicketLease {
            no: LeaseNo(1),
            epoch: LeaseEpoch(8),
        }),
        ..later_grant
    };
    check(
        &view,
        &qr(&other_epoch),
        ScanAnswer::GoodButUnlisted,
        ScanReason::GrantNotSeen {
            lease_no: LeaseNo(1),
        },
    );
    assert_eq!(scan(&mut view, &text).seat, Some(SeatNo(1)));
    assert_eq!(
        decide_scan(&view, &text, NOW).answer,
        ScanAnswer::AlreadyUsed
    );
}

#[test]
fn the_hubs_own_ticket_needs_no_grant_and_a_stations_does() {
    let view = view();
    let bare = TicketClaim {
        lease: None,
        seat: SeatNo(30),
        ..claim(1)
    };
    let hub = qr_by(Issuer::Hub, &bare);
    check(
        &view,
        &hub,
        ScanAnswer::GoodButUnlisted,
        ScanReason::SaleNotSeen,
    );
    check(
        &view,
        &qr(&bare),
        ScanAnswer::Invalid,
        ScanReason::NoGrantNamed,
    );
}

#[test]
fn a_seat_its_issuer_was_never_granted_is_invalid() {
    let view = view();
    let outside = |claim: &TicketClaim| ScanReason::OutsideGrant {
        issuer: STATION,
        lease_no: LeaseNo(1),
        seat: claim.seat,
        legs: claim.legs().unwrap(),
    };
    for stolen in [
        TicketClaim {
            seat: SeatNo(5),
            ..claim(1)
        },
        TicketClaim {
            to: StopSeq(4),
            ..claim(1)
        },
        TicketClaim {
            from: StopSeq(1),
            ..claim(1)
        },
    ] {
        check(&view, &qr(&stolen), ScanAnswer::Invalid, outside(&stolen));
    }
    let shorter = TicketClaim {
        to: StopSeq(2),
        ..claim(1)
    };
    check(
        &view,
        &qr(&shorter),
        ScanAnswer::GoodButUnlisted,
        ScanReason::SaleNotSeen,
    );
}

#[test]
fn a_ticket_for_another_trip_is_sent_there() {
    let view = view();
    let other = TicketClaim {
        trip: TripId(71),
        ..claim(1)
    };
    let reason = ScanReason::OtherTrip { trip: TripId(71) };
    check(&view, &qr(&other), ScanAnswer::WrongTrip, reason);
}

#[test]
fn what_is_not_genuine_is_invalid() {
    let view = view();
    let good = qr(&claim(1));
    let unreadable = |error| ScanReason::Unreadable(error);
    check(
        &view,
        "",
        ScanAnswer::Invalid,
        unreadable(TicketError::NotOurs),
    );
    let cut = &good[..100];
    check(
        &view,
        cut,
        ScanAnswer::Invalid,
        unreadable(TicketError::CutShort),
    );

    let station = key_of(Issuer::Node(STATION));
    let forged = sign_ticket(
        &claim(1),
        signing_kid(&station.verifying_key()),
        &key_of(Issuer::Hub),
    );
    let mismatch = ScanReason::NotGenuine(TicketError::SignatureMismatch);
    check(&view, &forged.to_qr(), ScanAnswer::Invalid, mismatch);

    let maced = mac_ticket(&claim(1), forged.kid, station.verifying_key().as_bytes());
    let confused = ScanReason::NotGenuine(TicketError::WrongAlgorithm);
    check(&view, &maced.to_qr(), ScanAnswer::Invalid, confused);

    let test = TicketClaim {
        test: true,
        ..claim(1)
    };
    check(
        &view,
        &qr(&test),
        ScanAnswer::Invalid,
        ScanReason::TestTicket,
    );

    let mut revoked = view.clone();
    revoked.revoked.insert(claim(1).id);
    check(&revoked, &good, ScanAnswer::Invalid, ScanReason::Revoked);
}

#[test]
fn an_unknown_key_says_how_old_the_bundle_is() {
    let mut view = view();
    let stranger = Issuer::Node(NodeId::from_bytes([77; 16]));
    let text = qr_by(stranger, &claim(1));
    let kid: Kid = signing_kid(&key_of(stranger).verifying_key());
    let decision = decide_scan(&view, &text, NOW);
    assert_eq!(decision.answer, ScanAnswer::Invalid);
    assert_eq!(
        decision.reason.to_string(),
        format!("cannot verify, bundle is 7 hours old (key {kid} is not in it)")
    );
    assert_eq!(decision.issuer, None);
    view.bundle_at = None;
    let reason = ScanReason::UnknownKey {
        kid,
        bundle_age_ms: None,
    };
    check(&view, &text, ScanAnswer::Invalid, reason);
}

#[test]
fn two_keys_of_one_name_are_both_tried() {
    let mut view = view();
    let kid = signing_kid(&key_of(Issuer::Node(STATION)).verifying_key());
    let twin = KeyRecord {
        kid,
        ..KeyRecord::signing(Issuer::Hub, key_of(Issuer::Hub).verifying_key())
    };
    view.keys.entry(kid).or_default().insert(0, twin);
    check(
        &view,
        &qr(&claim(1)),
        ScanAnswer::GoodButUnlisted,
        ScanReason::SaleNotSeen,
    );
}

#[test]
fn a_mac_ticket_is_flagged_until_it_is_listed() {
    let mut view = view();
    let issuer = Issuer::Node(STATION);
    let text = mac_ticket(
        &claim(1),
        mac_kid(TRIP, issuer),
        &mac_key(&TRIP_KEY, TRIP, issuer),
    )
    .to_qr();
    check(
        &view,
        &text,
        ScanAnswer::GoodButUnlisted,
        ScanReason::MacNotListed,
    );
    list(&mut view, &claim(1));
    check(&view, &text, ScanAnswer::Valid, ScanReason::Listed);
}

#[test]
fn an_overlapping_leg_of_an_occupied_seat_is_a_conflict_and_the_next_leg_is_not() {
    let mut view = view();
    let first = TicketClaim {
        to: StopSeq(2),
        ..claim(1)
    };
    scan(&mut view, &qr(&first));
    let second = TicketClaim {
        to: StopSeq(1),
        ordinal: SaleOrdinal(2),
        ..claim(2)
    };
    let used = TicketUse { at: NOW, by: BUS };
    let occupied = ScanReason::Occupied {
        ticket: first.id,
        used,
    };
    check(&view, &qr(&second), ScanAnswer::SeatConflict, occupied);

    view.add_grant(grant(STATION, 2, &[1], legs(2, 3)));
    let next_leg = TicketClaim {
        from: StopSeq(2),
        lease: Some(TicketLease {
            no: LeaseNo(2),
            epoch: LeaseEpoch(2),
        }),
        ..claim(3)
    };
    check(
        &view,
        &qr(&next_leg),
        ScanAnswer::GoodButUnlisted,
        ScanReason::SaleNotSeen,
    );
}

#[test]
fn a_seat_listed_for_another_is_a_conflict_until_that_ticket_is_revoked() {
    let mut view = view();
    list(&mut view, &claim(1));
    let other = qr(&claim(2));
    let reason = ScanReason::ListedForAnother {
        ticket: claim(1).id,
    };
    check(&view, &other, ScanAnswer::SeatConflict, reason);
    view.revoked.insert(claim(1).id);
    check(
        &view,
        &other,
        ScanAnswer::GoodButUnlisted,
        ScanReason::SaleNotSeen,
    );
}

#[test]
fn a_refused_passenger_does_not_occupy_the_seat() {
    let mut view = view();
    let on_board = claim(1);
    scan(&mut view, &qr(&on_board));
    let refused = TicketClaim {
        id: TicketId::from_bytes([2; 16]),
        ..on_board
    };
    assert_eq!(
        scan(&mut view, &qr(&refused)).answer,
        ScanAnswer::SeatConflict
    );
    assert_eq!(view.seen[&refused.id].used, None);
    // Asked again, still a conflict: it was never used.
    assert_eq!(
        scan(&mut view, &qr(&refused)).answer,
        ScanAnswer::SeatConflict
    );
}

#[test]
fn a_voided_ticket_loses_its_seat_to_the_one_that_was_sold_after_it() {
    let voided = claim(1);
    let resold = TicketClaim {
        ordinal: SaleOrdinal(2),
        ..claim(2)
    };
    for listed in [false, true] {
        let mut view = view();
        if listed {
            // The sale reached the bus, its void did not.
            list(&mut view, &voided);
        }
        let first = scan(&mut view, &qr(&resold));
        assert_eq!(first.answer, ScanAnswer::GoodButUnlisted);
        let second = scan(&mut view, &qr(&voided));
        assert_eq!(second.answer, ScanAnswer::SeatConflict);
        assert!(
            matches!(second.reason, ScanReason::Occupied { ticket, .. } if ticket == resold.id)
        );
    }
}

#[test]
fn a_voided_ticket_that_boarded_first_keeps_the_newer_one_in_conflict() {
    let mut view = view();
    let resold = TicketClaim {
        ordinal: SaleOrdinal(2),
        ..claim(2)
    };
    assert_eq!(
        scan(&mut view, &qr(&claim(1))).answer,
        ScanAnswer::GoodButUnlisted
    );
    let second = scan(&mut view, &qr(&resold));
    assert_eq!(second.answer, ScanAnswer::SeatConflict);
    assert!(matches!(second.reason, ScanReason::Occupied { ticket, .. } if ticket == claim(1).id));
}

#[test]
fn a_listed_later_sale_supersedes_the_older_ticket_at_the_door() {
    let mut view = view();
    let resold = TicketClaim {
        ordinal: SaleOrdinal(2),
        ..claim(2)
    };
    list(&mut view, &resold);
    let superseded = ScanReason::Superseded {
        ticket: resold.id,
        ordinal: SaleOrdinal(2),
    };
    check(&view, &qr(&claim(1)), ScanAnswer::SeatConflict, superseded);
    check(&view, &qr(&resold), ScanAnswer::Valid, ScanReason::Listed);
    // An ordinal counts within its own lease only.
    let other_lease = TicketClaim {
        lease: Some(TicketLease {
            no: LeaseNo(2),
            epoch: LeaseEpoch(2),
        }),
        ordinal: SaleOrdinal(3),
        ..claim(3)
    };
    let reason = ScanReason::ListedForAnother { ticket: resold.id };
    check(&view, &qr(&other_lease), ScanAnswer::SeatConflict, reason);
}

#[test]
fn after_a_bus_swap_the_seat_of_today_is_shown_and_compared() {
    let mut view = view();
    let moved = claim(1);
    view.listed.insert(
        moved.id,
        SeatHold {
            seat: SeatNo(22),
            ..hold(&moved)
        },
    );
    let newer_layout = TicketClaim {
        seat: SeatNo(40),
        layout_version: LayoutVersion(2),
        ..claim(2)
    };
    assert_eq!(
        decide_scan(&view, &qr(&newer_layout), NOW).answer,
        ScanAnswer::GoodButUnlisted,
        "a layout version never refuses"
    );
    assert_eq!(scan(&mut view, &qr(&moved)).seat, Some(SeatNo(22)));
    let old_seat = decide_scan(&view, &qr(&claim(3)), NOW);
    assert_eq!(old_seat.answer, ScanAnswer::GoodButUnlisted);
}

#[test]
fn a_ticket_under_anothers_number_is_not_taken_for_it() {
    let mut view = view();
    let listed = TicketClaim {
        seat: SeatNo(2),
        ..claim(1)
    };
    view.listed.insert(
        listed.id,
        SeatHold {
            issuer: Issuer::Hub,
            ..hold(&listed)
        },
    );
    check(
        &view,
        &qr(&claim(1)),
        ScanAnswer::GoodButUnlisted,
        ScanReason::ManifestDiffers,
    );
    let reason = ScanReason::ListedForAnother { ticket: listed.id };
    check(&view, &qr(&listed), ScanAnswer::SeatConflict, reason);
}

#[test]
fn no_clock_refuses_a_ticket() {
    let mut view = view();
    list(&mut view, &claim(1));
    for now in [Instant(i64::MIN), Instant(0), Instant(i64::MAX)] {
        assert_eq!(
            decide_scan(&view, &qr(&claim(1)), now).answer,
            ScanAnswer::Valid
        );
    }
}

/// A view in which every later answer would fit too; taking its cause away gives the next one.
#[test]
fn the_first_answer_that_fits_wins() {
    let mut view = view();
    let other = claim(2);
    let ticket = claim(1);
    let elsewhere = TicketClaim {
        trip: TripId(71),
        ..ticket
    };
    let text = qr(&ticket);
    list(&mut view, &ticket);
    let used = TicketUse { at: NOW, by: BUS };
    view.note_seen(ticket.id, hold(&ticket), LayoutVersion(1), Some(used));
    view.note_seen(other.id, hold(&other), LayoutVersion(1), Some(used));
    view.revoked.insert(ticket.id);

    let answer = |view: &TripView, text: &str| decide_scan(view, text, NOW).answer;
    assert_eq!(answer(&view, &qr(&elsewhere)), ScanAnswer::Invalid);
    view.revoked.clear();
    assert_eq!(answer(&view, &qr(&elsewhere)), ScanAnswer::WrongTrip);
    assert_eq!(answer(&view, &text), ScanAnswer::AlreadyUsed);
    view.seen.remove(&ticket.id);
    assert_eq!(answer(&view, &text), ScanAnswer::SeatConflict);
    view.seen.clear();
    assert_eq!(answer(&view, &text), ScanAnswer::Valid);
    view.listed.clear();
    assert_eq!(answer(&view, &text), ScanAnswer::GoodButUnlisted);
}

#[test]
fn each_answer_reads_back_from_its_name() {
    for answer in ScanAnswer::ALL {
        assert_eq!(answer.as_str().parse(), Ok(answer));
    }
}

fn swaps(moves: &[Option<u16>]) -> crate::swap::Swaps {
    let to: Vec<_> = moves.iter().map(|s| s.map(SeatNo)).collect();
    let mut swaps = crate::swap::Swaps::default();
    let swap = crate::swap::SeatSwap {
        numbering: LayoutVersion(2),
        layout: "old".to_owned(),
        layout_version: LayoutVersion(1),
        moves: crate::swap::SeatMoves::new(&to).unwrap(),
        undoes: None,
    };
    swaps.push(swap).unwrap();
    swaps
}

#[test]
fn the_maps_of_a_swap_lead_unlisted_tickets_to_their_seats_of_today() {
    let mut view = view();
    let first = qr(&claim(1));
    assert_eq!(scan(&mut view, &first).seat, Some(SeatNo(1)));
    view.renumber(&swaps(&[Some(7), Some(1), None]), LayoutVersion(2));
    // The second seat is number 1 by now: whoever sat on the first is not in its way.
    let second = TicketClaim {
        seat: SeatNo(2),
        ..claim(2)
    };
    let decision = scan(&mut view, &qr(&second));
    assert_eq!(decision.answer, ScanAnswer::GoodButUnlisted);
    assert_eq!(decision.seat, Some(SeatNo(1)));
    let hubs = TicketClaim {
        seat: SeatNo(7),
        lease: None,
        layout_version: LayoutVersion(2),
        ..claim(3)
    };
    let taken = decide_scan(&view, &qr_by(Issuer::Hub, &hubs), NOW);
    assert_eq!(
        taken.answer,
        ScanAnswer::SeatConflict,
        "it is the first's seat"
    );
    let third = TicketClaim {
        seat: SeatNo(3),
        ..claim(4)
    };
    let sold = ScanReason::NoPlace { sold: SeatNo(3) };
    check(&view, &qr(&third), ScanAnswer::SeatConflict, sold);
}

#[test]
fn a_ticket_of_a_numbering_to_come_is_compared_with_no_seat() {
    let mut view = view();
    view.renumber(&crate::swap::Swaps::NONE, LayoutVersion(1));
    assert!(scan(&mut view, &qr(&claim(1))).answer.lets_on());
    let newer = TicketClaim {
        lease: None,
        layout_version: LayoutVersion(2),
        ..claim(2)
    };
    let decision = scan(&mut view, &qr_by(Issuer::Hub, &newer));
    assert_eq!(decision.answer, ScanAnswer::GoodButUnlisted);
    // Once the maps are here it holds its seat, number 1 of today, and the first one does not.
    view.renumber(&swaps(&[Some(5), Some(1)]), LayoutVersion(2));
    let second = TicketClaim {
        seat: SeatNo(2),
        ..claim(3)
    };
    let decision = decide_scan(&view, &qr(&second), NOW);
    assert_eq!(decision.answer, ScanAnswer::SeatConflict);
}
