//! The six answers through the engine, on the bus's own disk.

use domain::ids::TripId;
use domain::ingest::TicketState;
use domain::scan::ScanAnswer;
use domain::ticket::{parse_qr, sign_ticket, signing_kid};
use ed25519_dalek::SigningKey;
use sync_protocol::frame::{BucketId, Item};

use super::fixture::*;
use crate::engine::{Command, Engine, IssuedTicket, NoEffects, Outcome, ScanOutcome};
use crate::store::Disk;

fn scan(engine: &mut Engine, n: u128, trip: TripId, text: &str) -> ScanOutcome {
    let scan = Command::Scan {
        trip,
        text: text.to_owned(),
    };
    let outcome = engine.execute(command(n), scan, NOW, &mut NoEffects);
    let Ok(Outcome::Scanned(outcome)) = outcome else {
        panic!("a scan led to {outcome:?}");
    };
    outcome
}

/// Three tickets of the station: a voided one, its successor on the same seat, and another.
fn tickets() -> Vec<IssuedTicket> {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = station_on(&Disk::in_folder(folder.path()));
    open_shift(&mut engine, 1).unwrap();
    let first = sell(&mut engine, 2, order("LUN", "NDO", &[Some("1A")])).unwrap();
    let void = Command::Void {
        ticket: first.tickets[0].id,
        reason: domain::event::VoidReason::Mistake,
    };
    engine
        .execute(command(3), void, NOW, &mut NoEffects)
        .unwrap();
    let second = sell(&mut engine, 4, order("LUN", "NDO", &[Some("1A")])).unwrap();
    let third = sell(&mut engine, 5, order("LUN", "NDO", &[Some("2A")])).unwrap();
    [first, second, third]
        .into_iter()
        .flat_map(|r| r.tickets)
        .collect()
}

fn bus_on(disk: &Disk, items: &[Item]) -> Engine {
    let mut engine = Engine::open(disk, config(bus())).unwrap();
    let trip = cursor(BucketId::Trip(TRIP), 1);
    let mut facts = company_items();
    facts.extend([station_key(), station_mac()]);
    facts.push(Item::Grant(signed(&grant(1, 1..=3))));
    facts.extend_from_slice(items);
    engine.apply_bucket(&trip, &facts, NOW).unwrap();
    let other = cursor(BucketId::Trip(TripId(8)), 1);
    engine.apply_bucket(&other, &[], NOW).unwrap();
    engine
}

#[test]
fn each_of_the_six_answers_is_given_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let tickets = tickets();
    let mut engine = bus_on(&disk, &[listed(&tickets[2], TicketState::Live)]);
    let valid = scan(&mut engine, 1, TRIP, &tickets[2].qr);
    assert_eq!(valid.answer, ScanAnswer::Valid);
    assert_eq!(valid.seat_label.as_deref(), Some("2A"));
    let unlisted = scan(&mut engine, 2, TRIP, &format!("{}\r\n", tickets[1].qr));
    assert_eq!(unlisted.answer, ScanAnswer::GoodButUnlisted);
    drop(engine);

    let mut engine = Engine::open(&disk, config(bus())).unwrap();
    let used = scan(&mut engine, 3, TRIP, &tickets[2].qr);
    assert_eq!(used.answer, ScanAnswer::AlreadyUsed);
    assert!(used.reason.contains("already used at"), "{}", used.reason);
    let conflict = scan(&mut engine, 4, TRIP, &tickets[0].qr);
    assert_eq!(conflict.answer, ScanAnswer::SeatConflict);
    let wrong = scan(&mut engine, 5, TripId(8), &tickets[1].qr);
    assert_eq!(wrong.answer, ScanAnswer::WrongTrip);
    let genuine = parse_qr(&tickets[1].qr).unwrap();
    let thief = SigningKey::from_bytes(&[77; 32]);
    let forged = sign_ticket(&genuine.claim, signing_kid(&thief.verifying_key()), &thief);
    let invalid = scan(&mut engine, 6, TRIP, &forged.to_qr());
    assert_eq!(invalid.answer, ScanAnswer::Invalid);
    assert!(
        invalid.reason.contains("cannot verify"),
        "{}",
        invalid.reason
    );
    let noise = scan(&mut engine, 7, TRIP, "hello");
    assert_eq!(noise.answer, ScanAnswer::Invalid);
    assert_eq!(engine.head().seq.0, 7, "every scan is recorded");
    // The same scan command again is the same answer, not a second use.
    let replay = scan(&mut engine, 1, TRIP, &tickets[2].qr);
    assert_eq!(replay, valid);
}

