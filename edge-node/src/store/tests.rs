use domain::ids::NodeId;

use super::*;

#[test]
fn every_statement_prepares() {
    let memory = MemoryDisk::new("sql").unwrap();
    let (store, _) =
        Store::open(&Disk::Memory(memory), NodeId::from_bytes([1; 16]), false).unwrap();
    for statement in sql::ALL {
        let prepared = store.db.prepare(statement);
        assert!(prepared.is_ok(), "{statement}: {prepared:?}");
    }
}

#[test]
fn the_settings_are_the_durable_ones() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let (store, opened) = Store::open(&disk, NodeId::from_bytes([1; 16]), false).unwrap();
    let settings = store.settings().unwrap();
    assert_eq!(settings.journal_mode, "wal");
    assert_eq!(settings.synchronous, 2);
    assert_eq!(settings.schema_version, 1);
    assert_eq!(opened.incarnation.0, 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
