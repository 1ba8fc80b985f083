//! Time passes: frames arrive, the hub works, sessions time out. One event after the other.

use edge_node::engine::sync::Greeting;
use sync_protocol::session::{EdgeInput, EdgeOutput, EdgeSession, HubInput, HubOutput, HubSession};
use sync_protocol::{BucketId, EdgeFrame, HubFrame, Uptime};

use super::{Job, Work, World};
use crate::hub::{bucket_name, ingest::Stored};
use crate::network::Way;

/// Events that one wait may take; more is a loop that never ends.
const EVENTS_MAX: usize = 200_000;

impl World {
    /// Lets the world run.
    pub(super) fn run_until(&mut self, until: Uptime) {
        for _ in 0..EVENTS_MAX {
            let next = self.next_due().filter(|due| *due <= until);
            let Some(next) = next else {
                self.now = self.now.max(until);
                return;
            };
            self.now = self.now.max(next);
            self.advance();
            if self.violation.is_some() {
                return;
            }
        }
        self.violate(
            "the world comes to rest",
            "sessions keep talking without end",
        );
    }

    fn next_due(&self) -> Option<Uptime> {
        let links = self.links.iter().filter_map(crate::network::Link::next_due);
        let work = self.work.iter().map(|w| w.due);
        let edges = self
            .nodes
            .iter()
            .filter_map(|n| n.session.as_ref()?.poll_timeout());
        let hubs = self
            .hub_sessions
            .values()
            .filter_map(HubSession::poll_timeout);
        let connects = self.nodes.iter().filter_map(|n| n.connect_at);
        links
            .chain(work)
            .chain(edges)
            .chain(hubs)
            .chain(connects)
            .min()
    }

    fn advance(&mut self) {
        for index in 0..self.nodes.len() as u8 {
            if self.nodes[usize::from(index)]
                .connect_at
                .is_some_and(|at| at <= self.now)
            {
                self.connect(index);
            }
            while let Some(flight) = self.links[usize::from(index)].arrive(self.now) {
                match flight.way {
                    Way::Up => self.arrive_at_hub(index, &flight.bytes),
                    Way::Down => self.arrive_at_node(index, &flight.bytes),
                }
            }
            self.time_out(index);
        }
        self.do_work();
    }

    fn time_out(&mut self, index: u8) {
        let now = self.now;
        if let Some(session) = &mut self.nodes[usize::from(index)].session {
            session.handle_timeout(now);
        }
        if let Some(session) = self.hub_sessions.get_mut(&index) {
            session.handle_timeout(now);
        }
        self.drain_node(index);
        self.drain_hub(index);
        let link = &mut self.links[usize::from(index)];
        let struck = std::mem::take(&mut link.struck);
        self.count("drop", struck.dropped);
        self.count("duplicate", struck.duplicated);
        self.count("reorder", struck.reordered);
    }

    /// Loses the connection; the node will try again.
    pub(super) fn disconnect(&mut self, index: u8) {
        let node = &mut self.nodes[usize::from(index)];
        node.session = None;
        node.connect_at = Some(self.now.plus_ms(2_000));
        self.hub_sessions.remove(&index);
        self.links[usize::from(index)].clear();
    }

    fn connect(&mut self, index: u8) {
        let link = &mut self.links[usize::from(index)];
        let node = &mut self.nodes[usize::from(index)];
        if link.cut {
            node.connect_at = Some(self.now.plus_ms(20_000));
            return;
        }
        link.clear();
        node.connect_at = None;
        let Greeting {
            logs,
            restored,
            buckets,
            hub,
            me,
        } = node.engine.greeting();
        let mut session = EdgeSession::new();
        session.handle_input(
            EdgeInput::Connected {
                logs,
                restored,
                buckets,
                hub,
                me: Some(me),
            },
            self.now,
        );
        for wish in node.engine.open_wishes() {
            session.handle_input(EdgeInput::WantLease(wish), self.now);
        }
        node.session = Some(session);
        self.hub_sessions.insert(index, HubSession::new());
        self.note(&format!("node {index} connects"));
        self.drain_node(index);
    }

    fn arrive_at_hub(&mut self, index: u8, bytes: &[u8]) {
        let Ok(frame) = EdgeFrame::from_bytes(bytes) else {
            return self.violate("frames can be read", "the hub cannot read a node's frame");
        };
        self.hub_input(index, HubInput::Frame(frame));
    }

    fn arrive_at_node(&mut self, index: u8, bytes: &[u8]) {
        let Ok(frame) = HubFrame::from_bytes(bytes) else {
            return self.violate("frames can be read", "a node cannot read the hub's frame");
        };
        self.node_input(index, EdgeInput::Frame(frame));
    }

    /// Feeds a node's session, if it is connected, and does what it asks for.
    pub(super) fn node_input(&mut self, index: u8, input: EdgeInput) {
        let now = self.now;
        if let Some(session) = &mut self.nodes[usize::from(index)].session {
            session.handle_input(input, now);
        }
        self.drain_node(index);
    }

