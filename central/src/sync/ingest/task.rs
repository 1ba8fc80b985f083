//! The task that drains one node's batches: while one set is in Postgres the next is unpacked
//! and verified on the blocking pool, and what has piled up is stored and judged together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use domain::event::SignedEvent;
use domain::ids::{NodeIncarnation, Seq};
use sync_protocol::batch::EventBatch;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::{Ingest, Judged, Judging, StoreOutcome};
use crate::db::{Db, DbError};
use crate::nodes::NodeContext;

/// Unpacked batches that wait for the database; the session lets in no more than 8 at once.
const UNPACKED_MAX: usize = 8;
/// Batches that wait behind the one whose unpacking is waited for; each has a thread by then.
const UNPACKING_MAX: usize = 1;
/// While more is on its way, fewer events than this are not worth a judging of their own: locks,
/// look-ups and the flush cost the same for a few.
const JUDGED_TOGETHER: usize = 1024;
/// How long to wait before the database is asked again, in ms.
const RETRY_MS: u64 = 500;

/// What the ingest of a node tells its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestEvent {
    /// What became of a batch, in the order they came.
    Batch(StoreOutcome),
    /// Events have been judged.
    Judged(Judged),
}

/// An unpacked batch, or `None` where it was not what it said.
type Unpacked = Option<(NodeIncarnation, Vec<SignedEvent>)>;

/// Batches taken from the session that the draining has not come to.
type UnderWay = Arc<AtomicUsize>;

/// Turns at verifying, over all nodes: as many as the machine has cores, but one. That one is left
/// to the storing and judging of what was verified, which would fall behind.
static VERIFYING: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new(cores.saturating_sub(1).max(1))
});

/// Starts the ingest of a node; it ends when `batches` is closed.
pub fn spawn_ingest(
    db: Db,
    node: NodeContext,
    batches: mpsc::Receiver<EventBatch>,
    events: mpsc::Sender<IngestEvent>,
) -> JoinHandle<()> {
    let (started, under_way) = mpsc::channel(UNPACKING_MAX);
    let (unpacked, waiting) = mpsc::channel(UNPACKED_MAX);
    let count = UnderWay::default();
    tokio::spawn(unpack(node.clone(), batches, started, Arc::clone(&count)));
    tokio::spawn(collect(under_way, unpacked));
    tokio::spawn(drain(Ingest::new(db, node), (waiting, count), events))
}

/// Starts to unpack and verify batches as they come; several are under way, in their order.
async fn unpack(
    node: NodeContext,
    mut batches: mpsc::Receiver<EventBatch>,
    under_way: mpsc::Sender<JoinHandle<Unpacked>>,
    count: UnderWay,
) {
    while let Some(batch) = batches.recv().await {
        count.fetch_add(1, Ordering::Relaxed);
        let (id, key) = (node.node, node.event_key);
        let Ok(turn) = VERIFYING.acquire().await else {
            return;
        };
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let unpacked = batch.unpack(id, &key?);
            match unpacked {
                Ok(events) => Some((batch.incarnation, events)),
                Err(error) => {
                    tracing::warn!(node = %id, %error, "a batch was not taken");
                    None
                }
            }
        });
        if under_way.send(work).await.is_err() {
            return;
        }
    }
}

/// Hands on what has been unpacked, in the order it came.
async fn collect(
    mut under_way: mpsc::Receiver<JoinHandle<Unpacked>>,
    unpacked: mpsc::Sender<Unpacked>,
) {
    while let Some(work) = under_way.recv().await {
        // The work fails only by a panic, which the panic hook has told of.
        let done = work.await.unwrap_or_default();
        if unpacked.send(done).await.is_err() {
            return;
        }
    }
}

/// What a node has been told of its logs in this connection.
struct Teller {
    events: mpsc::Sender<IngestEvent>,
    judged: BTreeMap<NodeIncarnation, Seq>,
}

impl Teller {
    async fn tell(&mut self, judged: Judged) {
        self.judged
            .insert(judged.mark.incarnation, judged.mark.through);
        // A session that has gone does not stop the judging of what it left behind.
        let _ = self.events.send(IngestEvent::Judged(judged)).await;
    }

    /// Tells what was judged for another connection, whose node may not have heard it.
    async fn catch_up(&mut self, ingest: &Ingest, log: NodeIncarnation) -> Result<(), DbError> {
        let told = self.judged.get(&log).copied().unwrap_or(Seq(0));
        if let Some(judged) = ingest.judged_since(log, told).await? {
            self.tell(judged).await;
        }
        Ok(())
    }
}

/// Says how far each log was judged before; the answer is what a crash left unjudged.
async fn begin(ingest: &Ingest, teller: &mut Teller) -> Result<BTreeSet<NodeIncarnation>, DbError> {
    for log in ingest.logs().await? {
        teller.catch_up(ingest, log).await?;
    }
    Ok(ingest.backlog().await?.into_iter().collect())
}

