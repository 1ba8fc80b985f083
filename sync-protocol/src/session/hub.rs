//! The hub's side of a connection. It keeps nothing that another hub process could not rebuild.

use std::collections::{BTreeMap, VecDeque};

use domain::codec::to_cbor;
use domain::ids::{HubIncarnation, NodeIncarnation, RequestId, Seq};
use domain::lease::LeaseRequest;
use domain::restore::FIRST;
use domain::time::Instant;
use domain::tracking::Fix;
use domain::weaken::{Weakness, weakened};

use crate::batch::EventBatch;
use crate::frame::{
    BucketChunk, BucketCursor, BucketId, EdgeFrame, FIXES_MAX, GrantReport, Hello, HubFrame,
    ISSUERS_MAX, Item, Known, LeaseAnswer, LogHead, PROTOCOL_VERSION, SeqVerdict, StoredMark,
    Welcome,
};
use crate::session::REPORT_PIECES_MAX;
use crate::uptime::Uptime;

/// Batches that the driver may have in hand at once; what comes beyond is dropped and resent.
const STORING_MAX: usize = 8;
/// How long to wait for a bucket's acknowledgement before it is sent again, in ms.
const BUCKET_RETRY_MS: u64 = 4_000;
/// About how many bytes of items one piece carries before it is compressed.
const PIECE_BYTES: usize = 512 * 1024;

/// What the driver tells the machine.
#[derive(Debug)]
pub enum HubInput {
    /// A frame came.
    Frame(EdgeFrame),
    /// The answer to [`HubOutput::Greet`].
    Welcome(Welcome),
    /// The answer to [`HubOutput::Greet`] where the node is not welcome.
    Refuse(String),
    /// A batch is stored, durably.
    Stored(StoredMark),
    /// A batch could not be stored now; the node will send it again.
    NotStored,
    /// Events have been judged.
    Judged(StoredMark, Vec<SeqVerdict>),
    /// A lease request has its answer.
    Lease(RequestId, LeaseAnswer),
    /// The answer to [`HubOutput::TakeGrants`]: they are kept, durably, or were not this time.
    GrantsTaken(bool),
    /// A bucket has changed, or is to be sent from now on.
    BucketChanged(BucketId),
    /// The answer to [`HubOutput::LoadBucket`]: the facts after `after`, up to `checkpoint`.
    BucketLoaded {
        /// Which bucket.
        bucket: BucketId,
        /// The change that the facts start after.
        after: u64,
        /// The bucket's newest change.
        checkpoint: u64,
        /// The facts, in order.
        items: Vec<Item>,
    },
    /// Fixes with these numbers are stored, or will never be.
    PositionsTaken(Vec<u64>),
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubOutput {
    /// Send this.
    Send(HubFrame),
    /// A node has come: decide how its logs go on, answer `Welcome` or `Refuse`.
    Greet(Hello),
    /// Verify and store a batch, answer `Stored` or `NotStored`; judge it, say `Judged`.
    Store(EventBatch),
    /// Decide a lease request, answer `Lease`.
    DecideLease(LeaseRequest),
    /// The node has told all grants that it holds or knows of, and other nodes: keep those that
    /// are signed and not known, answer `GrantsTaken`.
    TakeGrants {
        /// The heads of its logs when it told.
        logs: Vec<LogHead>,
        /// The grants and the nodes, unchecked.
        known: Known,
    },
    /// Load what a bucket holds after a change, answer `BucketLoaded`.
    LoadBucket {
        /// Which bucket.
        bucket: BucketId,
        /// After which change.
        after: u64,
    },
    /// The node has applied a bucket up to here.
    BucketAcked(BucketCursor),
    /// Answer the time at once: `Send(Time(asked, now))` with the driver's clock.
    TellTime(u64),
    /// Judge and store fixes, answer `PositionsTaken`; without an answer they come again.
    TakePositions(Vec<Fix>),
}

#[derive(Debug, Default)]
struct BucketProgress {
    acked: u64,
    sent: u64,
    dirty: bool,
    loading: bool,
    retry_at: Option<Uptime>,
}

/// The hub's side of one connection.
#[derive(Debug)]
pub struct HubSession {
    ready: bool,
    greeting: bool,
    /// Said again when the hello comes again, because the first one was lost.
    welcome: Option<Welcome>,
    cursors: BTreeMap<BucketId, u64>,
    /// The installation of the hub that the cursors are of.
    cursors_of: HubIncarnation,
    storing: usize,
    buckets: BTreeMap<BucketId, BucketProgress>,
    /// Pieces of the node's grants, until all are there.
    pieces: BTreeMap<u32, GrantReport>,
    taking: bool,
    out: VecDeque<HubOutput>,
}

impl Default for HubSession {
    fn default() -> Self {
        Self {
            ready: false,
            greeting: false,
            welcome: None,
            cursors: BTreeMap::new(),
            cursors_of: FIRST,
            storing: 0,
            buckets: BTreeMap::new(),
            pieces: BTreeMap::new(),
            taking: false,
            out: VecDeque::new(),
        }
    }
}

impl HubSession {
    /// A machine that waits for a hello.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<HubOutput> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Uptime> {
        self.buckets.values().filter_map(|b| b.retry_at).min()
    }

