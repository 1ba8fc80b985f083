//! The world: what there is, one step after the other, and the laws after each.

mod acts;
mod door;
mod pump;
mod setup;
mod swaps;

use std::collections::BTreeMap;

use domain::ids::{CommandId, TripId};
use domain::time::Instant;
use sync_protocol::Uptime;
use sync_protocol::batch::EventBatch;
use sync_protocol::frame::{Known, LogHead};
use sync_protocol::session::HubSession;
use uuid::Uuid;

use crate::dice::Dice;
use crate::hub::Hub;
use crate::invariants::{self, Violation};
use crate::model::Truth;
use crate::network::Link;
use crate::node::Node;
use crate::ops::{self, Op};
use crate::trace::Trace;

/// Operations of one seed.
const STEPS: usize = 150;
/// How many backups of the hub are kept.
const HUB_IMAGES: usize = 3;
/// How long the world may take to come to rest once healed, in ms.
const REST_MS: u64 = 30 * 60_000;

/// One operation and the time after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub op: Op,
    /// How long the world then runs, in ms.
    pub wait_ms: u64,
}

/// What became of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Its steps.
    pub script: Vec<Step>,
    /// The law that broke.
    pub violation: Option<Violation>,
    /// At which step; none when it broke after healing.
    pub broke_at: Option<usize>,
    /// SHA-256 over the trace.
    pub trace_hash: String,
    /// How often each operation took effect.
    pub took_effect: BTreeMap<&'static str, u64>,
    /// How long it lasted in the world, in ms.
    pub simulated_ms: u64,
    /// Tickets that were handed out.
    pub tickets: u64,
}

/// Work that the hub has in hand; a crash loses it.
#[derive(Debug)]
enum Job {
    Store(EventBatch),
    Grants(Vec<LogHead>, Known),
    Lease(domain::lease::LeaseRequest),
}

#[derive(Debug)]
struct Work {
    due: Uptime,
    order: u64,
    node: u8,
    job: Job,
}

/// The world.
pub struct World {
    dice: Dice,
    now: Uptime,
    base: Instant,
    hub: Hub,
    /// Backups of the hub and when they were made, the oldest first.
    hub_images: Vec<(crate::hub::Disk, Instant)>,
    trips: Vec<TripId>,
    nodes: Vec<Node>,
    links: Vec<Link>,
    hub_sessions: BTreeMap<u8, HubSession>,
    work: Vec<Work>,
    order: u64,
    truth: Truth,
    took_effect: BTreeMap<&'static str, u64>,
    trace: Trace,
    violation: Option<Violation>,
}

/// The steps of a seed.
pub fn script_of(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..STEPS)
        .map(|_| Step {
            op: Op::roll(&mut dice),
            // Half of the steps follow at once, so that faults meet frames under way.
            wait_ms: if dice.chance(500) {
                dice.below(1_500)
            } else {
                dice.below(150_000)
            },
        })
        .collect()
}

/// Runs a seed.
pub fn run_seed(seed: u64) -> Outcome {
    run_script(seed, &script_of(seed))
}

/// Runs given steps in the world of a seed.
pub fn run_script(seed: u64, script: &[Step]) -> Outcome {
    let mut world = match World::new(seed) {
        Ok(world) => world,
        Err(error) => return broken(seed, script, error.to_string()),
    };
    let mut broke_at = None;
    world.settle();
    for (at, step) in script.iter().enumerate() {
        world.step(*step, at);
        if world.violation.is_some() {
            broke_at = Some(at);
            break;
        }
    }
    if world.violation.is_none() {
        world.heal_and_rest();
    }
    Outcome {
        seed,
        script: script.to_vec(),
        broke_at,
        violation: world.violation,
        trace_hash: world.trace.finish(),
        took_effect: world.took_effect,
        simulated_ms: world.now.0,
        tickets: world.truth.order.len() as u64,
    }
}

