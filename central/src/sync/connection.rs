//! The driver of one connection: it does what the session machine's outputs ask.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::TripId;
use domain::tracking::Fix;
use sync_protocol::batch::EventBatch;
use sync_protocol::frame::{Known, LogHead};
use sync_protocol::session::{HubInput, HubOutput, HubSession};
use sync_protocol::{BucketId, EdgeFrame, HubFrame, Uptime};
use sync_transport::{CloseCode, Connection};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use super::buckets::{bucket_name, load_bucket, on_bucket_ack};
use super::bus::BusEvent;
use super::hello::greet;
use super::ingest::{IngestEvent, StoreOutcome, spawn_ingest};
use super::server::Hub;
use crate::clock;
use crate::db::DbError;
use crate::nodes::{NodeContext, load_node, subscriptions, touch_contact};
use crate::restore::take_grants;
use crate::ticketing::leases::grant_lease;
use crate::tracking::Sender;

/// Inputs that wait for the machine.
const INPUTS_MAX: usize = 64;
/// Frames that a node may leave unread before it is cut off.
const UNREAD_FRAMES_MAX: usize = 4096;
/// Batches in hand; the session lets in fewer.
const BATCHES_MAX: usize = 16;
/// How long to wait before a bucket that could not be loaded is loaded again, in ms.
const LOAD_RETRY_MS: u64 = 500;

/// Everything that one connection's tasks share.
struct Driver {
    hub: Arc<Hub>,
    node: NodeContext,
    session: HubSession,
    started: Instant,
    inputs: mpsc::Sender<HubInput>,
    batches: mpsc::Sender<EventBatch>,
    frames: mpsc::Sender<HubFrame>,
    /// The node has left too many frames unread.
    choked: bool,
    followed: BTreeSet<BucketId>,
    /// Where what was found after missed wake-ups comes back.
    rechecked: mpsc::Sender<BusEvent>,
}

/// Runs a connection to its end, or until the node has come by another one.
pub(super) async fn run(
    hub: Arc<Hub>,
    node: NodeContext,
    connection: Connection,
    superseded: oneshot::Receiver<()>,
) {
    let connection = Arc::new(connection);
    let mut wake_ups = hub.db.bus().listen();
    let (inputs, mut waiting) = mpsc::channel(INPUTS_MAX);
    let (frames, outgoing) = mpsc::channel(UNREAD_FRAMES_MAX);
    let (batches, to_ingest) = mpsc::channel(BATCHES_MAX);
    let (events, mut ingested) = mpsc::channel(BATCHES_MAX);
    let (rechecked, mut found) = mpsc::channel(BATCHES_MAX);
    spawn_ingest(hub.db.clone(), node.clone(), to_ingest, events);
    let reader = tokio::spawn(read_frames(Arc::clone(&connection), inputs.clone()));
    let writer = tokio::spawn(write_frames(Arc::clone(&connection), outgoing));
    let datagrams = tokio::spawn(read_datagrams(Arc::clone(&connection), inputs.clone()));
    let mut driver = Driver {
        hub,
        node,
        session: HubSession::new(),
        started: Instant::now(),
        inputs,
        batches,
        frames,
        choked: false,
        followed: BTreeSet::new(),
        rechecked,
    };
    let ended = connection.closed();
    tokio::pin!(ended, superseded);
    loop {
        let deadline = driver.session.poll_timeout();
        tokio::select! {
            error = &mut ended => {
                tracing::info!(node = %driver.node.node, %error, "a device has gone");
                break;
            }
            _ = &mut superseded => {
                connection.close(CloseCode::Superseded, "this device has connected again");
                break;
            }
            Some(input) = waiting.recv() => driver.input(input),
            Some(event) = ingested.recv() => driver.ingested(event),
            event = wake_ups.recv() => if let Some((code, why)) = driver.woken(event) {
                connection.close(code, why);
                break;
            },
            Some(event) = found.recv() => if let Some((code, why)) = driver.woken(Ok(event)) {
                connection.close(code, why);
                break;
            },
            () = sleep_until(driver.started, deadline) => {
                let now = driver.uptime();
                driver.session.handle_timeout(now);
            }
        }
        if !driver.do_outputs() {
            connection.close(CloseCode::Busy, "the device does not read what it is sent");
            break;
        }
    }
    reader.abort();
    writer.abort();
    datagrams.abort();
}

async fn sleep_until(started: Instant, deadline: Option<Uptime>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(started + Duration::from_millis(at.0)).await,
        None => std::future::pending().await,
    }
}

