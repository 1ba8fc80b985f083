//! Two hundred buses on known roads that say each second where they are, two thousand passengers who watch them,
//! and a Redis that is killed in between.
//!
//! Buses are real connections of enrolled nodes with the real session machine; passengers are
//! plain HTTP connections that read Server-Sent Events. Both share this machine's clock with the
//! hub, so that a fix's own time tells how old it is when it is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant as Moment};

use anyhow::{Context as _, Result, ensure};
use domain::event::ChainHead;
use domain::ids::{NodeIncarnation, TripId};
use domain::time::Instant;
use domain::tracking::{Fix, Source};
use edge_node::runtime::{DataDir, clock, enrol};
use serde_json::{Value, json};
use sync_protocol::frame::HubFrame;
use sync_protocol::session::{EdgeInput, EdgeOutput, EdgeSession};
use sync_transport::{Connection, NodeCredentials, TransportSettings, connect};
use system_tests::http::{number, text};
use system_tests::{Hub, Redis};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};

use crate::report::{Report, percentile, tenths};
use crate::{Options, roads};

/// Each says where it is once a second.
const BUSES: usize = 200;
const LISTENERS: usize = 2_000;
/// How long it is watched at full size, and at a tenth, in seconds.
const WATCHED_S: (u64, u64) = (60, 9);
/// What a passenger may wait for a fix, in ms: 19 of 20 times.
const P95_MS_MAX: f64 = 1_000.0;
/// How long everybody has to get ready.
const READY_MAX: Duration = Duration::from_mins(3);
/// Programs that enrol buses at once.
const ENROLLING: usize = 4;
/// How fast the buses drive, in ten-millionths of a degree a second: about 22 m/s.
const SPEED_E7: i32 = 2_000;

/// What the passengers heard.
#[derive(Debug, Default)]
struct Heard {
    /// When it was read, since the start in ms, and how old it was then in ms.
    events: std::sync::Mutex<Vec<(u64, f64)>>,
    listening: AtomicUsize,
    /// Streams that ended or could not be opened.
    broken: AtomicUsize,
}

