//! The node's side of a connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::event::ChainHead;
use domain::ids::{HubIncarnation, NodeIncarnation, RequestId, Seq};
use domain::lease::LeaseRequest;
use domain::restore::FIRST;
use domain::time::Instant;
use domain::tracking::Fix;

use crate::batch::EventBatch;
use crate::frame::{
    BucketCursor, EdgeFrame, Hello, HubFrame, Introduction, Item, Known, LeaseAnswer, LogHead,
    PROTOCOL_VERSION, SeqVerdict, TAKES_POSITIONS, Welcome,
};
use crate::session::edge::buckets::BucketReader;
use crate::session::edge::positions::PositionSender;
use crate::session::edge::report::Report;
use crate::uptime::Uptime;

mod buckets;
mod positions;
mod report;

pub use positions::Budget;

/// Batches on their way at once.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// How long to wait for a sign of life before something is sent again, in ms.
const RETRY_MS: u64 = 3_000;
/// How often the hub's time is asked for, in ms; it also shows that the connection lives.
const TIME_EVERY_MS: u64 = 20_000;
/// Frames kept that overtook the welcome: channels keep no order between each other.
const EARLY_FRAMES_MAX: usize = 16;

/// When the machine wants to be called again, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// No welcome has come: greet again.
    Greeting,
    /// Events are on their way and nothing was acknowledged: send again from the last mark.
    Events,
    /// Lease requests have no answer: ask again, with the same request ids.
    Leases,
    /// The hub has not said that it has the grants: tell them again.
    Report,
    /// Time to ask for the time.
    ServerTime,
    /// Time to look for fixes that the hub has not heard of.
    Backfill,
}

/// What the driver tells the machine.
#[derive(Debug)]
pub enum EdgeInput {
    /// The connection is up. Carries the logs the node keeps, the running one last, whether its
    /// sidecar disagrees with it, and how far each bucket has been applied.
    Connected {
        /// Heads of the logs.
        logs: Vec<ChainHead>,
        /// The sidecar disagrees.
        restored: bool,
        /// Bucket cursors.
        buckets: Vec<BucketCursor>,
        /// The installation of the hub that they are of: the highest ever seen.
        hub: HubIncarnation,
        /// Who the node is.
        me: Option<Introduction>,
    },
    /// A frame came.
    Frame(HubFrame),
    /// The running log has grown, or a new incarnation has begun.
    LogGrew(ChainHead),
    /// The answer to [`EdgeOutput::LoadEvents`]; `None` when there was nothing to load.
    Events(Option<EventBatch>),
    /// A bucket was applied up to a checkpoint.
    Checkpointed(BucketCursor),
    /// Somebody at the counter wants seats.
    WantLease(LeaseRequest),
    /// The answer to [`EdgeOutput::LoadGrants`].
    Grants {
        /// Heads of the logs, the running one last.
        logs: Vec<ChainHead>,
        /// Every grant that the node ever got and still keeps, and what it knows of others.
        known: Known,
    },
    /// The bus is here, this moment.
    Fix(Fix),
    /// The answer to [`EdgeOutput::LoadFixes`]; empty when none wait.
    Fixes(Vec<Fix>),
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeOutput {
    /// Send this.
    Send(EdgeFrame),
    /// Send this as a datagram, or let it be: what is lost is sent again by and by.
    SendDatagram(EdgeFrame),
    /// Load fixes that the hub has not taken, the newest first and none of the last seconds, at
    /// most so many; answer `Fixes`.
    LoadFixes(usize),
    /// The hub has taken fixes with these numbers: forget them.
    ForgetFixes(Vec<u64>),
    /// Load and pack events of one log after a position, as many as a batch takes.
    LoadEvents {
        /// Which log.
        incarnation: NodeIncarnation,
        /// After which position.
        after: Seq,
    },
    /// Apply these facts and the new cursor in one transaction, then say `Checkpointed`.
    ApplyBucket {
        /// Which bucket, and the checkpoint it will then stand at.
        cursor: BucketCursor,
        /// The facts, in order.
        items: Vec<Item>,
    },
    /// The hub has stored a log up to here.
    MarkStored {
        /// Which log.
        incarnation: NodeIncarnation,
        /// Up to where.
        through: Seq,
    },
    /// The hub has judged up to here; all but these were applied.
    Judged {
        /// Which log.
        incarnation: NodeIncarnation,
        /// Up to where.
        through: Seq,
        /// What was not plainly applied.
        exceptions: Vec<SeqVerdict>,
    },
    /// Close the running incarnation and begin this one, then say `LogGrew`.
    BeginIncarnation(NodeIncarnation),
    /// A lease request has its answer. The grant itself comes with the node's bucket.
    LeaseAnswered(RequestId, LeaseAnswer),
    /// The hub's time, and how long the question took, in ms.
    ServerTime(Instant, u64),
    /// The hub was restored, and this is its installation from here on: keep its number, and begin
    /// every bucket anew, from 0.
    NewHub(HubIncarnation),
    /// Load every grant to this node, say `Grants`.
    LoadGrants,
    /// The hub knows us: synchronisation runs.
    Ready,
    /// The hub will not go on, in its words.
    Refused(String),
}

#[derive(Debug, Clone, Copy)]
struct LogProgress {
    last: Seq,
    stored: Seq,
    sent: Seq,
}

/// The node's side of one connection. A new connection takes a new machine.
#[derive(Debug)]
pub struct EdgeSession {
    ready: bool,
    hello: Option<Hello>,
    early: Vec<HubFrame>,
    logs: BTreeMap<NodeIncarnation, LogProgress>,
    in_flight: VecDeque<(NodeIncarnation, Seq)>,
    loading: bool,
    wishes: BTreeMap<RequestId, LeaseRequest>,
    buckets: BucketReader,
    hub: HubIncarnation,
    report: Report,
    positions: PositionSender,
    timers: BTreeMap<Timer, Uptime>,
    out: VecDeque<EdgeOutput>,
}

impl Default for EdgeSession {
    fn default() -> Self {
        Self {
            ready: false,
            hello: None,
            early: vec![],
            logs: BTreeMap::new(),
            in_flight: VecDeque::new(),
            loading: false,
            wishes: BTreeMap::new(),
            buckets: BucketReader::default(),
            hub: FIRST,
            report: Report::default(),
            positions: PositionSender::default(),
            timers: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }
}

impl EdgeSession {
    /// A machine that waits for its connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// One whose positions may cost what is left of a budget, which outlives connections.
    pub fn within(budget: Budget) -> Self {
        Self {
            positions: PositionSender::new(budget),
            ..Self::default()
        }
    }