/// The logs with something unjudged, and the one that is being judged.
struct Judge {
    unjudged: BTreeSet<NodeIncarnation>,
    at_work: Option<(NodeIncarnation, JoinHandle<Judging>)>,
}

impl Judge {
    /// Begins with the next log, unless one is at work. With `more` on its way it waits until
    /// there is enough.
    fn begin(&mut self, ingest: &mut Ingest, more: bool) {
        if self.at_work.is_some() {
            return;
        }
        let enough = |log: &NodeIncarnation| !more || ingest.pending(*log) >= JUDGED_TOGETHER;
        let next = self.unjudged.iter().copied().find(enough);
        if let Some(log) = next {
            // What is stored from here on puts it in again.
            self.unjudged.remove(&log);
            self.at_work = Some((log, ingest.judging(log)));
        }
    }

    /// Waits for the log at work; for ever when there is none. May be dropped and asked again.
    async fn ended(&mut self) -> (NodeIncarnation, Option<Judging>) {
        let Some((log, task)) = &mut self.at_work else {
            return std::future::pending().await;
        };
        // The task fails only by a panic, which the panic hook has told of.
        let (log, done) = (*log, task.await.ok());
        self.at_work = None;
        (log, done)
    }

    /// Tells what it came to, and whether the database has to be waited for.
    async fn take(
        &mut self,
        ingest: &mut Ingest,
        teller: &mut Teller,
        (log, done): (NodeIncarnation, Option<Judging>),
    ) -> Result<(), DbError> {
        let Some(Judging { left, outcome }) = done else {
            return Ok(());
        };
        ingest.judging_ended(log, left);
        let told = match outcome {
            Ok(Some(judged)) => {
                teller.tell(judged).await;
                self.unjudged.insert(log);
                return Ok(());
            }
            Ok(None) => teller.catch_up(ingest, log).await,
            Err(error) => Err(error),
        };
        if told.is_err() {
            self.unjudged.insert(log);
        }
        told
    }
}

/// Storing does not wait for judging, nor judging for storing.
async fn drain(
    mut ingest: Ingest,
    (mut waiting, under_way): (mpsc::Receiver<Unpacked>, UnderWay),
    events: mpsc::Sender<IngestEvent>,
) {
    let mut teller = Teller {
        events,
        judged: BTreeMap::new(),
    };
    let unjudged = loop {
        match begin(&ingest, &mut teller).await {
            Ok(logs) => break logs,
            Err(error) => wait_after(&error).await,
        }
    };
    let mut judge = Judge {
        unjudged,
        at_work: None,
    };
    let mut ended = false;
    loop {
        judge.begin(&mut ingest, under_way.load(Ordering::Relaxed) > 0);
        if ended && judge.at_work.is_none() {
            return;
        }
        let first = tokio::select! {
            done = judge.ended() => {
                if let Err(error) = judge.take(&mut ingest, &mut teller, done).await {
                    wait_after(&error).await;
                    if ended || waiting.is_closed() {
                        return;
                    }
                }
                continue;
            }
            first = waiting.recv(), if !ended => first,
        };
        let Some(first) = first else {
            ended = true;
            continue;
        };
        let mut piled = vec![first];
        while let Ok(more) = waiting.try_recv() {
            piled.push(more);
        }
        under_way.fetch_sub(piled.len(), Ordering::Relaxed);
        for (incarnation, outcome) in store_piled(&mut ingest, piled).await {
            judge.unjudged.extend(incarnation);
            let _ = teller.events.send(IngestEvent::Batch(outcome)).await;
        }
    }
}

/// Stores what has piled up, neighbours of one log together.
async fn store_piled(
    ingest: &mut Ingest,
    piled: Vec<Unpacked>,
) -> Vec<(Option<NodeIncarnation>, StoreOutcome)> {
    let mut outcomes = vec![];
    let mut piled = piled.into_iter().peekable();
    while let Some(first) = piled.next() {
        let Some((incarnation, events)) = first else {
            outcomes.push((None, StoreOutcome::NotStored));
            continue;
        };
        let mut batches = vec![events];
        let same = |next: &Unpacked| matches!(next, Some((log, _)) if *log == incarnation);
        while let Some(Some((_, events))) = piled.next_if(same) {
            batches.push(events);
        }
        let count = batches.len();
        match ingest.store(incarnation, batches).await {
            Ok(stored) => outcomes.extend(stored.into_iter().map(|o| (Some(incarnation), o))),
            Err(error) => {
                wait_after(&error).await;
                outcomes.extend(std::iter::repeat_n((None, StoreOutcome::NotStored), count));
            }
        }
    }
    outcomes
}

async fn wait_after(error: &DbError) {
    tracing::error!(%error, "ingest waits for the database");
    tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
}
