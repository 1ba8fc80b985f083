//! Step B: one transaction that judges the next stored events and writes what follows.

use std::collections::VecDeque;

use domain::event::{Envelope, SignedEvent};
use domain::ids::{EventHash, NodeIncarnation, Seq};
use domain::ingest::{QuarantineReason, Verdict, judge, stands_against};
use domain::time::Instant;
use sync_protocol::frame::{SeqVerdict, StoredMark};

use super::load::{Named, load_state};
use super::store::hash_of;
use super::write::Writes;
use super::{JUDGED_AT_ONCE_MAX, Judged, backstop};
use crate::db::{Db, DbError};
use crate::metrics::Counted;
use crate::nodes::NodeContext;
use crate::restore::{Restoring, may_be_taken_back};
use crate::tenant::TenantTx;

/// Judges what is next; replays event by event when a constraint stands against the set.
pub(super) async fn judge_next(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    queue: &mut VecDeque<SignedEvent>,
) -> Result<Option<Judged>, DbError> {
    match judge_set(db, node, incarnation, queue).await {
        Err(DbError::Constraint { constraint, source }) => {
            tracing::error!(node = %node.node, %incarnation, constraint, %source,
                "a constraint stood against judged events: replaying them one by one");
            backstop::judge_each(db, node, incarnation).await
        }
        done => done,
    }
}

async fn judge_set(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    queue: &mut VecDeque<SignedEvent>,
) -> Result<Option<Judged>, DbError> {
    let mut tx = db.tenant(node.company).await?;
    let Some((stored, judged)) = lock_cursors(&mut tx, node, incarnation).await? else {
        return Ok(None);
    };
    let restoring = restoring(&mut tx, node).await?;
    if restoring == Restoring::NotTold {
        return Ok(None);
    }
    while queue.front().is_some_and(|e| e.envelope.seq <= judged) {
        queue.pop_front();
    }
    if judged >= stored {
        let some = backstop::judge_forks(&mut tx, node, incarnation).await?;
        if some {
            tx.commit().await?;
        }
        return Ok(None);
    }
    if queue
        .front()
        .is_none_or(|e| e.envelope.seq.0 != judged.0 + 1)
    {
        *queue = load_events(&mut tx, node, incarnation, judged, JUDGED_AT_ONCE_MAX).await?;
    }
    let count = queue.len().min(JUDGED_AT_ONCE_MAX);
    let events = &queue.make_contiguous()[..count];
    let mut loaded = load_state(&mut tx, node, &Named::by(events)).await?;
    let mut writes = Writes::default();
    let mut exceptions = vec![];
    let mut done = 0;
    for event in events {
        if restoring == Restoring::OthersOpen {
            let against = stands_against(&loaded.state, event);
            if !against.is_empty() && may_be_taken_back(&mut tx, node.node, &against).await? {
                break;
            }
        }
        done += 1;
        let judgement = judge(&mut loaded.state, event);
        if judgement.verdict != Verdict::Applied {
            exceptions.push(SeqVerdict {
                seq: event.envelope.seq,
                verdict: judgement.verdict,
            });
        }
        writes.take(node.node, event, judgement, &loaded.state);
    }
    if done == 0 {
        return Ok(None);
    }
    let through = Seq(judged.0 + done as u64);
    tx.count(Counted::Judged {
        applied: (done - exceptions.len()) as u64,
        quarantined: exceptions.len() as u64,
    });
    tx.count(Counted::NodeTickets(writes.tickets_count()));
    writes.flush(&mut tx, node, &mut loaded).await?;
    move_judged(&mut tx, node, incarnation, through).await?;
    tx.commit().await?;
    queue.drain(..done);
    Ok(Some(Judged {
        mark: StoredMark {
            incarnation,
            through,
        },
        exceptions,
    }))
}

/// Whether judging has to wait since the hub was restored.
async fn restoring(tx: &mut TenantTx, node: &NodeContext) -> Result<Restoring, DbError> {
    let untold = sqlx::query_scalar!(
        "SELECT bool_or(node_id = $2 AND reported_at_ms IS NULL) FROM restore_report
         WHERE company_id = $1 AND drained_at_ms IS NULL
           AND (given_up_at_ms IS NULL OR node_id = $2)",
        node.company.0,
        node.node.0
    );
    Ok(Restoring::of(untold.fetch_one(tx.conn()).await?))
}