    /// What is left of the budget for positions.
    pub fn budget(&self) -> Budget {
        self.positions.budget()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<EdgeOutput> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Uptime> {
        self.timers.values().min().copied()
    }

    /// Whether every event that the node told of is stored at the hub.
    pub fn is_drained(&self) -> bool {
        self.ready && self.logs.values().all(|log| log.stored >= log.last)
    }

    /// Takes an input.
    pub fn handle_input(&mut self, input: EdgeInput, now: Uptime) {
        match input {
            EdgeInput::Connected {
                logs,
                restored,
                buckets,
                hub,
                me,
            } => {
                self.hub = hub;
                self.connected(&logs, restored, buckets, me, now);
            }
            EdgeInput::Frame(frame) => self.handle_frame(frame, now),
            EdgeInput::LogGrew(head) => {
                let log = self.logs.entry(head.incarnation).or_insert(LogProgress {
                    last: head.seq,
                    stored: Seq(0),
                    sent: Seq(0),
                });
                log.last = log.last.max(head.seq);
            }
            EdgeInput::Events(batch) => self.send_batch(batch, now),
            EdgeInput::Checkpointed(cursor) => {
                self.buckets.checkpointed(&cursor);
                self.send(EdgeFrame::BucketAck(cursor));
            }
            EdgeInput::WantLease(request) => {
                if self.ready {
                    self.send(EdgeFrame::LeaseRequest(request.clone()));
                    self.timers
                        .entry(Timer::Leases)
                        .or_insert(now.plus_ms(RETRY_MS));
                }
                self.wishes.insert(request.request, request);
            }
            EdgeInput::Grants { logs, known } => {
                self.report.prepare(self.hub, &logs, known);
                self.tell_grants(now);
            }
            EdgeInput::Fix(fix) => {
                let frame = self.positions.live(fix, now);
                self.out.extend(frame.map(EdgeOutput::SendDatagram));
            }
            EdgeInput::Fixes(fixes) => {
                if let Some(frame) = self.positions.backfill(fixes, now) {
                    self.send(frame);
                }
            }
        }
        self.schedule_events();
    }

    /// Does what a deadline that has passed calls for.
    pub fn handle_timeout(&mut self, now: Uptime) {
        let due: BTreeSet<Timer> = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(timer, _)| *timer)
            .collect();
        for timer in due {
            self.timers.remove(&timer);
            match timer {
                Timer::Greeting => {
                    if let Some(hello) = self.hello.clone() {
                        self.send(EdgeFrame::Hello(hello));
                        self.timers.insert(Timer::Greeting, now.plus_ms(RETRY_MS));
                    }
                }
                Timer::Events => self.rewind(),
                Timer::Leases => self.ask_for_leases(now),
                Timer::Report => self.tell_grants(now),
                Timer::ServerTime => {
                    self.send(EdgeFrame::TimeRequest(now.0));
                    for cursor in self.buckets.cursors() {
                        self.send(EdgeFrame::BucketAck(cursor));
                    }
                    self.timers
                        .insert(Timer::ServerTime, now.plus_ms(TIME_EVERY_MS));
                }
                Timer::Backfill => {
                    self.look_for_fixes(now);
                    self.timers
                        .insert(Timer::Backfill, now.plus_ms(positions::BACKFILL_EVERY_MS));
                }
            }
        }
        self.schedule_events();
    }

