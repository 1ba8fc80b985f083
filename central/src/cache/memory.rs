//! The cache of a hub that is one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Bucket, Reply, Store, Taken};

/// Beyond so many keys the ended ones are thrown out; if none has ended, all of them.
const KEYS_MAX: usize = 100_000;

/// A cache in this process's memory.
#[derive(Debug, Default)]
pub struct MemoryCache {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    ends: Instant,
}

impl MemoryCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= KEYS_MAX {
            let now = Instant::now();
            entries.retain(|_, e| e.ends > now);
            if entries.len() >= KEYS_MAX {
                entries.clear();
            }
        }
        work(&mut entries)
    }

    fn live<'a>(entries: &'a HashMap<String, Entry>, key: &str) -> Option<&'a Entry> {
        entries.get(key).filter(|e| e.ends > Instant::now())
    }
}

fn entry(value: &[u8], ttl: Duration) -> Entry {
    Entry {
        value: value.to_vec(),
        ends: Instant::now() + ttl,
    }
}

impl Store for MemoryCache {
    fn get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Vec<u8>>> {
        let value = self.with(|e| Self::live(e, key).map(|e| e.value.clone()));
        Box::pin(async { Ok(value) })
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> Reply<'a, ()> {
        self.with(|e| e.insert(key.to_owned(), entry(value, ttl)));
        Box::pin(async { Ok(()) })
    }

    fn put_new<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> Reply<'a, bool> {
        let fresh = self.with(|e| {
            let fresh = Self::live(e, key).is_none();
            if fresh {
                e.insert(key.to_owned(), entry(value, ttl));
            }
            fresh
        });
        Box::pin(async move { Ok(fresh) })
    }

    fn add<'a>(&'a self, key: &'a str, by: i64, ttl: Duration) -> Reply<'a, i64> {
        let sum = self.with(|entries| {
            let live = Self::live(entries, key);
            let before: i64 = live
                .and_then(|e| std::str::from_utf8(&e.value).ok()?.parse().ok())
                .unwrap_or(0);
            let ends = live.map_or_else(|| Instant::now() + ttl, |e| e.ends);
            let sum = before.saturating_add(by);
            let value = sum.to_string().into_bytes();
            entries.insert(key.to_owned(), Entry { value, ends });
            sum
        });
        Box::pin(async move { Ok(sum) })
    }

    fn take<'a>(&'a self, key: &'a str, bucket: Bucket) -> Reply<'a, Taken> {
        let taken = self.with(|entries| {
            let every = Duration::from_micros(bucket.every_us());
            let now = Instant::now();
            // The entry ends when the bucket is full again.
            let full_at = Self::live(entries, key).map_or(now, |e| e.ends);
            let missing = full_at.saturating_duration_since(now);
            let room = (every * bucket.burst).saturating_sub(missing);
            if room < every {
                return Taken {
                    allowed: false,
                    left: 0,
                    wait: every.saturating_sub(room),
                    full_in: missing,
                };
            }
            let full_in = missing + every;
            entries.insert(key.to_owned(), entry(&[], full_in));
            Taken {
                allowed: true,
                left: (room.saturating_sub(every).as_micros() / every.as_micros()) as u32,
                wait: Duration::ZERO,
                full_in,
            }
        });
        Box::pin(async move { Ok(taken) })
    }

    fn forget<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        self.with(|e| e.remove(key));
        Box::pin(async { Ok(()) })
    }
}