#[test]
fn a_void_that_the_hub_tells_of_makes_a_ticket_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let tickets = tickets();
    let mut engine = bus_on(&disk, &[listed(&tickets[2], TicketState::Live)]);
    let news = [listed(&tickets[2], TicketState::Void)];
    engine
        .apply_bucket(&cursor(BucketId::Trip(TRIP), 2), &news, NOW)
        .unwrap();
    drop(engine);
    let mut engine = Engine::open(&disk, config(bus())).unwrap();
    let outcome = scan(&mut engine, 1, TRIP, &tickets[2].qr);
    assert_eq!(outcome.answer, ScanAnswer::Invalid);
    assert!(outcome.reason.contains("cancelled"), "{}", outcome.reason);
}

#[test]
fn explaining_a_ticket_records_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tickets = tickets();
    let engine = bus_on(&Disk::in_folder(folder.path()), &[]);
    let before = engine.head();
    let told = engine.explain(TRIP, &tickets[1].qr, NOW).unwrap();
    assert_eq!(told.decision.answer, ScanAnswer::GoodButUnlisted);
    let text = told.findings.join("\n");
    assert!(text.contains("the signature is good"), "{text}");
    assert!(text.contains("holds this seat"), "{text}");
    assert_eq!(engine.head(), before);
}

#[test]
fn a_trip_without_a_manifest_is_not_validated() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = station_on(&Disk::in_folder(folder.path()));
    let scan = Command::Scan {
        trip: TRIP,
        text: "MW1:".to_owned(),
    };
    let error = engine
        .execute(command(1), scan, NOW, &mut NoEffects)
        .unwrap_err();
    assert_eq!(error.code(), "trip_not_validated_here");
}

#[test]
fn a_typed_code_is_good_once_and_so_it_stays_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let tickets = tickets();
    let code = |n: usize| tickets[n].code.unwrap().to_string();
    let news = [
        listed(&tickets[0], TicketState::Void),
        listed(&tickets[2], TicketState::Live),
    ];
    let mut engine = bus_on(&disk, &news);
    let valid = scan(&mut engine, 1, TRIP, &code(2).to_lowercase());
    assert_eq!(valid.answer, ScanAnswer::Valid, "{}", valid.reason);
    assert_eq!(valid.seat_label.as_deref(), Some("2A"));
    assert_eq!(valid.ticket, Some(tickets[2].id));
    let void = scan(&mut engine, 2, TRIP, &code(0));
    assert!(void.reason.contains("cancelled"), "{}", void.reason);
    // Its sale has not come: let on and flagged, under a name of its own.
    let unlisted = scan(&mut engine, 3, TRIP, &code(1));
    assert_eq!(unlisted.answer, ScanAnswer::GoodButUnlisted);
    assert!(unlisted.ticket.is_some_and(|id| id != tickets[1].id));
    drop(engine);

    let mut engine = Engine::open(&disk, config(bus())).unwrap();
    for (n, text) in [(4, code(2)), (5, tickets[2].qr.clone()), (6, code(1))] {
        let again = scan(&mut engine, n, TRIP, &text);
        assert_eq!(again.answer, ScanAnswer::AlreadyUsed, "{}", again.reason);
    }
    // The paper of the same passenger, and the sale when it comes.
    let paper = scan(&mut engine, 7, TRIP, &tickets[1].qr);
    assert_eq!(paper.answer, ScanAnswer::AlreadyUsed, "{}", paper.reason);
    let news = [listed(&tickets[1], TicketState::Live)];
    engine
        .apply_bucket(&cursor(BucketId::Trip(TRIP), 2), &news, NOW)
        .unwrap();
    let late = scan(&mut engine, 8, TRIP, &code(1));
    assert_eq!(late.answer, ScanAnswer::AlreadyUsed, "{}", late.reason);
    assert_eq!(late.ticket, Some(tickets[1].id));
    let told = engine.explain(TRIP, &code(1), NOW).unwrap();
    let text = told.findings.join("\n");
    assert!(text.contains("as it is typed"), "{text}");
    assert!(text.contains("has it, on seat"), "{text}");
}

#[test]
fn wrong_codes_are_counted_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let tickets = tickets();
    let mut engine = bus_on(&disk, &[listed(&tickets[2], TicketState::Live)]);
    for n in 0..10 {
        let guess = scan(&mut engine, n, TRIP, &format!("4F3K-22QX-9M4T-0K{n:02}"));
        assert_eq!(guess.answer, ScanAnswer::Invalid);
    }
    drop(engine);
    let mut engine = Engine::open(&disk, config(bus())).unwrap();
    let code = tickets[2].code.unwrap().to_string();
    let locked = scan(&mut engine, 20, TRIP, &code);
    assert_eq!(locked.answer, ScanAnswer::Invalid);
    assert!(locked.reason.contains("too many"), "{}", locked.reason);
    let paper = scan(&mut engine, 21, TRIP, &tickets[2].qr);
    assert_eq!(paper.answer, ScanAnswer::Valid, "{}", paper.reason);
}
