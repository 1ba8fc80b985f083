//! Step A: what is stored of a batch, and how far the cursor moves.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{ChainHead, SignedEvent};
use domain::ids::{EventHash, NodeIncarnation, Seq};
use domain::ingest::{Admission, admit};
use sync_protocol::frame::StoredMark;

use crate::clock;
use crate::db::{Db, DbError};
use crate::nodes::NodeContext;
use crate::tenant::TenantTx;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// All of it is stored, durably.
    Stored(StoredMark),
    /// Nothing of it counts: events before it are missing, or the log is not to be taken.
    NotStored,
}

/// What step A did.
pub(super) struct Done {
    /// For each batch.
    pub outcomes: Vec<StoreOutcome>,
    /// For each event of all batches: whether it extended the log.
    pub is_next: Vec<bool>,
}

/// How the events of several batches are admitted, one after the other.
struct Sorted<'a> {
    head: ChainHead,
    next: Vec<&'a SignedEvent>,
    forks: Vec<&'a SignedEvent>,
    done: Done,
}

/// The hashes that admission looks at.
struct Known {
    stored: BTreeMap<Seq, EventHash>,
    forks: BTreeSet<(Seq, EventHash)>,
}

/// Stores what extends the log, and forks beside it, in one transaction.
pub(super) async fn store_batches(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    batches: &[Vec<SignedEvent>],
) -> Result<Done, DbError> {
    let mut tx = db.tenant(node.company).await?;
    let Some(head) = lock_log(&mut tx, node, incarnation).await? else {
        tracing::warn!(node = %node.node, %incarnation, "events of an installation never begun");
        return Ok(Done {
            outcomes: vec![StoreOutcome::NotStored; batches.len()],
            is_next: vec![false; batches.iter().map(Vec::len).sum()],
        });
    };
    let known = load_known(&mut tx, node, &head, batches).await?;
    let sorted = sort(head, known, batches);
    if !sorted.next.is_empty() {
        insert_events(&mut tx, node, &sorted).await?;
        insert_personal(&mut tx, node, &sorted).await?;
    }
    if !sorted.forks.is_empty() {
        insert_forks(&mut tx, node, incarnation, &sorted.forks).await?;
    }
    tx.commit().await?;
    Ok(sorted.done)
}