fn broken(seed: u64, script: &[Step], what: String) -> Outcome {
    Outcome {
        seed,
        script: script.to_vec(),
        violation: Some(Violation::new("the world begins", what)),
        broke_at: Some(0),
        trace_hash: String::new(),
        took_effect: BTreeMap::new(),
        simulated_ms: 0,
        tickets: 0,
    }
}

impl World {
    /// True time in the world.
    fn instant(&self) -> Instant {
        self.base.plus_ms(self.now.0 as i64)
    }

    fn command_id(&mut self) -> CommandId {
        CommandId(Uuid::from_bytes(self.dice.bytes16()))
    }

    fn note(&mut self, text: &str) {
        self.trace.line(&format!("{} {text}", self.now.0));
    }

    fn count(&mut self, name: &'static str, times: u64) {
        if times > 0 {
            *self.took_effect.entry(name).or_insert(0) += times;
        }
    }

    fn violate(&mut self, law: &'static str, what: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation::new(law, what));
        }
    }

    fn step(&mut self, step: Step, at: usize) {
        if at.is_multiple_of(12) {
            self.back_up_hub();
            for node in &mut self.nodes {
                if let Err(error) = node.take_image() {
                    let what = error.to_string();
                    self.violation
                        .get_or_insert(Violation::new("a backup can be taken", what));
                }
            }
        }
        let effect = self.act(step.op);
        self.note(&format!("{:?} -> {effect}", step.op));
        if effect {
            self.count(step.op.name(), 1);
        }
        self.run_until(self.now.plus_ms(step.wait_ms));
        self.nodes.iter_mut().for_each(Node::note_sidecar);
        self.check();
    }

    fn back_up_hub(&mut self) {
        let at = self.instant();
        self.hub_images.push((self.hub.disk.clone(), at));
        if self.hub_images.len() > HUB_IMAGES {
            self.hub_images.remove(0);
        }
    }

    /// The laws that hold at every moment.
    fn check(&mut self) {
        let found = invariants::passengers(&self.truth, &self.hub)
            .or_else(|| invariants::seats_of_today(&self.truth, &self.hub))
            .or_else(|| invariants::overflow(&self.hub))
            .or_else(|| invariants::owners(&self.hub))
            .or_else(|| invariants::kept_seats(&self.hub))
            .or_else(|| invariants::grants(&self.hub))
            .or_else(|| invariants::ledger(&self.hub));
        if let Some(violation) = found {
            self.violation.get_or_insert(violation);
        }
    }

    /// Lets everything arrive at the start, and gives each station some seats of each trip.
    fn settle(&mut self) {
        self.run_until(self.now.plus_ms(10_000));
        for node in 0..ops::STATIONS {
            for trip in 0..ops::TRIPS {
                self.top_up(node, trip, 0, 2);
                self.top_up(node, trip, u8::MAX, 3);
            }
        }
        self.run_until(self.now.plus_ms(20_000));
    }

    /// Heals the network and lets the world come to rest; then nothing may be missing anywhere.
    fn heal_and_rest(&mut self) {
        for (link, node) in self.links.iter_mut().zip(&mut self.nodes) {
            link.heal();
            node.disk.clear_fault();
        }
        for index in 0..self.nodes.len() as u8 {
            self.disconnect(index);
        }
        let end = self.now.plus_ms(REST_MS);
        while self.violation.is_none() && self.unrest().is_some() && self.now < end {
            self.run_until(self.now.plus_ms(5_000));
            self.check();
        }
        if let Some(what) = self.unrest() {
            self.violate("all converge after healing", what);
        }
        if let Some(violation) = invariants::nothing_lost(&self.truth, &self.hub) {
            self.violation.get_or_insert(violation);
        }
        self.check();
        self.note("rest");
    }

    /// What has not yet arrived where it belongs.
    fn unrest(&self) -> Option<String> {
        if !self.work.is_empty() {
            return Some("the hub has work in hand".to_owned());
        }
        (0..self.nodes.len() as u8).find_map(|index| self.unrest_of(index))
    }
}
