//! The two machines against each other over a network that loses, doubles and reorders frames.

use std::collections::{BTreeMap, VecDeque};

use domain::event::{ChainHead, Envelope, EventBody, SignedEvent, encode_body};
use domain::ids::{
    EventHash, HubIncarnation, NodeId, NodeIncarnation, RequestId, Seq, StopSeq, TripId,
};
use domain::ingest::{Admission, admit};
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::lease::{GrantRefusal, LeaseRequest, SeatWant, SignedGrant};
use domain::restore::FIRST;
use domain::time::Instant;
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::*;
use crate::batch::EventBatch;
use crate::frame::{
    BucketCursor, BucketId, EdgeFrame, HubFrame, Item, Known, KnownIssuer, LeaseAnswer,
    PROTOCOL_VERSION, StoredMark, Welcome,
};
use crate::uptime::Uptime;

mod positions;

const NODE: NodeId = NodeId(Uuid::nil());
const ONE: NodeIncarnation = NodeIncarnation(1);

/// splitmix64 (Steele, Lea, Flood 2014): enough for a test network.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

fn log_of(count: u64, key: &SigningKey) -> Vec<SignedEvent> {
    let mut head = ChainHead::empty(ONE);
    (0..count)
        .map(|i| {
            let event = Envelope {
                node: NODE,
                incarnation: ONE,
                seq: Seq(head.seq.0 + 1),
                prev: head.hash,
                at: Instant(1_000 * i as i64),
                personal: None,
                body: encode_body(&EventBody::ClockStep(Instant(0), Instant(i as i64))),
            }
            .sign(key, None);
            head = event.head();
            event
        })
        .collect()
}

fn layout(n: u64) -> Item {
    let seat = Seat {
        label: "1".to_owned(),
        row: 1,
        column: 1,
        attributes: SeatAttributes::default(),
    };
    let version = domain::ids::LayoutVersion(n as u32);
    Item::Layout(SeatLayout::new("a", version, vec![seat]).unwrap())
}

fn wish(n: u128) -> LeaseRequest {
    LeaseRequest {
        request: RequestId(Uuid::from_u128(n)),
        trip: TripId(1),
        boarding: StopSeq(0),
        wants: vec![SeatWant {
            to: StopSeq(1),
            count: 1,
        }],
    }
}

/// Both machines, what stands behind them, and a network with a seed.
struct Pair {
    edge: EdgeSession,
    hub: HubSession,
    log: Vec<SignedEvent>,
    key: SigningKey,
    stored: Vec<SignedEvent>,
    marked: Seq,
    changes: u64,
    applied: BTreeMap<BucketId, (u64, Vec<Item>)>,
    answers: Vec<RequestId>,
    decided: Vec<RequestId>,
    wire: VecDeque<(bool, Vec<u8>)>,
    dice: Dice,
    faults: bool,
    now: Uptime,
    /// Which installation the hub is, and the highest that the node has seen.
    hub_is: HubIncarnation,
    seen: HubIncarnation,
    known: Known,
    told: Option<Known>,
}

impl Pair {
    fn new(seed: u64, events: u64, faults: bool) -> Self {
        let key = SigningKey::from_bytes(&[3; 32]);
        Self {
            edge: EdgeSession::new(),
            hub: HubSession::new(),
            log: log_of(events, &key),
            key,
            stored: vec![],
            marked: Seq(0),
            changes: 3,
            applied: BTreeMap::new(),
            answers: vec![],
            decided: vec![],
            wire: VecDeque::new(),
            dice: Dice(seed),
            faults,
            now: Uptime(0),
            hub_is: FIRST,
            seen: FIRST,
            known: Known::default(),
            told: None,
        }
    }

    fn head(&self) -> ChainHead {
        self.log
            .last()
            .map_or(ChainHead::empty(ONE), SignedEvent::head)
    }

