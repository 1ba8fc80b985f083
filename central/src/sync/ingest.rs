//! Ingest: what a node's log says is stored first and judged later.
//!
//! Step A stores verified events and moves the cursor in one transaction. Step B loads what
//! they name, lets `domain::ingest::judge` decide in memory, and writes the outcome as sets in
//! another. A crash between the two leaves a backlog that is judged before anything new.

mod backstop;
mod judge;
mod load;
mod store;
mod task;
mod write;

pub use store::StoreOutcome;
pub(crate) use store::hash_of;
pub use task::{IngestEvent, spawn_ingest};

use std::collections::{HashMap, VecDeque};

use domain::event::SignedEvent;
use domain::ids::{NodeIncarnation, Seq};
use sync_protocol::frame::{SeqVerdict, StoredMark};
use tokio::task::JoinHandle;

use crate::db::{Backoff, Db, DbError};
use crate::nodes::NodeContext;

/// The most events that one transaction judges.
const JUDGED_AT_ONCE_MAX: usize = 4096;

/// The most events of a log that wait in memory; further ones are read back when they are due.
const PENDING_MAX: usize = 4 * JUDGED_AT_ONCE_MAX;

/// How far a log has been judged, and what was not plainly applied on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Up to where.
    pub mark: StoredMark,
    /// The exceptions.
    pub exceptions: Vec<SeqVerdict>,
}

/// What a judging in a task of its own came to.
struct Judging {
    left: VecDeque<SignedEvent>,
    outcome: Result<Option<Judged>, DbError>,
}

/// The ingest of one node's logs.
#[derive(Debug)]
pub struct Ingest {
    db: Db,
    node: NodeContext,
    /// Stored and not yet judged events, so that they need not be read back.
    pending: HashMap<NodeIncarnation, VecDeque<SignedEvent>>,
}

impl Ingest {
    /// An ingest that knows nothing but its node.
    pub fn new(db: Db, node: NodeContext) -> Self {
        Self {
            db,
            node,
            pending: HashMap::new(),
        }
    }

    /// Step A: stores batches of one installation's log, in the order given.
    pub async fn store(
        &mut self,
        incarnation: NodeIncarnation,
        batches: Vec<Vec<SignedEvent>>,
    ) -> Result<Vec<StoreOutcome>, DbError> {
        let done = stored(&self.db, &self.node, incarnation, &batches).await?;
        Ok(self.admit(incarnation, batches, done))
    }

    /// Step B in a task of its own, so that storing goes on meanwhile; see [`Ingest::judge_some`].
    /// What it leaves is given back with [`Ingest::judging_ended`].
    fn judging(&mut self, incarnation: NodeIncarnation) -> JoinHandle<Judging> {
        let (db, node) = (self.db.clone(), self.node.clone());
        let mut left = self.pending.remove(&incarnation).unwrap_or_default();
        tokio::spawn(async move {
            let outcome = judged(&db, &node, incarnation, &mut left).await;
            Judging { left, outcome }
        })
    }

    /// Takes back what a judging left; what was stored meanwhile comes behind it.
    fn judging_ended(&mut self, incarnation: NodeIncarnation, left: VecDeque<SignedEvent>) {
        let queue = self.pending.entry(incarnation).or_default();
        let meanwhile = std::mem::replace(queue, left);
        for event in meanwhile {
            append(queue, event);
        }
    }

    /// How many events of a log are in memory for the judging.
    fn pending(&self, incarnation: NodeIncarnation) -> usize {
        self.pending.get(&incarnation).map_or(0, VecDeque::len)
    }

    /// Keeps what was stored for the judging.
    fn admit(
        &mut self,
        incarnation: NodeIncarnation,
        batches: Vec<Vec<SignedEvent>>,
        done: store::Done,
    ) -> Vec<StoreOutcome> {
        let queue = self.pending.entry(incarnation).or_default();
        let admitted = batches.into_iter().flatten().zip(&done.is_next);
        for (event, _) in admitted.filter(|(_, next)| **next) {
            append(queue, event);
        }
        done.outcomes
    }

    /// Step B: judges the next stored events of a log, and forks once there are none.
    /// `None` when nothing was left to do.
    pub async fn judge_some(
        &mut self,
        incarnation: NodeIncarnation,
    ) -> Result<Option<Judged>, DbError> {
        let queue = self.pending.entry(incarnation).or_default();
        judged(&self.db, &self.node, incarnation, queue).await
    }

    /// Judges everything that is stored of a log.
    pub async fn judge_all(
        &mut self,
        incarnation: NodeIncarnation,
    ) -> Result<Option<Judged>, DbError> {
        let mut all: Option<Judged> = None;
        while let Some(more) = self.judge_some(incarnation).await? {
            match &mut all {
                Some(all) => {
                    all.mark = more.mark;
                    all.exceptions.extend(more.exceptions);
                }
                None => all = Some(more),
            }
        }
        Ok(all)
    }

    /// What has been judged of a log after a position, in this connection or in another.
    pub async fn judged_since(
        &self,
        incarnation: NodeIncarnation,
        after: Seq,
    ) -> Result<Option<Judged>, DbError> {
        judge::judged_since(&self.db, &self.node, incarnation, after).await
    }

    /// Every log of the node.
    pub async fn logs(&self) -> Result<Vec<NodeIncarnation>, DbError> {
        judge::logs(&self.db, &self.node).await
    }

    /// The logs of the node that hold something unjudged.
    pub async fn backlog(&self) -> Result<Vec<NodeIncarnation>, DbError> {
        judge::backlog(&self.db, &self.node).await
    }
}

/// Adds a stored event to those that wait for the judging.
fn append(queue: &mut VecDeque<SignedEvent>, event: SignedEvent) {
    match queue.back().map(|e| e.envelope.seq.0) {
        Some(_) if queue.len() >= PENDING_MAX => {}
        // Read back from the database meanwhile.
        Some(last) if event.envelope.seq.0 <= last => {}
        Some(last) if event.envelope.seq.0 > last + 1 => {
            queue.clear();
            queue.push_back(event);
        }
        Some(_) | None => queue.push_back(event),
    }
}

async fn stored(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    batches: &[Vec<SignedEvent>],
) -> Result<store::Done, DbError> {
    let mut backoff = Backoff::new();
    loop {
        match store::store_batches(db, node, incarnation, batches).await {
            Err(error) if backoff.again(&error).await => {}
            done => return done,
        }
    }
}

async fn judged(
    db: &Db,
    node: &NodeContext,
    incarnation: NodeIncarnation,
    queue: &mut VecDeque<SignedEvent>,
) -> Result<Option<Judged>, DbError> {
    let mut backoff = Backoff::new();
    loop {
        match judge::judge_next(db, node, incarnation, queue).await {
            Err(error) if backoff.again(&error).await => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
