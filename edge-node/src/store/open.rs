//! Opening: settings, migrations, and the checks that nothing is written before.

use domain::ids::{NodeId, NodeIncarnation};
use domain::restore::FIRST;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Disk, Opened, Settings, Store, StoreError, sql};

/// Before this SQLite could reset its WAL under a reader and lose what was in it.
const SQLITE_VERSION_MIN: (i32, &str) = (3_051_003, "3.51.3");

/// How long the WAL grows before it is written back, in pages of 4 kB. Small on purpose: a
/// commit that overwrites the WAL is flushed in two thirds of the time of one that lengthens it,
/// because the file system then has no journal of its own to commit.
pub const WAL_PAGES: u32 = 500;

/// Each in its own transaction, in order; the schema's version is how many were applied.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/edge/0001_init.sql")];

pub(super) fn open(
    disk: &Disk,
    node: NodeId,
    expected: bool,
) -> Result<(Store, Opened), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN.0 {
        return Err(StoreError::OldSqlite {
            found: rusqlite::version(),
            needed: SQLITE_VERSION_MIN.1,
        });
    }
    let fresh = !disk.exists();
    let name = disk.name();
    let of = |e| StoreError::of(e, &name);
    let mut db = disk.connect().map_err(of)?;
    restrict(disk)?;
    let known = MIGRATIONS.len() as i64;
    let found: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(of)?;
    if found > known {
        return Err(StoreError::TooNew {
            path: name,
            found,
            known,
        });
    }
    configure(&db).map_err(of)?;
    let doubt = fresh && expected;
    migrate(&mut db, found, node, doubt).map_err(of)?;
    let owner = meta(&db, "node").map_err(of)?.unwrap_or_default();
    if owner != node.to_string() {
        return Err(StoreError::OtherNode {
            path: name,
            found: owner,
            expected: node.to_string(),
        });
    }
    let incarnation = meta(&db, "incarnation").map_err(of)?;
    let incarnation = incarnation
        .as_deref()
        .and_then(|text| text.parse().ok())
        .filter(|n| *n > 0)
        .map(NodeIncarnation)
        .ok_or_else(|| StoreError::BadRow {
            path: name.clone(),
            table: "meta",
            row: "incarnation".to_owned(),
            what: format!("{incarnation:?} is not a number"),
        })?;
    let opened = Opened {
        incarnation,
        doubt: meta(&db, "doubt").map_err(of)?.is_some(),
        hub: meta(&db, "hub")
            .map_err(of)?
            .and_then(|text| text.parse().ok())
            .unwrap_or(FIRST),
    };
    db.set_prepared_statement_cache_capacity(sql::ALL.len());
    let store = Store {
        db,
        faults: disk.faults(),
        disk: disk.clone(),
    };
    Ok((store, opened))
}

/// The log holds names and phone numbers: its owner alone may read it.
fn restrict(disk: &Disk) -> Result<(), StoreError> {
    #[cfg(unix)]
    if let Disk::File { database, .. } = disk {
        use std::os::unix::fs::PermissionsExt as _;
        if let Ok(metadata) = std::fs::metadata(database)
            && metadata.permissions().mode() & 0o077 != 0
        {
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(database, mode).map_err(|e| StoreError::CannotOpen {
                path: disk.name(),
                detail: e.to_string(),
            })?;
        }
    }
    Ok(())
}

fn configure(db: &Connection) -> Result<(), rusqlite::Error> {
    db.busy_timeout(core::time::Duration::from_secs(2))?;
    // Answers `memory` for a database in memory.
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", WAL_PAGES, |_| Ok(()))?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)
}

fn migrate(
    db: &mut Connection,
    found: i64,
    node: NodeId,
    doubt: bool,
) -> Result<(), rusqlite::Error> {
    for (version, script) in (1i64..).zip(MIGRATIONS).filter(|(v, _)| *v > found) {
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
        tx.execute_batch(script)?;
        if version == 1 {
            tx.execute(sql::META_SET, params!["node", node.to_string()])?;
            tx.execute(sql::META_SET, params!["incarnation", "1"])?;
            tx.execute(sql::MARK_BEGIN, params![1])?;
            if doubt {
                tx.execute(sql::META_SET, params!["doubt", "the database was missing"])?;
            }
        }
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

fn meta(db: &Connection, name: &str) -> Result<Option<String>, rusqlite::Error> {
    db.query_row(sql::META_GET, [name], |row| row.get(0))
        .optional()
}

pub(super) fn settings(db: &Connection) -> Result<Settings, rusqlite::Error> {
    Ok(Settings {
        sqlite_version: rusqlite::version(),
        journal_mode: db.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
        synchronous: db.pragma_query_value(None, "synchronous", |row| row.get(0))?,
        schema_version: db.pragma_query_value(None, "user_version", |row| row.get(0))?,
    })
}
