//! What may be forgotten at any moment: a fast path, counters, throttles.
//!
//! Postgres holds the truth. Whoever reads from here goes on without it: [`Away`] is an answer,
//! never a failed request.

mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use memory::MemoryCache;

/// The cache cannot be reached, or took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cache does not answer")]
pub struct Away;

/// What an operation comes to, some time later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Away>> + Send + 'a>>;

/// A place for values that may vanish. Every key ends by itself.
pub trait Store: fmt::Debug + Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Vec<u8>>>;
    /// Sets a key for a time.
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> Reply<'a, ()>;
    /// Sets a key that is not set; whether it did.
    fn put_new<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> Reply<'a, bool>;
    /// Adds to a counter, which ends `ttl` after its first addition; gives the sum.
    fn add<'a>(&'a self, key: &'a str, by: i64, ttl: Duration) -> Reply<'a, i64>;
    /// Forgets a key.
    fn forget<'a>(&'a self, key: &'a str) -> Reply<'a, ()>;
}

/// The hub's cache.
pub type Cache = Arc<dyn Store>;
