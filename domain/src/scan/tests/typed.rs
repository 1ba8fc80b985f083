//! Short codes that are typed.

use super::*;
use crate::swap::{SeatMoves, SeatSwap, Swaps};
use crate::ticket::ShortCode;

fn code_by(issuer: Issuer, claim: &TicketClaim) -> ShortCode {
    ShortCode::of(claim, &KeyRecord::mac(issuer, claim.trip, &TRIP_KEY)).unwrap()
}

fn typed(claim: &TicketClaim) -> String {
    code_by(Issuer::Node(STATION), claim).to_string()
}

/// The hub tells of a ticket, with its code.
fn told(view: &mut TripView, claim: &TicketClaim) {
    list(view, claim);
    let code = code_by(Issuer::Node(STATION), claim).claim;
    view.codes.insert(code, claim.id);
}

fn hubs() -> TicketClaim {
    TicketClaim {
        seat: SeatNo(30),
        lease: None,
        ..claim(8)
    }
}

#[test]
fn a_code_on_the_manifest_is_valid_once_however_it_is_shown() {
    let mut view = view();
    told(&mut view, &claim(1));
    let used = ScanReason::Used(TicketUse { at: NOW, by: BUS });
    let decision = scan(&mut view, &typed(&claim(1)).to_lowercase());
    assert_eq!(decision.answer, ScanAnswer::Valid);
    assert_eq!(decision.seat, Some(SeatNo(1)));
    assert_eq!(decision.ticket.unwrap().id, claim(1).id);
    for text in [typed(&claim(1)), qr(&claim(1))] {
        check(&view, &text, ScanAnswer::AlreadyUsed, used);
    }
}

#[test]
fn an_unlisted_code_is_let_on_flagged_and_once_in_either_form() {
    for first_typed in [true, false] {
        let mut view = view();
        let forms = [typed(&claim(1)), qr(&claim(1))];
        let (first, other) = if first_typed {
            (&forms[0], &forms[1])
        } else {
            (&forms[1], &forms[0])
        };
        let decision = scan(&mut view, first);
        assert_eq!(decision.answer, ScanAnswer::GoodButUnlisted);
        if first_typed {
            assert_eq!(decision.reason, ScanReason::MacNotListed);
        }
        for text in [first, other] {
            let again = decide_scan(&view, text, NOW);
            assert_eq!(again.answer, ScanAnswer::AlreadyUsed, "{}", again.reason);
        }
        // Nor is it good again once the sale has come.
        told(&mut view, &claim(1));
        for text in [first, other] {
            let again = decide_scan(&view, text, NOW);
            assert_eq!(again.answer, ScanAnswer::AlreadyUsed, "{}", again.reason);
        }
        // The next passenger of the seat is told who sits there.
        let second = TicketClaim {
            ordinal: SaleOrdinal(2),
            ..claim(2)
        };
        let decision = decide_scan(&view, &typed(&second), NOW);
        assert_eq!(decision.answer, ScanAnswer::SeatConflict);
    }
}

#[test]
fn a_code_of_a_ticket_that_was_taken_back_is_refused_by_its_own_name() {
    let mut view = view();
    told(&mut view, &claim(1));
    view.listed.clear();
    view.revoked.insert(claim(1).id);
    check(
        &view,
        &typed(&claim(1)),
        ScanAnswer::Invalid,
        ScanReason::Revoked,
    );
    // Its successor out of the same right has another code.
    let next = TicketClaim {
        ordinal: SaleOrdinal(2),
        ..claim(2)
    };
    assert_eq!(
        decide_scan(&view, &typed(&next), NOW).answer,
        ScanAnswer::GoodButUnlisted
    );
}

#[test]
fn a_code_of_another_bus_names_its_trip_where_the_key_is_here() {
    let mut view = view();
    let other = TicketClaim {
        trip: TripId(71),
        ..claim(1)
    };
    let record = KeyRecord::mac(Issuer::Node(STATION), other.trip, &TRIP_KEY);
    let text = ShortCode::of(&other, &record).unwrap().to_string();
    let unknown = decide_scan(&view, &text, NOW);
    assert!(unknown.is_wrong_code());
    assert!(unknown.reason.to_string().contains("7 hours old"));
    view.add_key(record);
    let reason = ScanReason::OtherTrip { trip: other.trip };
    check(&view, &text, ScanAnswer::WrongTrip, reason);
}

