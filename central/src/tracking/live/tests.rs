//! One suite over both stores, and what a Redis that goes away costs.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use domain::ids::{CompanyId, TripId};
use domain::time::Instant;
use domain::tracking::{Fix, Place, Source};
use uuid::Uuid;

use super::{Kept, Live, MemoryLive, RedisLive};

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

    fn live(&self) -> Live {
        let url = format!("redis+unix://{}", self.socket().display());
        Arc::new(RedisLive::new(&url).unwrap())
    }

    async fn again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(self.socket())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts: install the package redis-server");
        self.child = Some(child);
        let socket = self.socket();
        until("Redis answers", async || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
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
    let began = Moment::now();
    while !look().await {
        assert!(began.elapsed() < DEADLINE, "waited for: {what}");
        // tidy-allow-sleep: between two looks at a condition
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn company(n: u128) -> CompanyId {
    CompanyId(Uuid::from_u128(n))
}

fn kept(of: u128, trip: u64, at: i64, seq: u64) -> Kept {
    let fix = Fix {
        trip: TripId(trip),
        seq,
        at: Instant(at),
        lat_e7: -154_000_000 - seq as i32 * 1_000,
        lon_e7: 282_000_000,
        speed_cm_s: None,
        bearing_deg: None,
        accuracy_m: None,
        source: Source::Receiver,
    };
    Kept::new(company(of), fix, Instant(at + 5))
}

async fn behaves(live: &Live) {
    let seq = async |trip: u64| {
        let latest = live.latest(TripId(trip)).await.unwrap();
        latest.map(|kept| kept.fix.seq)
    };
    until("word comes through", async || live.is_heard()).await;
    let mut heard = live.listen();
    assert_eq!(seq(7).await, None);
    assert_eq!(live.put(&kept(1, 7, 1_000, 5)).await, Ok(true));
    assert_eq!(
        live.put(&kept(1, 7, 1_000, 5)).await,
        Ok(false),
        "the same again"
    );
    assert_eq!(
        live.put(&kept(1, 7, 1_000, 6)).await,
        Ok(true),
        "counted later"
    );
    assert_eq!(live.put(&kept(1, 7, 900, 99)).await, Ok(false), "late");
    assert_eq!(seq(7).await, Some(6));
    let latest = live.latest(TripId(7)).await.unwrap();
    assert_eq!(latest, Some(kept(1, 7, 1_000, 6)));
    for wanted in [5, 6] {
        let told = tokio::time::timeout(DEADLINE, heard.recv()).await;
        assert_eq!(told.unwrap().unwrap().fix.seq, wanted);
    }
    assert!(heard.try_recv().is_err(), "what is not newer is not told");
    for n in 0..200 {
        assert_eq!(live.put(&kept(1, 8, 2_000 + n, 1)).await, Ok(true));
    }
    let trail = live.trail(TripId(8)).await.unwrap();
    assert_eq!(trail.len(), 120, "a short trail");
    assert_eq!(
        (trail[0].at, trail[119].at),
        (Instant(2_199), Instant(2_080))
    );
    assert_eq!(live.put(&kept(2, 9, 1, 1)).await, Ok(true));
    let at = Place::new(-154_000_000, 282_000_000).unwrap();
    let near = async |of: u128, metres: u32, most: usize| {
        let near = live.near(company(of), at, metres, most).await.unwrap();
        near.iter().map(|n| n.trip.0).collect::<Vec<_>>()
    };
    assert_eq!(near(1, 1_000, 10).await, [8, 7], "the nearest first");
    assert_eq!(near(1, 1_000, 1).await, [8]);
    assert_eq!(near(1, 30, 10).await, [8]);
    assert_eq!(near(2, 1_000, 10).await, [9], "each company its own");
    live.forget(company(1), TripId(8)).await.unwrap();
    assert_eq!((seq(8).await, near(1, 1_000, 10).await), (None, vec![7]));
}

#[tokio::test]
async fn memory_keeps_the_newest_and_tells_of_it() {
    let live: Live = Arc::new(MemoryLive::default());
    behaves(&live).await;
}

#[tokio::test]
async fn redis_keeps_the_newest_and_tells_of_it() {
    let server = Server::start().await;
    behaves(&server.live()).await;
}

#[tokio::test]
async fn one_process_hears_of_anothers_fixes_again_once_redis_is_back() {
    let mut server = Server::start().await;
    let (here, there) = (server.live(), server.live());
    until("both are heard", async || {
        here.is_heard() && there.is_heard()
    })
    .await;
    let mut heard = there.listen();
    here.put(&kept(1, 7, 1, 1)).await.unwrap();
    let told = tokio::time::timeout(DEADLINE, heard.recv()).await;
    assert_eq!(told.unwrap().unwrap(), kept(1, 7, 1, 1));
    server.kill();
    until("silence is noticed", async || !there.is_heard()).await;
    assert!(here.put(&kept(1, 7, 2, 2)).await.is_err());
    server.again().await;
    until("it is heard again", async || there.is_heard()).await;
    let put = async || here.put(&kept(1, 7, 3, 3)).await.is_ok();
    until("a call goes through", put).await;
    let told = tokio::time::timeout(DEADLINE, heard.recv()).await;
    assert_eq!(told.unwrap().unwrap().fix.seq, 3);
}
