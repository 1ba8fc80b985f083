//! What may be forgotten at any moment: a fast path, counters, throttles.
//!
//! Postgres holds the truth. Whoever reads from here goes on without it: [`Away`] is an answer,
//! never a failed request.

mod memory;
mod redis;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use memory::MemoryCache;
pub(crate) use redis::named;
pub use redis::{BadUrl, RedisCache};

/// The cache cannot be reached, or took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cache does not answer")]
pub struct Away;

/// What an operation comes to, some time later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Away>> + Send + 'a>>;

/// How many tokens a bucket holds, and how soon an empty one is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// At most so many at once; at least 1.
    pub burst: u32,
    /// From empty to full; more than a microsecond a token.
    pub fill: Duration,
}

impl Bucket {
    /// How long one token takes, in microseconds.
    fn every_us(self) -> u64 {
        let fill_us = u64::try_from(self.fill.as_micros()).unwrap_or(u64::MAX);
        (fill_us / u64::from(self.burst.max(1))).max(1)
    }
}

/// What came out of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// A token, or nothing.
    pub allowed: bool,
    /// How many tokens are left.
    pub left: u32,
    /// How long until there is one; zero when one was taken.
    pub wait: Duration,
    /// How long until the bucket is full.
    pub full_in: Duration,
}

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
    /// Takes one token out of a bucket, which fills up by itself.
    fn take<'a>(&'a self, key: &'a str, bucket: Bucket) -> Reply<'a, Taken>;
    /// Forgets a key.
    fn forget<'a>(&'a self, key: &'a str) -> Reply<'a, ()>;
}

/// The hub's cache.
pub type Cache = Arc<dyn Store>;

#[cfg(test)]
mod tests;