/// How far the log is stored and judged; nobody else judges it until this transaction ends. Its
/// row is not locked, so that more of it is stored meanwhile.
pub(super) async fn lock_cursors(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: NodeIncarnation,
) -> Result<Option<(Seq, Seq)>, DbError> {
    // A statement of its own: the next one sees what was committed while this one waited.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        format!("judge {} {} {incarnation}", node.company, node.node)
    )
    .execute(tx.conn())
    .await?;
    let row = sqlx::query!(
        "SELECT stored_seq, judged_seq FROM node_log
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3",
        node.company.0,
        node.node.0,
        incarnation.0 as i32
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| (Seq(r.stored_seq as u64), Seq(r.judged_seq as u64))))
}

/// Moves the mark of what has been judged.
pub(super) async fn move_judged(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    through: Seq,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE node_log SET judged_seq = $4
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3",
        node.company.0,
        node.node.0,
        incarnation.0 as i32,
        through.0 as i64
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Reads back stored events after a position. Their personal blobs are not needed.
pub(super) async fn load_events(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    after: Seq,
    count: usize,
) -> Result<VecDeque<SignedEvent>, DbError> {
    let rows = sqlx::query!(
        "SELECT seq, hash, at_ms, personal_hash, body, signature FROM event
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3 AND seq >= $4
         ORDER BY seq LIMIT $5",
        node.company.0,
        node.node.0,
        incarnation.0 as i32,
        after.0 as i64,
        count as i64 + 1
    )
    .fetch_all(tx.conn())
    .await?;
    let mut prev = EventHash::GENESIS;
    let mut events = VecDeque::with_capacity(rows.len());
    for row in rows {
        let seq = Seq(row.seq as u64);
        let hash = hash_of(&row.hash)?;
        if seq > after {
            let damaged = || DbError::damaged(format!("the event at position {seq}"));
            let personal = row.personal_hash.map(<[u8; 32]>::try_from).transpose();
            let envelope = Envelope {
                node: node.node,
                incarnation,
                seq,
                prev,
                at: Instant(row.at_ms),
                personal: personal.map_err(|_| damaged())?,
                body: row.body,
            };
            events.push_back(SignedEvent {
                envelope,
                hash,
                signature: row.signature.try_into().map_err(|_| damaged())?,
                personal: None,
            });
        }
        prev = hash;
    }
    Ok(events)
}

/// The logs of a node with something unjudged.
pub(super) async fn backlog(db: &Db, node: &NodeContext) -> Result<Vec<NodeIncarnation>, DbError> {
    let mut tx = db.tenant(node.company).await?;
    let rows = sqlx::query_scalar!(
        "SELECT incarnation FROM node_log l
         WHERE company_id = $1 AND node_id = $2
           AND (judged_seq < stored_seq
                OR EXISTS (SELECT FROM fork_event f
                           WHERE f.company_id = l.company_id AND f.node_id = l.node_id
                             AND f.incarnation = l.incarnation AND NOT f.judged))
         ORDER BY incarnation",
        node.company.0,
        node.node.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|i| NodeIncarnation(i as u32))
        .collect())
}

/// How far a log has been judged, whoever judged it, and the newest exceptions after a position.
/// `None` where nothing after it has been judged.
pub(super) async fn judged_since(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    after: Seq,
) -> Result<Option<Judged>, DbError> {
    let mut tx = db.tenant(node.company).await?;
    let Some((_, through)) = lock_cursors(&mut tx, node, incarnation).await? else {
        return Ok(None);
    };
    if through <= after {
        return Ok(None);
    }
    let rows = sqlx::query!(
        "SELECT seq, reason FROM event_verdict
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3 AND seq > $4
         ORDER BY seq DESC LIMIT $5",
        node.company.0,
        node.node.0,
        incarnation.0 as i32,
        after.0 as i64,
        JUDGED_AT_ONCE_MAX as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let mut exceptions = Vec::with_capacity(rows.len());
    for row in rows.into_iter().rev() {
        let reason = QuarantineReason::from_code(&row.reason)
            .ok_or_else(|| DbError::damaged(format!("the verdict at position {}", row.seq)))?;
        exceptions.push(SeqVerdict {
            seq: Seq(row.seq as u64),
            verdict: Verdict::Quarantined(reason),
        });
    }
    Ok(Some(Judged {
        mark: StoredMark {
            incarnation,
            through,
        },
        exceptions,
    }))
}

/// Every log of a node.
pub(super) async fn logs(db: &Db, node: &NodeContext) -> Result<Vec<NodeIncarnation>, DbError> {
    let mut tx = db.tenant(node.company).await?;
    let rows = sqlx::query_scalar!(
        "SELECT incarnation FROM node_log WHERE company_id = $1 AND node_id = $2
         ORDER BY incarnation",
        node.company.0,
        node.node.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|i| NodeIncarnation(i as u32))
        .collect())
}
