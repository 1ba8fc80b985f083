//! The engine: one command in, one event committed, then what follows from it.
//!
//! Synchronous, without tasks, clock or sockets: time comes in as an argument, randomness from an
//! [`Entropy`]. Each command goes load → decide → sign → commit → apply → effects. What is in
//! memory is rebuilt from the store whenever a commit fails, so that it never disagrees with disk.

mod command;
mod entropy;
mod error;
mod load;
mod log;
mod outcome;
mod personal;
mod sale;
mod scan;
mod status;
pub mod sync;

pub use command::{Command, SellOrder};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use error::EngineError;
pub use log::{VerifiedEvent, verify_log};
pub use outcome::{IssuedTicket, Outcome, SaleReceipt, ScanOutcome, ShiftReport};
pub use personal::Personal;
pub use scan::Explanation;
pub use status::{LeaseStatus, Status, TripListing};

use domain::counter::{Catalogue, CounterState};
use domain::event::ChainHead;
use domain::ids::{CommandId, CompanyId, NodeId, NodeIncarnation, Seq, TripId};
use domain::scan::TripView;
use domain::ticket::Suite;
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;

use crate::keys::NodeKeys;
use crate::sidecar::{Doubt, Sidecar};
use crate::store::{Disk, EventRow, Store, StoreError};
use load::{Loaded, Place};

/// Who the node is and how it works.
pub struct EngineConfig {
    /// The node.
    pub node: NodeId,
    /// Whose it is.
    pub company: CompanyId,
    /// What it signs with.
    pub keys: NodeKeys,
    /// The hub's keys that grants are checked with.
    pub hub_keys: Vec<VerifyingKey>,
    /// How tickets are signed; HMAC only where the hub gave the node its key for the trip.
    pub suite: Suite,
    /// Where salts come from.
    pub entropy: Box<dyn Entropy>,
    /// The node had a store before: a missing one leaves it in doubt.
    pub store_expected: bool,
}

impl core::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Takes tickets that are to be printed.
pub trait Effects {
    /// The ticket is sold and durable: hand it out.
    fn print(&mut self, ticket: &IssuedTicket);
}

impl Effects for Vec<IssuedTicket> {
    fn print(&mut self, ticket: &IssuedTicket) {
        self.push(ticket.clone());
    }
}

/// Nobody prints: the tickets are in the outcome.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEffects;

impl Effects for NoEffects {
    fn print(&mut self, _: &IssuedTicket) {}
}

/// A node that sells and validates.
pub struct Engine {
    config: EngineConfig,
    store: Store,
    sidecar: Sidecar,
    loaded: Loaded,
    /// A commit failed: what is in memory may disagree with disk.
    stale: bool,
    /// The trip that is boarding, where somebody said so.
    boarding: Option<TripId>,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine")
            .field("node", &self.config.node)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens a node's store and rebuilds its state from the log.
    pub fn open(disk: &Disk, config: EngineConfig) -> Result<Self, EngineError> {
        let (store, opened) = Store::open(disk, config.node, config.store_expected)?;
        let mut sidecar = Sidecar::open(disk)?;
        let loaded = Loaded::load(&store, &sidecar, opened, &config)?;
        if loaded.doubt.is_none() && sidecar.last() != Some(loaded.head) {
            sidecar.note(&loaded.head);
        }
        Ok(Self {
            config,
            store,
            sidecar,
            loaded,
            stale: false,
            boarding: None,
        })
    }

    /// Executes a command. One that was executed before, by its id, gives the same outcome and
    /// nothing else happens. `effects` gets new tickets once they are durable.
    pub fn execute(
        &mut self,
        id: CommandId,
        command: Command,
        now: Instant,
        effects: &mut dyn Effects,
    ) -> Result<Outcome, EngineError> {
        self.refresh()?;
        if let Some(row) = self.event_of_command(id)? {
            return self.replay(&row, &command);
        }
        if let Some(doubt) = &self.loaded.doubt {
            return Err(EngineError::Blocked(doubt.clone()));
        }
        match command {
            Command::OpenShift { .. }
            | Command::CloseShift { .. }
            | Command::Void { .. }
            | Command::Surrender { .. } => self.simple(id, &command, now),
            Command::Sell(order) => self.sell(id, &order, now, effects),
            Command::Scan { trip, text } => self.scan(id, trip, &text, now),
        }
    }

    /// The event that a command led to.
    pub fn event_of_command(&self, id: CommandId) -> Result<Option<EventRow>, EngineError> {
        let Some(at) = self.loaded.commands.get(&id) else {
            return Ok(None);
        };
        self.event_at(*at)
    }

    fn event_at(&self, at: Place) -> Result<Option<EventRow>, EngineError> {
        let before = Seq(at.seq.0.saturating_sub(1));
        let rows = self
            .store
            .events(self.config.node, at.incarnation, before, 1)?;
        Ok(rows.into_iter().next())
    }

    /// Reads everything again when a commit failed.
    fn refresh(&mut self) -> Result<(), EngineError> {
        if !self.stale {
            return Ok(());
        }
        let (store, opened) = Store::open(self.store.disk(), self.config.node, true)?;
        self.store = store;
        let marks = core::mem::take(&mut self.loaded.marks);
        self.loaded = Loaded::load(&self.store, &self.sidecar, opened, &self.config)?;
        // What the hub said of the logs may not have been written yet.
        for (incarnation, mark) in marks {
            self.loaded.marks.insert(incarnation, mark);
        }
        if self.loaded.doubt.is_none() {
            self.sidecar.note(&self.loaded.head);
        }
        self.stale = false;
        Ok(())
    }

    /// A write to the store; when it fails, memory is read again before the next command.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, EngineError> {
        work(&mut self.store).map_err(|error| {
            self.stale = true;
            error.into()
        })
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.config.node
    }

    /// Whose it is.
    pub fn company(&self) -> CompanyId {
        self.config.company
    }

    /// The running incarnation.
    pub fn incarnation(&self) -> NodeIncarnation {
        self.loaded.head.incarnation
    }

    /// The head of the running log.
    pub fn head(&self) -> ChainHead {
        self.loaded.head
    }

    /// Why the node may not sell, if it may not.
    pub fn doubt(&self) -> Option<&Doubt> {
        self.loaded.doubt.as_ref()
    }

    /// What the node knows of itself as a seller.
    pub fn state(&self) -> &CounterState {
        &self.loaded.state
    }

    /// What the company told the node.
    pub fn catalogue(&self) -> &Catalogue {
        &self.loaded.catalogue
    }

    /// What the node knows as a validator of one trip.
    pub fn view(&self, trip: TripId) -> Option<&TripView> {
        self.loaded.views.get(&trip)
    }

    /// The trips that the node validates.
    pub fn validated_trips(&self) -> impl Iterator<Item = TripId> + '_ {
        self.loaded.views.keys().copied()
    }

    /// Which trip is boarding: the one that was named, or the only one whose manifest is here.
    pub fn boarding(&self) -> Option<TripId> {
        let mut trips = self.loaded.views.keys().copied();
        self.boarding
            .or_else(|| match (trips.next(), trips.next()) {
                (Some(trip), None) => Some(trip),
                (None | Some(_), _) => None,
            })
    }

    /// Names the trip that is boarding, until the program ends.
    pub fn set_boarding(&mut self, trip: Option<TripId>) {
        self.boarding = trip;
    }

    /// The store, to look at.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

#[cfg(test)]
pub(crate) mod tests;
