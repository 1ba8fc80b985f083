//! Selling without a network.

use domain::codec::from_cbor;
use domain::counter::Refusal;
use domain::event::{EventBody, VoidReason};
use domain::ids::{LeaseNo, NodeIncarnation, Seq};
use domain::money::Minor;
use domain::ticket::parse_qr;

use super::fixture::*;
use crate::engine::{Command, Engine, EngineError, NoEffects, Outcome};
use crate::store::Disk;

#[test]
fn a_sale_survives_a_restart_with_the_hub_away() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    let receipt = sell(&mut engine, 2, order("LUN", "NDO", &[None])).unwrap();
    assert_eq!(receipt.total_minor, Minor(20_000));
    let head = engine.head();
    drop(engine);

    let mut again = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(again.head(), head);
    assert_eq!(again.doubt(), None);
    let ticket = again.ticket(receipt.tickets[0].id).unwrap().unwrap();
    assert_eq!(ticket, receipt.tickets[0]);
    assert!(parse_qr(&ticket.qr).is_ok());
    assert_eq!(ticket.name.as_deref(), Some("Chanda Mwila"));
    // The shift is still open and two seats are left.
    let two = sell(&mut again, 3, order("LUN", "NDO", &[None, None])).unwrap();
    assert_eq!(two.tickets.len(), 2);
    let dry = sell(&mut again, 4, order("LUN", "NDO", &[None])).unwrap_err();
    assert_eq!(dry.code(), "lease_dry");
}

#[test]
fn a_repeated_command_returns_the_same_tickets_and_sells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    let wish = order("LUN", "KAB", &[None, None]);
    let first = sell(&mut engine, 2, wish.clone()).unwrap();
    let head = engine.head();
    let mut printed = vec![];
    let again = engine
        .execute(
            command(2),
            Command::Sell(wish.clone()),
            NOW.plus_ms(9),
            &mut printed,
        )
        .unwrap();
    assert_eq!(again, Outcome::Sold(first.clone()));
    assert!(printed.is_empty(), "a replay printed");
    drop(engine);
    let mut reopened = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(sell(&mut reopened, 2, wish).unwrap(), first);
    assert_eq!(reopened.head(), head);
    let other = open_shift(&mut reopened, 2).unwrap_err();
    assert_eq!(other.code(), "command_reused");
}

#[test]
fn a_party_is_sold_in_one_event_and_printed_after_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = station_on(&Disk::in_folder(folder.path()));
    open_shift(&mut engine, 1).unwrap();
    let before = engine.head().seq;
    let mut printed = vec![];
    let sale = Command::Sell(order("LUN", "NDO", &[Some("2A"), None]));
    engine.execute(command(2), sale, NOW, &mut printed).unwrap();
    assert_eq!(printed.len(), 2);
    assert_eq!(printed[0].seat_label, "2A");
    assert_eq!(engine.head().seq, Seq(before.0 + 1));
}

#[test]
fn a_void_frees_the_seat_and_the_next_sale_of_it_has_a_higher_ordinal() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = station_on(&Disk::in_folder(folder.path()));
    open_shift(&mut engine, 1).unwrap();
    let first = sell(&mut engine, 2, order("LUN", "NDO", &[Some("1A")])).unwrap();
    let taken = sell(&mut engine, 3, order("LUN", "NDO", &[Some("1A")])).unwrap_err();
    assert_eq!(taken.code(), "seat_not_held");
    let void = Command::Void {
        ticket: first.tickets[0].id,
        reason: VoidReason::Mistake,
    };
    let voided = engine
        .execute(command(4), void.clone(), NOW, &mut NoEffects)
        .unwrap();
    let expected = Outcome::Voided {
        ticket: first.tickets[0].id,
        fare_minor: Minor(20_000),
        reason: VoidReason::Mistake,
    };
    assert_eq!(voided, expected);
    assert!(engine.ticket(first.tickets[0].id).unwrap().unwrap().void);
    let second = sell(&mut engine, 5, order("LUN", "NDO", &[Some("1A")])).unwrap();
    assert!(second.tickets[0].ordinal > first.tickets[0].ordinal);
    let close = Command::CloseShift {
        declared_minor: Minor(25_000),
    };
    let closed = engine
        .execute(command(6), close, NOW, &mut NoEffects)
        .unwrap();
    let Outcome::ShiftClosed(report) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(report.expected_minor, Minor(25_000));
    let late = engine
        .execute(command(7), void, NOW, &mut NoEffects)
        .unwrap_err();
    assert!(matches!(late, EngineError::Refused(Refusal::NoShift)));
}

#[test]
fn a_surrendered_lease_is_never_sold_from_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    let surrender = Command::Surrender {
        trip: TRIP,
        lease_no: LeaseNo(1),
    };
    engine
        .execute(command(2), surrender, NOW, &mut NoEffects)
        .unwrap();
    let refused = sell(&mut engine, 3, order("LUN", "NDO", &[None])).unwrap_err();
    assert_eq!(refused.code(), "no_lease");
    // The bucket brings the grant again.
    let again = engine
        .apply_bucket(
            &cursor(sync_protocol::BucketId::Node, 2),
            &[sync_protocol::Item::Grant(signed(&grant(1, 1..=3)))],
            NOW,
        )
        .unwrap();
    assert!(again.accepted.is_empty());
    drop(engine);
    let mut reopened = Engine::open(&disk, config(station())).unwrap();
    let refused = sell(&mut reopened, 4, order("LUN", "NDO", &[None])).unwrap_err();
    assert_eq!(refused.code(), "no_lease");
}

#[test]
fn batches_carry_the_whole_log_and_verify_at_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = station_on(&Disk::in_folder(folder.path()));
    open_shift(&mut engine, 1).unwrap();
    sell(&mut engine, 2, order("LUN", "NDO", &[None])).unwrap();
    let running = NodeIncarnation(1);
    let batch = engine.load_events(running, Seq(0)).unwrap().unwrap();
    let key = keys_of(station()).event.verifying_key();
    let events = batch.unpack(station(), &key).unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2].head(), engine.head());
    assert!(events[2].personal.is_some());
    let bodies: Vec<EventBody> = events
        .iter()
        .map(|e| from_cbor(&e.envelope.body).unwrap())
        .collect();
    assert!(matches!(bodies[0], EventBody::LeaseAccepted(_)));
    assert!(matches!(bodies[2], EventBody::Sale(_)));
    assert_eq!(engine.load_events(running, Seq(3)).unwrap(), None);
    assert_eq!(engine.status().unsynced, 3);
    engine.mark_stored(running, Seq(3));
    assert_eq!(engine.status().unsynced, 0);
}

#[test]
fn an_exported_log_verifies_and_an_altered_one_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    sell(&mut engine, 2, order("LUN", "NDO", &[None])).unwrap();
    let mut seqs = vec![];
    let count = engine
        .verify_log(NodeIncarnation(1), |e| {
            seqs.push(e.event.envelope.seq.0);
            Ok::<_, EngineError>(())
        })
        .unwrap();
    assert_eq!((count, seqs), (3, vec![1, 2, 3]));
    drop(engine);
    let db = rusqlite::Connection::open(folder.path().join("node.sqlite")).unwrap();
    db.execute(
        "UPDATE event SET at_ms = at_ms + 1 WHERE pos = (1 << 40) | 2",
        [],
    )
    .unwrap();
    drop(db);
    let error = Engine::open(&disk, config(station())).unwrap_err();
    assert_eq!(error.code(), "store_corrupt");
    assert!(error.to_string().contains("position 2"), "{error}");
}