    fn hub_input(&mut self, index: u8, input: HubInput) {
        let now = self.now;
        if let Some(session) = self.hub_sessions.get_mut(&index) {
            session.handle_input(input, now);
        }
        self.drain_hub(index);
    }

    fn drain_node(&mut self, index: u8) {
        loop {
            let session = self.nodes[usize::from(index)].session.as_mut();
            let Some(output) = session.and_then(EdgeSession::poll_output) else {
                return;
            };
            match self.do_for_node(index, output) {
                Ok(None) => {}
                Ok(Some(input)) => {
                    let now = self.now;
                    if let Some(session) = &mut self.nodes[usize::from(index)].session {
                        session.handle_input(input, now);
                    }
                }
                Err(_) => return self.reboot(index),
            }
        }
    }

    /// Tells the session that the log has grown, as after every command.
    pub(super) fn log_grew(&mut self, index: u8) {
        let head = self.nodes[usize::from(index)].engine.head();
        self.node_input(index, EdgeInput::LogGrew(head));
    }

    fn do_for_node(
        &mut self,
        index: u8,
        output: EdgeOutput,
    ) -> Result<Option<EdgeInput>, edge_node::engine::EngineError> {
        let clock = self.nodes[usize::from(index)].clock(self.instant());
        let node = &mut self.nodes[usize::from(index)];
        let engine = &mut node.engine;
        match output {
            EdgeOutput::Send(frame) => {
                let link = &mut self.links[usize::from(index)];
                link.post(Way::Up, frame.to_bytes(), self.now, &mut self.dice);
            }
            EdgeOutput::LoadEvents { incarnation, after } => {
                return Ok(Some(EdgeInput::Events(
                    engine.load_events(incarnation, after)?,
                )));
            }
            EdgeOutput::ApplyBucket { cursor, items } => {
                engine.apply_bucket(&cursor, &items, clock)?;
                let head = engine.head();
                self.node_input(index, EdgeInput::LogGrew(head));
                return Ok(Some(EdgeInput::Checkpointed(cursor)));
            }
            EdgeOutput::MarkStored {
                incarnation,
                through,
            } => {
                engine.mark_stored(incarnation, through);
                self.check_mark(index, incarnation, through);
            }
            EdgeOutput::Judged {
                incarnation,
                through,
                exceptions,
            } => {
                engine.judged(incarnation, through, &exceptions)?;
            }
            EdgeOutput::BeginIncarnation(incarnation) => {
                engine.begin_incarnation(incarnation)?;
                return Ok(Some(EdgeInput::LogGrew(engine.head())));
            }
            EdgeOutput::LeaseAnswered(request, answer) => {
                engine.lease_answered(request, &answer, clock)?;
                return Ok(Some(EdgeInput::LogGrew(engine.head())));
            }
            EdgeOutput::NewHub(hub) => engine.begin_hub(hub)?,
            EdgeOutput::LoadGrants => {
                let (logs, known) = engine.all_known()?;
                return Ok(Some(EdgeInput::Grants { logs, known }));
            }
            EdgeOutput::Refused(why) => self.violate("the hub talks to its nodes", why),
            EdgeOutput::ServerTime(..)
            | EdgeOutput::Ready
            | EdgeOutput::SendDatagram(_)
            | EdgeOutput::LoadFixes(_)
            | EdgeOutput::ForgetFixes(_) => {}
        }
        Ok(None)
    }

    /// A node that believes in a mark may prune behind it: the hub must have stored all of it.
    fn check_mark(
        &mut self,
        index: u8,
        incarnation: domain::ids::NodeIncarnation,
        through: domain::ids::Seq,
    ) {
        let node = self.nodes[usize::from(index)].id;
        let stored = self
            .hub
            .disk
            .logs
            .get(&(node, incarnation))
            .map_or(0, Vec::len) as u64;
        let forks = self
            .hub
            .disk
            .forks
            .keys()
            .filter(|(n, inc, ..)| *n == node && *inc == incarnation)
            .map(|(_, _, seq, _)| seq.0);
        let stored = forks.chain([stored]).max().unwrap_or(0);
        if through.0 > stored {
            let what = format!("node {index} was told {through}, the hub has {stored}");
            self.violate("nothing is marked that is not stored", what);
        }
    }

    fn drain_hub(&mut self, index: u8) {
        loop {
            let session = self.hub_sessions.get_mut(&index);
            let Some(output) = session.and_then(HubSession::poll_output) else {
                return;
            };
            if let Some(input) = self.do_for_hub(index, output) {
                let now = self.now;
                if let Some(session) = self.hub_sessions.get_mut(&index) {
                    session.handle_input(input, now);
                }
            }
        }
    }

