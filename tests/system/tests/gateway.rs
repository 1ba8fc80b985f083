//! What stands before the hubs: the committed configuration under a real nginx, before real hubs
//! and before others that only count.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use system_tests::hub::own_tcp_address;
use system_tests::{Caller, Edge, Gateway, Hub, story, until};

const DEADLINE: Duration = Duration::from_secs(30);
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");

/// What promtool has to say about some metrics; nothing where they are well.
fn promtool(metrics: &str) -> Result<String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not start promtool: is the package prometheus installed?")?;
    let mut input = promtool.stdin.take().context("the input is piped")?;
    input.write_all(metrics.as_bytes())?;
    drop(input);
    let said = promtool.wait_with_output()?;
    let mut words = String::from_utf8_lossy(&said.stdout).into_owned();
    words.push_str(&String::from_utf8_lossy(&said.stderr));
    if !said.status.success() && words.trim().is_empty() {
        words = said.status.to_string();
    }
    Ok(words.trim().to_owned())
}

/// Names of our metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let ours = words.filter(|w| w.starts_with("mwimule_"));
    let of_histograms = |w: &str| {
        let mut ends = ["_bucket", "_count", "_sum"].iter();
        let base = ends.find_map(|end| w.strip_suffix(end));
        base.unwrap_or(w).to_owned()
    };
    ours.map(of_histograms).collect()
}