    /// Sends again what was not acknowledged in time.
    pub fn handle_timeout(&mut self, now: Uptime) {
        let late: Vec<BucketId> = self
            .buckets
            .iter()
            .filter(|(_, b)| b.retry_at.is_some_and(|at| at <= now))
            .map(|(bucket, _)| bucket.clone())
            .collect();
        for bucket in late {
            if let Some(progress) = self.buckets.get_mut(&bucket) {
                progress.retry_at = None;
                progress.sent = progress.acked;
                progress.dirty = true;
            }
            self.load(&bucket);
        }
    }

    /// Takes an input.
    pub fn handle_input(&mut self, input: HubInput, now: Uptime) {
        match input {
            HubInput::Frame(frame) => self.handle_frame(frame),
            HubInput::Welcome(welcome) => self.welcome(welcome),
            HubInput::Refuse(why) => self.send(HubFrame::Refused(why)),
            HubInput::Stored(mark) => {
                self.storing = self.storing.saturating_sub(1);
                self.send(HubFrame::Stored(mark));
            }
            HubInput::NotStored => self.storing = self.storing.saturating_sub(1),
            HubInput::Judged(mark, exceptions) => self.send(HubFrame::Verdicts(mark, exceptions)),
            HubInput::Lease(request, answer) => self.send(HubFrame::Lease(request, answer)),
            HubInput::GrantsTaken(kept) => {
                self.taking = false;
                if let (true, Some(welcome)) = (kept, &self.welcome) {
                    let hub = welcome.hub_incarnation;
                    self.send(HubFrame::Reported(hub));
                }
            }
            HubInput::BucketChanged(bucket) => {
                if self.ready {
                    let acked = self.cursors.get(&bucket).copied().unwrap_or(0);
                    let progress = self
                        .buckets
                        .entry(bucket.clone())
                        .or_insert(BucketProgress {
                            acked,
                            sent: acked,
                            ..BucketProgress::default()
                        });
                    progress.dirty = true;
                    self.load(&bucket);
                }
            }
            HubInput::BucketLoaded {
                bucket,
                after,
                checkpoint,
                items,
            } => {
                self.bucket_loaded(bucket, after, checkpoint, items, now);
            }
            HubInput::PositionsTaken(numbers) => self.send(HubFrame::PositionsTaken(numbers)),
        }
    }

    fn send(&mut self, frame: HubFrame) {
        self.out.push_back(HubOutput::Send(frame));
    }

    fn handle_frame(&mut self, frame: EdgeFrame) {
        match frame {
            EdgeFrame::Hello(hello) => {
                if let Some(welcome) = self.welcome.clone() {
                    self.send(HubFrame::Welcome(welcome));
                    return;
                }
                if self.greeting {
                    return;
                }
                if hello.version != PROTOCOL_VERSION {
                    let (theirs, ours) = (hello.version, PROTOCOL_VERSION);
                    self.send(HubFrame::Refused(format!(
                        "this device speaks protocol {theirs}, the hub {ours}: update the older one"
                    )));
                    return;
                }
                self.greeting = true;
                self.cursors_of = hello.hub();
                self.cursors = hello
                    .buckets
                    .iter()
                    .map(|c| (c.bucket.clone(), c.change))
                    .collect();
                self.out.push_back(HubOutput::Greet(hello));
            }
            _ if !self.ready => {}
            EdgeFrame::Events(batch) => self.handle_batch(batch),
            EdgeFrame::LeaseRequest(request) => {
                self.out.push_back(HubOutput::DecideLease(request));
            }
            EdgeFrame::BucketAck(cursor) => self.handle_ack(cursor),
            EdgeFrame::TimeRequest(asked) => self.out.push_back(HubOutput::TellTime(asked)),
            EdgeFrame::Positions(mut fixes) => {
                // What is beyond the cap comes again.
                fixes.truncate(FIXES_MAX);
                self.out.push_back(HubOutput::TakePositions(fixes));
            }
            EdgeFrame::Report(piece) => self.handle_report(piece),
        }
    }