    /// Fixes wait until every event is stored: money comes first.
    fn look_for_fixes(&mut self, now: Uptime) {
        if self.is_drained()
            && let Some(most) = self.positions.wants(now)
        {
            self.out.push_back(EdgeOutput::LoadFixes(most));
        }
    }

    fn send(&mut self, frame: EdgeFrame) {
        self.out.push_back(EdgeOutput::Send(frame));
    }

    fn connected(
        &mut self,
        logs: &[ChainHead],
        restored: bool,
        buckets: Vec<BucketCursor>,
        me: Option<Introduction>,
        now: Uptime,
    ) {
        for head in logs {
            let log = LogProgress {
                last: head.seq,
                stored: Seq(0),
                sent: Seq(0),
            };
            self.logs.insert(head.incarnation, log);
        }
        let hello = Hello {
            version: PROTOCOL_VERSION,
            logs: logs.iter().map(|head| LogHead::from(*head)).collect(),
            restored,
            buckets: buckets.clone(),
            hub: self.hub.is_restored().then_some(self.hub),
            me,
        };
        self.buckets = BucketReader::new(buckets);
        self.hello = Some(hello.clone());
        self.send(EdgeFrame::Hello(hello));
        self.timers.insert(Timer::Greeting, now.plus_ms(RETRY_MS));
    }

    fn handle_frame(&mut self, frame: HubFrame, now: Uptime) {
        match frame {
            HubFrame::Welcome(welcome) => self.welcomed(&welcome, now),
            HubFrame::Refused(why) => {
                self.timers.clear();
                self.out.push_back(EdgeOutput::Refused(why));
            }
            // Said once per connection, and as true before the welcome as after it.
            HubFrame::Verdicts(mark, exceptions) => self.out.push_back(EdgeOutput::Judged {
                incarnation: mark.incarnation,
                through: mark.through,
                exceptions,
            }),
            // What overtook the welcome waits for it; beyond some the hub sends it again.
            early if !self.ready => {
                if self.early.len() < EARLY_FRAMES_MAX {
                    self.early.push(early);
                }
            }
            HubFrame::Stored(mark) => self.stored(mark.incarnation, mark.through, now),
            HubFrame::Lease(request, answer) => {
                if self.wishes.remove(&request).is_some() {
                    self.out
                        .push_back(EdgeOutput::LeaseAnswered(request, answer));
                }
                if self.wishes.is_empty() {
                    self.timers.remove(&Timer::Leases);
                }
            }
            HubFrame::Bucket(chunk) => {
                let outputs = self.buckets.handle_chunk(chunk);
                self.out.extend(outputs);
            }
            HubFrame::Reported(hub) => {
                if hub == self.hub {
                    self.report.clear();
                    self.timers.remove(&Timer::Report);
                }
            }
            HubFrame::Time(asked, at) => {
                self.out
                    .push_back(EdgeOutput::ServerTime(at, now.0.saturating_sub(asked)));
            }
            HubFrame::PositionsTaken(numbers) => {
                let more = self.positions.taken(&numbers);
                self.out.push_back(EdgeOutput::ForgetFixes(numbers));
                if more {
                    self.look_for_fixes(now);
                }
            }
        }
    }