    fn hub_head(&self) -> ChainHead {
        self.stored
            .last()
            .map_or(ChainHead::empty(ONE), SignedEvent::head)
    }

    fn post(&mut self, to_hub: bool, bytes: Vec<u8>) {
        if self.faults && self.dice.roll(5) == 0 {
            return;
        }
        if self.faults && self.dice.roll(8) == 0 {
            self.wire.push_back((to_hub, bytes.clone()));
        }
        let at = match self.wire.len() {
            n if self.faults && n > 0 && self.dice.roll(4) == 0 => {
                self.dice.roll(n as u64) as usize
            }
            n => n,
        };
        self.wire.insert(at, (to_hub, bytes));
    }

    fn drain_outputs(&mut self) {
        loop {
            if let Some(output) = self.edge.poll_output() {
                self.do_for_edge(output);
            } else if let Some(output) = self.hub.poll_output() {
                self.do_for_hub(output);
            } else {
                return;
            }
        }
    }

    fn do_for_edge(&mut self, output: EdgeOutput) {
        match output {
            EdgeOutput::Send(frame) => self.post(true, frame.to_bytes()),
            EdgeOutput::LoadEvents { after, .. } => {
                let from = after.0 as usize;
                let to = self.log.len().min(from + 7);
                let batch = EventBatch::pack(&self.log[from..to]);
                self.edge.handle_input(EdgeInput::Events(batch), self.now);
            }
            EdgeOutput::ApplyBucket { cursor, items } => {
                let (at, all) = self.applied.entry(cursor.bucket.clone()).or_default();
                assert!(cursor.change > *at, "a bucket never goes back");
                *at = cursor.change;
                all.extend(items);
                self.edge
                    .handle_input(EdgeInput::Checkpointed(cursor), self.now);
            }
            EdgeOutput::MarkStored { through, .. } => {
                assert!(
                    through.0 <= self.stored.len() as u64,
                    "nothing is marked that is not stored"
                );
                self.marked = through;
            }
            EdgeOutput::LeaseAnswered(request, _) => self.answers.push(request),
            EdgeOutput::Refused(why) => panic!("refused: {why}"),
            EdgeOutput::NewHub(hub) => {
                self.seen = hub;
                self.applied.clear();
            }
            EdgeOutput::LoadGrants => {
                let logs = vec![self.head()];
                let known = self.known.clone();
                self.edge
                    .handle_input(EdgeInput::Grants { logs, known }, self.now);
            }
            EdgeOutput::Judged { .. }
            | EdgeOutput::BeginIncarnation(_)
            | EdgeOutput::ServerTime(..)
            | EdgeOutput::SendDatagram(_)
            | EdgeOutput::LoadFixes(_)
            | EdgeOutput::ForgetFixes(_)
            | EdgeOutput::Ready => {}
        }
    }

    fn store(&mut self, batch: &EventBatch) -> HubInput {
        let events = batch.unpack(NODE, &self.key.verifying_key()).unwrap();
        for event in events {
            let cursor = self.hub_head();
            let hash = |seq: Seq| self.stored.get(seq.0 as usize - 1).map(|e| e.hash);
            match admit(&cursor, hash, &event) {
                Admission::Next => self.stored.push(event),
                Admission::Duplicate => {}
                Admission::Gap => return HubInput::NotStored,
                Admission::Fork => panic!("an honest log never forks"),
            }
        }
        let through = Seq(self.stored.len() as u64);
        HubInput::Stored(StoredMark {
            incarnation: ONE,
            through,
        })
    }

