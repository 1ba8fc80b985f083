//! One suite over both caches, and what a Redis that goes away costs.

use std::fmt::Write as _;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Away, Bucket, Cache, MemoryCache, RedisCache};

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(40);
const DEADLINE: Duration = Duration::from_secs(20);

/// A Redis of one test's own, so that the test may kill it.
struct Server {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self {
            folder,
            child: None,
        };
        server.again().await;
        server
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn cache(&self) -> Cache {
        let url = format!("redis+unix://{}", self.socket().display());
        Arc::new(RedisCache::new(&url).unwrap())
    }

    async fn again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(self.socket())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: install the package redis-server");
        self.child = Some(child);
        until("Redis answers", async || {
            std::os::unix::net::UnixStream::connect(self.socket()).is_ok()
        })
        .await;
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !look().await {
        assert!(began.elapsed() < DEADLINE, "waited for: {what}");
        // tidy-allow-sleep: between two looks at a condition
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Names that no other run of the suite uses in the same Redis.
fn fresh(name: &str) -> String {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    let mut key = format!("test:{name}:");
    for byte in random {
        write!(key, "{byte:02x}").unwrap();
    }
    key
}

async fn behaves(cache: &Cache) {
    let key = fresh("value");
    assert_eq!(cache.get(&key).await, Ok(None));
    cache.put(&key, b"\0\xff one", LONG).await.unwrap();
    assert_eq!(cache.get(&key).await, Ok(Some(b"\0\xff one".to_vec())));
    assert_eq!(cache.put_new(&key, b"two", LONG).await, Ok(false));
    cache.put(&key, b"three", LONG).await.unwrap();
    assert_eq!(cache.get(&key).await, Ok(Some(b"three".to_vec())));
    cache.forget(&key).await.unwrap();
    cache.forget(&key).await.unwrap();
    assert_eq!(cache.put_new(&key, b"four", LONG).await, Ok(true));
    assert_eq!(cache.get(&key).await, Ok(Some(b"four".to_vec())));

    let key = fresh("ends");
    cache.put(&key, b"soon gone", SHORT).await.unwrap();
    until("the key has ended", async || {
        cache.get(&key).await == Ok(None)
    })
    .await;
    cache
        .put(&key, b"gone at once", Duration::ZERO)
        .await
        .unwrap();
    until("a key without time ends too", async || {
        cache.put_new(&key, b"x", LONG).await == Ok(true)
    })
    .await;
}

async fn counts(cache: &Cache) {
    let key = fresh("count");
    assert_eq!(cache.add(&key, 2, LONG).await, Ok(2));
    assert_eq!(cache.add(&key, -5, LONG).await, Ok(-3));
    assert_eq!(cache.get(&key).await, Ok(Some(b"-3".to_vec())));

    // The first addition decides when it ends; later ones do not prolong it.
    let key = fresh("window");
    let began = Instant::now();
    cache
        .add(&key, 1, Duration::from_millis(200))
        .await
        .unwrap();
    until("the window has ended", async || {
        cache.add(&key, 1, LONG).await == Ok(1)
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(190));

    let key = fresh("together");
    let adding: Vec<_> = (0..50)
        .map(|_| {
            let (cache, key) = (cache.clone(), key.clone());
            tokio::spawn(async move { cache.add(&key, 1, LONG).await })
        })
        .collect();
    let mut sums = vec![];
    for one in adding {
        sums.push(one.await.unwrap().unwrap());
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).collect::<Vec<i64>>());
}

async fn meters(cache: &Cache) {
    let slow = Bucket {
        burst: 3,
        fill: Duration::from_hours(3),
    };
    let key = fresh("bucket");
    for left in [2, 1, 0] {
        let taken = cache.take(&key, slow).await.unwrap();
        assert!(taken.allowed);
        assert_eq!(taken.left, left);
        assert_eq!(taken.wait, Duration::ZERO);
    }
    let refused = cache.take(&key, slow).await.unwrap();
    assert!(!refused.allowed);
    let hour = Duration::from_hours(1);
    assert!(refused.wait <= hour, "{refused:?}");
    assert!(refused.wait > Duration::from_mins(59), "{refused:?}");
    assert!(refused.full_in > 2 * hour, "{refused:?}");
    // A refusal takes nothing.
    let again = cache.take(&key, slow).await.unwrap();
    assert!(again.wait <= refused.wait);

    let quick = Bucket {
        burst: 1,
        fill: Duration::from_millis(30),
    };
    let key = fresh("refills");
    assert!(cache.take(&key, quick).await.unwrap().allowed);
    until("a token has grown", async || {
        cache.take(&key, quick).await.unwrap().allowed
    })
    .await;
}

async fn suite(cache: Cache) {
    behaves(&cache).await;
    counts(&cache).await;
    meters(&cache).await;
}

#[tokio::test]
async fn the_cache_in_memory_keeps_the_contract() {
    suite(Arc::new(MemoryCache::new())).await;
}

#[tokio::test]
async fn the_cache_in_redis_keeps_the_contract() {
    if let Ok(url) = std::env::var("MWIMULE_TEST_REDIS_URL") {
        suite(Arc::new(RedisCache::new(&url).unwrap())).await;
    } else {
        let server = Server::start().await;
        suite(server.cache()).await;
    }
}

#[tokio::test]
async fn a_killed_redis_is_away_at_once_and_found_again_when_it_is_back() {
    let mut server = Server::start().await;
    let cache = server.cache();
    cache.put("kept", b"1", LONG).await.unwrap();
    server.kill();
    for _ in 0..20 {
        assert_eq!(cache.get("kept").await, Err(Away));
    }
    // The breaker is open: a thousand calls cost less than one that waits would.
    let began = Instant::now();
    let mut reached = 0;
    for _ in 0..1_000 {
        reached += usize::from(cache.add("n", 1, LONG).await.is_ok());
    }
    assert_eq!(reached, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.again().await;
    until("the hub has found Redis again", async || {
        cache.get("kept").await == Ok(None)
    })
    .await;
    assert_eq!(cache.add("n", 1, LONG).await, Ok(1));
}

#[tokio::test]
async fn a_redis_that_accepts_and_says_nothing_is_away_within_the_time_of_a_call() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let _listening: io::Result<_> = std::os::unix::net::UnixListener::bind(&socket);
    let url = format!("redis+unix://{}", socket.display());
    let cache = RedisCache::new(&url).unwrap();
    use super::Store as _;
    for _ in 0..6 {
        let began = Instant::now();
        assert_eq!(cache.get("x").await, Err(Away));
        // The limit is 50 ms; the rest is a busy machine's.
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_with_what_to_write() {
    let error = RedisCache::new("localhost:6379").unwrap_err().to_string();
    assert!(error.contains("redis://host:6379/0"), "{error}");
}
