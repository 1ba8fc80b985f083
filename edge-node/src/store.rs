//! The node's SQLite store: the log, and what the hub told.
//!
//! One connection writes, in WAL mode with `synchronous=FULL`: when a call that writes returns,
//! what it wrote survives a power cut. All SQL of the node is in this folder.

mod disk;
mod error;
mod facts;
mod log;
mod open;
mod ring;
mod sql;

pub use disk::{CommitFault, Disk, DiskImage, MemoryDisk};
pub use error::StoreError;
pub use facts::{BucketChange, StoredGrant, StoredWish, WishState};
pub use log::{EventRow, LogMark, SEQ_MAX};
pub use open::WAL_PAGES;
pub use ring::{RING_FIXES_MAX, Ring};

use domain::ids::{HubIncarnation, NodeId, NodeIncarnation};
use rusqlite::Connection;

use disk::Faults;

/// An open store. Dropping it without a commit loses nothing that was acknowledged.
pub struct Store {
    db: Connection,
    disk: Disk,
    faults: Faults,
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store")
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

/// What a store says of itself when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The running incarnation.
    pub incarnation: NodeIncarnation,
    /// The database was not there although the node had been set up: sell nothing before contact.
    pub doubt: bool,
    /// The highest installation of the hub that was ever seen.
    pub hub: HubIncarnation,
}

/// The settings in force, read back from SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// SQLite's version.
    pub sqlite_version: &'static str,
    /// `wal` on a file.
    pub journal_mode: String,
    /// 2 is FULL.
    pub synchronous: i64,
    /// The version of the schema.
    pub schema_version: i64,
}

impl Store {
    /// Opens the store of a node, making it where there is none.
    ///
    /// `expected` says that the node had a store before: a missing one then leaves it in doubt.
    pub fn open(disk: &Disk, node: NodeId, expected: bool) -> Result<(Self, Opened), StoreError> {
        open::open(disk, node, expected)
    }

    /// Where it is.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The settings in force.
    pub fn settings(&self) -> Result<Settings, StoreError> {
        open::settings(&self.db).map_err(|e| self.error(e))
    }

    /// What SQLite finds wrong with the file; empty when it is sound.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .db
            .prepare(sql::INTEGRITY_CHECK)
            .map_err(|e| self.error(e))?;
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| self.error(e))?;
        Ok(rows.into_iter().filter(|line| line != "ok").collect())
    }

    /// Caps the file at so many pages of 4 kB, as a full disk would.
    pub fn cap_pages(&self, pages: u32) -> Result<(), StoreError> {
        self.db
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .map_err(|e| self.error(e))
    }

    /// How many pages of 4 kB the file has.
    pub fn page_count(&self) -> Result<u32, StoreError> {
        self.db
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .map_err(|e| self.error(e))
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(error, &self.disk.name())
    }

    /// Runs `work` in one transaction; all of it is durable afterwards, or none.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let name = self.disk.name();
        let of = |e| StoreError::of(e, &name);
        let fault = self.faults.take();
        let tx = self
            .db
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(of)?;
        let value = work(&tx).map_err(of)?;
        if fault == Some(CommitFault::Before) {
            return Err(StoreError::Injected);
        }
        tx.commit().map_err(of)?;
        if fault == Some(CommitFault::After) {
            return Err(StoreError::Injected);
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
