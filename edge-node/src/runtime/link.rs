//! The link to the hub: connects, drives the session machine, connects again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::RequestId;
use sync_protocol::frame::{EdgeFrame, HubFrame};
use sync_protocol::session::{EdgeInput, EdgeOutput, EdgeSession};
use sync_transport::{
    Channel, CloseCode, Connection, NodeCredentials, TransportError, TransportSettings, connect,
};
use tokio::sync::{mpsc, watch};

use super::clock;
use super::positions::Positions;
use super::writer::{EngineHandle, Stopped, told_to_stop};
use crate::engine::EngineError;

/// The first pause after a lost connection, in ms.
const PAUSE_MS_MIN: u64 = 500;
/// The longest pause where trying again by itself can help, in ms.
const PAUSE_MS_MAX: u64 = 8_000;
/// The pause where somebody has to act first, in ms.
const PAUSE_REFUSED_MS: u64 = 60_000;
/// How long a good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How the node stands with its hub.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkStatus {
    /// The hub's address.
    pub hub: String,
    /// Synchronisation runs.
    pub connected: bool,
    /// When the hub was last heard of.
    pub last_contact: Option<domain::time::Instant>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The hub's clock less this device's, in ms.
    pub clock_offset_ms: Option<i64>,
    /// UDP payload bytes sent over the running connection.
    pub sent_bytes: u64,
    /// UDP payload bytes received over it.
    pub received_bytes: u64,
}

impl LinkStatus {
    /// As the local API shows it.
    pub fn to_json(&self) -> crate::api::LinkJson {
        crate::api::LinkJson {
            hub: self.hub.clone(),
            connected: self.connected,
            last_contact: self.last_contact.map(|at| at.to_string()),
            last_error: self.last_error.clone(),
            clock_offset_ms: self.clock_offset_ms,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
        }
    }
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("this node is shutting down")]
    Stopping,
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Frame(#[from] sync_protocol::frame::FrameError),
    #[error("the hub will not go on: {0}")]
    Refused(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopping
    }
}

pub(super) struct Link {
    engine: EngineHandle,
    positions: Positions,
    hub: String,
    credentials: NodeCredentials,
    settings: TransportSettings,
    stopped: watch::Receiver<bool>,
    status: watch::Sender<LinkStatus>,
}

const fn channel(frame: &EdgeFrame) -> Channel {
    match frame {
        EdgeFrame::Hello(_)
        | EdgeFrame::LeaseRequest(_)
        | EdgeFrame::TimeRequest(_)
        | EdgeFrame::Report(_) => Channel::Control,
        EdgeFrame::Events(_) => Channel::Events,
        EdgeFrame::BucketAck(_) | EdgeFrame::Positions(_) => Channel::Buckets,
    }
}

/// Up to half as long again, so that a town's nodes do not knock together.
fn jittered(pause_ms: u64) -> Duration {
    let mut random = [0; 2];
    // Without randomness they knock together, which is bearable.
    let _ = getrandom::fill(&mut random);
    let share = u64::from(u16::from_be_bytes(random));
    Duration::from_millis(pause_ms + pause_ms * share / (2 * u64::from(u16::MAX)))
}

impl Link {
    pub(super) fn new(
        (engine, positions): (EngineHandle, Positions),
        hub: String,
        credentials: NodeCredentials,
        settings: TransportSettings,
        stopped: watch::Receiver<bool>,
    ) -> (Self, watch::Receiver<LinkStatus>) {
        let (status, seen) = watch::channel(LinkStatus {
            hub: hub.clone(),
            ..LinkStatus::default()
        });
        let link = Self {
            engine,
            positions,
            hub,
            credentials,
            settings,
            stopped,
            status,
        };
        (link, seen)
    }

    pub(super) async fn run(self) {
        let mut pause_ms = PAUSE_MS_MIN;
        let mut stopped = self.stopped.clone();
        loop {
            let attempt = tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                attempt = connect(&self.hub, &self.credentials, &self.settings) => attempt,
            };
            let ended = match attempt {
                Ok(connection) => {
                    let mut talk = Talk::new(&self, connection);
                    let ended = talk.run().await;
                    if talk.was_ready {
                        pause_ms = PAUSE_MS_MIN;
                    }
                    talk.close(&ended).await;
                    ended
                }
                Err(error) => error.into(),
            };
            if matches!(ended, Ended::Stopping) {
                return;
            }
            tracing::info!(error = %ended, "no link to the hub; selling goes on");
            self.status.send_modify(|status| {
                status.connected = false;
                status.last_error = Some(ended.to_string());
            });
            let pause = match &ended {
                Ended::Refused(_) => PAUSE_REFUSED_MS,
                Ended::Transport(error) if !error.is_worth_retrying() => PAUSE_REFUSED_MS,
                Ended::Stopping | Ended::Transport(_) | Ended::Frame(_) | Ended::Engine(_) => {
                    pause_ms
                }
            };
            pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                () = tokio::time::sleep(jittered(pause)) => {}
            }
        }
    }
}