    fn welcomed(&mut self, welcome: &Welcome, now: Uptime) {
        if self.ready || !self.accept_hub(welcome.hub_incarnation) {
            return;
        }
        self.ready = true;
        if welcome.tell_grants {
            self.out.push_back(EdgeOutput::LoadGrants);
        }
        self.timers.remove(&Timer::Greeting);
        self.timers
            .insert(Timer::ServerTime, now.plus_ms(TIME_EVERY_MS));
        self.out.push_back(EdgeOutput::Ready);
        self.out.push_back(EdgeOutput::ServerTime(welcome.now, 0));
        if welcome.takes.unwrap_or(0) & TAKES_POSITIONS != 0 {
            self.positions.start();
            self.timers
                .insert(Timer::Backfill, now.plus_ms(positions::BACKFILL_EVERY_MS));
        }
        for mark in &welcome.stored {
            if let Some(log) = self.logs.get_mut(&mark.incarnation) {
                log.stored = mark.through;
                log.sent = mark.through;
                self.out.push_back(EdgeOutput::MarkStored {
                    incarnation: mark.incarnation,
                    through: mark.through,
                });
            }
        }
        if let Some(incarnation) = welcome.begin {
            self.out
                .push_back(EdgeOutput::BeginIncarnation(incarnation));
        }
        self.ask_for_leases(now);
        for frame in core::mem::take(&mut self.early) {
            self.handle_frame(frame, now);
        }
    }

    /// Takes the hub's word for which installation it is. A higher one than ever seen was restored
    /// from a backup: what its buckets say is read anew. A lower one is a copy that the company no
    /// longer runs, or runs beside the one in force: nothing is told to it.
    fn accept_hub(&mut self, hub: HubIncarnation) -> bool {
        if hub < self.hub {
            self.timers.clear();
            self.out.push_back(EdgeOutput::Refused(format!(
                "this hub is installation {hub}, this device has worked with {}: an old copy of \
                 the hub answers, and the office has to stop it; or the hub was restored on a \
                 machine whose clock was behind, and the office has to run `mwimule-hub renew \
                 --after {}`",
                self.hub, self.hub
            )));
            return false;
        }
        if hub > self.hub {
            self.hub = hub;
            self.buckets.begin_anew();
            self.out.push_back(EdgeOutput::NewHub(hub));
        }
        true
    }

    fn tell_grants(&mut self, now: Uptime) {
        let pieces = self.report.pieces();
        if pieces.is_empty() {
            return;
        }
        let frames = pieces.iter().cloned().map(EdgeFrame::Report);
        self.out.extend(frames.map(EdgeOutput::Send));
        self.timers.insert(Timer::Report, now.plus_ms(RETRY_MS));
    }

    fn ask_for_leases(&mut self, now: Uptime) {
        let wishes: Vec<LeaseRequest> = self.wishes.values().cloned().collect();
        for wish in wishes {
            self.send(EdgeFrame::LeaseRequest(wish));
        }
        if !self.wishes.is_empty() {
            self.timers.insert(Timer::Leases, now.plus_ms(RETRY_MS));
        }
    }

    fn stored(&mut self, incarnation: NodeIncarnation, through: Seq, now: Uptime) {
        let Some(log) = self.logs.get_mut(&incarnation) else {
            return;
        };
        if through <= log.stored {
            return;
        }
        log.stored = through;
        log.sent = log.sent.max(through);
        self.in_flight
            .retain(|(inc, last)| *inc != incarnation || *last > through);
        if self.in_flight.is_empty() {
            self.timers.remove(&Timer::Events);
        } else {
            self.timers.insert(Timer::Events, now.plus_ms(RETRY_MS));
        }
        self.out.push_back(EdgeOutput::MarkStored {
            incarnation,
            through,
        });
    }

    /// Nothing was acknowledged for too long: everything after the marks goes out again.
    fn rewind(&mut self) {
        self.in_flight.clear();
        for log in self.logs.values_mut() {
            log.sent = log.stored;
        }
    }

    /// Level-triggered: while the hub's mark is behind the log, a batch is on its way.
    fn schedule_events(&mut self) {
        if !self.ready || self.loading || self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX {
            return;
        }
        let next = self.logs.iter().find(|(_, log)| log.sent < log.last);
        if let Some((incarnation, log)) = next {
            self.loading = true;
            self.out.push_back(EdgeOutput::LoadEvents {
                incarnation: *incarnation,
                after: log.sent,
            });
        }
    }

    fn send_batch(&mut self, batch: Option<EventBatch>, now: Uptime) {
        self.loading = false;
        let Some(batch) = batch else { return };
        let Some(log) = self.logs.get_mut(&batch.incarnation) else {
            return;
        };
        // A rewind may have come between: only what continues the sent mark goes out.
        if batch.first.0 != log.sent.0 + 1 {
            return;
        }
        log.sent = batch.last();
        self.in_flight.push_back((batch.incarnation, batch.last()));
        self.timers
            .entry(Timer::Events)
            .or_insert(now.plus_ms(RETRY_MS));
        self.send(EdgeFrame::Events(batch));
    }
}