fn check_metrics(hub: &Hub) -> Result<()> {
    let metrics = hub.internal().raw("/metrics", &[])?;
    ensure!(metrics.status() == 200, "{metrics:?}");
    let text = metrics.body();
    let found = promtool(text)?;
    ensure!(found.is_empty(), "promtool: {found}");
    // promtool does find what is wrong.
    let found = promtool("mwimule_sales 1\n")?;
    ensure!(found.contains("no help text"), "promtool: {found}");
    for wanted in [
        "mwimule_http_request_duration_seconds_bucket{method=\"GET\",route=\"/trips/{trip}\",",
        "mwimule_sync_sessions 1",
        "mwimule_dependency_up{dependency=\"database\"} 1",
        "mwimule_node_last_contact_timestamp_seconds{company=\"Mwimule Coaches\",kind=\"station\"",
        "mwimule_outbox_waiting ",
    ] {
        ensure!(text.contains(wanted), "no {wanted} in\n{text}");
    }
    let told = named(text);
    for file in ["prometheus/mwimule.rules.yml", "grafana/mwimule-hub.json"] {
        let wanted = named(&std::fs::read_to_string(format!("{DEPLOY}/{file}"))?);
        let missing: Vec<_> = wanted.difference(&told).collect();
        ensure!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    Ok(())
}

fn check_headers(gateway: &Gateway) -> Result<()> {
    let open = Caller::new(&format!("http://{}", gateway.http), None);
    let secure = gateway.caller(None)?;
    let elsewhere = open.get("/livez");
    // The caller follows, and does not trust what it finds.
    ensure!(elsewhere.is_err(), "answered in the open: {elsewhere:?}");
    let mut stream = TcpStream::connect(&gateway.http)?;
    stream.write_all(b"GET /trips?x=1 HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let port = gateway.https.rsplit(':').next().unwrap_or_default();
    let there = format!("Location: https://localhost:{port}/trips?x=1\r\n");
    ensure!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    ensure!(answer.contains(&there), "{answer}");
    let live = secure.raw("/livez", &[("x-request-id", "shop-42")])?;
    ensure!(live.status() == 200, "{live:?}");
    let expected = [
        ("x-request-id", "shop-42"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        (
            "strict-transport-security",
            "max-age=63072000; includeSubDomains",
        ),
    ];
    for (name, value) in expected {
        let found: Vec<_> = live.headers().get_all(name).iter().collect();
        ensure!(found == [value], "{name}: {found:?}");
    }
    for hidden in ["/metrics", "/readyz", "/readyz?verbose", "/"] {
        let answer = secure.raw(hidden, &[])?;
        ensure!(answer.status() == 404, "{hidden}: {answer:?}");
        ensure!(
            answer.headers().get("server").is_none_or(|s| s == "nginx"),
            "{answer:?}"
        );
    }
    Ok(())
}

#[test]
fn the_gateway_shows_the_hub_to_the_world_and_keeps_inside_what_belongs_there() -> Result<()> {
    story(|place| {
        let hub = Hub::found_with(place, "hub", &["--internal-http", "127.0.0.1:0"])?;
        let here = hub.base().trim_start_matches("http://");
        let gone = own_tcp_address()?;
        // The second hub is not there: everything has to be found at the first.
        let gateway = Gateway::start(place, (here, hub.quic()), (&gone, "127.0.0.1:9"))?;
        check_headers(&gateway)?;
        let office = gateway.caller(Some(hub.token()))?;
        let trip = &hub.trips_from("LUN")?[0];
        for _ in 0..10 {
            office.fetch(&format!("/trips/{}", trip.id))?;
        }
        let answer = office.raw("/readyz", &[])?;
        ensure!(answer.status() == 404, "{answer:?}");
        let ready = hub.public().fetch("/readyz?verbose")?;
        ensure!(ready["ready"] == true, "{ready}");
        ensure!(ready["checks"][0]["name"] == "database", "{ready}");
        ensure!(ready["checks"][0]["critical"] == true, "{ready}");
        let words = ["--name", "LUN", "--kind", "station", "--stop", "LUN"];
        let code = hub.code(&gateway.sync, &words)?;
        let mut station = Edge::enrol(place, "mwimule-edge", "station", &code)?;
        station.start()?;
        until("the station to be heard of", DEADLINE, || {
            let nodes = hub.rows("/nodes")?;
            let heard = nodes[0]["health"] == "heard" && !nodes[0]["last_contact_at"].is_null();
            Ok(heard.then_some(()).ok_or_else(|| nodes[0].to_string()))
        })?;
        check_metrics(&hub)?;
        station.stop()
    })
}

/// Something that takes requests as a hub would, and does with each what it is told.
struct Stand {
    address: String,
    asked: Arc<AtomicUsize>,
}

/// Reads a request to its end; gives its first line.
fn request_of(stream: &TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(first)
}

impl Stand {
    fn open(act: impl Fn(TcpStream) + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let act = Arc::new(act);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, counted) = (Arc::clone(&act), Arc::clone(&counted));
                std::thread::spawn(move || {
                    if request_of(&stream).is_ok_and(|line| !line.is_empty()) {
                        counted.fetch_add(1, Ordering::SeqCst);
                        act(stream);
                    }
                });
            }
        });
        Ok(Self { address, asked })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn a_request_is_asked_again_elsewhere_only_where_that_is_safe() -> Result<()> {
    story(|place| {
        // Both take a request and die of it.
        let stands = [Stand::open(drop)?, Stand::open(drop)?];
        let [a, b] = [&stands[0], &stands[1]].map(|s| (s.address.as_str(), "127.0.0.1:9"));
        let gateway = Gateway::start(place, a, b)?;
        let caller = gateway.caller(None)?;
        let asked = || stands.iter().map(Stand::asked).sum::<usize>();
        let key = [("idempotency-key", "k")];
        let once = caller.post("/bookings", &json!({}))?;
        ensure!(once.status == 502, "{once:?}");
        ensure!(
            asked() == 1,
            "a POST without a key was asked {} times",
            asked()
        );
        // What has failed twice is left alone for a moment: a gateway that has seen nothing.
        drop(gateway);
        let gateway = Gateway::start_again(place, "second", a, b)?;
        let caller = gateway.caller(None)?;
        let twice = caller.post_with("/bookings", &key, &json!({}))?;
        ensure!(twice.status == 502, "{twice:?}");
        ensure!(
            asked() == 3,
            "a POST with a key was asked {} times",
            asked() - 1
        );
        Ok(())
    })
}

/// Answers with a first event, and with the rest once it is told to.
fn one_event(mut stream: TcpStream, open: &Sender<TcpStream>) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let _ = stream.write_all(format!("{head}data: first\n\n").as_bytes());
    let _ = open.send(stream);
}

#[test]
fn an_event_reaches_its_listener_while_the_stream_stays_open() -> Result<()> {
    story(|place| {
        let (open, opened) = channel();
        let stand = Stand::open(move |stream| one_event(stream, &open))?;
        let gone = own_tcp_address()?;
        let behind = (stand.address.as_str(), "127.0.0.1:9");
        let gateway = Gateway::start(place, behind, (&gone, "127.0.0.1:9"))?;
        let (heard, hears) = channel();
        let caller = gateway.caller(None)?;
        std::thread::spawn(move || {
            let mut line = String::new();
            let lines = caller.stream("/trips/1/positions/stream");
            let read = lines.and_then(|mut lines| Ok(lines.read_line(&mut line)?));
            let _ = heard.send(read.map(|_| line));
        });
        let held = opened.recv_timeout(DEADLINE).context("nobody asked")?;
        let first = hears.recv_timeout(DEADLINE).context("no event came")??;
        ensure!(first == "data: first\n", "{first:?}");
        drop(held);
        Ok(())
    })
}
