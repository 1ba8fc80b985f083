//! The cache of hubs that are several processes: one Redis beside them.
//!
//! A call takes at most [`CALL_MAX`]. After [`FAILURES_MAX`] failures in a row no call is made for
//! [`PAUSE`], so that a Redis that is gone costs the hub nothing; then one call tries again.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, RedisError, cmd, pipe};

use super::{Away, Bucket, Reply, Store, Taken};

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_millis(50);
/// So many failures in a row open the breaker.
const FAILURES_MAX: u32 = 5;
/// How long an open breaker lets nothing through.
const PAUSE: Duration = Duration::from_secs(1);
/// Before every key, for whoever shares the Redis.
const PREFIX: &str = "mwimule:";

/// One atomic step: the bucket's drain time is read, compared and moved by Redis's own clock.
const TAKE: &str = "
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local empty_at = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
local room = every * burst - (empty_at - now)
if room < every then
    return {0, 0, every - room, empty_at - now}
end
empty_at = empty_at + every
redis.call('SET', KEYS[1], string.format('%.0f', empty_at), 'PX', math.ceil((empty_at - now) / 1000) + 1)
return {1, math.floor((room - every) / every), 0, empty_at - now}";

/// A cache in Redis.
pub struct RedisCache {
    connection: ConnectionManager,
    breaker: Breaker,
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisCache")
    }
}

/// The address cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{said}: write redis://host:6379/0, rediss://host:6379/0 or redis+unix:///path/to.sock")]
pub struct BadUrl {
    said: String,
}

impl BadUrl {
    pub(crate) fn new(error: &RedisError) -> Self {
        Self {
            said: error.to_string(),
        }
    }
}

impl RedisCache {
    /// Of the Redis at an address. It connects at the first call, and again whenever it has to;
    /// a Redis that is away now may come later. Needs a running tokio.
    pub fn new(url: &str) -> Result<Self, BadUrl> {
        let bad = |error: RedisError| BadUrl::new(&error);
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CALL_MAX))
            .set_response_timeout(Some(CALL_MAX))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(1));
        let client = Client::open(url).map_err(bad)?;
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config).map_err(bad)?,
            breaker: Breaker::new(),
        })
    }

    pub(crate) async fn call<T, F>(
        &self,
        work: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, Away>
    where
        T: FromRedisValue,
        F: Future<Output = Result<T, RedisError>>,
    {
        if !self.breaker.lets_through() {
            return Err(Away);
        }
        match tokio::time::timeout(CALL_MAX, work(self.connection.clone())).await {
            Ok(Ok(value)) => {
                self.breaker.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => {
                self.breaker.failed(&error.to_string());
                Err(Away)
            }
            Err(_) => {
                self.breaker.failed("no answer in time");
                Err(Away)
            }
        }
    }
}

/// A key with what stands before all of them.
pub(crate) fn named(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// Redis refuses keys that end at once.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl Store for RedisCache {
    fn get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(self.call(async move |mut redis| {
            let get = cmd("GET").arg(named(key)).take();
            get.query_async(&mut redis).await
        }))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> Reply<'a, ()> {
        Box::pin(self.call(async move |mut redis| {
            let mut set = cmd("SET");
            set.arg(named(key)).arg(value).arg("PX").arg(millis(ttl));
            set.query_async(&mut redis).await
        }))
    }

    fn put_new<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> Reply<'a, bool> {
        Box::pin(async move {
            let done: Option<String> = self
                .call(async move |mut redis| {
                    let mut set = cmd("SET");
                    set.arg(named(key)).arg(value).arg("PX").arg(millis(ttl));
                    set.arg("NX").query_async(&mut redis).await
                })
                .await?;
            Ok(done.is_some())
        })
    }

    fn add<'a>(&'a self, key: &'a str, by: i64, ttl: Duration) -> Reply<'a, i64> {
        Box::pin(async move {
            let (sum,): (i64,) = self
                .call(async move |mut redis| {
                    let key = named(key);
                    let mut both = pipe();
                    both.atomic().cmd("SET").arg(&key).arg(0);
                    both.arg("PX").arg(millis(ttl)).arg("NX").ignore();
                    both.cmd("INCRBY").arg(&key).arg(by);
                    both.query_async(&mut redis).await
                })
                .await?;
            Ok(sum)
        })
    }

    fn take<'a>(&'a self, key: &'a str, bucket: Bucket) -> Reply<'a, Taken> {
        Box::pin(async move {
            let (taken, left, wait_us, full_us): (u8, u32, u64, u64) = self
                .call(async move |mut redis| {
                    let mut eval = cmd("EVAL");
                    eval.arg(TAKE).arg(1).arg(named(key));
                    eval.arg(bucket.every_us()).arg(bucket.burst);
                    eval.query_async(&mut redis).await
                })
                .await?;
            Ok(Taken {
                allowed: taken == 1,
                left,
                wait: Duration::from_micros(wait_us),
                full_in: Duration::from_micros(full_us),
            })
        })
    }

    fn forget<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        Box::pin(self.call(async move |mut redis| {
            let mut delete = cmd("DEL");
            delete.arg(named(key)).query_async(&mut redis).await
        }))
    }
}

/// Stops calling what does not answer.
#[derive(Debug)]
struct Breaker {
    began: Instant,
    /// In a row.
    failures: AtomicU32,
    /// Until when nothing passes, in milliseconds since `began`; 0 while closed.
    open_until_ms: AtomicU64,
}

impl Breaker {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            failures: AtomicU32::new(0),
            open_until_ms: AtomicU64::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Whether a call may be made; of an open breaker whose pause is over, one call at a time.
    fn lets_through(&self) -> bool {
        let until = self.open_until_ms.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        let now = self.now_ms();
        let next = now + PAUSE.as_millis() as u64;
        now >= until
            && self
                .open_until_ms
                .compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    fn succeeded(&self) {
        self.failures.store(0, Ordering::Release);
        if self.open_until_ms.swap(0, Ordering::AcqRel) != 0 {
            tracing::info!("Redis answers again");
        }
    }

    fn failed(&self, why: &str) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        if failures >= FAILURES_MAX {
            let until = self.now_ms() + PAUSE.as_millis() as u64;
            if self.open_until_ms.swap(until, Ordering::AcqRel) == 0 {
                tracing::warn!(why, "Redis is away: the hub goes on without it");
            }
        }
    }
}
