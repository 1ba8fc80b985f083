//! Restored and lost disks, and the incarnation that follows.

use domain::ids::{HubIncarnation, Issuer, LeaseNo, NodeIncarnation};
use domain::ticket::KeyRecord;
use sync_protocol::frame::{BucketId, Item, KnownIssuer};

use super::fixture::*;
use crate::engine::{Engine, EngineError};
use crate::sidecar::Doubt;
use crate::store::Disk;

fn blocked(engine: &mut Engine, n: u128) -> Doubt {
    let error = open_shift(engine, n).unwrap_err();
    let EngineError::Blocked(doubt) = error else {
        panic!("not blocked: {error}");
    };
    doubt
}

#[test]
fn a_restored_database_sells_nothing_until_the_hub_gives_a_new_incarnation() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    drop(engine);
    let database = folder.path().join("node.sqlite");
    let backup = std::fs::read(&database).unwrap();
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    let lost = sell(&mut engine, 2, order("LUN", "NDO", &[Some("1A")])).unwrap();
    drop(engine);
    std::fs::write(&database, backup).unwrap();
    let _ = std::fs::remove_file(folder.path().join("node.sqlite-wal"));

    let mut engine = Engine::open(&disk, config(station())).unwrap();
    assert!(matches!(blocked(&mut engine, 3), Doubt::LogBehind { .. }));
    let refused = sell(&mut engine, 4, order("LUN", "NDO", &[None])).unwrap_err();
    assert!(refused.to_string().contains("reached the hub"), "{refused}");
    assert!(engine.greeting().restored);
    drop(engine);
    // A restart does not help.
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    blocked(&mut engine, 5);

    let head = engine.begin_incarnation(NodeIncarnation(2)).unwrap();
    assert_eq!((head.incarnation.0, head.seq.0), (2, 0));
    assert!(!engine.greeting().restored);
    open_shift(&mut engine, 6).unwrap();
    // Seats of the older incarnation stay in doubt, even when the hub sends the grant again.
    let node = cursor(BucketId::Node, 1);
    let old = [Item::Grant(signed(&grant(1, 1..=3)))];
    assert!(
        engine
            .apply_bucket(&node, &old, NOW)
            .unwrap()
            .accepted
            .is_empty()
    );
    let refused = sell(&mut engine, 7, order("LUN", "NDO", &[Some("1A")])).unwrap_err();
    assert_eq!(refused.code(), "no_lease");
    assert!(engine.ticket(lost.tickets[0].id).unwrap().is_none());
    // What this incarnation asked for may be sold.
    engine.wish(&request(2), NOW).unwrap();
    let fresh = [Item::Grant(signed(&grant(2, 4..=4)))];
    let taken = engine
        .apply_bucket(&cursor(BucketId::Node, 2), &fresh, NOW)
        .unwrap();
    assert_eq!(taken.accepted, vec![(TRIP, LeaseNo(2))]);
    sell(&mut engine, 8, order("LUN", "NDO", &[None])).unwrap();
    drop(engine);
    let engine = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(engine.doubt(), None);
    assert_eq!(engine.status().leases.len(), 1);
    assert_eq!(engine.greeting().logs.len(), 2);
}

#[test]
fn a_grant_that_a_lost_log_may_have_sold_from_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::open(&Disk::in_folder(folder.path()), config(station())).unwrap();
    engine.begin_incarnation(NodeIncarnation(2)).unwrap();
    let taken = engine
        .apply_bucket(
            &cursor(BucketId::Node, 1),
            &[Item::Grant(signed(&grant(1, 1..=3)))],
            NOW,
        )
        .unwrap();
    assert_eq!(taken.accepted, vec![]);
    assert_eq!(taken.in_doubt, vec![(TRIP, LeaseNo(1))]);
}

#[test]
fn a_missing_sidecar_blocks_selling() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    drop(station_on(&disk));
    std::fs::remove_file(folder.path().join("log-head")).unwrap();
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(blocked(&mut engine, 1), Doubt::SidecarMissing);
}

#[test]
fn a_sidecar_of_another_history_blocks_selling() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::in_folder(one.path());
    drop(station_on(&disk));
    let mut other = Engine::open(&Disk::in_folder(two.path()), config(station())).unwrap();
    open_shift(&mut other, 1).unwrap();
    drop(other);
    let (from, to) = (two.path().join("log-head"), one.path().join("log-head"));
    std::fs::copy(from, to).unwrap();
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    assert!(matches!(blocked(&mut engine, 1), Doubt::OtherHistory(_)));
}

#[test]
fn a_sidecar_behind_its_log_is_mended_and_selling_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    let path = folder.path().join("log-head");
    let old = std::fs::read(&path).unwrap();
    open_shift(&mut engine, 1).unwrap();
    drop(engine);
    std::fs::write(&path, old).unwrap();
    let engine = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(engine.doubt(), None);
    drop(engine);
    let sidecar = crate::sidecar::Sidecar::open(&disk).unwrap();
    assert_eq!(sidecar.last().map(|h| h.seq.0), Some(2));
}

#[test]
fn a_missing_database_of_an_enrolled_node_blocks_selling() {
    let folder = tempfile::tempdir().unwrap();
    let mut enrolled = config(station());
    enrolled.store_expected = true;
    let mut engine = Engine::open(&Disk::in_folder(folder.path()), enrolled).unwrap();
    assert_eq!(blocked(&mut engine, 1), Doubt::DatabaseMissing);
    engine.begin_incarnation(NodeIncarnation(2)).unwrap();
    open_shift(&mut engine, 2).unwrap();
}

#[test]
fn a_node_tells_a_restored_hub_of_others_what_is_signed_or_public_and_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::open(&Disk::in_folder(folder.path()), config(bus())).unwrap();
    let record = |node| {
        let key = keys_of(node).ticket.verifying_key();
        Item::Key(KeyRecord::signing(Issuer::Node(node), key))
    };
    let company = [record(station()), record(bus())];
    let cursor_of = |bucket| cursor(bucket, 1);
    engine
        .apply_bucket(&cursor_of(BucketId::Company), &company, NOW)
        .unwrap();
    let theirs = signed(&grant(1, 1..=3));
    let mac = KeyRecord::mac(Issuer::Node(station()), TRIP, &[7; 32]);
    let of_trip = [
        Item::Grant(theirs.clone()),
        Item::Key(mac),
        record(station()),
    ];
    engine
        .apply_bucket(&cursor_of(BucketId::Trip(TRIP)), &of_trip, NOW)
        .unwrap();
    // A restored hub may know nothing of that; it stays until it is said again.
    engine.begin_hub(HubIncarnation(478_080)).unwrap();
    let (_, known) = engine.all_known().unwrap();
    assert!(known.grants.is_empty());
    assert_eq!(known.others, [theirs]);
    let ticket_key = keys_of(station()).ticket.verifying_key().to_bytes();
    let node = station();
    assert_eq!(known.issuers, [KnownIssuer { node, ticket_key }]);
    let me = engine.greeting().me;
    assert_eq!(
        me.ticket_key,
        keys_of(bus()).ticket.verifying_key().to_bytes()
    );
    assert_ne!(me.event_key, me.ticket_key);
}
