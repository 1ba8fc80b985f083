//! One hub as several processes, and how one of them ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use system_tests::http::{list, text};
use system_tests::{Caller, Edge, Hub, Place, Postgres, Redis, story, until};

const DEADLINE: Duration = Duration::from_secs(40);
/// Far beyond what a test waits: it ends only because it was told a second time.
const DRAIN_MS: &str = "600000";

/// What every process of a hub is told.
fn shared(place: &Place, postgres: &Postgres) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("MWIMULE_DATABASE_URL", postgres.database("mwimule")?),
        (
            "MWIMULE_SECRETS_DIR",
            place.path("secrets").display().to_string(),
        ),
        ("MWIMULE_INTERNAL_HTTP", "127.0.0.1:0".to_owned()),
    ])
}

fn beside(
    place: &Place,
    name: &str,
    shared: &[(&'static str, String)],
    own: &[(&str, &str)],
) -> Result<Hub> {
    let of_all = shared.iter().map(|(name, value)| (*name, value.as_str()));
    let env: Vec<(&str, &str)> = of_all.chain(own.iter().copied()).collect();
    Hub::beside(place, name, &env)
}

fn sell(office: &Caller, trip: u64, (from, to): (&str, &str), key: &str) -> Result<Value> {
    let body = json!({
        "trip": trip, "from": from, "to": to, "passengers": ["adult"], "pay": "cash",
        "contact": {"name": "Mutale", "phone": "+260970000001"},
    });
    let sold = office.post_with("/bookings", &[("idempotency-key", key)], &body)?;
    sold.good()
}

/// A running bus that knows its trip, enrolled by one process and in contact with another.
fn bus_of(place: &Place, (enrols, quic): (&Hub, &str), trip: u64) -> Result<Edge> {
    let number = trip.to_string();
    let words = ["--name", "bus", "--kind", "onboard", "--trip", &number];
    let code = enrols.code(quic, &words)?;
    let mut bus = Edge::enrol(place, "mwimule-driver", "bus", &code)?;
    bus.start()?;
    until("the bus to know its trip", DEADLINE, || {
        let knows = bus.knows(trip)?;
        Ok(knows.then_some(()).ok_or_else(|| "not yet".to_owned()))
    })?;
    Ok(bus)
}

/// Waits until a ticket that another process sold is on the bus's list.
fn until_listed(bus: &Edge, (trip, qr): (u64, &str)) -> Result<()> {
    until(
        "the bus to list what another process sold",
        DEADLINE,
        || {
            let body = json!({"trip": trip, "text": qr});
            let told = bus.caller()?.post("/explain", &body)?;
            let listed = told.body["answer"] == "valid";
            Ok(listed.then_some(()).ok_or_else(|| told.body.to_string()))
        },
    )
}

#[test]
fn what_one_process_does_reaches_a_node_and_a_session_at_another() -> Result<()> {
    story(|place| {
        let postgres = Postgres::start(place)?;
        let shared = shared(place, &postgres)?;
        let mut api = beside(place, "api", &shared, &[("MWIMULE_ROLES", "api")])?;
        let mut rest = beside(place, "rest", &shared, &[("MWIMULE_ROLES", "sync,worker")])?;
        api.command(&["migrate"])?;
        // At the same moment, on a folder without keys: both end up with the same.
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| api.start());
            let second = scope.spawn(|| rest.start());
            (first.join(), second.join())
        });
        for started in [first, second] {
            started.ok().context("a start panicked")??;
        }
        api.settle_in()?;
        rest.know(&api);
        let ready = rest.internal().fetch("/readyz?verbose")?;
        ensure!(ready["ready"] == true, "{ready}");
        let trip = api.trips_from("LUN")?.swap_remove(0);
        let mut bus = bus_of(place, (&api, rest.quic()), trip.id)?;
        let (from, to) = (&trip.stops[0], &trip.stops[1]);
        let sold = sell(&api.office(), trip.id, (from, to), "first")?;
        let qr = text(&list(&sold, "tickets")?[0], "qr")?;
        until_listed(&bus, (trip.id, &qr))?;
        let node = text(&api.rows("/nodes")?[0], "node")?;
        api.command(&["node", "revoke", "--node", &node])?;
        until("a revoked bus to be cut off", DEADLINE, || {
            let said = bus.link_error()?.unwrap_or_default();
            let cut = said.contains("revoked");
            Ok(cut.then_some(()).ok_or(said))
        })?;
        bus.stop()?;
        api.stop()?;
        rest.stop()
    })
}

#[test]
fn a_process_that_joins_an_embedded_database_hears_what_its_owner_does() -> Result<()> {
    story(|place| {
        let redis = Redis::start(place)?;
        let told = ["--roles", "api,worker", "--redis-url", &redis.url()];
        let mut owner = Hub::found_with(place, "owner", &told)?;
        let shared = [
            ("MWIMULE_DATABASE_URL", owner.postgres_url().to_owned()),
            ("MWIMULE_SECRETS_DIR", owner.data().display().to_string()),
            ("MWIMULE_REDIS_URL", redis.url()),
        ];
        let mut joined = beside(place, "joined", &shared, &[("MWIMULE_ROLES", "sync")])?;
        joined.start()?;
        let trip = owner.trips_from("LUN")?.swap_remove(0);
        let mut bus = bus_of(place, (&owner, joined.quic()), trip.id)?;
        let (from, to) = (&trip.stops[0], &trip.stops[1]);
        let sold = sell(&owner.office(), trip.id, (from, to), "first")?;
        let qr = text(&list(&sold, "tickets")?[0], "qr")?;
        until_listed(&bus, (trip.id, &qr))?;
        bus.stop()?;
        joined.stop()?;
        owner.stop()
    })
}

