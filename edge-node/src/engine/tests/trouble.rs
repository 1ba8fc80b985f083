//! Disks that fail, files that are broken, hubs that lie.

use domain::ids::{LeaseNo, NodeIncarnation, Seq};
use domain::lease::{GrantRefusal, SignedGrant};
use ed25519_dalek::SigningKey;
use sync_protocol::frame::{BucketId, Item, LeaseAnswer};

use super::fixture::*;
use crate::engine::{Engine, EngineError};
use crate::store::{CommitFault, Disk, MemoryDisk, StoreError, WishState};

#[test]
fn a_full_disk_refuses_the_sale_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    let pages = engine.store().page_count().unwrap();
    engine.store().cap_pages(pages).unwrap();
    let mut sold = vec![];
    let full = loop {
        // The last pages have some room left: sell and void one seat until they are full.
        let n = 100 + 2 * sold.len() as u128;
        match sell(&mut engine, n, order("LUN", "NDO", &[Some("1A")])) {
            Ok(receipt) => {
                let void = crate::engine::Command::Void {
                    ticket: receipt.tickets[0].id,
                    reason: domain::event::VoidReason::Mistake,
                };
                sold.push(receipt);
                let voided =
                    engine.execute(command(n + 1), void, NOW, &mut crate::engine::NoEffects);
                if let Err(error) = voided {
                    break error;
                }
            }
            Err(error) => break error,
        }
        assert!(sold.len() < 1_000, "the disk never filled up");
    };
    assert_eq!(full.code(), "disk_full", "{full}");
    assert!(full.to_string().contains("Free some space"), "{full}");
    // The engine has read its state again; with space the command goes through.
    engine.store().cap_pages(1_000_000).unwrap();
    sell(&mut engine, 9_000, order("LUN", "NDO", &[Some("2A")])).unwrap();
    let head = engine.head();
    drop(engine);
    let again = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(again.head(), head);
    for receipt in &sold {
        assert!(again.ticket(ids(receipt)[0]).unwrap().is_some());
    }
}

#[test]
fn a_truncated_database_says_so_and_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    for n in 0..3 {
        sell(&mut engine, 10 + n, order("LUN", "NDO", &[None])).unwrap();
    }
    drop(engine);
    let path = folder.path().join("node.sqlite");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = Engine::open(&disk, config(station())).unwrap_err();
    assert_eq!(error.code(), "store_corrupt", "{error}");
    assert!(error.to_string().contains("call the office"), "{error}");
    assert_eq!(
        std::fs::metadata(&path).unwrap().len(),
        whole.len() as u64 / 2
    );
}

#[test]
fn a_file_that_is_no_database_says_so_and_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sqlite");
    let noise: Vec<u8> = (0..9_000u32).map(|i| (i * 31 % 251) as u8).collect();
    std::fs::write(&path, &noise).unwrap();
    let error = Engine::open(&Disk::in_folder(folder.path()), config(station())).unwrap_err();
    assert_eq!(error.code(), "store_not_a_database", "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), noise);
}