    fn do_for_hub(&mut self, output: HubOutput) {
        let input = match output {
            HubOutput::Send(frame) => return self.post(false, frame.to_bytes()),
            HubOutput::Greet(hello) => HubInput::Welcome(Welcome {
                version: PROTOCOL_VERSION,
                hub_incarnation: self.hub_is,
                now: Instant(0),
                stored: hello
                    .logs
                    .iter()
                    .map(|log| StoredMark {
                        incarnation: log.incarnation,
                        through: Seq(self.stored.len() as u64),
                    })
                    .collect(),
                begin: None,
                buckets: vec![BucketId::Company, BucketId::Node],
                tell_grants: self.hub_is.is_restored() && self.told.is_none(),
                takes: None,
            }),
            HubOutput::TakeGrants { logs, known } => {
                assert_eq!(logs.len(), 1);
                self.told = Some(known);
                HubInput::GrantsTaken(true)
            }
            HubOutput::Store(batch) => self.store(&batch),
            HubOutput::DecideLease(request) => {
                self.decided.push(request.request);
                HubInput::Lease(request.request, LeaseAnswer::Refused(GrantRefusal::SoldOut))
            }
            HubOutput::LoadBucket { bucket, after } => HubInput::BucketLoaded {
                items: (after + 1..=self.changes).map(layout).collect(),
                bucket,
                after,
                checkpoint: self.changes,
            },
            HubOutput::BucketAcked(_) | HubOutput::TakePositions(_) => return,
            HubOutput::TellTime(asked) => {
                let frame = HubFrame::Time(asked, Instant(7));
                return self.post(false, frame.to_bytes());
            }
        };
        self.hub.handle_input(input, self.now);
    }

    fn connect(&mut self) {
        let buckets = self
            .applied
            .iter()
            .map(|(bucket, (change, _))| BucketCursor {
                bucket: bucket.clone(),
                change: *change,
            })
            .collect();
        let logs = vec![self.head()];
        self.edge.handle_input(
            EdgeInput::Connected {
                logs,
                restored: false,
                buckets,
                hub: self.seen,
                me: None,
            },
            self.now,
        );
    }

    fn reconnect(&mut self) {
        self.edge = EdgeSession::new();
        self.hub = HubSession::new();
        self.wire.clear();
        self.connect();
    }

    fn step(&mut self) -> bool {
        self.drain_outputs();
        let Some((to_hub, bytes)) = self.wire.pop_front() else {
            let next = [self.edge.poll_timeout(), self.hub.poll_timeout()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next else { return false };
            self.now = self.now.max(next);
            self.edge.handle_timeout(self.now);
            self.hub.handle_timeout(self.now);
            return true;
        };
        if to_hub {
            let frame = EdgeFrame::from_bytes(&bytes).unwrap();
            self.hub.handle_input(HubInput::Frame(frame), self.now);
        } else {
            let frame = HubFrame::from_bytes(&bytes).unwrap();
            self.edge.handle_input(EdgeInput::Frame(frame), self.now);
        }
        true
    }

    fn converged(&self) -> bool {
        let buckets = [BucketId::Company, BucketId::Node];
        self.edge.is_drained()
            && self.stored == self.log
            && self.marked == self.head().seq
            && (!self.hub_is.is_restored() || self.told.is_some())
            && buckets.iter().all(|b| {
                self.applied
                    .get(b)
                    .is_some_and(|(at, _)| *at == self.changes)
            })
    }

    fn drive_until_converged(&mut self, what: &str) {
        for _ in 0..20_000 {
            if self.converged() {
                return;
            }
            self.step();
        }
        panic!(
            "{what}: no convergence: {} of {} stored",
            self.stored.len(),
            self.log.len()
        );
    }
}

#[test]
fn a_log_and_its_buckets_cross_a_perfect_network() {
    let mut pair = Pair::new(1, 100, false);
    pair.connect();
    pair.drive_until_converged("perfect");
    let items = &pair.applied[&BucketId::Company].1;
    assert_eq!(items, &(1..=3).map(layout).collect::<Vec<_>>());
}

#[test]
fn a_bucket_that_overtakes_the_welcome_waits_for_it_and_no_longer() {
    let mut pair = Pair::new(1, 0, false);
    pair.connect();
    pair.step();
    pair.drain_outputs();
    assert!(pair.wire.len() > 1, "nothing to overtake the welcome");
    pair.wire.rotate_left(1);
    pair.drive_until_converged("overtaken");
    assert_eq!(pair.now, Uptime(0), "it took a retry");
}

#[test]
fn loss_doubling_and_reordering_only_delay() {
    for seed in 0..60 {
        let mut pair = Pair::new(seed, 80, true);
        pair.connect();
        pair.edge
            .handle_input(EdgeInput::WantLease(wish(1)), pair.now);
        pair.drive_until_converged(&format!("seed {seed}"));
        for _ in 0..2_000 {
            if !pair.answers.is_empty() {
                break;
            }
            pair.step();
        }
        assert_eq!(
            pair.answers,
            vec![RequestId(Uuid::from_u128(1))],
            "seed {seed}: one answer"
        );
        assert!(
            pair.decided.iter().all(|r| *r == pair.answers[0]),
            "a retry is the same request"
        );
    }
}

#[test]
fn what_grows_while_connected_is_sent_without_being_asked() {
    let mut pair = Pair::new(5, 3, true);
    pair.connect();
    pair.drive_until_converged("first");
    pair.log = log_of(40, &pair.key);
    pair.edge
        .handle_input(EdgeInput::LogGrew(pair.head()), pair.now);
    pair.changes = 9;
    pair.hub
        .handle_input(HubInput::BucketChanged(BucketId::Company), pair.now);
    pair.hub
        .handle_input(HubInput::BucketChanged(BucketId::Node), pair.now);
    pair.drive_until_converged("grown");
}

#[test]
fn a_new_connection_goes_on_where_the_hub_stopped_storing() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed, 60, true);
        pair.connect();
        for _ in 0..(seed * 3) {
            pair.step();
        }
        pair.reconnect();
        pair.drive_until_converged(&format!("seed {seed}"));
    }
}