async fn read_frames(connection: Arc<Connection>, inputs: mpsc::Sender<HubInput>) {
    loop {
        let Ok((channel, bytes)) = connection.recv().await else {
            return;
        };
        match EdgeFrame::from_bytes(&bytes) {
            Ok(frame) if frame.channel() == channel => {
                if inputs.send(HubInput::Frame(frame)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {
                connection.close(
                    CloseCode::ProtocolBroken,
                    "a frame came on another's channel",
                );
                return;
            }
            Err(error) => {
                connection.close(CloseCode::ProtocolBroken, &error.to_string());
                return;
            }
        }
    }
}

/// Positions only; whatever else comes as a datagram is passed over, and so is what comes while
/// the machine has its hands full: it comes again.
async fn read_datagrams(connection: Arc<Connection>, inputs: mpsc::Sender<HubInput>) {
    while let Ok(bytes) = connection.recv_datagram().await {
        if let Ok(frame @ EdgeFrame::Positions(_)) = EdgeFrame::from_bytes(&bytes) {
            let _ = inputs.try_send(HubInput::Frame(frame));
        }
    }
}

async fn write_frames(connection: Arc<Connection>, mut frames: mpsc::Receiver<HubFrame>) {
    while let Some(frame) = frames.recv().await {
        if connection
            .send(frame.channel(), frame.to_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// How a node stands, as the wake-ups that would have said so.
async fn standing_of(hub: &Hub, node: &NodeContext) -> Result<Vec<BusEvent>, DbError> {
    let Some(latest) = load_node(&hub.db, node.node).await? else {
        return Ok(vec![BusEvent::Revoked(node.node)]);
    };
    if latest.revoked {
        return Ok(vec![BusEvent::Revoked(node.node)]);
    }
    let mut tx = hub.db.tenant(node.company).await?;
    let buckets = subscriptions(&mut tx, &latest, clock::now()).await?;
    let trips = buckets.into_iter().filter_map(|bucket| match bucket {
        BucketId::Trip(trip) => Some(trip),
        BucketId::Company | BucketId::Station(_) | BucketId::Node => None,
    });
    let assigned = trips.map(|trip| BusEvent::Assigned {
        node: node.node,
        trip,
    });
    Ok(assigned.collect())
}

impl Driver {
    fn uptime(&self) -> Uptime {
        Uptime(self.started.elapsed().as_millis() as u64)
    }

    fn input(&mut self, input: HubInput) {
        if let HubInput::Welcome(welcome) = &input {
            self.followed = welcome.buckets.iter().cloned().collect();
        }
        let now = self.uptime();
        self.session.handle_input(input, now);
    }

    fn ingested(&mut self, event: IngestEvent) {
        self.input(match event {
            IngestEvent::Batch(StoreOutcome::Stored(mark)) => HubInput::Stored(mark),
            IngestEvent::Batch(StoreOutcome::NotStored) => HubInput::NotStored,
            IngestEvent::Judged(judged) => HubInput::Judged(judged.mark, judged.exceptions),
        });
    }

    /// Takes a wake-up; gives why the connection has to end, if it has.
    fn woken(
        &mut self,
        event: Result<BusEvent, broadcast::error::RecvError>,
    ) -> Option<(CloseCode, &'static str)> {
        match event {
            Ok(BusEvent::Bucket { company, name }) if company == self.node.company => {
                let node = self.node.node;
                let changed = self.followed.iter().find(|b| bucket_name(node, b) == *name);
                if let Some(bucket) = changed.cloned() {
                    self.input(HubInput::BucketChanged(bucket));
                }
            }
            Ok(BusEvent::Assigned { node, trip }) if node == self.node.node => self.follow(trip),
            Ok(BusEvent::Revoked(node)) if node == self.node.node => {
                return Some((
                    CloseCode::Revoked,
                    "this device was revoked: call the office",
                ));
            }
            Ok(BusEvent::Came(node)) if node == self.node.node => {
                return Some((CloseCode::Superseded, "this device has connected again"));
            }
            Ok(BusEvent::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => {
                for bucket in self.followed.clone() {
                    self.input(HubInput::BucketChanged(bucket));
                }
                self.recheck();
            }
            Ok(
                BusEvent::Bucket { .. }
                | BusEvent::Assigned { .. }
                | BusEvent::Revoked(_)
                | BusEvent::Came(_)
                | BusEvent::Company(_)
                | BusEvent::Standings
                | BusEvent::TokenKeys,
            )
            | Err(broadcast::error::RecvError::Closed) => {}
        }
        None
    }

    /// Finds out what missed wake-ups may have said: that the node was revoked, or was given
    /// trips.
    fn recheck(&self) {
        let (hub, node, _) = self.parts();
        let found = self.rechecked.clone();
        tokio::spawn(async move {
            let events = match standing_of(&hub, &node).await {
                Ok(events) => events,
                Err(error) => {
                    // The listener says "everything" again once the database is back.
                    tracing::warn!(node = %node.node, %error, "a device was not looked up again");
                    return;
                }
            };
            for event in events {
                let _ = found.send(event).await;
            }
        });
    }

    fn follow(&mut self, trip: TripId) {
        let bucket = BucketId::Trip(trip);
        self.followed.insert(bucket.clone());
        self.input(HubInput::BucketChanged(bucket));
    }

    /// Does what the machine wants; `false` when the node has stopped reading.
    fn do_outputs(&mut self) -> bool {
        while let Some(output) = self.session.poll_output() {
            match output {
                HubOutput::Send(frame) => self.send(frame),
                HubOutput::TellTime(asked) => {
                    self.send(HubSession::time_frame(asked, clock::now()));
                    self.touch();
                }
                HubOutput::Store(batch) => {
                    if self.batches.try_send(batch).is_err() {
                        self.input(HubInput::NotStored);
                    }
                }
                HubOutput::Greet(hello) => self.greet(hello),
                HubOutput::DecideLease(request) => self.decide_lease(request),
                HubOutput::TakeGrants { logs, known } => self.take_grants(logs, known),
                HubOutput::LoadBucket { bucket, after } => self.load(bucket, after),
                HubOutput::BucketAcked(cursor) => self.acked(cursor),
                HubOutput::TakePositions(fixes) => self.take_positions(fixes),
            }
        }
        !self.choked
    }

    fn send(&mut self, frame: HubFrame) {
        self.choked |= self.frames.try_send(frame).is_err();
    }

    fn greet(&self, hello: sync_protocol::frame::Hello) {
        let (hub, node, inputs) = self.parts();
        tokio::spawn(async move {
            let input = match greet(&hub.db, &node, &hello).await {
                Ok(welcome) => HubInput::Welcome(welcome),
                Err(error) => {
                    tracing::error!(node = %node.node, %error, "a hello could not be answered");
                    HubInput::Refuse(error.to_string())
                }
            };
            let _ = inputs.send(input).await;
        });
    }

    fn decide_lease(&self, request: domain::lease::LeaseRequest) {
        let (hub, node, inputs) = self.parts();
        tokio::spawn(async move {
            let (company, id) = (node.company, node.node);
            let now = clock::now();
            match grant_lease(&hub.db, &hub.keys, company, id, &request, now).await {
                Ok(answer) => drop(inputs.send(HubInput::Lease(request.request, answer)).await),
                // Without an answer the node asks again, with the same request.
                Err(error) => tracing::error!(node = %id, %error, "a lease was not decided"),
            }
        });
    }

    fn take_grants(&self, logs: Vec<LogHead>, told: Known) {
        let (hub, node, inputs) = self.parts();
        tokio::spawn(async move {
            let now = clock::now();
            let taken = take_grants(&hub.db, &hub.keys, &node, &logs, &told, now).await;
            if let Err(error) = &taken {
                // The device tells them again.
                tracing::error!(node = %node.node, %error, "told grants were not taken");
            }
            let _ = inputs.send(HubInput::GrantsTaken(taken.is_ok())).await;
        });
    }

    fn load(&self, bucket: BucketId, after: u64) {
        let (hub, node, inputs) = self.parts();
        tokio::spawn(async move {
            let (checkpoint, items) = loop {
                let loaded = async {
                    let mut tx = hub.db.tenant(node.company).await?;
                    load_bucket(&mut tx, node.node, &bucket, after).await
                };
                match loaded.await {
                    Ok(loaded) => break loaded,
                    Err(error) => {
                        tracing::error!(node = %node.node, ?bucket, %error, "a bucket was not loaded");
                        if inputs.is_closed() {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(LOAD_RETRY_MS)).await;
                    }
                }
            };
            let input = HubInput::BucketLoaded {
                bucket,
                after,
                checkpoint,
                items,
            };
            let _ = inputs.send(input).await;
        });
    }

    fn acked(&self, cursor: sync_protocol::frame::BucketCursor) {
        let (hub, node, _) = self.parts();
        tokio::spawn(async move {
            let (company, id) = (node.company, node.node);
            let done = on_bucket_ack(&hub.db, company, id, &cursor.bucket, cursor.change).await;
            if let Err(error) = done {
                // The node repeats its acknowledgements.
                tracing::error!(node = %id, %error, "an acknowledgement was not kept");
            }
        });
    }

    fn take_positions(&self, fixes: Vec<Fix>) {
        let (hub, node, inputs) = self.parts();
        tokio::spawn(async move {
            let (company, sender) = (node.company, Sender::Node(node.node));
            match hub
                .tracking
                .take(company, sender, fixes, clock::now())
                .await
            {
                Ok(taken) => {
                    for (number, why) in &taken.refused {
                        tracing::debug!(node = %node.node, number, %why, "a fix does not count");
                    }
                    let refused: Vec<u64> = taken.refused.iter().map(|(n, _)| *n).collect();
                    let mut done = taken.counted;
                    // What could not be written is not answered, and comes again.
                    if !taken.written.await {
                        done.clear();
                    }
                    done.extend(refused);
                    if !done.is_empty() {
                        let _ = inputs.send(HubInput::PositionsTaken(done)).await;
                    }
                }
                Err(error) => tracing::warn!(node = %node.node, %error, "positions wait"),
            }
        });
    }

    fn touch(&self) {
        let (hub, node, _) = self.parts();
        tokio::spawn(async move {
            if let Err(error) = touch_contact(&hub.db, &node).await {
                tracing::warn!(node = %node.node, %error, "a contact was not noted");
            }
        });
    }

    fn parts(&self) -> (Arc<Hub>, NodeContext, mpsc::Sender<HubInput>) {
        (
            Arc::clone(&self.hub),
            self.node.clone(),
            self.inputs.clone(),
        )
    }
}