/// One connection and its session machine.
struct Talk<'a> {
    link: &'a Link,
    connection: Arc<Connection>,
    /// Frames wait here while the network is slow; the session bounds how many there are.
    outgoing: mpsc::UnboundedSender<EdgeFrame>,
    sender: tokio::task::JoinHandle<Result<(), TransportError>>,
    session: EdgeSession,
    wished: BTreeSet<RequestId>,
    was_ready: bool,
}

impl<'a> Talk<'a> {
    fn new(link: &'a Link, connection: Connection) -> Self {
        let connection = Arc::new(connection);
        let (outgoing, mut frames) = mpsc::unbounded_channel::<EdgeFrame>();
        let carrier = Arc::clone(&connection);
        let sender = tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                carrier.send(channel(&frame), frame.to_bytes()).await?;
            }
            Ok(())
        });
        Self {
            link,
            connection,
            outgoing,
            sender,
            session: EdgeSession::within(link.positions.budget()),
            wished: BTreeSet::new(),
            was_ready: false,
        }
    }

    async fn run(&mut self) -> Ended {
        match self.converse().await {
            Ok(()) => Ended::Stopping,
            Err(ended) => ended,
        }
    }

    async fn close(self, ended: &Ended) {
        self.link.positions.put_budget(self.session.budget());
        match ended {
            Ended::Stopping => {
                let _ = self.connection.finish(FAREWELL).await;
            }
            Ended::Frame(error) => self
                .connection
                .close(CloseCode::ProtocolBroken, &error.to_string()),
            Ended::Transport(_) | Ended::Refused(_) | Ended::Engine(_) => {
                self.connection.close(CloseCode::Done, "");
            }
        }
        self.sender.abort();
    }

    fn input(&mut self, input: EdgeInput) {
        self.session.handle_input(input, clock::uptime());
    }

    async fn converse(&mut self) -> Result<(), Ended> {
        let engine = self.link.engine.clone();
        let mut news = engine.news();
        let mut fixes = self.link.positions.latest();
        let mut stopped = self.link.stopped.clone();
        news.mark_unchanged();
        fixes.mark_unchanged();
        let greeting = engine.call(|engine| engine.greeting()).await?;
        self.input(EdgeInput::Connected {
            logs: greeting.logs,
            restored: greeting.restored,
            buckets: greeting.buckets,
            hub: greeting.hub,
            me: Some(greeting.me),
        });
        self.tell_wishes().await?;
        loop {
            while let Some(output) = self.session.poll_output() {
                self.output(output).await?;
            }
            let deadline = self.session.poll_timeout();
            let wait = deadline.map(|at| at.0.saturating_sub(clock::uptime().0));
            let connection = Arc::clone(&self.connection);
            tokio::select! {
                () = told_to_stop(&mut stopped) => return Ok(()),
                frame = connection.recv() => {
                    let (_, bytes) = frame?;
                    let frame = HubFrame::from_bytes(&bytes)?;
                    self.heard();
                    self.input(EdgeInput::Frame(frame));
                }
                changed = news.changed() => {
                    changed.map_err(|_| Stopped)?;
                    let latest = *news.borrow_and_update();
                    self.input(EdgeInput::LogGrew(latest.head));
                    if latest.waiting_requests > 0 {
                        self.tell_wishes().await?;
                    }
                }
                // Its sender lives as long as the link does.
                Ok(()) = fixes.changed() => {
                    let latest = fixes.borrow_and_update().clone();
                    if let Some(fix) = latest {
                        self.input(EdgeInput::Fix(fix));
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(wait.unwrap_or(u64::MAX >> 8))),
                    if wait.is_some() =>
                {
                    self.session.handle_timeout(clock::uptime());
                }
            }
        }
    }

    fn heard(&self) {
        let counters = self.connection.byte_counters();
        self.link.status.send_if_modified(|status| {
            status.last_contact = Some(clock::now());
            status.sent_bytes = counters.sent_bytes;
            status.received_bytes = counters.received_bytes;
            // Nobody waits for a byte counter.
            false
        });
    }

    async fn tell_wishes(&mut self) -> Result<(), Ended> {
        let wishes = self.link.engine.call(|engine| engine.open_wishes()).await?;
        for wish in wishes {
            if self.wished.insert(wish.request) {
                self.input(EdgeInput::WantLease(wish));
            }
        }
        Ok(())
    }

    async fn output(&mut self, output: EdgeOutput) -> Result<(), Ended> {
        let engine = self.link.engine.clone();
        match output {
            EdgeOutput::Send(frame) => {
                if self.outgoing.send(frame).is_err() {
                    return Err(self.connection.closed().await.into());
                }
            }
            EdgeOutput::SendDatagram(frame) => {
                // One that cannot go as a datagram goes after.
                self.connection.send_datagram(&frame.to_bytes());
            }
            EdgeOutput::LoadFixes(most) => {
                let loaded = self.link.positions.load(most, clock::now()).await;
                let fixes = loaded.unwrap_or_else(|error| {
                    tracing::warn!(%error, "positions wait: their ring cannot be read");
                    vec![]
                });
                self.input(EdgeInput::Fixes(fixes));
            }
            EdgeOutput::ForgetFixes(numbers) => {
                if let Err(error) = self.link.positions.forget(numbers).await {
                    tracing::warn!(%error, "positions that the hub has will be sent again");
                }
            }
            EdgeOutput::LoadEvents { incarnation, after } => {
                let batch = engine
                    .call(move |engine| engine.load_events(incarnation, after))
                    .await??;
                self.input(EdgeInput::Events(batch));
            }
            EdgeOutput::ApplyBucket { cursor, items } => {
                let applied = cursor.clone();
                let taken = engine
                    .call(move |engine| engine.apply_bucket(&applied, &items, clock::now()))
                    .await??;
                if taken.rejected > 0 {
                    tracing::warn!(
                        bucket = %cursor.bucket.name(), count = taken.rejected,
                        "grants that the hub did not sign were left out"
                    );
                }
                self.input(EdgeInput::Checkpointed(cursor));
            }
            EdgeOutput::MarkStored {
                incarnation,
                through,
            } => {
                engine
                    .call(move |engine| engine.mark_stored(incarnation, through))
                    .await?;
            }
            EdgeOutput::Judged {
                incarnation,
                through,
                exceptions,
            } => {
                engine
                    .call(move |engine| engine.judged(incarnation, through, &exceptions))
                    .await??;
            }
            EdgeOutput::BeginIncarnation(incarnation) => {
                let head = engine
                    .call(move |engine| engine.begin_incarnation(incarnation))
                    .await??;
                tracing::warn!(%incarnation, "a new incarnation has begun");
                self.input(EdgeInput::LogGrew(head));
            }
            EdgeOutput::LeaseAnswered(request, answer) => {
                engine
                    .call(move |engine| engine.lease_answered(request, &answer, clock::now()))
                    .await??;
            }
            EdgeOutput::NewHub(hub) => {
                engine.call(move |engine| engine.begin_hub(hub)).await??;
                tracing::warn!(%hub, "the hub was restored: what it says is read anew");
            }
            EdgeOutput::LoadGrants => {
                let (logs, known) = engine.call(|engine| engine.all_known()).await??;
                tracing::info!(
                    held = known.grants.len(),
                    of_others = known.others.len(),
                    devices = known.issuers.len(),
                    "telling the hub which grants and devices are known"
                );
                self.input(EdgeInput::Grants { logs, known });
            }
            EdgeOutput::ServerTime(at, asked_ms) => {
                let here = clock::now();
                let offset = at.0 + (asked_ms / 2) as i64 - here.0;
                self.link
                    .status
                    .send_modify(|status| status.clock_offset_ms = Some(offset));
            }
            EdgeOutput::Ready => {
                self.was_ready = true;
                tracing::info!(hub = %self.link.hub, "the hub is reached");
                self.link.status.send_modify(|status| {
                    status.connected = true;
                    status.last_error = None;
                });
            }
            EdgeOutput::Refused(why) => return Err(Ended::Refused(why)),
        }
        Ok(())
    }
}
