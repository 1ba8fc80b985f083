//! The event log's rows.

use std::ops::RangeInclusive;

use domain::codec::{from_cbor, to_cbor};
use domain::event::{ChainHead, Envelope, SignedEvent};
use domain::ids::{CommandId, EventHash, NodeId, NodeIncarnation, Seq};
use domain::ingest::Verdict;
use domain::time::Instant;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Store, StoreError, sql};

const SEQ_BITS: u32 = 40;
/// The last position that one incarnation's log can have.
pub const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

/// An event and what the node keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The event.
    pub event: SignedEvent,
    /// The command it answers.
    pub command: Option<CommandId>,
    /// What the node remembers beside it; neither signed nor sent.
    pub aside: Option<Vec<u8>>,
}

/// How far the hub has come with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMark {
    /// Which log.
    pub incarnation: NodeIncarnation,
    /// Everything up to here is stored at the hub.
    pub stored: Seq,
    /// Everything up to here has its verdict.
    pub judged: Seq,
}

fn pos(incarnation: NodeIncarnation, seq: Seq) -> i64 {
    (i64::from(incarnation.0) << SEQ_BITS) | (seq.0.min(SEQ_MAX) as i64)
}

fn place(pos: i64) -> (NodeIncarnation, Seq) {
    let incarnation = NodeIncarnation((pos >> SEQ_BITS) as u32);
    (incarnation, Seq(pos as u64 & SEQ_MAX))
}

fn event_of(row: &Row<'_>, node: NodeId) -> Result<EventRow, rusqlite::Error> {
    let (incarnation, seq) = place(row.get(0)?);
    let event = SignedEvent {
        hash: EventHash(row.get(1)?),
        envelope: Envelope {
            node,
            incarnation,
            seq,
            prev: EventHash(row.get(2)?),
            at: Instant(row.get(3)?),
            personal: row.get(4)?,
            body: row.get(5)?,
        },
        signature: row.get(6)?,
        personal: row.get(7)?,
    };
    Ok(EventRow {
        event,
        command: row
            .get::<_, Option<[u8; 16]>>(8)?
            .map(CommandId::from_bytes),
        aside: row.get(9)?,
    })
}

pub(super) fn insert(db: &rusqlite::Connection, row: &EventRow) -> Result<(), rusqlite::Error> {
    let envelope = &row.event.envelope;
    db.prepare_cached(sql::EVENT_INSERT)?.execute(params![
        pos(envelope.incarnation, envelope.seq),
        row.event.hash.0,
        envelope.prev.0,
        envelope.at.0,
        envelope.personal,
        envelope.body,
        row.event.signature,
        row.event.personal,
        row.command.map(|c| *c.as_bytes()),
        row.aside,
    ])?;
    Ok(())
}

impl Store {
    /// Appends one event; durable when it returns.
    pub fn append(&mut self, row: &EventRow) -> Result<(), StoreError> {
        if self.faults.is_waiting() {
            return self.transact(|tx| insert(tx, row));
        }
        // A statement by itself is a transaction: as durable, without a BEGIN and a COMMIT.
        insert(&self.db, row).map_err(|e| self.error(e))
    }

    /// Events of one log after a position, in order, at most `most`.
    pub fn events(
        &self,
        node: NodeId,
        incarnation: NodeIncarnation,
        after: Seq,
        most: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let bounds = pos(incarnation, after)..=pos(incarnation, Seq(SEQ_MAX));
        self.range(node, bounds, most)
    }

    fn range(
        &self,
        node: NodeId,
        bounds: RangeInclusive<i64>,
        most: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let load = || {
            self.db
                .prepare_cached(sql::EVENT_RANGE)?
                .query_map(params![bounds.start(), bounds.end(), most], |row| {
                    event_of(row, node)
                })?
                .collect::<Result<Vec<_>, _>>()
        };
        load().map_err(|e| self.error(e))
    }

