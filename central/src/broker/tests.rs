//! One suite over both brokers, what a RabbitMQ that goes away costs, and the publisher.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use domain::ids::CompanyId;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{Broker, Bus, Failed, Handler, Message, Queue, Rabbit, Reply, publisher};
use crate::access::Role;
use crate::http::{Api, router};
use crate::outbox::{self, Happened};
use crate::testing::{TestCompany, TestDb, token_for};
use crate::vault::Vault;
use crate::worker::Progress;

const DEADLINE: Duration = Duration::from_mins(2);

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !look().await {
        assert!(began.elapsed() < DEADLINE, "waited for: {what}");
        // tidy-allow-sleep: between two looks at a condition
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Remembers what it was brought, and fails while told to.
#[derive(Default)]
struct Recorder {
    tried: Mutex<Vec<Uuid>>,
    done: Mutex<Vec<Uuid>>,
    failing: AtomicBool,
}

impl Recorder {
    async fn tries_of(&self, event: Uuid) -> usize {
        let tried = self.tried.lock().await;
        tried.iter().filter(|id| **id == event).count()
    }

    async fn is_done(&self, event: Uuid) -> bool {
        self.done.lock().await.contains(&event)
    }
}

impl Handler for Recorder {
    fn handle<'a>(&'a self, message: &'a Message) -> Reply<'a, (), Failed> {
        Box::pin(async move {
            self.tried.lock().await.push(message.event);
            if self.failing.load(Ordering::Relaxed) {
                return Err(Failed("told to fail".to_owned()));
            }
            self.done.lock().await.push(message.event);
            Ok(())
        })
    }
}

struct Listening {
    recorder: Arc<Recorder>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listening {
    fn to(broker: &Arc<dyn Broker>, queue: &Queue) -> Self {
        let recorder = Arc::new(Recorder::default());
        let (stop, stopping) = watch::channel(false);
        let (broker, queue) = (Arc::clone(broker), queue.clone());
        let handler: Arc<dyn Handler> = recorder.clone();
        let task = tokio::spawn(async move { broker.consume(&queue, handler, stopping).await });
        Self {
            recorder,
            stop,
            task,
        }
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

fn queue(name: &str, patterns: &[&str], delays: &[u32]) -> Queue {
    Queue {
        name: format!("test.{name}"),
        patterns: patterns.iter().map(|&p| p.to_owned()).collect(),
        retry_delays_ms: delays.to_vec(),
    }
}

fn queues() -> [Queue; 2] {
    [
        queue("trips", &["trip.*"], &[50, 100, 150]),
        queue("all", &["#"], &[20]),
    ]
}

fn message(company: CompanyId, kind: &str) -> Message {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Message {
        event: Uuid::from_u128(0xbeef_0000 + u128::from(number)),
        company,
        kind: kind.to_owned(),
        subject: format!("test:{number}"),
        body: json!({ "number": number, "text": "ŋ" }),
        at_ms: i64::from(number),
    }
}

async fn suite(broker: Arc<dyn Broker>, company: CompanyId) {
    broker.look().await.unwrap();
    let [trips, all] = queues();
    // What waits for a listener that is not there yet is not lost.
    let early = message(company, "trip.delayed");
    broker.publish(std::slice::from_ref(&early)).await.unwrap();
    let (first, second) = (Listening::to(&broker, &trips), Listening::to(&broker, &all));
    let other = message(company, "booking.confirmed");
    let late = message(company, "trip.cancelled");
    broker
        .publish(&[other.clone(), late.clone()])
        .await
        .unwrap();
    until("the trips' messages", async || {
        first.recorder.is_done(early.event).await && first.recorder.is_done(late.event).await
    })
    .await;
    until("all messages", async || {
        second.recorder.done.lock().await.len() == 3
    })
    .await;
    assert!(
        !first.recorder.is_done(other.event).await,
        "of another kind"
    );

    // A poison message: as many tries as configured, then a dead letter.
    first.recorder.failing.store(true, Ordering::Relaxed);
    let poison = message(company, "trip.poison");
    broker.publish(std::slice::from_ref(&poison)).await.unwrap();
    let mut letters = vec![];
    until("a dead letter", async || {
        letters = broker.dead_letters(&trips, 10).await.unwrap();
        !letters.is_empty()
    })
    .await;
    assert_eq!(first.recorder.tries_of(poison.event).await, 4);
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0].message, letters[0].tries), (&poison, 4));
    assert_eq!(letters[0].reason, "told to fail");
    // Looking at it leaves it where it is.
    assert_eq!(broker.dead_letters(&trips, 10).await.unwrap(), letters);
    let unknown = Some(Uuid::from_u128(1));
    assert_eq!(broker.replay(&trips, unknown).await, Ok(0));
    // Replayed in vain it dies again after as many tries; replayed in earnest it is done.
    assert_eq!(broker.replay(&trips, Some(poison.event)).await, Ok(1));
    until("the letter again", async || {
        !broker.dead_letters(&trips, 10).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(first.recorder.tries_of(poison.event).await, 8);
    first.recorder.failing.store(false, Ordering::Relaxed);
    assert_eq!(broker.replay(&trips, None).await, Ok(1));
    until("the replayed letter", async || {
        first.recorder.is_done(poison.event).await
    })
    .await;
    assert_eq!(broker.dead_letters(&trips, 10).await, Ok(vec![]));
    assert_eq!(
        second.recorder.tries_of(poison.event).await,
        1,
        "of another queue"
    );
    first.end().await;
    second.end().await;

    // Stopped: nothing is brought; begun again: nothing was lost.
    let waits = message(company, "trip.waits");
    broker.publish(std::slice::from_ref(&waits)).await.unwrap();
    let again = Listening::to(&broker, &trips);
    until("what waited", async || {
        again.recorder.is_done(waits.event).await
    })
    .await;
    assert_eq!(
        again.recorder.done.lock().await.len(),
        1,
        "what was done came again"
    );
    again.end().await;
}

/// The same by HTTP: who answers for the hub sees dead letters page by page and puts them back.
async fn over_http(broker: Arc<dyn Broker>, test: &TestDb, of: CompanyId) {
    let keys = crate::keys::HubKeys::from_bytes(&[7; 32], [8; 32]);
    let mut api = Api::new(test.db.clone(), keys, Vault::from_bytes([9; 32]));
    api.broker = Arc::clone(&broker);
    let hub = token_for(&api, of, Role::SuperAdmin).await.unwrap();
    let admin = token_for(&api, of, Role::CompanyAdmin).await.unwrap();
    let app = router(api);
    let ask = async |token: &str, path: &str, body: Option<serde_json::Value>| {
        let request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = app.clone().oneshot(request.body(body).unwrap()).await;
        let answer = answer.unwrap();
        let status = answer.status().as_u16();
        let text = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
        (status, said)
    };
    let [trips, _] = queues();
    let listening = Listening::to(&broker, &trips);
    listening.recorder.failing.store(true, Ordering::Relaxed);
    let poison: Vec<Message> = (0..3).map(|_| message(of, "trip.poison")).collect();
    broker.publish(&poison).await.unwrap();
    until("three dead letters", async || {
        broker.dead_letters(&trips, 10).await.unwrap().len() == 3
    })
    .await;
    let path = "/hub/dead-letters?limit=2&queue=test.trips";
    assert_eq!(ask(&admin, path, None).await.0, 403);
    let (status, first) = ask(&hub, path, None).await;
    assert_eq!(status, 200, "{first}");
    let next = first["next"].as_str().unwrap();
    let (_, second) = ask(&hub, &format!("{path}&after={next}"), None).await;
    assert!(second["next"].is_null(), "{second}");
    let items = [&first, &second].map(|page| page["items"].as_array().unwrap().clone());
    let items: Vec<serde_json::Value> = items.into_iter().flatten().collect();
    let mut events: Vec<Uuid> = items
        .iter()
        .map(|i| i["event"].as_str().unwrap().parse().unwrap())
        .collect();
    events.sort_unstable();
    assert_eq!(events, poison.iter().map(|m| m.event).collect::<Vec<_>>());
    assert_eq!(items[0]["reason"], "told to fail");
    assert_eq!(items[0]["tries"], 4);
    let replay = "/hub/dead-letters/replay";
    let unknown = json!({ "queue": "test.nothing" });
    assert_eq!(ask(&hub, replay, Some(unknown)).await.0, 422);
    let one = json!({ "event": events[0] });
    assert_eq!(ask(&admin, replay, Some(one.clone())).await.0, 403);
    listening.recorder.failing.store(false, Ordering::Relaxed);
    let (status, done) = ask(&hub, replay, Some(one)).await;
    assert_eq!(status, 200, "{done}");
    assert_eq!(
        done["queues"],
        json!([{ "queue": "test.trips", "replayed": 1 },
            { "queue": "test.all", "replayed": 0 }])
    );
    until("the one", async || {
        listening.recorder.is_done(events[0]).await
    })
    .await;
    let (_, left) = ask(&hub, "/hub/dead-letters", None).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 2, "{left}");
    let (_, done) = ask(&hub, replay, Some(json!({}))).await;
    assert_eq!(done["queues"][0]["replayed"], 2, "{done}");
    until("the others", async || {
        let done = &listening.recorder;
        done.is_done(events[1]).await && done.is_done(events[2]).await
    })
    .await;
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'dead_letters.replay'";
    assert_eq!(test.number(noted).await.unwrap(), 2);
    listening.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_in_this_process_keeps_the_promises() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap().id;
    let bus: Arc<dyn Broker> = Arc::new(Bus::new(test.db.clone(), queues().into()));
    suite(Arc::clone(&bus), company).await;
    over_http(bus, &test, company).await;
    // Two companies' messages do not mix.
    let other = TestCompany::new(&test.db, 2).await.unwrap().id;
    let bus: Arc<dyn Broker> = Arc::new(Bus::new(test.db.clone(), queues().into()));
    let listening = Listening::to(&bus, &queues()[1]);
    let both = [message(company, "a.b"), message(other, "a.b")];
    bus.publish(&both).await.unwrap();
    until("both", async || {
        let done = &listening.recorder;
        done.is_done(both[0].event).await && done.is_done(both[1].event).await
    })
    .await;
    listening.end().await;
    let left = "SELECT count(*) FROM bus_message WHERE queue = 'test.all'";
    assert_eq!(test.number(left).await.unwrap(), 0);
}

/// One server for everything that needs one: it takes a quarter of a minute to start.
#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_keeps_the_promises_and_comes_back_by_itself_after_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("rabbitmq");
    let mut server = tokio::task::block_in_place(|| system_tests::Rabbit::start(&at)).unwrap();
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap().id;
    let broker: Arc<dyn Broker> = Arc::new(Rabbit::new(&server.url(), queues().into()).unwrap());
    suite(Arc::clone(&broker), company).await;
    over_http(broker, &test, company).await;

    let trips = queue("slow", &["slow.*"], &[10_000]);
    let slow = vec![trips.clone()];
    let broker: Arc<dyn Broker> = Arc::new(Rabbit::new(&server.url(), slow).unwrap());
    let listening = Listening::to(&broker, &trips);
    // One message waits for its second try, one for a listener, while the server is killed.
    listening.recorder.failing.store(true, Ordering::Relaxed);
    let waits = message(company, "slow.waits");
    broker.publish(std::slice::from_ref(&waits)).await.unwrap();
    until("the first try", async || {
        listening.recorder.tries_of(waits.event).await == 1
    })
    .await;
    tokio::task::block_in_place(|| {
        server.wait_for_queue("test.slow")?;
        server.wait_for_queue("test.slow.retry.10000")?;
        server.kill()
    })
    .unwrap();
    listening.recorder.failing.store(false, Ordering::Relaxed);
    let away = message(company, "slow.away");
    // The first look is over the connection that was there, the second makes one.
    assert!(broker.look().await.is_err() && broker.look().await.is_err());
    assert!(broker.publish(std::slice::from_ref(&away)).await.is_err());
    tokio::task::block_in_place(|| server.begin()).unwrap();
    until("the publisher again", async || {
        broker.publish(std::slice::from_ref(&away)).await.is_ok()
    })
    .await;
    assert_eq!(broker.look().await, Ok(()));
    until("both messages", async || {
        let done = &listening.recorder;
        done.is_done(waits.event).await && done.is_done(away.event).await
    })
    .await;
    listening.end().await;
}

async fn put(test: &TestDb, company: CompanyId, count: usize) {
    let mut tx = test.db.tenant(company).await.unwrap();
    for _ in 0..count {
        let happened = Happened {
            kind: "test.happened",
            subject: "test:1",
            body: json!({}),
        };
        outbox::put(&mut tx, happened, domain::time::Instant(5))
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

const UNPUBLISHED: &str = "SELECT count(*) FROM outbox WHERE NOT published";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_the_outbox_once_the_broker_has_it_and_waits_while_it_is_away() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let mut api = Api::new(
        test.db.clone(),
        company.keys.clone(),
        Vault::from_bytes([9; 32]),
    );
    put(&test, company.id, 3).await;
    // Nobody listens on port 1.
    let nowhere = Rabbit::new("amqp://guest:guest@127.0.0.1:1/%2f", queues().into());
    api.broker = Arc::new(nowhere.unwrap());
    assert_eq!(publisher::publish(&api).await.unwrap(), Progress::Idle);
    assert_eq!(test.number(UNPUBLISHED).await.unwrap(), 3);
    api.broker = Arc::new(Bus::new(test.db.clone(), queues().into()));
    publisher::publish(&api).await.unwrap();
    assert_eq!(test.number(UNPUBLISHED).await.unwrap(), 0);
    let taken = "SELECT count(*) FROM bus_message WHERE queue = 'test.all'";
    assert_eq!(test.number(taken).await.unwrap(), 3);
    // A crash before the mark publishes again: the bus knows the events.
    let mut owner = test.owner().await.unwrap();
    sqlx::query("UPDATE outbox SET published = false")
        .execute(&mut owner)
        .await
        .unwrap();
    publisher::publish(&api).await.unwrap();
    assert_eq!(test.number(taken).await.unwrap(), 3);
}

#[test]
fn an_address_that_is_none_is_refused_without_its_password() {
    for wrong in [
        "",
        "localhost",
        "http://guest:secret@host/",
        "amqp://guest:secret@:x/",
    ] {
        let error = Rabbit::new(wrong, vec![]).unwrap_err().to_string();
        assert!(error.contains("amqp://user"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
