//! What a relay has done, counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Everything a relay has counted since its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Whether everything is dropped.
    pub stopped: bool,
    /// From the clients to the target.
    pub up: DirectionStats,
    /// From the target to the clients.
    pub down: DirectionStats,
    /// Datagrams dropped because there were too many clients.
    pub refused_datagrams: u64,
    /// The clients that have a socket, in the order of their addresses.
    pub clients: Vec<ClientStats>,
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DirectionStats {
    /// Datagrams that came in.
    pub received_datagrams: u64,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Datagrams that went out, duplicates included.
    pub forwarded_datagrams: u64,
    /// Bytes that went out, duplicates included.
    pub forwarded_bytes: u64,
    /// Datagrams dropped because the relay or the client was stopped.
    pub stopped_datagrams: u64,
    /// Datagrams lost by chance.
    pub lost_datagrams: u64,
    /// Datagrams doubled by chance.
    pub duplicated_datagrams: u64,
    /// Datagrams held back by chance.
    pub reordered_datagrams: u64,
    /// Datagrams that could not be sent, or for which there was no room to wait.
    pub failed_datagrams: u64,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientStats {
    /// Where it sends from.
    pub client: SocketAddr,
    /// The address by which the target knows it.
    pub upstream: SocketAddr,
    /// Whether everything from and to it is dropped.
    pub stopped: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub received: Traffic,
    pub forwarded: Traffic,
    pub stopped: AtomicU64,
    pub lost: AtomicU64,
    pub duplicated: AtomicU64,
    pub reordered: AtomicU64,
    pub failed: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct Traffic {
    datagrams: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    pub(crate) fn count(&self, bytes: usize) {
        self.datagrams.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(crate) fn snapshot(&self) -> DirectionStats {
        DirectionStats {
            received_datagrams: self.received.datagrams.load(Relaxed),
            received_bytes: self.received.bytes.load(Relaxed),
            forwarded_datagrams: self.forwarded.datagrams.load(Relaxed),
            forwarded_bytes: self.forwarded.bytes.load(Relaxed),
            stopped_datagrams: self.stopped.load(Relaxed),
            lost_datagrams: self.lost.load(Relaxed),
            duplicated_datagrams: self.duplicated.load(Relaxed),
            reordered_datagrams: self.reordered.load(Relaxed),
            failed_datagrams: self.failed.load(Relaxed),
        }
    }
}
