//! Wake-ups inside one process: who waits for a bucket hears that it has changed.
//!
//! What this process says itself goes out to the other processes of the hub too ([`crate::wake`]);
//! what they say is heard here and goes no further.

use std::sync::Arc;

use domain::ids::{CompanyId, NodeId, TripId};
use tokio::sync::broadcast;
use uuid::Uuid;

/// Events that a slow listener may be behind; beyond that it looks at everything again.
const BACKLOG_MAX: usize = 1024;

/// Something that a session, or what a process remembers, may be waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusEvent {
    /// A bucket has a new change.
    Bucket {
        /// Whose.
        company: CompanyId,
        /// Its name in the database.
        name: Arc<str>,
    },
    /// A validator was given a trip.
    Assigned {
        /// Which validator.
        node: NodeId,
        /// Which trip.
        trip: TripId,
    },
    /// A node may no longer connect.
    Revoked(NodeId),
    /// A node has connected to another process: a connection that it has here is dead.
    Came(NodeId),
    /// A company's own settings have changed.
    Company(CompanyId),
    /// Somebody's sessions or rights have changed.
    Standings,
    /// The keys of access tokens have changed.
    TokenKeys,
    /// Wake-ups may have been missed.
    Everything,
}

/// Sends wake-ups to every listener of this process. Losing one costs time, never data.
#[derive(Debug, Clone)]
pub struct Bus {
    /// Names this process among those that share a database.
    id: Uuid,
    here: broadcast::Sender<BusEvent>,
    out: broadcast::Sender<BusEvent>,
}

impl Bus {
    /// A bus that nobody listens to yet.
    pub fn new() -> Self {
        // Without randomness the process number tells processes of one machine apart.
        let random = || getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        Self {
            id: Uuid::from_u64_pair(random(), random()),
            here: broadcast::Sender::new(BACKLOG_MAX),
            out: broadcast::Sender::new(BACKLOG_MAX),
        }
    }

    /// What other processes know this one by.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Tells everybody who listens, here and in the other processes.
    pub fn tell(&self, event: BusEvent) {
        self.tell_others(event.clone());
        self.heard(event);
    }

    /// Tells the other processes only.
    pub fn tell_others(&self, event: BusEvent) {
        // An error says that nobody listens.
        let _ = self.out.send(event);
    }

    /// Tells everybody here what another process has said.
    pub fn heard(&self, event: BusEvent) {
        let _ = self.here.send(event);
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<BusEvent> {
        self.here.subscribe()
    }

    /// How many listen to what this process itself says.
    #[cfg(test)]
    pub(crate) fn own_listeners(&self) -> usize {
        self.out.receiver_count()
    }

    /// Listens to what this process itself says.
    pub fn listen_own(&self) -> broadcast::Receiver<BusEvent> {
        self.out.subscribe()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}
