//! The two ways in which an event is quarantined without the rules having said so: the database
//! refused what they allowed, or the event stands on a fork. Its seat is disputed, its money
//! posts to suspense.

use domain::codec::from_cbor;
use domain::event::{Envelope, EventBody, SignedEvent};
use domain::ids::{NodeIncarnation, Seq, TicketId};
use domain::ingest::{Case, Effect, Judgement, QuarantineReason, Verdict, judge};
use domain::ledger::{Entry, Posting};
use domain::time::Instant;
use sync_protocol::frame::{SeqVerdict, StoredMark};

use super::Judged;
use super::judge::{load_events, lock_cursors, move_judged};
use super::load::{Loaded, Named, load_state};
use super::store::hash_of;
use super::write::Writes;
use crate::db::{Db, DbError};
use crate::metrics::Counted;
use crate::nodes::NodeContext;
use crate::tenant::TenantTx;

/// How many events are replayed in one transaction.
const REPLAYED_AT_ONCE_MAX: usize = 256;

/// Judges events one by one, so that only the offending one is quarantined.
pub(super) async fn judge_each(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
) -> Result<Option<Judged>, DbError> {
    let mut tx = db.tenant(node.company).await?;
    let Some((_, judged)) = lock_cursors(&mut tx, node, incarnation).await? else {
        return Ok(None);
    };
    let events = load_events(&mut tx, node, incarnation, judged, REPLAYED_AT_ONCE_MAX).await?;
    let mut exceptions = vec![];
    let mut through = judged;
    for event in &events {
        let verdict = judge_one(&mut tx, node, event).await?;
        if verdict != Verdict::Applied {
            let seq = event.envelope.seq;
            exceptions.push(SeqVerdict { seq, verdict });
        }
        through = event.envelope.seq;
    }
    move_judged(&mut tx, node, incarnation, through).await?;
    tx.count(Counted::Judged {
        applied: (events.len() - exceptions.len()) as u64,
        quarantined: exceptions.len() as u64,
    });
    tx.commit().await?;
    Ok(Some(Judged {
        mark: StoredMark {
            incarnation,
            through,
        },
        exceptions,
    }))
}

async fn judge_one(
    tx: &mut TenantTx,
    node: &NodeContext,
    event: &SignedEvent,
) -> Result<Verdict, DbError> {
    let mut loaded = load_state(tx, node, &Named::by([event])).await?;
    let judgement = judge(&mut loaded.state, event);
    let verdict = judgement.verdict;
    let mut writes = Writes::default();
    writes.take(node.node, event, judgement, &loaded.state);
    match within_savepoint(tx, node, writes, &mut loaded).await {
        Ok(()) => return Ok(verdict),
        Err(DbError::Constraint { constraint, source }) => {
            tracing::error!(node = %node.node, seq = %event.envelope.seq, constraint, %source,
                "the database refused what the rules allowed");
        }
        Err(other) => return Err(other),
    }
    let reason = QuarantineReason::Backstop;
    let (writes, mut loaded) = quarantined(tx, node, event, reason).await?;
    within_savepoint(tx, node, writes, &mut loaded).await?;
    Ok(Verdict::Quarantined(reason))
}

/// Writes, and takes it all back when the database refuses.
async fn within_savepoint(
    tx: &mut TenantTx,
    node: &NodeContext,
    writes: Writes,
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    sqlx::query("SAVEPOINT one_event")
        .execute(tx.conn())
        .await?;
    let written = writes.flush(tx, node, loaded).await;
    if written.is_err() {
        tx.forget_accounts();
        sqlx::query("ROLLBACK TO SAVEPOINT one_event")
            .execute(tx.conn())
            .await?;
    }
    sqlx::query("RELEASE SAVEPOINT one_event")
        .execute(tx.conn())
        .await?;
    written
}

/// What is written of an event whose seat nobody gives it: a sale's tickets as disputed, its
/// money in suspense, a case. Another event changes nothing but has its case.
async fn quarantined(
    tx: &mut TenantTx,
    node: &NodeContext,
    event: &SignedEvent,
    reason: QuarantineReason,
) -> Result<(Writes, Loaded), DbError> {
    let body = from_cbor::<EventBody>(&event.envelope.body).ok();
    let mut tickets: Vec<TicketId> = vec![];
    if let Some(EventBody::Sale(sale)) = &body {
        let all = (0..sale.coupons.len()).filter_map(|i| sale.ticket(&event.envelope, i));
        tickets = all.map(|t| t.claim.id).collect();
    }
    let named = Named::by([event]).with_tickets(tickets.iter().copied());
    let mut loaded = load_state(tx, node, &named).await?;
    let known: Vec<TicketId> = loaded.state.tickets.keys().copied().collect();
    let mut effects = vec![];
    if let Some(EventBody::Sale(_)) = body {
        // A frozen node's sales are disputed: the very thing to do with this one.
        loaded.state.frozen = true;
        effects = judge(&mut loaded.state, event).effects;
        effects.retain(|e| !matches!(e, Effect::OpenCase(_)));
        for effect in &mut effects {
            if let Effect::Post(entry) = effect
                && let Some(anonymous) = without_tickets(entry, &known)
            {
                *entry = anonymous;
            }
        }
    }
    effects.push(Effect::OpenCase(Case {
        reason,
        tickets,
        against: vec![],
    }));
    let judgement = Judgement {
        verdict: Verdict::Quarantined(reason),
        effects,
    };
    let mut writes = Writes::default();
    writes.take(node.node, event, judgement, &loaded.state);
    Ok((writes, loaded))
}

/// The same money, not named after tickets that another sale was credited for.
fn without_tickets(entry: &Entry, known: &[TicketId]) -> Option<Entry> {
    let postings = entry.postings().iter().map(|p| Posting {
        ticket: p.ticket.filter(|t| !known.contains(t)),
        ..*p
    });
    Entry::new(
        entry.kind(),
        entry.currency(),
        entry.business_date(),
        postings.collect(),
    )
    .ok()
}

/// Quarantines the fork events that were stored beside a log; says whether there were any.
pub(super) async fn judge_forks(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: NodeIncarnation,
) -> Result<bool, DbError> {
    let rows = sqlx::query!(
        "UPDATE fork_event SET judged = true
         WHERE company_id = $1 AND node_id = $2 AND incarnation = $3 AND NOT judged
         RETURNING seq, hash, prev, at_ms, personal_hash, body, signature",
        node.company.0,
        node.node.0,
        incarnation.0 as i32
    )
    .fetch_all(tx.conn())
    .await?;
    let some = !rows.is_empty();
    let mut events = vec![];
    for row in rows {
        let damaged = || DbError::damaged(format!("the forked event at position {}", row.seq));
        let personal = row.personal_hash.map(<[u8; 32]>::try_from).transpose();
        events.push(SignedEvent {
            hash: hash_of(&row.hash)?,
            signature: row.signature.try_into().map_err(|_| damaged())?,
            envelope: Envelope {
                node: node.node,
                incarnation,
                seq: Seq(row.seq as u64),
                prev: hash_of(&row.prev)?,
                at: Instant(row.at_ms),
                personal: personal.map_err(|_| damaged())?,
                body: row.body,
            },
            personal: None,
        });
    }
    events.sort_by_key(|e| (e.envelope.seq, e.hash));
    for event in &events {
        let (mut writes, mut loaded) =
            quarantined(tx, node, event, QuarantineReason::Forked).await?;
        // The verdict's row belongs to the event that took the position first.
        writes.forget_verdicts();
        writes.flush(tx, node, &mut loaded).await?;
    }
    Ok(some)
}
