//! What the hub told: buckets, grants, answers to lease requests.

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{HubIncarnation, LeaseNo, NodeIncarnation, RequestId, TripId};
use domain::ingest::TicketState;
use domain::lease::{LeaseRequest, SignedGrant};
use domain::time::Instant;
use rusqlite::params;
use sync_protocol::frame::{BucketCursor, Item};

use super::log::insert;
use super::{EventRow, Store, StoreError, sql};

/// A grant to this node as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// Which trip.
    pub trip: TripId,
    /// Its number.
    pub lease_no: LeaseNo,
    /// Which incarnation may sell from it; 0 when in doubt.
    pub incarnation: NodeIncarnation,
    /// The grant with the hub's signature.
    pub signed: SignedGrant,
}

/// Where a lease request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WishState {
    /// No answer yet.
    Waiting,
    /// Granted, under this number.
    Granted(LeaseNo),
    /// Refused, and why in words.
    Refused(String),
}

/// A lease request as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWish {
    /// Which incarnation asked.
    pub incarnation: NodeIncarnation,
    /// What was asked for.
    pub request: LeaseRequest,
    /// When.
    pub made_at: Instant,
    /// Where it stands.
    pub state: WishState,
}

/// What is applied in one transaction with a bucket's new cursor.
#[derive(Debug, Default)]
pub struct BucketChange {
    /// Facts by key.
    pub facts: Vec<(String, Item)>,
    /// Grants to this node.
    pub grants: Vec<StoredGrant>,
    /// Their acceptances.
    pub events: Vec<EventRow>,
    /// Lease requests that these grants answer.
    pub answered: Vec<(RequestId, LeaseNo)>,
}

impl BucketChange {
    fn write(&self, tx: &rusqlite::Transaction<'_>) -> Result<(), rusqlite::Error> {
        for grant in &self.grants {
            tx.prepare_cached(sql::GRANT_ADD)?.execute(params![
                grant.trip.0 as i64,
                grant.lease_no.0,
                grant.incarnation.0,
                to_cbor(&grant.signed)
            ])?;
        }
        for (request, lease_no) in &self.answered {
            tx.prepare_cached(sql::WISH_ANSWER)?.execute(params![
                request.as_bytes(),
                "granted",
                lease_no.0,
                None::<&str>
            ])?;
        }
        self.events.iter().try_for_each(|row| insert(tx, row))
    }
}

impl Store {
    /// Applies a bucket's facts, what follows from them, and its cursor: all or nothing.
    pub fn apply_bucket(
        &mut self,
        cursor: &BucketCursor,
        change: &BucketChange,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.transact(|tx| {
            let bucket = cursor.bucket.name();
            for (key, item) in &change.facts {
                tx.prepare_cached(sql::FACT_SET)?
                    .execute(params![bucket, key, to_cbor(item)])?;
            }
            change.write(tx)?;
            tx.prepare_cached(sql::CURSOR_SET)?.execute(params![
                bucket,
                to_cbor(&cursor.bucket),
                cursor.change as i64,
                now.0
            ])?;
            Ok(())
        })
    }

    /// Keeps grants that came as an answer, what follows from them, and that they were answered.
    pub fn keep_grants(&mut self, change: &BucketChange) -> Result<(), StoreError> {
        self.transact(|tx| change.write(tx))
    }

    /// The bucket cursors, and when each was last applied.
    pub fn cursors(&self) -> Result<Vec<(BucketCursor, Instant)>, StoreError> {
        let load = || {
            self.db
                .prepare_cached(sql::CURSOR_ALL)?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<Vec<(Vec<u8>, i64, i64)>, _>>()
        };
        let rows = load().map_err(|e| self.error(e))?;
        rows.into_iter()
            .map(|(id, change, at)| {
                let bucket = from_cbor(&id)
                    .map_err(|e| self.bad_row("bucket_cursor", format!("change {change}"), e))?;
                let change = change as u64;
                Ok((BucketCursor { bucket, change }, Instant(at)))
            })
            .collect()
    }

    /// Every fact, with its bucket's name.
    pub fn facts(&self) -> Result<Vec<(String, Item)>, StoreError> {
        let facts = self.facts_by_key()?.into_iter();
        Ok(facts.map(|(bucket, _, item)| (bucket, item)).collect())
    }

