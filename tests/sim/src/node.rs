//! One node: the real engine on a disk in memory, its session, and what a power cut spares.

use domain::ids::{CommandId, CompanyId, NodeId, NodeIncarnation, Seq, StopCode};
use domain::ticket::Suite;
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;
use edge_node::engine::{
    Command, Engine, EngineConfig, EngineError, IssuedTicket, Outcome, SeededEntropy,
};
use edge_node::keys::NodeKeys;
use edge_node::store::{Disk, DiskImage, MemoryDisk};
use sync_protocol::Uptime;
use sync_protocol::session::EdgeSession;
use uuid::Uuid;

/// How many old sidecars and disk images are kept.
const KEPT: usize = 6;

/// One node of the world.
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// A station's stop; `None` for the bus.
    pub stop: Option<StopCode>,
    /// Its keys; they are on no image.
    pub keys: NodeKeys,
    /// Its disk.
    pub disk: MemoryDisk,
    /// The running process.
    pub engine: Engine,
    /// The running connection.
    pub session: Option<EdgeSession>,
    /// When it will try to connect.
    pub connect_at: Option<Uptime>,
    /// How wrong its clock is, in ms.
    pub clock_ms: i64,
    /// The last sale's command, for retries.
    pub last_sale: Option<(CommandId, Command)>,
    /// The furthest head that its log ever had.
    pub furthest: (NodeIncarnation, Seq),
    /// Disk images, the oldest first.
    pub images: Vec<DiskImage>,
    /// Sidecars as they were, the oldest first.
    pub sidecars: Vec<Option<Vec<u8>>>,
    config: Config,
}

/// What a process of the node is started with.
#[derive(Clone)]
struct Config {
    id: NodeId,
    keys: NodeKeys,
    hub_key: VerifyingKey,
    entropy: u64,
}

impl Config {
    fn open(&self, disk: &MemoryDisk) -> Result<Engine, EngineError> {
        Engine::open(
            &Disk::Memory(disk.clone()),
            EngineConfig {
                node: self.id,
                company: CompanyId(Uuid::nil()),
                keys: self.keys.clone(),
                hub_keys: vec![self.hub_key],
                suite: Suite::Ed25519,
                entropy: Box::new(SeededEntropy::new(self.entropy)),
                store_expected: true,
            },
        )
    }
}

impl Node {
    /// A node that was just enrolled.
    pub fn new(
        index: u8,
        stop: Option<StopCode>,
        hub_key: VerifyingKey,
        entropy: u64,
    ) -> Result<Self, EngineError> {
        let id = NodeId(Uuid::from_u128(0x0d00 + u128::from(index)));
        let keys = NodeKeys::from_seeds([10 + index; 32], [20 + index; 32]);
        let disk = MemoryDisk::new(&format!("node {index}"))?;
        let config = Config {
            id,
            keys: keys.clone(),
            hub_key,
            entropy,
        };
        let engine = config.open(&disk)?;
        Ok(Self {
            id,
            stop,
            keys,
            engine,
            disk,
            session: None,
            connect_at: Some(Uptime(0)),
            clock_ms: 0,
            last_sale: None,
            furthest: (NodeIncarnation(1), Seq(0)),
            images: vec![],
            sidecars: vec![],
            config,
        })
    }

    /// Kills the process and starts it again on what its disk holds.
    pub fn reboot(&mut self, now: Uptime) -> Result<(), EngineError> {
        self.disk.clear_fault();
        self.session = None;
        self.connect_at = Some(now.plus_ms(3_000));
        self.config.entropy = self.config.entropy.wrapping_add(1);
        self.engine = self.config.open(&self.disk)?;
        Ok(())
    }

    /// What its clock shows.
    pub fn clock(&self, now: Instant) -> Instant {
        now.plus_ms(self.clock_ms)
    }

    /// Gives a command; tickets that were handed out come back even when the command failed.
    pub fn command(
        &mut self,
        id: CommandId,
        command: &Command,
        now: Instant,
    ) -> (Result<Outcome, EngineError>, Vec<IssuedTicket>) {
        let mut printed: Vec<IssuedTicket> = vec![];
        let at = self.clock(now);
        let outcome = self.engine.execute(id, command.clone(), at, &mut printed);
        self.note_head();
        if let Ok(Outcome::Sold(receipt)) = &outcome {
            for ticket in &receipt.tickets {
                if printed.iter().all(|p| p.id != ticket.id) {
                    printed.push(ticket.clone());
                }
            }
        }
        (outcome, printed)
    }

    /// Remembers how far the log has come.
    pub fn note_head(&mut self) {
        let head = self.engine.head();
        self.furthest = self.furthest.max((head.incarnation, head.seq));
    }

    /// Remembers the sidecar as it is, for power cuts.
    pub fn note_sidecar(&mut self) {
        self.note_head();
        let sidecar = self.disk.sidecar();
        if self.sidecars.last() != Some(&sidecar) {
            self.sidecars.push(sidecar);
            if self.sidecars.len() > KEPT {
                self.sidecars.remove(0);
            }
        }
    }

    /// Takes a backup of the disk.
    pub fn take_image(&mut self) -> Result<(), EngineError> {
        self.images.push(self.disk.image()?);
        if self.images.len() > KEPT {
            self.images.remove(0);
        }
        Ok(())
    }
}
