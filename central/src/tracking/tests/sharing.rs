//! Two processes over one Postgres and one Redis, which is killed.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::road::{Road, fix};
use super::seeing::Events;
use crate::access::Role;
use crate::testing::TestDb;
use crate::tracking::Tracker;
use crate::tracking::live::RedisLive;

struct Redis {
    folder: tempfile::TempDir,
    child: Child,
}

impl Redis {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&folder);
        Self { folder, child }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = spawn(&self.folder);
    }

    fn tracker(&self, test: &TestDb) -> Tracker {
        let socket = self.folder.path().join("redis.sock");
        let url = format!("redis+unix://{}", socket.display());
        Tracker::with(test.db.clone(), Arc::new(RedisLive::new(&url).unwrap()))
    }
}

fn spawn(folder: &tempfile::TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(folder.path().join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts: install the package redis-server")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        // tidy-allow-sleep: between two looks at a condition
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_process_goes_on_while_redis_is_dead_and_when_it_is_back() {
    let mut redis = Redis::start();
    let test = TestDb::new().await.unwrap();
    let (here, there) = (redis.tracker(&test), redis.tracker(&test));
    let heard = || here.0.live.is_heard() && there.0.live.is_heard();
    until("both processes hear each other", heard).await;
    // The bus comes in by one process, the passenger listens at the other.
    let mut road = Road::with(test, there.clone()).await;
    let trip = road.trip.id;
    let token = road.token(Role::Agent).await;
    let path = format!("/trips/{trip}/positions/stream");
    let mut events = Events::open(&road, &path, &token).await;
    road.api.tracking = here.clone();
    let lat = async |events: &mut Events| events.position().await["position"]["lat"].as_f64();
    road.take(vec![fix(trip, 1, 0, 0.0)]).await;
    assert_eq!(lat(&mut events).await, Some(-15.0));
    redis.kill();
    until("the silence", || !there.0.live.is_heard()).await;
    let taken = road.take(vec![fix(trip, 2, 1, 100.0)]).await;
    assert!(taken.written.await, "Postgres has it");
    assert_eq!(lat(&mut events).await, Some(-15.0009), "out of Postgres");
    redis.again();
    until("word comes through again", heard).await;
    let taken = road.take(vec![fix(trip, 3, 2, 120.0)]).await;
    assert_eq!(taken.refused, [], "every fix counts");
    assert_eq!(lat(&mut events).await, Some(-15.00108));
}