#[test]
fn a_node_of_another_protocol_is_told_to_update() {
    let mut hub = HubSession::new();
    let hello = crate::frame::Hello {
        version: 99,
        logs: vec![],
        restored: false,
        buckets: vec![],
        hub: None,
        me: None,
    };
    hub.handle_input(HubInput::Frame(EdgeFrame::Hello(hello)), Uptime(0));
    let Some(HubOutput::Send(HubFrame::Refused(why))) = hub.poll_output() else {
        panic!("it is refused");
    };
    assert!(why.contains("protocol 99"), "{why}");
}

#[test]
fn a_batch_with_one_changed_bit_is_refused_whole() {
    let key = SigningKey::from_bytes(&[3; 32]);
    let log = log_of(5, &key);
    let mut batch = EventBatch::pack(&log).unwrap();
    assert_eq!(batch.unpack(NODE, &key.verifying_key()).unwrap(), log);
    batch.prev = EventHash([1; 32]);
    assert!(batch.unpack(NODE, &key.verifying_key()).is_err());
    let mut cut = EventBatch::pack(&log).unwrap();
    cut.packed.truncate(cut.packed.len() / 2);
    assert!(cut.unpack(NODE, &key.verifying_key()).is_err());
    cut.packed = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let bomb = cut.unpack(NODE, &key.verifying_key()).unwrap_err();
    assert!(bomb.to_string().contains("unpacks to more than"), "{bomb}");
}