/// The buses drive, the passengers watch, Redis dies and comes back.
pub fn run(options: &Options) -> Result<Report> {
    let mut redis = Redis::start(&options.place)?;
    let further = ["--no-rate-limits", "--redis-url", &redis.url()];
    let hub = Hub::found_with(&options.place, "hub", &further)?;
    let (buses, listeners) = (options.size(BUSES), options.size(LISTENERS));
    let trips = followed_trips(options, &hub, buses)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let driving: Vec<Connection> = runtime.block_on(connected(options, &hub, &trips))?;
    let links = links(&hub, &trips)?;
    let told = Arc::new(AtomicUsize::new(0));
    let heard = Arc::new(Heard::default());
    let stop = Arc::new(AtomicBool::new(false));
    let began = Moment::now();
    for (connection, trip) in driving.into_iter().zip(trips.clone()) {
        let (told, stop) = (Arc::clone(&told), Arc::clone(&stop));
        runtime.spawn(drive(connection, TripId(trip), told, stop));
    }
    for n in 0..listeners {
        let (trip, link) = &links[n % links.len()];
        let path = format!("/trips/{trip}/positions/stream?link={link}");
        runtime.spawn(listen(
            hub.base().to_owned(),
            path,
            Arc::clone(&heard),
            began,
        ));
    }
    let all_listen = || heard.listening.load(Ordering::Acquire) == listeners;
    wait(&began, READY_MAX, "every passenger to listen", all_listen)?;
    let watched_s = if options.tenth {
        WATCHED_S.1
    } else {
        WATCHED_S.0
    };
    let third = Duration::from_millis(watched_s * 1_000 / 3);
    let mut failed = 0;
    let mut parts = vec![];
    for part in 0..3 {
        if part == 1 {
            redis.kill()?;
        } else if part == 2 {
            redis.restart()?;
        }
        let from = began.elapsed();
        failed += others(&hub, from + third, &began);
        parts.push((from, began.elapsed()));
    }
    let broken = heard.broken.load(Ordering::Acquire);
    stop.store(true, Ordering::Release);
    runtime.shutdown_background();
    let mut report = Report::default();
    report.figure("buses", buses);
    report.figure("points_of_a_road", roads::POINTS);
    report.figure("listeners", listeners);
    report.figure("fixes_sent", told.load(Ordering::Acquire));
    let events = heard
        .events
        .lock()
        .map_err(|_| anyhow::anyhow!("a listener panicked"))?;
    report.figure("events_heard", events.len());
    let names = ["redis_up", "redis_killed", "redis_back"];
    for (name, (from, to)) in names.iter().zip(&parts) {
        let within = (from.as_millis() as u64)..(to.as_millis() as u64);
        let ages = events.iter().filter(|(at, _)| within.contains(at));
        let mut ages: Vec<f64> = ages.map(|(_, age_ms)| *age_ms).collect();
        let wanted = listeners as f64 * (to.as_secs_f64() - from.as_secs_f64());
        let share = tenths(100.0 * ages.len() as f64 / wanted.max(1.0));
        let (p50, p95) = (percentile(&mut ages, 50.0), percentile(&mut ages, 95.0));
        report.figure(&format!("{name}_p50_ms"), tenths(p50));
        report.figure(&format!("{name}_p95_ms"), tenths(p95));
        report.figure(&format!("{name}_heard_percent"), share);
        let promise = format!("{name}: 19 of 20 hear within {P95_MS_MAX} ms");
        report.goal(&promise, tenths(p95), p95 <= P95_MS_MAX && !ages.is_empty());
        let promise = format!("{name}: listeners hear at least 80 % of what was said");
        report.goal(&promise, share, share >= 80.0);
    }
    report.goal("no stream breaks", broken, broken == 0);
    report.goal("nothing else fails", failed, failed == 0);
    let kept = stored(&hub)?;
    report.figure("fixes_stored", kept);
    let sent = told.load(Ordering::Acquire) as i64;
    // The last second's may still be on their way.
    let lost = (sent - kept - 2 * buses as i64).max(0);
    report.goal("every fix is in the database", lost, lost == 0);
    Ok(report)
}

