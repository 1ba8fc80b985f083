//! Positions: live as datagrams, what was lost after them, within a budget, never before money.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::collapsible_match,
    reason = "whatever is no position does not matter here"
)]

use std::collections::BTreeMap;

use domain::restore::FIRST;
use domain::tracking::{Fix, Source};

use super::*;
use crate::frame::TAKES_POSITIONS;
use crate::session::Budget;

/// A bus with a ring of fixes, a hub that keeps what it takes, and a network that loses some.
struct Bus {
    edge: EdgeSession,
    hub: HubSession,
    ring: BTreeMap<u64, Fix>,
    kept: BTreeMap<u64, Fix>,
    dice: Dice,
    lose_datagrams_in_5: u64,
    lose_frames_in_5: u64,
    /// As sent: whether as a datagram, and the numbers.
    sent: Vec<(bool, Vec<u64>)>,
    now: Uptime,
}

fn fix(seq: u64) -> Fix {
    Fix {
        trip: TripId(1),
        seq,
        at: Instant(seq as i64 * 1_000),
        lat_e7: -154_000_000,
        lon_e7: 282_000_000,
        speed_cm_s: Some(2_000),
        bearing_deg: Some(90),
        accuracy_m: Some(5),
        source: Source::Receiver,
    }
}

impl Bus {
    fn new(seed: u64, takes: Option<u32>, budget: Budget) -> Self {
        let mut bus = Self {
            edge: EdgeSession::within(budget),
            hub: HubSession::new(),
            ring: BTreeMap::new(),
            kept: BTreeMap::new(),
            dice: Dice(seed),
            lose_datagrams_in_5: 0,
            lose_frames_in_5: 0,
            sent: vec![],
            now: Uptime(0),
        };
        bus.connect(takes);
        bus
    }

    fn connect(&mut self, takes: Option<u32>) {
        self.hub = HubSession::new();
        let connected = EdgeInput::Connected {
            logs: vec![ChainHead::empty(ONE)],
            restored: false,
            buckets: vec![],
            hub: FIRST,
            me: None,
        };
        self.edge.handle_input(connected, self.now);
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            hub_incarnation: FIRST,
            now: Instant(0),
            stored: vec![],
            begin: None,
            buckets: vec![],
            tell_grants: false,
            takes,
        };
        self.hub
            .handle_input(HubInput::Welcome(welcome.clone()), self.now);
        let frame = HubFrame::Welcome(welcome);
        self.edge.handle_input(EdgeInput::Frame(frame), self.now);
        self.drain();
    }

    fn lost(&mut self, in_5: u64) -> bool {
        in_5 > 0 && self.dice.roll(5) < in_5
    }

    fn up(&mut self, datagram: bool, frame: &EdgeFrame) {
        let EdgeFrame::Positions(fixes) = frame else {
            return;
        };
        self.sent
            .push((datagram, fixes.iter().map(|f| f.seq).collect()));
        let in_5 = if datagram {
            self.lose_datagrams_in_5
        } else {
            self.lose_frames_in_5
        };
        if !self.lost(in_5) {
            let frame = EdgeFrame::from_bytes(&frame.to_bytes()).unwrap();
            self.hub.handle_input(HubInput::Frame(frame), self.now);
        }
    }

    fn drain(&mut self) {
        loop {
            if let Some(output) = self.edge.poll_output() {
                match output {
                    EdgeOutput::Send(frame) => self.up(false, &frame),
                    EdgeOutput::SendDatagram(frame) => self.up(true, &frame),
                    EdgeOutput::LoadFixes(most) => {
                        let newest = self.ring.values().rev().take(most);
                        let fixes = newest.cloned().collect();
                        self.edge.handle_input(EdgeInput::Fixes(fixes), self.now);
                    }
                    EdgeOutput::ForgetFixes(numbers) => {
                        for number in numbers {
                            assert!(self.kept.contains_key(&number), "{number} was not kept");
                            self.ring.remove(&number);
                        }
                    }
                    _ => {}
                }
            } else if let Some(output) = self.hub.poll_output() {
                match output {
                    HubOutput::TakePositions(fixes) => {
                        let numbers = fixes.iter().map(|f| f.seq).collect();
                        self.kept.extend(fixes.into_iter().map(|f| (f.seq, f)));
                        let taken = HubInput::PositionsTaken(numbers);
                        self.hub.handle_input(taken, self.now);
                    }
                    HubOutput::Send(frame @ HubFrame::PositionsTaken(_)) => {
                        if !self.lost(self.lose_frames_in_5) {
                            self.edge.handle_input(EdgeInput::Frame(frame), self.now);
                        }
                    }
                    _ => {}
                }
            } else {
                return;
            }
        }
    }

    fn drive(&mut self, seq: u64) {
        self.ring.insert(seq, fix(seq));
        self.edge.handle_input(EdgeInput::Fix(fix(seq)), self.now);
        self.drain();
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while let Some(at) = self.edge.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.edge.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }
}

