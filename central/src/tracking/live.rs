//! What is known of buses this minute: the latest fix of each trip, a short trail, where they are
//! by place, and word of every newer fix to all processes. It may be forgotten at any moment.

mod memory;
mod redis;

use domain::ids::{CompanyId, TripId};
use domain::time::Instant;
use domain::tracking::{Fix, Place};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::cache::Reply;

pub use memory::MemoryLive;
pub use redis::RedisLive;

/// For how long a trip without a newer fix is remembered.
const REMEMBERED: Duration = Duration::from_hours(3);
/// The longest trail, in fixes.
const TRAIL_MAX: usize = 120;
/// Fixes that a slow listener may be behind; beyond it looks at the latest.
const HEARD_MAX: usize = 4_096;

/// A fix with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Kept {
    #[n(0)]
    company: [u8; 16],
    /// When the hub heard of it.
    #[n(1)]
    pub heard_at: Instant,
    /// Where the bus was.
    #[n(2)]
    pub fix: Fix,
}

impl Kept {
    /// A fix of a company.
    pub fn new(company: CompanyId, fix: Fix, heard_at: Instant) -> Self {
        Self {
            company: company.0.into_bytes(),
            heard_at,
            fix,
        }
    }

    /// Whose.
    pub fn company(&self) -> CompanyId {
        CompanyId(Uuid::from_bytes(self.company))
    }
}

/// A trip near a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Which.
    pub trip: TripId,
    /// How far, in metres.
    pub metres: f64,
}

/// A place for what is true this minute.
pub trait Store: fmt::Debug + Send + Sync {
    /// Keeps a fix and tells every listener, if it is newer than the one kept; whether it was.
    fn put<'a>(&'a self, kept: &'a Kept) -> Reply<'a, bool>;
    /// The latest fix of a trip.
    fn latest(&self, trip: TripId) -> Reply<'_, Option<Kept>>;
    /// The last fixes of a trip, the newest first.
    fn trail(&self, trip: TripId) -> Reply<'_, Vec<Fix>>;
    /// A company's trips around a place, the nearest first.
    fn near(&self, company: CompanyId, at: Place, metres: u32, most: usize)
    -> Reply<'_, Vec<Near>>;
    /// A trip is over.
    fn forget(&self, company: CompanyId, trip: TripId) -> Reply<'_, ()>;
    /// Hears of every newer fix from this moment on, whichever process keeps it.
    fn listen(&self) -> broadcast::Receiver<Kept>;
    /// Whether word of other processes' fixes comes through.
    fn is_heard(&self) -> bool;
}

/// What is known this minute.
pub type Live = Arc<dyn Store>;

#[cfg(test)]
mod tests;