#[test]
fn a_process_with_other_keys_or_without_a_schema_does_not_start_and_says_why() -> Result<()> {
    story(|place| {
        let postgres = Postgres::start(place)?;
        let shared = shared(place, &postgres)?;
        let mut first = beside(place, "first", &shared, &[])?;
        let complaint = |hub: &mut Hub| -> Result<String> {
            ensure!(hub.start().is_err(), "it started");
            Ok(std::fs::read_to_string(hub.log())?)
        };
        let said = complaint(&mut first)?;
        ensure!(said.contains("run `mwimule-hub migrate` first"), "{said}");
        first.command(&["migrate"])?;
        first.start()?;
        let own = place.path("other-secrets").display().to_string();
        let own = [("MWIMULE_SECRETS_DIR", own.as_str())];
        let mut stranger = beside(place, "stranger", &shared, &own)?;
        let said = complaint(&mut stranger)?;
        ensure!(said.contains("--secrets-dir"), "{said}");
        let ran = first.command(&["config", "dump"])?;
        let url = &ran["database.url"];
        ensure!(url["from"] == "environment", "{ran}");
        first.command(&["config", "check"])?;
        first.stop()
    })
}

#[test]
fn a_process_that_is_told_to_stop_says_so_first_and_a_second_word_ends_it() -> Result<()> {
    story(|place| {
        let postgres = Postgres::start(place)?;
        let shared = shared(place, &postgres)?;
        let mut hub = beside(place, "hub", &shared, &[("MWIMULE_DRAIN_MS", DRAIN_MS)])?;
        hub.command(&["migrate"])?;
        hub.start()?;
        let tell = |hub: &Hub| -> Result<()> {
            Ok(kill(Pid::from_raw(hub.pid()? as i32), Signal::SIGTERM)?)
        };
        tell(&hub)?;
        let (public, internal) = (hub.public(), hub.internal());
        for caller in [&public, &internal] {
            until("the process to say that it stops", DEADLINE, || {
                let answer = caller.get("/readyz")?;
                let says =
                    answer.status == 503 && answer.body["type"] == "urn:mwimule:problem:stopping";
                Ok(says.then_some(()).ok_or_else(|| format!("{answer:?}")))
            })?;
            ensure!(caller.get("/livez")?.status == 200, "it does not live");
        }
        let verbose = internal.get("/readyz?verbose")?;
        ensure!(verbose.body["draining"] == true, "{verbose:?}");
        // It still takes what comes.
        ensure!(public.get("/trips")?.status == 200, "it takes nothing more");
        tell(&hub)?;
        until("the process to end", DEADLINE, || {
            let ended = hub.check().is_err();
            Ok(ended.then_some(()).ok_or_else(|| "it runs".to_owned()))
        })
    })
}

/// Takes what a hub sends its collector.
fn collector() -> Result<(String, Receiver<Vec<u8>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/v1/traces", listener.local_addr()?);
    let (bodies, received) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let bodies = bodies.clone();
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut reader = BufReader::new(stream.try_clone()?);
                loop {
                    let mut length = 0;
                    let mut line = String::from("-");
                    while !line.trim().is_empty() {
                        line.clear();
                        if reader.read_line(&mut line)? == 0 {
                            return Ok(());
                        }
                        let line = line.to_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap_or(0);
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body)?;
                    let _ = bodies.send(body);
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
                }
            });
        }
    });
    Ok((url, received))
}

#[test]
fn a_request_is_found_again_in_the_log_and_in_the_traces() -> Result<()> {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    story(|place| {
        let (url, received) = collector()?;
        let told = ["--log-format", "json", "--otlp-url", &url];
        let mut hub = Hub::found_with(place, "hub", &told)?;
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let headers = [("x-request-id", "shop-42"), ("traceparent", &parent)];
        let answer = hub.public().raw("/trips/1", &headers)?;
        ensure!(answer.headers()["x-request-id"] == "shop-42", "{answer:?}");
        hub.stop()?;
        let log = std::fs::read_to_string(hub.log())?;
        let lines = log
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let mut found = lines.filter(|l| l["target"] == "mwimule::access");
        let line = found.find(|l| l["span"]["id"] == "shop-42");
        let line = line.with_context(|| format!("no such request in {log}"))?;
        ensure!(line["fields"]["route"] == "/trips/{trip}", "{line}");
        ensure!(
            line["fields"]["status"] == answer.status().as_u16(),
            "{line}"
        );
        // In protobuf, texts stand as they are and the trace's number as its bytes.
        let trace: Vec<u8> = (0..TRACE.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&TRACE[at..at + 2], 16))
            .collect::<Result<_, _>>()?;
        let holds = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|w| w == part);
        let began = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(began.elapsed());
            let body = received.recv_timeout(left).context("no such trace came")?;
            if holds(&body, &trace) && holds(&body, b"GET /trips/{trip}") {
                ensure!(holds(&body, b"mwimule-hub"), "the program is not named");
                return Ok(());
            }
        }
    })
}