#[test]
fn a_live_fix_goes_at_once_as_a_datagram_and_is_forgotten_once_kept() {
    let mut bus = Bus::new(1, Some(TAKES_POSITIONS), Budget::default());
    bus.drive(1);
    assert_eq!(bus.sent, [(true, vec![1])]);
    assert!(bus.ring.is_empty() && bus.kept.contains_key(&1));
}

#[test]
fn a_hub_that_does_not_say_that_it_takes_positions_never_sees_one() {
    for takes in [None, Some(0), Some(2)] {
        let mut bus = Bus::new(1, takes, Budget::default());
        bus.drive(1);
        bus.wait(60_000);
        assert_eq!(bus.sent, [], "{takes:?}");
        assert_eq!(bus.ring.len(), 1);
    }
}

#[test]
fn whatever_is_lost_every_fix_arrives_in_the_end() {
    for seed in 0..30 {
        let mut bus = Bus::new(seed, Some(TAKES_POSITIONS), Budget::default());
        (bus.lose_datagrams_in_5, bus.lose_frames_in_5) = (3, 2);
        for seq in 1..=300 {
            bus.drive(seq);
            bus.wait(1_000);
        }
        for _ in 0..400 {
            bus.wait(1_000);
        }
        assert_eq!(bus.kept.len(), 300, "seed {seed}");
        assert!(bus.ring.is_empty(), "seed {seed}: {} left", bus.ring.len());
    }
}

#[test]
fn what_waited_goes_after_the_newest_first() {
    let mut bus = Bus::new(1, Some(TAKES_POSITIONS), Budget::default());
    bus.ring.extend((1..=300).map(|seq| (seq, fix(seq))));
    bus.drive(301);
    bus.wait(20_000);
    assert_eq!(bus.sent[0], (true, vec![301]));
    let after: Vec<u64> = bus.sent[1..].iter().flat_map(|(_, n)| n.clone()).collect();
    assert!(bus.sent[1..].iter().all(|(datagram, _)| !datagram));
    assert_eq!(after, (1..=300).rev().collect::<Vec<u64>>());
    assert!(bus.ring.is_empty());
}

#[test]
fn positions_wait_while_an_event_does() {
    let mut bus = Bus::new(1, Some(TAKES_POSITIONS), Budget::default());
    let head = log_of(1, &SigningKey::from_bytes(&[3; 32]))[0].head();
    bus.edge.handle_input(EdgeInput::LogGrew(head), bus.now);
    bus.ring.insert(1, fix(1));
    bus.wait(30_000);
    assert_eq!(bus.sent, [], "the event is not stored");
    let stored = HubFrame::Stored(StoredMark {
        incarnation: ONE,
        through: head.seq,
    });
    bus.edge.handle_input(EdgeInput::Frame(stored), bus.now);
    bus.wait(10_000);
    assert_eq!(bus.sent, [(false, vec![1])]);
}

#[test]
fn a_spent_budget_keeps_fixes_on_the_bus_across_connections_until_it_fills() {
    let day = 240_000;
    let mut bus = Bus::new(1, Some(TAKES_POSITIONS), Budget::of_day(day));
    for seq in 1..=600 {
        bus.drive(seq);
    }
    let spent = bus.sent.len();
    assert!(
        (50..=100).contains(&spent),
        "10 kB bought {spent} datagrams"
    );
    bus.edge = EdgeSession::within(bus.edge.budget());
    bus.connect(Some(TAKES_POSITIONS));
    bus.drive(601);
    assert_eq!(bus.sent.len(), spent, "a new connection is no new budget");
    bus.wait(12 * 3_600_000);
    let bytes: usize = bus
        .sent
        .iter()
        .map(|(_, numbers)| {
            let fixes = numbers.iter().map(|n| fix(*n)).collect();
            EdgeFrame::Positions(fixes).to_bytes().len()
        })
        .sum();
    assert!(bytes as u64 <= day, "{bytes}");
    assert!(bus.ring.is_empty(), "{} left", bus.ring.len());
    let mut metered = Bus::new(1, Some(TAKES_POSITIONS), Budget::of_day(0));
    metered.drive(1);
    metered.wait(3_600_000);
    assert_eq!((metered.sent.len(), metered.ring.len()), (0, 1));
}