#[test]
fn what_changes_while_an_empty_bucket_is_loaded_is_loaded_next() {
    let mut hub = HubSession::new();
    let hello = crate::frame::Hello {
        version: PROTOCOL_VERSION,
        logs: vec![],
        restored: false,
        buckets: vec![],
        hub: None,
        me: None,
    };
    hub.handle_input(HubInput::Frame(EdgeFrame::Hello(hello)), Uptime(0));
    let welcome = Welcome {
        version: PROTOCOL_VERSION,
        hub_incarnation: FIRST,
        now: Instant(0),
        stored: vec![],
        begin: None,
        buckets: vec![BucketId::Node],
        tell_grants: false,
        takes: None,
    };
    hub.handle_input(HubInput::Welcome(welcome), Uptime(0));
    hub.handle_input(HubInput::BucketChanged(BucketId::Node), Uptime(0));
    while hub.poll_output().is_some() {}
    let nothing = HubInput::BucketLoaded {
        bucket: BucketId::Node,
        after: 0,
        checkpoint: 0,
        items: vec![],
    };
    hub.handle_input(nothing, Uptime(0));
    let load = HubOutput::LoadBucket {
        bucket: BucketId::Node,
        after: 0,
    };
    assert_eq!(hub.poll_output(), Some(load));
}

fn signed_grant(n: u16, claims: u16) -> SignedGrant {
    let legs = domain::trip::Legs::new(StopSeq(0), StopSeq(2)).unwrap();
    let claims = (1..=claims).map(|seat| domain::lease::SeatClaim {
        seat: domain::ids::SeatNo(seat),
        legs,
    });
    let grant = domain::lease::Grant {
        trip: TripId(1),
        lease_no: domain::ids::LeaseNo(n),
        holder: NODE,
        epoch: domain::ids::LeaseEpoch(n.into()),
        boarding: StopSeq(0),
        claims: claims.collect(),
        layout_version: domain::ids::LayoutVersion(1),
        sell_until: Instant(0),
        request: RequestId(Uuid::from_u128(n.into())),
    };
    SignedGrant::sign(&grant, &SigningKey::from_bytes(&[4; 32]))
}

/// The hub was lost and comes back from a backup: it has less of the log, and its buckets count
/// from elsewhere.
#[test]
fn a_restored_hub_gets_log_grants_and_cursors_anew_over_a_bad_network() {
    for seed in 1..40 {
        let mut pair = Pair::new(seed, 200, true);
        pair.connect();
        pair.drive_until_converged(&format!("seed {seed}"));
        pair.hub_is = HubIncarnation(478_080 + seed as u32);
        pair.stored.truncate(20);
        pair.marked = Seq(20);
        // What the node had to change 3 was something else.
        pair.changes = 2;
        pair.known = Known {
            grants: (1..200).map(|n| signed_grant(n, 300)).collect(),
            others: (200..400).map(|n| signed_grant(n, 20)).collect(),
            issuers: vec![KnownIssuer {
                node: NodeId(Uuid::from_u128(9)),
                ticket_key: [9; 32],
            }],
        };
        pair.reconnect();
        pair.drive_until_converged(&format!("seed {seed}, restored"));
        assert_eq!(pair.told.as_ref(), Some(&pair.known), "seed {seed}");
        assert_eq!(pair.seen, pair.hub_is);
        for (change, items) in pair.applied.values() {
            assert_eq!((*change, items.len()), (2, 2), "seed {seed}");
        }
    }
}

#[test]
fn a_hub_older_than_one_that_was_seen_is_told_nothing() {
    let mut edge = EdgeSession::new();
    let connected = EdgeInput::Connected {
        logs: vec![],
        restored: false,
        buckets: vec![],
        hub: HubIncarnation(9),
        me: None,
    };
    edge.handle_input(connected, Uptime(0));
    let welcome = Welcome {
        version: PROTOCOL_VERSION,
        hub_incarnation: HubIncarnation(8),
        now: Instant(0),
        stored: vec![],
        begin: None,
        buckets: vec![],
        tell_grants: false,
        takes: None,
    };
    while edge.poll_output().is_some() {}
    edge.handle_input(EdgeInput::Frame(HubFrame::Welcome(welcome)), Uptime(0));
    let Some(EdgeOutput::Refused(why)) = edge.poll_output() else {
        panic!("it is refused");
    };
    assert!(
        why.contains("installation 8") && why.contains("with 9"),
        "{why}"
    );
    assert_eq!((edge.poll_output(), edge.poll_timeout()), (None, None));
}
