//! Fixes that the hub has not taken: a bounded ring in a file of its own, so that neither its
//! writes nor its size ever stand in the way of a sale.

use std::path::Path;

use domain::codec::{from_cbor, to_cbor};
use domain::time::Instant;
use domain::tracking::Fix;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::sql::ring as sql;

const SCHEMA: &str = include_str!("../../../migrations/edge/0100_positions.sql");
/// As many fixes as the ring holds: more than five hours at one a second.
pub const RING_FIXES_MAX: u64 = 20_000;

/// An open ring.
pub struct Ring {
    db: Connection,
    name: String,
    last: u64,
}

impl core::fmt::Debug for Ring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ring")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Opens the ring of a node, making it where there is none. A damaged one is begun anew:
    /// fixes are worth less than a bus that is not seen.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match Self::try_open(path) {
            Err(StoreError::Corrupt { .. } | StoreError::NotADatabase { .. }) => {
                tracing::warn!(path = %path.display(), "the ring of positions was damaged");
                for end in ["", "-wal", "-shm"] {
                    let mut file = path.as_os_str().to_owned();
                    file.push(end);
                    // What cannot be removed fails again when it is opened.
                    let _ = std::fs::remove_file(file);
                }
                Self::try_open(path)
            }
            opened => opened,
        }
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let of = |e| StoreError::of(e, &name);
        let db = Connection::open(path).map_err(of)?;
        db.busy_timeout(core::time::Duration::from_secs(2))
            .map_err(of)?;
        // A fix that a power cut takes is no loss: no commit waits for the disk.
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .and_then(|()| db.pragma_update(None, "synchronous", "off"))
            .map_err(of)?;
        let version: i64 = db
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(of)?;
        if version == 0 {
            db.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = 1; COMMIT"))
                .map_err(of)?;
        }
        let last: Option<i64> = db
            .query_row(sql::LAST, [], |row| row.get(0))
            .optional()
            .map_err(of)?;
        Ok(Self {
            db,
            last: last.unwrap_or(0).max(0) as u64,
            name,
        })
    }

    fn of(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(error, &self.name)
    }

    /// Gives a fix its number and keeps it; the oldest go when the ring is full.
    pub fn add(&mut self, mut fix: Fix) -> Result<Fix, StoreError> {
        let seq = self.last + 1;
        fix.seq = seq;
        let name = self.name.clone();
        let of = |e| StoreError::of(e, &name);
        let tx = self.db.transaction().map_err(of)?;
        tx.execute(sql::ADD, params![seq as i64, fix.at.0, to_cbor(&fix)])
            .and_then(|_| tx.execute(sql::COUNT, params![seq as i64]))
            .map_err(of)?;
        if let Some(oldest) = seq.checked_sub(RING_FIXES_MAX) {
            tx.execute(sql::PRUNE, params![oldest as i64]).map_err(of)?;
        }
        tx.commit().map_err(of)?;
        self.last = seq;
        Ok(fix)
    }

    /// Fixes from before a moment, the newest first.
    pub fn waiting(&self, before: Instant, most: usize) -> Result<Vec<Fix>, StoreError> {
        let of = |e| self.of(e);
        let mut statement = self.db.prepare_cached(sql::WAITING).map_err(of)?;
        let rows = statement
            .query_map(params![before.0, most as i64], |row| {
                row.get::<_, Vec<u8>>(0)
            })
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(of)?;
        // One of a later version is left out, and pruned in its time.
        Ok(rows
            .iter()
            .filter_map(|bytes| from_cbor(bytes).ok())
            .collect())
    }

    /// The hub has taken these.
    pub fn forget(&mut self, numbers: &[u64]) -> Result<(), StoreError> {
        let name = self.name.clone();
        let of = |e| StoreError::of(e, &name);
        let tx = self.db.transaction().map_err(of)?;
        for number in numbers {
            tx.prepare_cached(sql::FORGET)
                .and_then(|mut statement| statement.execute(params![*number as i64]))
                .map_err(of)?;
        }
        tx.commit().map_err(of)
    }

    /// How many wait.
    pub fn count(&self) -> Result<u64, StoreError> {
        let count: i64 = self
            .db
            .query_row(sql::HOW_MANY, [], |row| row.get(0))
            .map_err(|e| self.of(e))?;
        Ok(count.max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::TripId;
    use domain::tracking::Source;

    use super::*;

    fn fix(secs: i64) -> Fix {
        Fix {
            trip: TripId(1),
            seq: 0,
            at: Instant(secs * 1_000),
            lat_e7: -154_000_000,
            lon_e7: 282_000_000,
            speed_cm_s: None,
            bearing_deg: None,
            accuracy_m: None,
            source: Source::Receiver,
        }
    }

    #[test]
    fn what_waits_survives_a_restart_and_numbers_never_come_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.db");
        let mut ring = Ring::open(&path).unwrap();
        for secs in 1..=5 {
            assert_eq!(ring.add(fix(secs)).unwrap().seq, secs as u64);
        }
        ring.forget(&[4, 5, 99]).unwrap();
        drop(ring);
        let mut ring = Ring::open(&path).unwrap();
        let numbers = |fixes: Vec<Fix>| fixes.iter().map(|f| f.seq).collect::<Vec<_>>();
        let waiting = |ring: &Ring, before, most| numbers(ring.waiting(before, most).unwrap());
        assert_eq!(waiting(&ring, Instant(9_000), 10), [3, 2, 1]);
        assert_eq!(
            waiting(&ring, Instant(3_000), 10),
            [2, 1],
            "the last seconds go live"
        );
        assert_eq!(waiting(&ring, Instant(9_000), 1), [3]);
        assert_eq!(ring.add(fix(6)).unwrap().seq, 6);
    }

    #[test]
    fn a_full_ring_drops_its_oldest_and_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(&folder.path().join("positions.db")).unwrap();
        let over = 50;
        for secs in 0..(RING_FIXES_MAX + over) as i64 {
            ring.add(fix(secs)).unwrap();
        }
        assert_eq!(ring.count().unwrap(), RING_FIXES_MAX);
        let all = ring.waiting(Instant(i64::MAX), usize::MAX >> 1).unwrap();
        assert_eq!(all.last().unwrap().seq, over + 1);
    }

    #[test]
    fn a_damaged_ring_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.db");
        std::fs::write(&path, [7; 8192]).unwrap();
        let mut ring = Ring::open(&path).unwrap();
        assert_eq!(ring.add(fix(1)).unwrap().seq, 1);
    }
}