    /// The head of a log.
    pub fn head(&self, incarnation: NodeIncarnation) -> Result<ChainHead, StoreError> {
        let bounds = params![pos(incarnation, Seq(0)), pos(incarnation, Seq(SEQ_MAX))];
        let load = || {
            self.db
                .prepare_cached(sql::EVENT_HEAD)?
                .query_row(bounds, |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        let found: Option<(i64, [u8; 32])> = load().map_err(|e| self.error(e))?;
        Ok(
            found.map_or(ChainHead::empty(incarnation), |(pos, hash)| ChainHead {
                incarnation,
                seq: place(pos).1,
                hash: EventHash(hash),
            }),
        )
    }

    /// The hash at a position.
    pub fn hash_at(
        &self,
        incarnation: NodeIncarnation,
        seq: Seq,
    ) -> Result<Option<EventHash>, StoreError> {
        self.db
            .query_row(sql::EVENT_HASH, params![pos(incarnation, seq)], |row| {
                row.get(0)
            })
            .optional()
            .map(|hash| hash.map(EventHash))
            .map_err(|e| self.error(e))
    }

    /// Whether any log holds an event.
    pub fn has_events(&self) -> Result<bool, StoreError> {
        self.db
            .query_row(sql::EVENT_ANY, [], |row| row.get(0))
            .map_err(|e| self.error(e))
    }

    /// The logs on this disk, the running one last.
    pub fn marks(&self) -> Result<Vec<LogMark>, StoreError> {
        let load = || {
            self.db
                .prepare_cached(sql::MARK_ALL)?
                .query_map([], |row| {
                    Ok(LogMark {
                        incarnation: NodeIncarnation(row.get(0)?),
                        stored: Seq(row.get::<_, i64>(1)? as u64),
                        judged: Seq(row.get::<_, i64>(2)? as u64),
                    })
                })?
                .collect::<Result<Vec<_>, _>>()
        };
        load().map_err(|e| self.error(e))
    }

    /// Notes how far the hub has come, and what it did not plainly apply.
    pub fn set_marks(
        &mut self,
        marks: &[LogMark],
        verdicts: &[(NodeIncarnation, Seq, Verdict)],
    ) -> Result<(), StoreError> {
        self.transact(|tx| {
            for mark in marks {
                let row = params![
                    mark.incarnation.0,
                    mark.stored.0 as i64,
                    mark.judged.0 as i64
                ];
                tx.prepare_cached(sql::MARK_SET)?.execute(row)?;
            }
            for (incarnation, seq, verdict) in verdicts {
                tx.prepare_cached(sql::VERDICT_SET)?
                    .execute(params![pos(*incarnation, *seq), to_cbor(verdict)])?;
            }
            Ok(())
        })
    }

    /// What the hub did not plainly apply.
    pub fn verdicts(&self) -> Result<Vec<(NodeIncarnation, Seq, Verdict)>, StoreError> {
        let load = || {
            self.db
                .prepare_cached(sql::VERDICT_ALL)?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<Vec<(i64, Vec<u8>)>, _>>()
        };
        let rows = load().map_err(|e| self.error(e))?;
        rows.into_iter()
            .map(|(pos, bytes)| {
                let (incarnation, seq) = place(pos);
                let verdict = from_cbor(&bytes)
                    .map_err(|e| self.bad_row("verdict", format!("{incarnation}:{seq}"), e))?;
                Ok((incarnation, seq, verdict))
            })
            .collect()
    }

    /// Closes the running incarnation and begins another; its log is empty.
    pub fn begin_incarnation(
        &mut self,
        incarnation: NodeIncarnation,
        abandoned_wishes: &str,
    ) -> Result<(), StoreError> {
        self.transact(|tx| {
            tx.execute(sql::MARK_BEGIN, params![incarnation.0])?;
            let number = incarnation.to_string();
            tx.execute(sql::META_SET, params!["incarnation", number])?;
            tx.execute(sql::META_DELETE, params!["doubt"])?;
            tx.execute(sql::WISH_ABANDON, params![abandoned_wishes])?;
            Ok(())
        })
    }

    pub(super) fn bad_row(
        &self,
        table: &'static str,
        row: String,
        what: impl ToString,
    ) -> StoreError {
        StoreError::BadRow {
            path: self.disk.name(),
            table,
            row,
            what: what.to_string(),
        }
    }

    /// The error for an event that does not hold what it should.
    pub fn bad_event(&self, event: &SignedEvent, what: impl ToString) -> StoreError {
        let at = &event.envelope;
        self.bad_row(
            "event",
            format!("incarnation {}, position {}", at.incarnation, at.seq),
            what,
        )
    }
}
