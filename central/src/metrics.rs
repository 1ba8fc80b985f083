//! What this process counts, in Prometheus's terms. Each process counts for itself; what the
//! database knows ([`figures`]) every process tells alike, at the moment it is asked.

pub mod figures;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// Upper bounds of request times, in seconds.
const REQUEST_S: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0,
];
/// Upper bounds of one piece of a job, in seconds.
const JOB_S: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// The media type of [`Metrics::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Something that a transaction counts once it has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A booking was made.
    Booking,
    /// Tickets of a paid booking were issued by the hub.
    HubTickets(u64),
    /// Tickets that nodes sold were entered.
    NodeTickets(u64),
    /// Events of nodes were applied, and quarantined.
    Judged {
        /// Those that count.
        applied: u64,
        /// Those that a person has to look at.
        quarantined: u64,
    },
}

/// The counters of one process.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: HistogramVec,
    in_flight: IntGauge,
    bookings: IntCounterVec,
    tickets: IntCounterVec,
    events: IntCounterVec,
    sessions: IntGauge,
    jobs: HistogramVec,
    pool: IntGaugeVec,
    outbox_waiting: IntGauge,
    outbox_age: GaugeVec,
    node_contact: GaugeVec,
    node_unsynced: IntGaugeVec,
    node_silent: IntGaugeVec,
    up: GaugeVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Makes a metric of constant name and labels, and enters it.
fn entered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants of this file"
    )]
    let metric = made.expect("a well-formed metric");
    #[expect(clippy::expect_used, reason = "each name is entered once")]
    registry
        .register(Box::new(metric.clone()))
        .expect("a name of its own");
    metric
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    entered(registry, GaugeVec::new(Opts::new(name, help), labels))
}

fn whole_gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    entered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    entered(
        registry,
        IntCounterVec::new(Opts::new(name, help), &[label]),
    )
}

fn times(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    bounds: &[f64],
) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
    entered(registry, HistogramVec::new(opts, labels))
}

/// Counts one running thing for as long as it is held.
#[derive(Debug)]
pub struct Running(IntGauge);

impl Running {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let node = &["company", "node", "name", "kind"];
        let one = |name: &str, help: &str| entered(r, IntGauge::new(name, help));
        let inner = Inner {
            requests: times(
                r,
                "mwimule_http_request_duration_seconds",
                "How long HTTP requests took, by route template.",
                &["method", "route", "status"],
                &REQUEST_S,
            ),
            in_flight: one(
                "mwimule_http_requests_in_flight",
                "HTTP requests that are being worked on.",
            ),
            bookings: counters(
                r,
                "mwimule_bookings_total",
                "Bookings made through this process.",
                "via",
            ),
            tickets: counters(
                r,
                "mwimule_tickets_total",
                "Tickets sold, by the hub or by nodes, as this process entered them.",
                "seller",
            ),
            events: counters(
                r,
                "mwimule_ingest_events_total",
                "Events of nodes that this process judged, by verdict.",
                "verdict",
            ),
            sessions: one(
                "mwimule_sync_sessions",
                "Stations and buses that are connected to this process.",
            ),
            jobs: times(
                r,
                "mwimule_job_duration_seconds",
                "How long pieces of background jobs took, by outcome.",
                &["task", "outcome"],
                &JOB_S,
            ),
            pool: whole_gauges(
                r,
                "mwimule_database_connections",
                "Database connections of this process.",
                &["state"],
            ),
            outbox_waiting: one(
                "mwimule_outbox_waiting",
                "Events in the outbox that have not been told yet; counted up to 100000.",
            ),
            outbox_age: gauges(
                r,
                "mwimule_outbox_oldest_age_seconds",
                "How long the oldest event in the outbox has waited.",
                &[],
            ),
            node_contact: gauges(
                r,
                "mwimule_node_last_contact_timestamp_seconds",
                "When a node was last heard of, in seconds since 1970.",
                node,
            ),
            node_unsynced: whole_gauges(
                r,
                "mwimule_node_unsynced_events",
                "Events that a node has told of and the hub has not stored.",
                node,
            ),
            node_silent: whole_gauges(
                r,
                "mwimule_node_silent",
                "1 while a node has been silent for longer than its company allows.",
                node,
            ),
            up: gauges(
                r,
                "mwimule_dependency_up",
                "1 while a dependency answers this process.",
                &["dependency"],
            ),
            registry,
        };
        for seller in ["hub", "node"] {
            inner.tickets.with_label_values(&[seller]);
        }
        for verdict in ["applied", "quarantined"] {
            inner.events.with_label_values(&[verdict]);
        }
        inner.bookings.with_label_values(&["http"]);
        Self(Arc::new(inner))
    }

    /// Counts what was committed.
    pub fn count(&self, counted: Counted) {
        let tickets = |seller, n| self.0.tickets.with_label_values(&[seller]).inc_by(n);
        match counted {
            Counted::Booking => self.0.bookings.with_label_values(&["http"]).inc(),
            Counted::HubTickets(n) => tickets("hub", n),
            Counted::NodeTickets(n) => tickets("node", n),
            Counted::Judged {
                applied,
                quarantined,
            } => {
                let events = &self.0.events;
                events.with_label_values(&["applied"]).inc_by(applied);
                events
                    .with_label_values(&["quarantined"])
                    .inc_by(quarantined);
            }
        }
    }

    /// A request begins.
    pub fn request_begins(&self) -> Running {
        Running::of(&self.0.in_flight)
    }

    /// A request has been answered. `route` is a template or one of a few words.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let class = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .get(usize::from(status / 100).wrapping_sub(1))
            .copied()
            .unwrap_or("other");
        let requests = &self.0.requests;
        requests
            .with_label_values(&[method, route, class])
            .observe(took.as_secs_f64());
    }

    /// A node is connected.
    pub fn session(&self) -> Running {
        Running::of(&self.0.sessions)
    }

    /// A piece of a job has ended.
    pub fn job(&self, name: &str, good: bool, took: Duration) {
        let outcome = if good { "done" } else { "failed" };
        let jobs = &self.0.jobs;
        jobs.with_label_values(&[name, outcome])
            .observe(took.as_secs_f64());
    }

    /// Whether a dependency answers.
    pub fn dependency(&self, name: &str, up: bool) {
        let up = if up { 1.0 } else { 0.0 };
        self.0.up.with_label_values(&[name]).set(up);
    }

    /// Everything, in Prometheus's text format.
    pub fn text(&self) -> Vec<u8> {
        let mut text = vec![];
        // A label that is no UTF-8 cannot come from our strings.
        let _ = TextEncoder::new().encode(&self.0.registry.gather(), &mut text);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