#[test]
fn a_store_of_a_later_version_or_of_another_node_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    drop(station_on(&disk));
    let error = Engine::open(&disk, config(bus())).unwrap_err();
    assert_eq!(error.code(), "store_of_another_node", "{error}");
    let db = rusqlite::Connection::open(folder.path().join("node.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = Engine::open(&disk, config(station())).unwrap_err();
    assert_eq!(error.code(), "store_too_new", "{error}");
}

#[test]
fn a_commit_that_failed_after_all_was_written_is_found_by_the_retry() {
    let memory = MemoryDisk::new("station").unwrap();
    let disk = Disk::Memory(memory.clone());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    for (fault, n) in [(CommitFault::Before, 2), (CommitFault::After, 3)] {
        memory.fail_next_commit(fault);
        let before = engine.head().seq;
        let error = sell(&mut engine, n, order("LUN", "NDO", &[None])).unwrap_err();
        assert!(matches!(error, EngineError::Store(StoreError::Injected)));
        sell(&mut engine, n, order("LUN", "NDO", &[None])).unwrap();
        assert_eq!(engine.head().seq, Seq(before.0 + 1), "{fault:?}: sold once");
    }
}

#[test]
fn a_memory_disk_crashes_restores_and_knows_what_it_lost() {
    let memory = MemoryDisk::new("station").unwrap();
    let disk = Disk::Memory(memory.clone());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    let image = memory.image().unwrap();
    let receipt = sell(&mut engine, 2, order("LUN", "NDO", &[None])).unwrap();
    drop(engine);
    let engine = Engine::open(&disk, config(station())).unwrap();
    assert!(engine.ticket(ids(&receipt)[0]).unwrap().is_some());
    drop(engine);
    memory.restore_database(&image).unwrap();
    let engine = Engine::open(&disk, config(station())).unwrap();
    assert!(engine.doubt().is_some());
    assert!(engine.ticket(ids(&receipt)[0]).unwrap().is_none());
    drop(engine);
    memory.restore_all(&image).unwrap();
    let engine = Engine::open(&disk, config(station())).unwrap();
    assert!(
        engine.doubt().is_none(),
        "a clone of the whole disk is seen at contact only"
    );
}

#[test]
fn a_bucket_applies_whole_or_not_at_all() {
    let memory = MemoryDisk::new("station").unwrap();
    let disk = Disk::Memory(memory.clone());
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    engine
        .apply_bucket(&cursor(BucketId::Company, 3), &company_items(), NOW)
        .unwrap();
    let node = cursor(BucketId::Node, 1);
    let items = [
        Item::Grant(signed(&grant(1, 1..=2))),
        Item::Grant(signed(&grant(2, 3..=3))),
    ];
    memory.fail_next_commit(CommitFault::Before);
    engine.apply_bucket(&node, &items, NOW).unwrap_err();
    engine.flush_marks().unwrap();
    assert_eq!(engine.store().head(NodeIncarnation(1)).unwrap().seq, Seq(0));
    assert_eq!(engine.store().cursors().unwrap().len(), 1);
    let taken = engine.apply_bucket(&node, &items, NOW).unwrap();
    assert_eq!(taken.accepted.len(), 2);
    assert_eq!(engine.store().cursors().unwrap().len(), 2);
    let again = engine.apply_bucket(&node, &items, NOW).unwrap();
    assert!(
        again.accepted.is_empty(),
        "a repeated bucket accepts nothing twice"
    );
    assert_eq!(engine.head().seq, Seq(2));
}

#[test]
fn a_grant_that_the_hub_did_not_sign_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::open(&Disk::in_folder(folder.path()), config(station())).unwrap();
    let forged = SignedGrant::sign(&grant(1, 1..=3), &SigningKey::from_bytes(&[9; 32]));
    let taken = engine
        .apply_bucket(&cursor(BucketId::Node, 1), &[Item::Grant(forged)], NOW)
        .unwrap();
    assert_eq!((taken.rejected, taken.accepted.len()), (1, 0));
    assert_eq!(engine.head().seq, Seq(0));
}

#[test]
fn a_lease_request_is_kept_until_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    engine.wish(&request(1), NOW).unwrap();
    engine.wish(&request(1), NOW).unwrap();
    engine.wish(&request(2), NOW).unwrap();
    drop(engine);
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    assert_eq!(engine.open_wishes().len(), 2);
    let granted = LeaseAnswer::Granted(signed(&grant(1, 1..=2)));
    let taken = engine
        .lease_answered(request(1).request, &granted, NOW)
        .unwrap();
    assert_eq!(taken.accepted, vec![(TRIP, LeaseNo(1))]);
    let refused = LeaseAnswer::Refused(GrantRefusal::SoldOut);
    engine
        .lease_answered(request(2).request, &refused, NOW)
        .unwrap();
    drop(engine);
    let engine = Engine::open(&disk, config(station())).unwrap();
    assert!(engine.open_wishes().is_empty());
    let state = |no| {
        engine
            .wish_state(request(no).request)
            .map(|w| w.state.clone())
    };
    assert_eq!(state(1), Some(WishState::Granted(LeaseNo(1))));
    assert!(matches!(state(2), Some(WishState::Refused(why)) if why.contains("no seat")));
    assert_eq!(engine.status().leases[0].seats_left, 2);
}

#[cfg(feature = "weaken")]
#[test]
fn printing_before_the_commit_is_seen_when_the_commit_fails() {
    use domain::weaken::{Weakness, activate};
    let memory = MemoryDisk::new("station").unwrap();
    let mut engine = station_on(&Disk::Memory(memory.clone()));
    open_shift(&mut engine, 1).unwrap();
    activate(Some(Weakness::PrintBeforeCommit));
    memory.fail_next_commit(CommitFault::Before);
    let mut printed = vec![];
    let sale = crate::engine::Command::Sell(order("LUN", "NDO", &[None]));
    let result = engine.execute(command(2), sale, NOW, &mut printed);
    activate(None);
    assert!(result.is_err());
    assert_eq!(printed.len(), 1);
}
