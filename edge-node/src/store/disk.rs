//! Where a store lives: a folder, or memory that a simulated world can crash and restore.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// How the next commit fails, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CommitFault {
    /// Nothing is written and the caller hears of a failure.
    Before = 1,
    /// Everything is written and the caller hears of a failure all the same.
    After = 2,
}

/// A fault waiting for the next commit, shared by a disk and the stores on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Arc<AtomicU8>);

impl Faults {
    pub(super) fn set(&self, fault: Option<CommitFault>) {
        self.0.store(fault.map_or(0, |f| f as u8), Ordering::SeqCst);
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    pub(super) fn take(&self) -> Option<CommitFault> {
        match self.0.swap(0, Ordering::SeqCst) {
            1 => Some(CommitFault::Before),
            2 => Some(CommitFault::After),
            _ => None,
        }
    }
}

/// Where a node's database and its sidecar are.
#[derive(Debug, Clone)]
pub enum Disk {
    /// Two files.
    File {
        /// The SQLite database.
        database: PathBuf,
        /// The sidecar; never part of a backup.
        sidecar: PathBuf,
    },
    /// Memory of this process.
    Memory(MemoryDisk),
}

impl Disk {
    /// The files of a node in its data folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self::File {
            database: folder.join("node.sqlite"),
            sidecar: folder.join("log-head"),
        }
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File { database, .. } => database.display().to_string(),
            Self::Memory(memory) => memory.name.clone(),
        }
    }

    pub(super) fn faults(&self) -> Faults {
        match self {
            Self::File { .. } => Faults::default(),
            Self::Memory(memory) => memory.faults.clone(),
        }
    }

    /// Whether a database is there.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::File { database, .. } => std::fs::metadata(database).is_ok_and(|m| m.len() > 0),
            Self::Memory(_) => true,
        }
    }

    pub(super) fn connect(&self) -> Result<Connection, rusqlite::Error> {
        match self {
            Self::File { database, .. } => Connection::open_with_flags(
                database,
                OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            ),
            Self::Memory(memory) => memory.connect(),
        }
    }
}

/// A disk in memory. It outlives the stores on it, so that a crash is a dropped store, and it can
/// be copied and put back, so that a disk can lose what it never wrote.
#[derive(Clone)]
pub struct MemoryDisk {
    name: String,
    uri: String,
    /// Memory dies with its last connection: this one keeps it.
    anchor: Arc<Mutex<Connection>>,
    sidecar: Arc<Mutex<Option<Vec<u8>>>>,
    faults: Faults,
}

impl core::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MemoryDisk({})", self.name)
    }
}

/// A copy of everything on a memory disk.
pub struct DiskImage {
    database: Connection,
    sidecar: Option<Vec<u8>>,
}

impl core::fmt::Debug for DiskImage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DiskImage")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn copy(from: &Connection, to: &mut Connection) -> Result<(), rusqlite::Error> {
    rusqlite::backup::Backup::new(from, to)?.run_to_completion(
        i32::MAX,
        core::time::Duration::ZERO,
        None,
    )
}

fn connect(uri: &str) -> Result<Connection, rusqlite::Error> {
    Connection::open_with_flags(
        uri,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

impl MemoryDisk {
    /// An empty disk; two of one name are two disks.
    pub fn new(name: &str) -> Result<Self, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let uri = format!(
            "file:/mwimule-{}?vfs=memdb",
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let anchor = connect(&uri).map_err(|e| StoreError::of(e, name))?;
        Ok(Self {
            name: name.to_owned(),
            uri,
            anchor: Arc::new(Mutex::new(anchor)),
            sidecar: Arc::default(),
            faults: Faults::default(),
        })
    }

    fn connect(&self) -> Result<Connection, rusqlite::Error> {
        connect(&self.uri)
    }

    /// Lets the next commit fail.
    pub fn fail_next_commit(&self, fault: CommitFault) {
        self.faults.set(Some(fault));
    }

    /// Takes back a fault that no commit has met.
    pub fn clear_fault(&self) {
        self.faults.set(None);
    }

    /// A copy of the database as committed, and of the sidecar.
    pub fn image(&self) -> Result<DiskImage, StoreError> {
        let of = |e| StoreError::of(e, &self.name);
        let mut database = Connection::open_in_memory().map_err(of)?;
        copy(&lock(&self.anchor), &mut database).map_err(of)?;
        Ok(DiskImage {
            database,
            sidecar: self.sidecar(),
        })
    }

    /// Puts a copied database back. The sidecar stays as it is: it is outside every backup.
    /// No store may be open on the disk.
    pub fn restore_database(&self, image: &DiskImage) -> Result<(), StoreError> {
        copy(&image.database, &mut lock(&self.anchor)).map_err(|e| StoreError::of(e, &self.name))
    }

    /// Puts the copied database and sidecar back, as a clone of the whole disk would.
    pub fn restore_all(&self, image: &DiskImage) -> Result<(), StoreError> {
        self.restore_database(image)?;
        self.set_sidecar(image.sidecar.clone());
        Ok(())
    }

    /// The sidecar's bytes.
    pub fn sidecar(&self) -> Option<Vec<u8>> {
        lock(&self.sidecar).clone()
    }

    /// Replaces the sidecar's bytes, or removes it.
    pub fn set_sidecar(&self, bytes: Option<Vec<u8>>) {
        *lock(&self.sidecar) = bytes;
    }
}