    fn facts_by_key(&self) -> Result<Vec<(String, String, Item)>, StoreError> {
        let load = || {
            self.db
                .prepare_cached(sql::FACT_ALL)?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<Vec<(String, String, Vec<u8>)>, _>>()
        };
        let rows = load().map_err(|e| self.error(e))?;
        rows.into_iter()
            .map(|(bucket, key, bytes)| match from_cbor(&bytes) {
                Ok(item) => Ok((bucket, key, item)),
                Err(e) => Err(self.bad_row("fact", format!("{bucket} {key}"), e)),
            })
            .collect()
    }

    /// A hub that was restored: keeps its number, and reads every bucket anew. What the buckets
    /// said stays until it is said again, but for tickets that may be lost with the hub: a scanner
    /// shall not find those on its manifest.
    pub fn begin_hub(&mut self, hub: HubIncarnation) -> Result<(), StoreError> {
        let facts = self.facts_by_key()?;
        self.transact(|tx| {
            tx.execute(sql::META_SET, params!["hub", hub.to_string()])?;
            tx.execute(sql::CURSOR_REWIND, [])?;
            for (bucket, key, item) in &facts {
                if let Item::Ticket(ticket) = item
                    && ticket.state != TicketState::Void
                {
                    tx.prepare_cached(sql::FACT_DROP)?
                        .execute(params![bucket, key])?;
                }
            }
            Ok(())
        })
    }

    /// Every grant to this node, those of older incarnations first.
    pub fn grants(&self) -> Result<Vec<StoredGrant>, StoreError> {
        let load = || {
            self.db
                .prepare_cached(sql::GRANT_ALL)?
                .query_map([], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect::<Result<Vec<(i64, u16, u32, Vec<u8>)>, _>>()
        };
        let rows = load().map_err(|e| self.error(e))?;
        rows.into_iter()
            .map(|(trip, lease_no, incarnation, bytes)| {
                let row = format!("trip {trip}, lease {lease_no}");
                Ok(StoredGrant {
                    trip: TripId(trip as u64),
                    lease_no: LeaseNo(lease_no),
                    incarnation: NodeIncarnation(incarnation),
                    signed: from_cbor(&bytes)
                        .map_err(|e| self.bad_row("grant_received", row, e))?,
                })
            })
            .collect()
    }

    /// Keeps a lease request until it is answered; a second one of the same id changes nothing.
    pub fn add_wish(
        &mut self,
        request: &LeaseRequest,
        incarnation: NodeIncarnation,
        now: Instant,
    ) -> Result<(), StoreError> {
        self.transact(|tx| {
            tx.prepare_cached(sql::WISH_ADD)?.execute(params![
                request.request.as_bytes(),
                incarnation.0,
                to_cbor(request),
                now.0
            ])?;
            Ok(())
        })
    }

    /// Notes why a lease request got nothing.
    pub fn refuse_wish(&mut self, request: RequestId, why: &str) -> Result<(), StoreError> {
        self.transact(|tx| {
            tx.prepare_cached(sql::WISH_ANSWER)?.execute(params![
                request.as_bytes(),
                "refused",
                None::<u16>,
                why
            ])?;
            Ok(())
        })
    }

    /// Every lease request, the oldest first.
    pub fn wishes(&self) -> Result<Vec<StoredWish>, StoreError> {
        type Raw = (u32, Vec<u8>, i64, String, Option<u16>, Option<String>);
        let load = || {
            self.db
                .prepare_cached(sql::WISH_ALL)?
                .query_map([], |row| {
                    Ok((
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                        row.get(6)?,
                    ))
                })?
                .collect::<Result<Vec<Raw>, _>>()
        };
        let rows = load().map_err(|e| self.error(e))?;
        rows.into_iter()
            .map(|(incarnation, request, at, state, lease_no, why)| {
                Ok(StoredWish {
                    incarnation: NodeIncarnation(incarnation),
                    request: from_cbor(&request)
                        .map_err(|e| self.bad_row("wish", format!("of {at}"), e))?,
                    made_at: Instant(at),
                    state: match (state.as_str(), lease_no) {
                        ("granted", Some(no)) => WishState::Granted(LeaseNo(no)),
                        ("refused", _) => WishState::Refused(why.unwrap_or_default()),
                        _ => WishState::Waiting,
                    },
                })
            })
            .collect()
    }
}