    /// Takes a piece of the node's grants. Those of another telling are forgotten: the node repeats
    /// all of them until it hears `Reported`.
    fn handle_report(&mut self, piece: GrantReport) {
        let ours = self.welcome.as_ref().map(|w| w.hub_incarnation);
        let sound = piece.pieces <= REPORT_PIECES_MAX && piece.piece < piece.pieces;
        if self.taking || Some(piece.hub) != ours || !sound {
            return;
        }
        let same = |p: &GrantReport| p.pieces == piece.pieces && p.logs == piece.logs;
        if !self.pieces.values().all(same) {
            self.pieces.clear();
        }
        let count = piece.pieces as usize;
        let logs = piece.logs.clone();
        self.pieces.insert(piece.piece, piece);
        if self.pieces.len() == count {
            self.taking = true;
            let pieces = core::mem::take(&mut self.pieces);
            let mut known = Known::default();
            for piece in pieces.into_values() {
                known.grants.extend(piece.grants);
                known.others.extend(piece.others);
                known.issuers.extend(piece.issuers);
            }
            known.issuers.truncate(ISSUERS_MAX);
            self.out.push_back(HubOutput::TakeGrants { logs, known });
        }
    }

    fn handle_batch(&mut self, batch: EventBatch) {
        if self.storing >= STORING_MAX {
            return;
        }
        self.storing += 1;
        if weakened(Weakness::CursorBeforeCommit) {
            let mark = StoredMark {
                incarnation: batch.incarnation,
                through: batch.last(),
            };
            self.send(HubFrame::Stored(mark));
        }
        self.out.push_back(HubOutput::Store(batch));
    }

    fn welcome(&mut self, welcome: Welcome) {
        self.ready = true;
        self.greeting = false;
        // Change numbers of a hub that is lost mean something else here.
        if self.cursors_of != welcome.hub_incarnation {
            self.cursors.clear();
        }
        let buckets = welcome.buckets.clone();
        self.welcome = Some(welcome.clone());
        self.send(HubFrame::Welcome(welcome));
        for bucket in buckets {
            let acked = self.cursors.get(&bucket).copied().unwrap_or(0);
            let progress = BucketProgress {
                acked,
                sent: acked,
                dirty: true,
                ..BucketProgress::default()
            };
            self.buckets.insert(bucket.clone(), progress);
            self.load(&bucket);
        }
    }

    fn handle_ack(&mut self, cursor: BucketCursor) {
        let Some(progress) = self.buckets.get_mut(&cursor.bucket) else {
            return;
        };
        progress.acked = cursor.change;
        if cursor.change >= progress.sent {
            progress.retry_at = None;
        }
        if cursor.change != progress.sent {
            progress.sent = cursor.change;
            progress.dirty = true;
        }
        let bucket = cursor.bucket.clone();
        self.out.push_back(HubOutput::BucketAcked(cursor));
        self.load(&bucket);
    }

    /// One answer at a time is on its way per bucket.
    fn load(&mut self, bucket: &BucketId) {
        let Some(progress) = self.buckets.get_mut(bucket) else {
            return;
        };
        if progress.dirty && !progress.loading && progress.retry_at.is_none() {
            progress.dirty = false;
            progress.loading = true;
            let after = progress.acked;
            self.out.push_back(HubOutput::LoadBucket {
                bucket: bucket.clone(),
                after,
            });
        }
    }

    fn bucket_loaded(
        &mut self,
        bucket: BucketId,
        after: u64,
        checkpoint: u64,
        items: Vec<Item>,
        now: Uptime,
    ) {
        let Some(progress) = self.buckets.get_mut(&bucket) else {
            return;
        };
        progress.loading = false;
        if after != progress.acked {
            progress.dirty = true;
            self.load(&bucket);
            return;
        }
        if checkpoint > after {
            progress.sent = checkpoint;
            progress.retry_at = Some(now.plus_ms(BUCKET_RETRY_MS));
            let chunks = split(&bucket, after, checkpoint, &items);
            self.out.extend(
                chunks
                    .into_iter()
                    .map(|c| HubOutput::Send(HubFrame::Bucket(c))),
            );
        } else {
            // What changed while nothing was found has not been loaded yet.
            self.load(&bucket);
        }
    }

    /// The frame that answers [`HubOutput::TellTime`].
    pub fn time_frame(asked: u64, now: Instant) -> HubFrame {
        HubFrame::Time(asked, now)
    }

    /// A mark, for drivers.
    pub fn mark(incarnation: NodeIncarnation, through: Seq) -> StoredMark {
        StoredMark {
            incarnation,
            through,
        }
    }
}

fn split(bucket: &BucketId, after: u64, checkpoint: u64, items: &[Item]) -> Vec<BucketChunk> {
    let mut pieces: Vec<Vec<&Item>> = vec![vec![]];
    let mut bytes = 0;
    for item in items {
        let size = to_cbor(item).len();
        if bytes + size > PIECE_BYTES && bytes > 0 {
            pieces.push(vec![]);
            bytes = 0;
        }
        bytes += size;
        if let Some(piece) = pieces.last_mut() {
            piece.push(item);
        }
    }
    let count = pieces.len() as u32;
    pieces
        .into_iter()
        .enumerate()
        .map(|(i, piece)| BucketChunk {
            bucket: bucket.clone(),
            after,
            checkpoint,
            piece: i as u32,
            pieces: count,
            items: zstd::bulk::compress(&to_cbor(&piece), 3).unwrap_or_default(),
        })
        .collect()
}