/// The log's row, locked; made where the hub gave the node this installation.
async fn lock_log(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: NodeIncarnation,
) -> Result<Option<ChainHead>, DbError> {
    for made in [false, true] {
        let row = sqlx::query!(
            "SELECT stored_seq, stored_hash FROM node_log
             WHERE company_id = $1 AND node_id = $2 AND incarnation = $3 FOR UPDATE",
            node.company.0,
            node.node.0,
            incarnation.0 as i32
        )
        .fetch_optional(tx.conn())
        .await?;
        if let Some(row) = row {
            return Ok(Some(ChainHead {
                incarnation,
                seq: Seq(row.stored_seq as u64),
                hash: hash_of(&row.stored_hash)?,
            }));
        }
        if made {
            break;
        }
        sqlx::query!(
            "INSERT INTO node_log (company_id, node_id, incarnation, stored_hash)
             SELECT company_id, node_id, $3, $4 FROM node
             WHERE company_id = $1 AND node_id = $2 AND highest_incarnation >= $3
             ON CONFLICT DO NOTHING",
            node.company.0,
            node.node.0,
            incarnation.0 as i32,
            &EventHash::GENESIS.0[..]
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(None)
}

/// A stored hash.
pub(crate) fn hash_of(bytes: &[u8]) -> Result<EventHash, DbError> {
    let bytes = bytes.try_into();
    bytes
        .map(EventHash)
        .map_err(|_| DbError::damaged("the hash of an event"))
}

/// Whether the batches follow the log and one another, so that no stored hash is asked for. A
/// batch that was sent again may stand behind a fresh one.
fn continue_the_log(head: &ChainHead, batches: &[Vec<SignedEvent>]) -> bool {
    let mut last = head.hash;
    batches
        .iter()
        .all(|batch| match (batch.first(), batch.last()) {
            (Some(first), Some(end)) => {
                let follows = first.envelope.prev == last;
                last = end.hash;
                follows
            }
            _ => true,
        })
}

async fn load_known(
    tx: &mut TenantTx,
    node: &NodeContext,
    head: &ChainHead,
    batches: &[Vec<SignedEvent>],
) -> Result<Known, DbError> {
    let mut known = Known {
        stored: BTreeMap::new(),
        forks: BTreeSet::new(),
    };
    let firsts = batches.iter().filter_map(|b| b.first());
    let from = firsts.map(|e| e.envelope.seq.0).min().unwrap_or(0);
    if continue_the_log(head, batches) {
        return Ok(known);
    }
    let (company, incarnation) = (node.company.0, head.incarnation.0 as i32);
    let last = batches.iter().filter_map(|b| b.last());
    let to = last.map(|e| e.envelope.seq.0).max().unwrap_or(0);
    let rows = sqlx::query!(
        "SELECT seq, hash FROM event
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3 AND seq BETWEEN $4 AND $5",
        company,
        node.node.0,
        incarnation,
        from as i64,
        to as i64
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        known
            .stored
            .insert(Seq(row.seq as u64), hash_of(&row.hash)?);
    }
    let rows = sqlx::query!(
        "SELECT seq, hash FROM fork_event
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3 AND seq BETWEEN $4 AND $5",
        company,
        node.node.0,
        incarnation,
        from.saturating_sub(1) as i64,
        to as i64
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        known
            .forks
            .insert((Seq(row.seq as u64), hash_of(&row.hash)?));
    }
    Ok(known)
}

fn sort(head: ChainHead, mut known: Known, batches: &[Vec<SignedEvent>]) -> Sorted<'_> {
    let mut sorted = Sorted {
        head,
        next: vec![],
        forks: vec![],
        done: Done {
            outcomes: vec![],
            is_next: vec![],
        },
    };
    for batch in batches {
        let mut whole = true;
        for event in batch {
            let at = &event.envelope;
            let seen = |seq| known.stored.get(&seq).copied();
            let mut admission = admit(&sorted.head, seen, event);
            // A fork may grow longer than the log it left: what continues one is one.
            let before = (Seq(at.seq.0.saturating_sub(1)), at.prev);
            if admission == Admission::Gap && known.forks.contains(&before) {
                admission = Admission::Fork;
            }
            match admission {
                Admission::Next => {
                    sorted.head = event.head();
                    known.stored.insert(at.seq, event.hash);
                    sorted.next.push(event);
                }
                Admission::Fork => {
                    if known.forks.insert((at.seq, event.hash)) {
                        sorted.forks.push(event);
                    }
                }
                Admission::Duplicate => {}
                Admission::Gap => whole = false,
            }
            sorted.done.is_next.push(admission == Admission::Next);
        }
        let through = batch.last().map(|e| e.envelope.seq);
        sorted.done.outcomes.push(match through {
            Some(through) if whole => StoreOutcome::Stored(StoredMark {
                incarnation: sorted.head.incarnation,
                through,
            }),
            _ => StoreOutcome::NotStored,
        });
    }
    sorted
}

async fn insert_events(
    tx: &mut TenantTx,
    node: &NodeContext,
    sorted: &Sorted<'_>,
) -> Result<(), DbError> {
    let events = &sorted.next;
    sqlx::query!(
        "WITH moved AS (
             UPDATE node_log SET stored_seq = $10, stored_hash = $11
             WHERE company_id = $1 AND node_id = $2 AND incarnation = $3)
         INSERT INTO event (company_id, node_id, incarnation, received_at_ms, seq, hash, at_ms,
             personal_hash, body, signature)
         SELECT $1, $2, $3, $12, w.*
         FROM UNNEST($4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[], $8::bytea[],
             $9::bytea[]) AS w",
        node.company.0,
        node.node.0,
        sorted.head.incarnation.0 as i32,
        &column(events, |e| e.envelope.seq.0 as i64),
        &column(events, |e| &e.hash.0[..]) as _,
        &column(events, |e| e.envelope.at.0),
        &column(events, |e| e.envelope.personal.as_ref().map(|h| &h[..])) as _,
        &column(events, |e| e.envelope.body.as_slice()) as _,
        &column(events, |e| &e.signature[..]) as _,
        sorted.head.seq.0 as i64,
        &sorted.head.hash.0[..],
        clock::now().0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn column<'a, T>(events: &[&'a SignedEvent], pick: impl Fn(&'a SignedEvent) -> T) -> Vec<T> {
    events.iter().map(|e| pick(e)).collect()
}

async fn insert_personal(
    tx: &mut TenantTx,
    node: &NodeContext,
    sorted: &Sorted<'_>,
) -> Result<(), DbError> {
    let blobs = sorted
        .next
        .iter()
        .filter_map(|e| Some((e.envelope.seq.0 as i64, e.personal.as_deref()?)));
    let (seqs, blobs): (Vec<i64>, Vec<&[u8]>) = blobs.unzip();
    if seqs.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO event_personal (company_id, node_id, incarnation, seq, blob)
         SELECT $1, $2, $3, w.* FROM UNNEST($4::bigint[], $5::bytea[]) AS w",
        node.company.0,
        node.node.0,
        sorted.head.incarnation.0 as i32,
        &seqs,
        &blobs as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn insert_forks(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    forks: &[&SignedEvent],
) -> Result<(), DbError> {
    tracing::error!(node = %node.node, %incarnation, events = forks.len(), "a log has forked");
    sqlx::query!(
        "INSERT INTO fork_event (company_id, node_id, incarnation, received_at_ms, seq, hash,
             prev, at_ms, personal_hash, body, signature, personal_blob)
         SELECT $1, $2, $3, $12, w.*
         FROM UNNEST($4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bytea[],
             $9::bytea[], $10::bytea[], $11::bytea[]) AS w
         ON CONFLICT DO NOTHING",
        node.company.0,
        node.node.0,
        incarnation.0 as i32,
        &column(forks, |e| e.envelope.seq.0 as i64),
        &column(forks, |e| &e.hash.0[..]) as _,
        &column(forks, |e| &e.envelope.prev.0[..]) as _,
        &column(forks, |e| e.envelope.at.0),
        &column(forks, |e| e.envelope.personal.as_ref().map(|h| &h[..])) as _,
        &column(forks, |e| e.envelope.body.as_slice()) as _,
        &column(forks, |e| &e.signature[..]) as _,
        &column(forks, |e| e.personal.as_deref()) as _,
        clock::now().0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE node SET frozen = true WHERE company_id = $1 AND node_id = $2",
        node.company.0,
        node.node.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