    fn do_for_hub(&mut self, index: u8, output: HubOutput) -> Option<HubInput> {
        let node = self.nodes[usize::from(index)].id;
        let now = self.instant();
        match output {
            HubOutput::Send(frame) => self.hub_sends(index, &frame),
            HubOutput::Greet(hello) => {
                let welcome = self.hub.greet(node, &hello, now);
                return Some(welcome.map_or_else(
                    || HubInput::Refuse("unknown device".to_owned()),
                    HubInput::Welcome,
                ));
            }
            HubOutput::Store(batch) => self.put_to_work(index, Job::Store(batch)),
            HubOutput::TakeGrants { logs, known } => {
                self.put_to_work(index, Job::Grants(logs, known));
            }
            HubOutput::DecideLease(request) => self.put_to_work(index, Job::Lease(request)),
            HubOutput::LoadBucket { bucket, after } => {
                let (checkpoint, items) = self.hub.load_bucket(node, &bucket, after);
                return Some(HubInput::BucketLoaded {
                    bucket,
                    after,
                    checkpoint,
                    items,
                });
            }
            HubOutput::BucketAcked(cursor) => {
                self.hub.acked(node, &cursor.bucket, cursor.change);
            }
            HubOutput::TellTime(asked) => {
                self.hub_sends(index, &HubSession::time_frame(asked, now));
            }
            // No bus of the simulated world says where it is.
            HubOutput::TakePositions(_) => {}
        }
        None
    }

    fn hub_sends(&mut self, index: u8, frame: &HubFrame) {
        let link = &mut self.links[usize::from(index)];
        link.post(Way::Down, frame.to_bytes(), self.now, &mut self.dice);
    }

    fn put_to_work(&mut self, node: u8, job: Job) {
        self.order += 1;
        let due = self.now.plus_ms(5 + self.dice.below(800));
        self.work.push(Work {
            due,
            order: self.order,
            node,
            job,
        });
    }

    /// Commits what is due; what a crash takes before that was never acknowledged.
    fn do_work(&mut self) {
        while let Some(at) = self.next_work() {
            let Work {
                node: index, job, ..
            } = self.work.swap_remove(at);
            let node = self.nodes[usize::from(index)].id;
            match job {
                Job::Store(batch) => match self.hub.ingest(node, &batch) {
                    Stored::Done {
                        mark,
                        judged,
                        exceptions,
                    } => {
                        self.hub_input(index, HubInput::Stored(mark));
                        self.hub_input(index, HubInput::Judged(judged, exceptions));
                    }
                    Stored::NotNow => self.hub_input(index, HubInput::NotStored),
                },
                Job::Grants(logs, known) => {
                    self.hub.take_grants(node, &logs, &known);
                    self.hub_input(index, HubInput::GrantsTaken(true));
                }
                Job::Lease(request) => {
                    let answer = self.hub.decide_lease(node, &request, self.instant());
                    self.hub_input(index, HubInput::Lease(request.request, answer));
                }
            }
            self.announce();
        }
    }

    fn next_work(&self) -> Option<usize> {
        let due = self
            .work
            .iter()
            .enumerate()
            .filter(|(_, w)| w.due <= self.now);
        Some(due.min_by_key(|(_, w)| (w.due, w.order))?.0)
    }

    /// Wakes the sessions whose buckets have changed.
    pub(super) fn announce(&mut self) {
        let changed = self.hub.disk.buckets.take_changed();
        for index in 0..self.nodes.len() as u8 {
            for bucket in self.buckets_of(index) {
                let node = self.nodes[usize::from(index)].id;
                if changed.contains(&bucket_name(node, &bucket)) {
                    self.hub_input(index, HubInput::BucketChanged(bucket));
                }
            }
        }
    }

    pub(super) fn buckets_of(&self, index: u8) -> Vec<BucketId> {
        let mut buckets = vec![BucketId::Node, BucketId::Company];
        match &self.nodes[usize::from(index)].stop {
            Some(stop) => buckets.push(BucketId::Station(stop.clone())),
            None => buckets.extend(self.trips.iter().map(|t| BucketId::Trip(*t))),
        }
        buckets
    }

    /// What of one node has not yet arrived.
    pub(super) fn unrest_of(&self, index: u8) -> Option<String> {
        let node = &self.nodes[usize::from(index)];
        if !node.session.as_ref().is_some_and(EdgeSession::is_drained) {
            return Some(format!("node {index} has unsent events"));
        }
        let Greeting {
            logs,
            buckets: cursors,
            ..
        } = node.engine.greeting();
        for head in logs {
            let log = self.hub.disk.logs.get(&(node.id, head.incarnation));
            let at = (head.seq.0 as usize)
                .checked_sub(1)
                .and_then(|i| log?.get(i));
            let fork = (node.id, head.incarnation, head.seq, head.hash);
            let same = head.seq.0 == 0
                || at.is_some_and(|e| e.hash == head.hash)
                || self.hub.disk.forks.contains_key(&fork);
            if !same {
                return Some(format!(
                    "node {index}: position {} differs at the hub",
                    head.seq
                ));
            }
        }
        for bucket in self.buckets_of(index) {
            let last = self.hub.disk.buckets.last(&bucket_name(node.id, &bucket));
            let here = cursors
                .iter()
                .find(|c| c.bucket == bucket)
                .map_or(0, |c| c.change);
            if last != here {
                return Some(format!(
                    "node {index} has {} to {here} of {last}",
                    bucket.name()
                ));
            }
        }
        None
    }
}
