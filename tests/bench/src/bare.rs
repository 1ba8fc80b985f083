//! The limits of the node's disk and processor: one row committed to a table of SQLite, and one
//! strict check of a signature.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ed25519_dalek::{Signature, VerifyingKey};
use minicbor::{Decoder, Encoder};
use rusqlite::Connection;
use rusqlite::types::Value;

/// A table of one number and one blob, set as the node sets its own.
pub struct BareTable {
    db: Connection,
    next: i64,
    row: Vec<u8>,
}

impl BareTable {
    /// Makes the table; `row_bytes` is what an event of the node weighs.
    pub fn create(folder: &Path, row_bytes: usize) -> Result<Self> {
        let db = Connection::open(folder.join("bare.sqlite"))?;
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "full")?;
        let pages = edge_node::store::WAL_PAGES;
        db.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?;
        db.execute_batch(
            "CREATE TABLE event (pos integer PRIMARY KEY, body blob NOT NULL) STRICT",
        )?;
        Ok(Self {
            db,
            next: 1,
            row: vec![0x5a; row_bytes],
        })
    }

    /// Commits so many rows, each by itself.
    pub fn commit(&mut self, rows: usize) -> Result<Duration> {
        let mut insert = self.db.prepare("INSERT INTO event VALUES (?1, ?2)")?;
        let started = Instant::now();
        for _ in 0..rows {
            insert.execute((self.next, &self.row))?;
            self.next += 1;
        }
        Ok(started.elapsed())
    }

    /// A setting as SQLite says it is.
    pub fn setting(&self, name: &str) -> Result<String> {
        let value = self
            .db
            .pragma_query_value(None, name, |row| row.get::<_, Value>(0))
            .with_context(|| format!("PRAGMA {name}"))?;
        Ok(match value {
            Value::Integer(n) => n.to_string(),
            Value::Text(text) => text,
            Value::Null | Value::Real(_) | Value::Blob(_) => format!("{value:?}"),
        })
    }

    /// How many rows are there.
    pub fn count(&self) -> Result<u64> {
        let count: i64 = self
            .db
            .query_row("SELECT count(*) FROM event", [], |row| row.get(0))?;
        Ok(count as u64)
    }
}

/// A signature and the bytes under it.
pub struct Signed {
    message: Vec<u8>,
    signature: Signature,
}

impl Signed {
    /// Takes a ticket's COSE_Sign1 message apart: RFC 9052, section 4.4.
    pub fn of_ticket(cose: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(cose);
        d.tag()?;
        d.array()?;
        let protected = d.bytes()?;
        d.map()?;
        let payload = d.bytes()?;
        let signature = Signature::from_slice(d.bytes()?)?;
        let mut e = Encoder::new(Vec::with_capacity(cose.len()));
        e.array(4)?.str("Signature1")?;
        e.bytes(protected)?.bytes(&[])?.bytes(payload)?;
        Ok(Self {
            message: e.into_writer(),
            signature,
        })
    }

    /// Whether the signature is good, strictly.
    pub fn check(&self, key: &VerifyingKey) -> bool {
        key.verify_strict(&self.message, &self.signature).is_ok()
    }
}