/// Waits for a condition, a deadline on it.
fn wait(began: &Moment, most: Duration, what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    while !is_so() {
        ensure!(began.elapsed() < most, "waited in vain for {what}");
        // tidy-allow-sleep: between two looks at a condition
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Trips that board, each for one bus, of which everybody may see where they are.
fn followed_trips(options: &Options, hub: &Hub, count: usize) -> Result<Vec<u64>> {
    let feed = system_tests::Place::fixture("zambia-gtfs");
    let feed = roads::drawn(&feed, options.place.path("roads-gtfs"))?;
    let feed = feed.to_str().context("the fixture's path is no text")?;
    let company = ["--company", system_tests::hub::COMPANY];
    let import = [&["gtfs", "import", feed, "--days", "6"], &company[..]].concat();
    hub.command(&import)?;
    hub.sql(
        "INSERT INTO tracking_settings (company_id, before_min) SELECT company_id, 10080 FROM company",
    )?;
    let now = jiff::Timestamp::now();
    let mut trips = vec![];
    for row in hub.rows("/trips")? {
        let departs: jiff::Timestamp = text(&row["stops"][0], "departs_at")?.parse()?;
        if departs > now && trips.len() < count {
            trips.push(number(&row, "trip")? as u64);
        }
    }
    ensure!(
        trips.len() == count,
        "only {} trips are to come",
        trips.len()
    );
    let list: Vec<String> = trips.iter().map(u64::to_string).collect();
    let list = list.join(", ");
    hub.sql(&format!(
        "UPDATE trip SET state = 'boarding' WHERE trip_id IN ({list})"
    ))?;
    Ok(trips)
}

/// A link for each trip.
fn links(hub: &Hub, trips: &[u64]) -> Result<Vec<(u64, String)>> {
    let office = hub.office();
    let link = |trip: &u64| {
        let made = office.send("/tracking/links", &json!({"trip": trip}))?;
        Ok((*trip, text(&made, "token")?))
    };
    trips.iter().map(link).collect()
}

/// An enrolled node with an open connection for each trip.
async fn connected(options: &Options, hub: &Hub, trips: &[u64]) -> Result<Vec<Connection>> {
    let codes = std::sync::Mutex::new(vec![]);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..ENROLLING)
            .map(|worker| {
                let codes = &codes;
                scope.spawn(move || -> Result<()> {
                    for trip in trips.iter().skip(worker).step_by(ENROLLING) {
                        let trip = trip.to_string();
                        let words = ["--name", &trip, "--kind", "onboard", "--trip", &trip];
                        let code = hub.code(hub.quic(), &words)?;
                        let mut codes = codes.lock().map_err(|_| anyhow::anyhow!("panicked"))?;
                        codes.push((trip, code));
                    }
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let codes = codes
        .into_inner()
        .map_err(|_| anyhow::anyhow!("panicked"))?;
    let at_once = Arc::new(Semaphore::new(8));
    let made = Arc::new(Mutex::new(vec![]));
    let mut tasks = vec![];
    for (trip, code) in codes {
        let folder = options.place.path(&format!("bus-{trip}"));
        let (at_once, made) = (Arc::clone(&at_once), Arc::clone(&made));
        tasks.push(tokio::spawn(async move {
            let _turn = at_once.acquire().await?;
            let connection = enrolled(&code, folder).await?;
            let trip: u64 = trip.parse()?;
            made.lock().await.push((trip, connection));
            Ok::<_, anyhow::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let mut made = std::mem::take(&mut *made.lock().await);
    made.sort_by_key(|(trip, _)| trips.iter().position(|t| t == trip));
    Ok(made.into_iter().map(|(_, connection)| connection).collect())
}

async fn enrolled(code: &str, folder: PathBuf) -> Result<Connection> {
    let settings = TransportSettings::edge();
    let identity = enrol(code, &folder, "bus", &settings).await?;
    let credentials = NodeCredentials::load(&DataDir::new(&folder).keys())?;
    Ok(connect(&identity.hub_addr, &credentials, &settings).await?)
}

/// Says once a second where the bus is, by the real session machine.
async fn drive(
    connection: Connection,
    trip: TripId,
    told: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let mut session = EdgeSession::new();
    let connected = EdgeInput::Connected {
        logs: vec![ChainHead::empty(NodeIncarnation(1))],
        restored: false,
        buckets: vec![],
        hub: domain::restore::FIRST,
        me: None,
    };
    session.handle_input(connected, clock::uptime());
    // Buses do not say it all in the same moment.
    let first = Duration::from_millis(trip.0 * 37 % 1_000);
    let mut second =
        tokio::time::interval_at(tokio::time::Instant::now() + first, Duration::from_secs(1));
    let mut waiting: std::collections::BTreeMap<u64, Fix> = std::collections::BTreeMap::new();
    let mut seq = 0;
    let mut ready = false;
    while !stop.load(Ordering::Acquire) {
        while let Some(output) = session.poll_output() {
            match output {
                EdgeOutput::Send(frame) => {
                    connection.send(frame.channel(), frame.to_bytes()).await?;
                }
                EdgeOutput::SendDatagram(frame) => {
                    connection.send_datagram(&frame.to_bytes());
                }
                EdgeOutput::LoadFixes(most) => {
                    let before = clock::now().plus_ms(-15_000);
                    let old = waiting.values().rev().filter(|fix| fix.at < before);
                    let fixes = old.take(most).cloned().collect();
                    session.handle_input(EdgeInput::Fixes(fixes), clock::uptime());
                }
                EdgeOutput::ForgetFixes(numbers) => {
                    waiting.retain(|number, _| !numbers.contains(number));
                }
                EdgeOutput::ApplyBucket { cursor, .. } => {
                    session.handle_input(EdgeInput::Checkpointed(cursor), clock::uptime());
                }
                EdgeOutput::Ready => ready = true,
                EdgeOutput::Refused(why) => anyhow::bail!("refused: {why}"),
                EdgeOutput::NewHub(_)
                | EdgeOutput::LoadGrants
                | EdgeOutput::LoadEvents { .. }
                | EdgeOutput::MarkStored { .. }
                | EdgeOutput::Judged { .. }
                | EdgeOutput::BeginIncarnation(_)
                | EdgeOutput::LeaseAnswered(..)
                | EdgeOutput::ServerTime(..) => {}
            }
        }
        let deadline = session.poll_timeout();
        let wait = deadline.map_or(60_000, |at| at.0.saturating_sub(clock::uptime().0));
        tokio::select! {
            frame = connection.recv() => {
                let frame = HubFrame::from_bytes(&frame?.1)?;
                session.handle_input(EdgeInput::Frame(frame), clock::uptime());
            }
            _ = second.tick() => if ready {
                seq += 1;
                let fix = Fix {
                    trip,
                    seq,
                    at: clock::now(),
                    lat_e7: -154_190_000 - SPEED_E7 * seq as i32,
                    lon_e7: 282_790_000,
                    speed_cm_s: Some(2_224),
                    bearing_deg: Some(180),
                    accuracy_m: Some(5),
                    source: Source::Receiver,
                };
                waiting.insert(seq, fix.clone());
                told.fetch_add(1, Ordering::AcqRel);
                session.handle_input(EdgeInput::Fix(fix), clock::uptime());
            },
            // tidy-allow-sleep: the machine's own timer
            () = tokio::time::sleep(Duration::from_millis(wait)) => {
                session.handle_timeout(clock::uptime());
            }
        }
    }
    Ok(())
}

/// Reads one stream to its end, which should not come.
async fn listen(base: String, path: String, heard: Arc<Heard>, began: Moment) {
    if let Err(error) = listen_on(&base, &path, &heard, began).await {
        eprintln!("a stream broke: {error:#}");
    }
    heard.broken.fetch_add(1, Ordering::AcqRel);
}

async fn listen_on(base: &str, path: &str, heard: &Heard, began: Moment) -> Result<()> {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next_line().await?.context("no answer")?;
    ensure!(status.contains(" 200 "), "{status}");
    heard.listening.fetch_add(1, Ordering::AcqRel);
    let mut last = Instant(0);
    while let Some(line) = lines.next_line().await? {
        // The event's id begins with the fix's own time.
        let id = line.strip_prefix("id: ").and_then(|id| id.split_once('-'));
        let Some(at) = id.and_then(|(at, _)| at.parse().ok()).map(Instant) else {
            continue;
        };
        ensure!(at > last, "a fix of {at} came after one of {last}");
        last = at;
        let age_ms = (clock::now().0 - at.0) as f64;
        let read_ms = began.elapsed().as_millis() as u64;
        let mut events = heard
            .events
            .lock()
            .map_err(|_| anyhow::anyhow!("panicked"))?;
        events.push((read_ms, age_ms));
    }
    anyhow::bail!("the hub ended it")
}

/// Asks the hub for other things until a moment; how many of them failed.
fn others(hub: &Hub, until: Duration, began: &Moment) -> usize {
    let office = hub.office();
    let mut failed = 0;
    while began.elapsed() < until {
        for path in ["/trips?limit=5", "/readyz", "/nodes?limit=5"] {
            match office.get(path) {
                Ok(answer) if answer.status == 200 => {}
                answer => {
                    eprintln!("{path}: {answer:?}");
                    failed += 1;
                }
            }
        }
        // tidy-allow-sleep: an office that asks five times a second
        std::thread::sleep(Duration::from_millis(200));
    }
    failed
}

/// How many fixes the hub has written down.
fn stored(hub: &Hub) -> Result<i64> {
    let mut psql = std::process::Command::new("psql");
    psql.args([
        "-X",
        "-q",
        "-t",
        "-A",
        "-c",
        "SELECT count(*) FROM trip_position",
    ]);
    let ran = system_tests::Ran::good(psql.arg(hub.postgres_url()))?;
    let rows: Value = ran.stdout.trim().parse::<i64>()?.into();
    rows.as_i64().context("no number")
}