#[test]
fn a_seller_sells_by_code_no_seat_that_it_was_not_granted() {
    let view = view();
    let outside = TicketClaim {
        seat: SeatNo(9),
        ..claim(1)
    };
    let reason = ScanReason::OutsideGrant {
        issuer: STATION,
        lease_no: LeaseNo(1),
        seat: SeatNo(9),
        legs: legs(0, 3),
    };
    check(&view, &typed(&outside), ScanAnswer::Invalid, reason);
    let hub = code_by(Issuer::Hub, &hubs()).to_string();
    let decision = decide_scan(&view, &hub, NOW);
    assert_eq!(decision.reason, ScanReason::MacNotListed);
    assert_eq!(decision.issuer, Some(Issuer::Hub));
}

#[test]
fn after_a_swap_a_code_leads_to_the_seat_of_today() {
    let mut swaps = Swaps::default();
    let to: Vec<Option<SeatNo>> = (1..=40)
        .map(|s| (s != 31).then_some(SeatNo(s + 4)))
        .collect();
    swaps
        .push(SeatSwap {
            numbering: LayoutVersion(2),
            layout: "COACH".to_owned(),
            layout_version: LayoutVersion(1),
            moves: SeatMoves::new(&to).unwrap(),
            undoes: None,
        })
        .unwrap();
    let mut view = view();
    view.renumber(&swaps, LayoutVersion(2));
    let hub = |claim: &TicketClaim| code_by(Issuer::Hub, claim).to_string();
    let seat = |text: &str| decide_scan(&view, text, NOW).seat;
    assert_eq!(seat(&hub(&hubs())), Some(SeatNo(34)));
    assert_eq!(seat(&typed(&claim(1))), Some(SeatNo(5)));
    let sold_since = TicketClaim {
        layout_version: LayoutVersion(2),
        ..hubs()
    };
    assert_eq!(seat(&hub(&sold_since)), Some(SeatNo(30)));
    // Sold under a swap that this device has not heard of: nobody is in its way.
    let not_heard = TicketClaim {
        layout_version: LayoutVersion(3),
        ..hubs()
    };
    let unheard = decide_scan(&view, &hub(&not_heard), NOW);
    assert_eq!(unheard.answer, ScanAnswer::GoodButUnlisted);
    let lost = TicketClaim {
        seat: SeatNo(31),
        ..hubs()
    };
    let reason = ScanReason::NoPlace { sold: SeatNo(31) };
    check(&view, &hub(&lost), ScanAnswer::SeatConflict, reason);
    // The manifest knows best where somebody was put.
    let mut moved = hold(&lost);
    moved.issuer = Issuer::Hub;
    moved.seat = SeatNo(2);
    view.listed.insert(lost.id, moved);
    view.codes
        .insert(code_by(Issuer::Hub, &lost).claim, lost.id);
    let decision = decide_scan(&view, &hub(&lost), NOW);
    assert_eq!(decision.answer, ScanAnswer::Valid, "{}", decision.reason);
    assert_eq!(decision.seat, Some(SeatNo(2)));
}

#[test]
fn ten_wrong_codes_lock_codes_for_a_while_and_never_a_qr_code() {
    let mut view = view();
    told(&mut view, &claim(1));
    let good = typed(&claim(1));
    let minute = |n: i64| NOW.plus_ms(n * 60_000 / 2);
    // Too short, or with a letter that no code has: a slip, no guess.
    for text in ["7F3K-22QX-9M4T", "7F3K-22QX-9U4T-0KZ1"] {
        let slip = scan(&mut view, text);
        assert_eq!(slip.answer, ScanAnswer::Invalid);
        assert!(!slip.is_wrong_code());
    }
    for n in 0..WRONG_CODES_MAX as i64 {
        let text = format!("4F3K-22QX-9M4T-0K{n:02}");
        let decision = decide_scan(&view, &text, minute(n));
        assert!(decision.is_wrong_code(), "{}", decision.reason);
        record(&mut view, &decision, minute(n), BUS);
    }
    let until = NOW.plus_ms(WRONG_CODES_WITHIN_MS);
    let locked = decide_scan(&view, &good, minute(10));
    assert_eq!(locked.reason, ScanReason::TooManyWrongCodes { until });
    // What is refused unseen does not count.
    record(&mut view, &locked, minute(10), BUS);
    assert_eq!(
        decide_scan(&view, &qr(&claim(1)), minute(10)).answer,
        ScanAnswer::Valid
    );
    assert_eq!(decide_scan(&view, &good, until).answer, ScanAnswer::Valid);
    // A clock that was set back does not lock anybody out for days.
    let before = NOW.plus_ms(-86_400_000);
    assert_eq!(decide_scan(&view, &good, before).answer, ScanAnswer::Valid);
}
