//! For several processes: one Redis beside them. Calls are the cache's, with its time-out and its
//! breaker; word of fixes comes by a subscription that connects again by itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{CompanyId, TripId};
use domain::tracking::{Fix, Place};
use futures_util::StreamExt as _;
use redis::{Client, RedisError, cmd};
use tokio::sync::broadcast;

use super::{HEARD_MAX, Kept, Near, REMEMBERED, Store, TRAIL_MAX};
use crate::cache::{BadUrl, RedisCache, Reply, named};

/// How long to wait before subscribing again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// How long subscribing may take.
const SUBSCRIBING_MAX: Duration = Duration::from_secs(2);
/// Where word of every newer fix goes.
const CHANNEL: &str = "positions";

/// One atomic step: newest wins, by the device's time and then its count.
const PUT: &str = "
local old = redis.call('HMGET', KEYS[1], 'at', 'seq')
local at, seq = tonumber(ARGV[1]), tonumber(ARGV[2])
if old[1] then
    local was = tonumber(old[1])
    if was > at or (was == at and tonumber(old[2]) >= seq) then
        return 0
    end
end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'seq', ARGV[2], 'body', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('LPUSH', KEYS[2], ARGV[3])
redis.call('LTRIM', KEYS[2], 0, ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.pcall('GEOADD', KEYS[3], ARGV[6], ARGV[7], ARGV[8])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('PUBLISH', ARGV[9], ARGV[3])
return 1";

/// What is known this minute, in Redis.
pub struct RedisLive {
    calls: RedisCache,
    tell: broadcast::Sender<Kept>,
    heard: Arc<AtomicBool>,
    listening: tokio::task::JoinHandle<()>,
}

impl fmt::Debug for RedisLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisLive")
    }
}

impl Drop for RedisLive {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn latest_key(trip: TripId) -> String {
    named(&format!("position:{trip}"))
}

fn trail_key(trip: TripId) -> String {
    named(&format!("trail:{trip}"))
}

fn places_key(company: CompanyId) -> String {
    named(&format!("places:{company}"))
}

impl RedisLive {
    /// In the Redis at an address. Needs a running tokio.
    pub fn new(url: &str) -> Result<Self, BadUrl> {
        let calls = RedisCache::new(url)?;
        let client = Client::open(url).map_err(|error| BadUrl::new(&error))?;
        let tell = broadcast::Sender::new(HEARD_MAX);
        let heard = Arc::new(AtomicBool::new(false));
        let listening = tokio::spawn(listen(client, tell.clone(), Arc::clone(&heard)));
        Ok(Self {
            calls,
            tell,
            heard,
            listening,
        })
    }
}

async fn listen(client: Client, tell: broadcast::Sender<Kept>, heard: Arc<AtomicBool>) {
    loop {
        if let Err(error) = listen_once(&client, &tell, &heard).await {
            tracing::debug!(%error, "not listening to other processes' positions");
        }
        if heard.swap(false, Ordering::AcqRel) {
            tracing::warn!("Redis is away: positions of other processes come from the database");
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn listen_once(
    client: &Client,
    tell: &broadcast::Sender<Kept>,
    heard: &AtomicBool,
) -> Result<(), RedisError> {
    let subscribing = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(named(CHANNEL)).await?;
        Ok::<_, RedisError>(subscription)
    };
    let Ok(subscription) = tokio::time::timeout(SUBSCRIBING_MAX, subscribing).await else {
        return Ok(());
    };
    let mut subscription = subscription?;
    heard.store(true, Ordering::Release);
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        if let Ok(kept) = from_cbor::<Kept>(message.get_payload_bytes()) {
            // An error says that nobody listens.
            let _ = tell.send(kept);
        }
    }
    Ok(())
}

impl Store for RedisLive {
    fn put<'a>(&'a self, kept: &'a Kept) -> Reply<'a, bool> {
        Box::pin(async move {
            let trip = kept.fix.trip;
            let place = kept.fix.place();
            let body = to_cbor(kept);
            let newer: u8 = self
                .calls
                .call(async move |mut redis| {
                    let mut eval = cmd("EVAL");
                    eval.arg(PUT).arg(3);
                    eval.arg(latest_key(trip)).arg(trail_key(trip));
                    eval.arg(places_key(kept.company()));
                    eval.arg(kept.fix.at.0).arg(kept.fix.seq).arg(body);
                    eval.arg(REMEMBERED.as_millis() as u64).arg(TRAIL_MAX - 1);
                    eval.arg(place.map_or(0.0, Place::lon));
                    eval.arg(place.map_or(0.0, Place::lat));
                    eval.arg(trip.0).arg(named(CHANNEL));
                    eval.query_async(&mut redis).await
                })
                .await?;
            Ok(newer == 1)
        })
    }

    fn latest(&self, trip: TripId) -> Reply<'_, Option<Kept>> {
        Box::pin(async move {
            let body: Option<Vec<u8>> = self
                .calls
                .call(async move |mut redis| {
                    let mut get = cmd("HGET");
                    get.arg(latest_key(trip)).arg("body");
                    get.query_async(&mut redis).await
                })
                .await?;
            Ok(body.and_then(|body| from_cbor(&body).ok()))
        })
    }

    fn trail(&self, trip: TripId) -> Reply<'_, Vec<Fix>> {
        Box::pin(async move {
            let bodies: Vec<Vec<u8>> = self
                .calls
                .call(async move |mut redis| {
                    let mut range = cmd("LRANGE");
                    range.arg(trail_key(trip)).arg(0).arg(-1);
                    range.query_async(&mut redis).await
                })
                .await?;
            let kept = bodies.iter().filter_map(|b| from_cbor::<Kept>(b).ok());
            Ok(kept.map(|kept| kept.fix).collect())
        })
    }

    fn near(
        &self,
        company: CompanyId,
        at: Place,
        metres: u32,
        most: usize,
    ) -> Reply<'_, Vec<Near>> {
        Box::pin(async move {
            let found: Vec<(u64, f64)> = self
                .calls
                .call(async move |mut redis| {
                    let mut search = cmd("GEOSEARCH");
                    search.arg(places_key(company));
                    search.arg("FROMLONLAT").arg(at.lon()).arg(at.lat());
                    search.arg("BYRADIUS").arg(metres).arg("m").arg("ASC");
                    search.arg("COUNT").arg(most.max(1)).arg("WITHDIST");
                    search.query_async(&mut redis).await
                })
                .await?;
            let near = found.into_iter().map(|(trip, metres)| Near {
                trip: TripId(trip),
                metres,
            });
            Ok(near.collect())
        })
    }

    fn forget(&self, company: CompanyId, trip: TripId) -> Reply<'_, ()> {
        Box::pin(self.calls.call(async move |mut redis| {
            let mut all = redis::pipe();
            all.cmd("DEL").arg(latest_key(trip)).arg(trail_key(trip));
            all.ignore().cmd("ZREM").arg(places_key(company));
            all.arg(trip.0).ignore();
            all.query_async(&mut redis).await
        }))
    }

    fn listen(&self) -> broadcast::Receiver<Kept> {
        self.tell.subscribe()
    }

    fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }
}
