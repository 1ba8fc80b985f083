//! Wake-ups inside one process: who waits for a bucket hears that it has changed.

use std::sync::Arc;

use domain::ids::{CompanyId, NodeId, TripId};
use tokio::sync::broadcast;

/// Events that a slow listener may be behind; beyond that it looks at everything again.
const BACKLOG_MAX: usize = 1024;

/// Something that a session may be waiting for.
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
}

/// Sends wake-ups to every listener of this process. Losing one costs time, never data.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<BusEvent>);

impl Bus {
    /// A bus that nobody listens to yet.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG_MAX))
    }

    /// Tells everybody who listens.
    pub fn tell(&self, event: BusEvent) {
        // An error says that nobody listens.
        let _ = self.0.send(event);
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<BusEvent> {
        self.0.subscribe()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}
