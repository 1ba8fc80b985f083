//! Two hub processes behind the gateway, one after the other killed and started again while
//! people book and stations sell: nothing acknowledged is lost, and nobody hears anything but
//! "again".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use system_tests::http::{list, text};
use system_tests::{
    Answer, Caller, Dice, Edge, Gateway, Hub, Journey, Place, Postgres, Redis, Trip, settle, until,
};

use crate::Options;
use crate::report::{Report, percentile, tenths};

const KILLS: usize = 20;
const CLIENTS: usize = 6;
/// Bookings that have to be acknowledged while one hub is down, and again with both up.
const BOOKINGS_BETWEEN: usize = 12;
/// Sales of each station between two kills.
const SALES_BETWEEN: usize = 1;
/// Seats that each station holds of each trip.
const SEATS: u64 = 6;
const STATIONS: [&str; 2] = ["LUN", "KAB"];
/// How long a client goes on asking again.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_mins(2);

/// What clients were told.
#[derive(Debug, Default)]
struct Heard {
    /// Tickets of acknowledged bookings.
    tickets: BTreeSet<String>,
    bookings: usize,
    /// Answers that say "again", by status; 0 is a lost connection.
    again: BTreeMap<u16, usize>,
    /// Whatever else was said.
    surprises: Vec<String>,
    took_ms: Vec<f64>,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Load {
    heard: Mutex<Heard>,
    acknowledged: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many more bookings were acknowledged.
    fn more(&self, count: usize) -> Result<()> {
        let wanted = self.acknowledged.load(Ordering::SeqCst) + count;
        until("bookings to go on", DEADLINE, || {
            let so_far = self.acknowledged.load(Ordering::SeqCst);
            let enough = so_far >= wanted;
            Ok(enough
                .then_some(())
                .ok_or_else(|| format!("{so_far} of {wanted}")))
        })
    }
}

/// Two processes of one hub, what they share, and what stands before them.
struct Site {
    hubs: [Hub; 2],
    gateway: Gateway,
    _postgres: Postgres,
    _redis: Redis,
}

impl Site {
    fn found(place: &Place) -> Result<Self> {
        let postgres = Postgres::start(place)?;
        let redis = Redis::start(place)?;
        let database = postgres.database("mwimule")?;
        let (redis_url, secrets) = (redis.url(), place.path("secrets"));
        let secrets = secrets.to_str().context("the folder's path is no text")?;
        let shared = [
            ("MWIMULE_DATABASE_URL", database.as_str()),
            ("MWIMULE_REDIS_URL", redis_url.as_str()),
            ("MWIMULE_SECRETS_DIR", secrets),
            ("MWIMULE_INTERNAL_HTTP", "127.0.0.1:0"),
            ("MWIMULE_NO_RATE_LIMITS", "true"),
        ];
        let mut first = Hub::beside(place, "hub-1", &shared)?;
        let mut second = Hub::beside(place, "hub-2", &shared)?;
        let behind = [&first, &second].map(|hub| (hub.http(), hub.quic()));
        let gateway = Gateway::start(place, behind[0], behind[1])?;
        first.command(&["migrate"])?;
        first.start()?;
        second.start()?;
        first.settle_in()?;
        second.know(&first);
        Ok(Self {
            hubs: [first, second],
            gateway,
            _postgres: postgres,
            _redis: redis,
        })
    }

    fn station(&self, place: &Place, stop: &str) -> Result<Edge> {
        let words = ["--name", stop, "--kind", "station", "--stop", stop];
        let code = self.hubs[0].code(&self.gateway.sync, &words)?;
        let name = format!("station-{}", stop.to_lowercase());
        let mut edge = Edge::enrol(place, "mwimule-edge", &name, &code)?;
        edge.start()?;
        Ok(edge)
    }
}

/// Kills one hub and the other, again and again.
pub fn run(options: &Options) -> Result<Report> {
    let mut site = Site::found(&options.place)?;
    let kills = options.size(KILLS);
    let mut dice = Dice::seeded();
    let trips = site.hubs[0].trips_from("LUN")?;
    let mut counters = vec![];
    for stop in STATIONS {
        let edge = site.station(&options.place, stop)?;
        counters.push(Counter::stock(edge, stop, &trips, &mut dice)?);
    }
    let load = Load::default();
    let office = site.gateway.caller(Some(site.hubs[0].token()))?;
    let began = Instant::now();
    let killed = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (load, office, trips) = (&load, office.clone(), &trips);
            let dice = dice.split();
            scope.spawn(move || book_on(load, &office, trips, dice, client));
        }
        let killed = kill_in_turn(&mut site, &load, &mut counters, kills);
        load.over.store(true, Ordering::SeqCst);
        killed
    });
    killed?;
    let took_s = began.elapsed().as_secs_f64();
    let mut tickets = std::mem::take(&mut load.heard().tickets);
    let mut sales = load.heard().bookings;
    for counter in &counters {
        counter.drain()?;
        sales += counter.sales;
        tickets.extend(counter.tickets.iter().cloned());
    }
    Ok(report(&site, &load, (kills, took_s), (sales, &tickets)))
}

fn report(
    site: &Site,
    load: &Load,
    (kills, took_s): (usize, f64),
    (sales, tickets): (usize, &BTreeSet<String>),
) -> Report {
    let mut heard = std::mem::take(&mut *load.heard());
    let mut report = Report::default();
    report.figure("kills", kills);
    report.figure("clients", CLIENTS);
    report.figure("bookings_acknowledged", heard.bookings);
    report.figure("station_sales_acknowledged", sales - heard.bookings);
    report.figure("load_s", tenths(took_s));
    for (status, count) in &heard.again {
        report.figure(&format!("told_again_{status}"), *count);
    }
    report.figure("p95_ms", tenths(percentile(&mut heard.took_ms, 95.0)));
    report.figure("longest_ms", tenths(percentile(&mut heard.took_ms, 100.0)));
    for surprise in heard.surprises.iter().take(20) {
        eprintln!("{surprise}");
    }
    let surprises = heard.surprises.len();
    report.goal(
        "no client hears more than a retryable error",
        surprises,
        surprises == 0,
    );
    let settled = settle(&site.hubs[0], sales, tickets);
    if let Err(error) = &settled {
        eprintln!("{error:#}");
    }
    report.goal(
        "every acknowledged booking and sale is in the books, once, on seats of its own",
        settled.is_ok(),
        settled.is_ok(),
    );
    report
}

fn kill_in_turn(
    site: &mut Site,
    load: &Load,
    counters: &mut [Counter],
    kills: usize,
) -> Result<()> {
    for n in 0..kills {
        load.more(BOOKINGS_BETWEEN)?;
        let hub = &mut site.hubs[n % 2];
        hub.kill()?;
        for counter in counters.iter_mut() {
            counter.sell(SALES_BETWEEN)?;
        }
        load.more(BOOKINGS_BETWEEN)?;
        hub.start()?;
        let internal = hub.internal();
        until("the hub to be ready", DEADLINE, || {
            let answer = internal.get("/readyz")?;
            Ok((answer.status == 200)
                .then_some(())
                .ok_or_else(|| format!("{answer:?}")))
        })?;
    }
    load.more(BOOKINGS_BETWEEN)
}

/// One client: books until it is told to stop, each wish under one key until it has an answer.
fn book_on(load: &Load, office: &Caller, trips: &[Trip], mut dice: Dice, client: usize) {
    let mut n = client;
    while !load.over.load(Ordering::SeqCst) {
        n += CLIENTS;
        let trip = &trips[n % trips.len()];
        let leg = dice.below(trip.stops.len() as u64 - 1) as usize;
        let body = json!({
            "trip": trip.id, "from": trip.stops[leg], "to": trip.stops[leg + 1],
            "passengers": ["adult"], "pay": "cash",
            "contact": {"name": "Chanda", "phone": "+260970000001"},
        });
        let began = Instant::now();
        let said = persist(load, office, &dice.uuid(), &body);
        let mut heard = load.heard();
        heard.took_ms.push(began.elapsed().as_secs_f64() * 1_000.0);
        match said.and_then(|answer| taken(&answer)) {
            Ok(tickets) if tickets.is_empty() => {}
            Ok(tickets) => {
                heard.bookings += 1;
                heard.tickets.extend(tickets);
            }
            Err(error) => heard.surprises.push(format!("{error:#}")),
        }
        drop(heard);
        // A refusal is an answer too: the load goes on.
        load.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks until there is an answer that does not say "again".
fn persist(load: &Load, office: &Caller, key: &str, body: &Value) -> Result<Answer> {
    let began = Instant::now();
    loop {
        let asked = office.post_with("/bookings", &[("idempotency-key", key)], body);
        let status = match &asked {
            Ok(answer) if is_again(answer) => answer.status,
            Ok(_) => return asked,
            // The gateway itself never goes away, but a connection to it may be closed between
            // two requests.
            Err(_) => 0,
        };
        *load.heard().again.entry(status).or_default() += 1;
        if began.elapsed() > PATIENCE {
            bail!("asked in vain for {} s: {asked:?}", PATIENCE.as_secs());
        }
        // tidy-allow-sleep: between two requests of a patient client
        std::thread::sleep(PAUSE);
    }
}

fn is_again(answer: &Answer) -> bool {
    let in_flight = || {
        let kind = answer.body["type"].as_str().unwrap_or_default();
        kind.ends_with(":in-flight")
    };
    matches!(answer.status, 429 | 502 | 503 | 504) || (answer.status == 409 && in_flight())
}

/// The tickets of an acknowledged booking; none where the bus is full.
fn taken(answer: &Answer) -> Result<Vec<String>> {
    let kind = answer.body["type"].as_str().unwrap_or_default();
    match answer.status {
        201 => {
            let tickets = list(&answer.body, "tickets")?;
            tickets.iter().map(|t| text(t, "ticket")).collect()
        }
        409 if kind.ends_with(":sold-out") || kind.ends_with(":seat-taken") => Ok(vec![]),
        _ => bail!("neither a booking nor a full bus: {answer:?}"),
    }
}

/// A station, and what its agent was told.
struct Counter {
    edge: Edge,
    stop: &'static str,
    /// Each with the seats that are left.
    trips: Vec<(Trip, u64)>,
    dice: Dice,
    sales: usize,
    tickets: Vec<String>,
}

impl Counter {
    fn stock(edge: Edge, stop: &'static str, trips: &[Trip], dice: &mut Dice) -> Result<Self> {
        let mut own = vec![];
        let calling = trips.iter().filter(|t| {
            let place = t.stops.iter().position(|s| s == stop);
            place.is_some_and(|at| at + 1 < t.stops.len())
        });
        for trip in calling {
            until("the timetable", DEADLINE, || {
                let known = edge.knows(trip.id)?;
                Ok(known
                    .then_some(())
                    .ok_or_else(|| format!("no trip {}", trip.id)))
            })?;
            let to = trip.stops.last().map_or("", String::as_str);
            let seats = edge.lease(&dice.uuid(), trip.id, (stop, to), SEATS)?;
            own.push((trip.clone(), seats));
        }
        edge.open_shift(&dice.uuid())?;
        Ok(Self {
            edge,
            stop,
            trips: own,
            dice: dice.split(),
            sales: 0,
            tickets: vec![],
        })
    }

    fn sell(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let trip = self.trips.iter_mut().find(|(_, left)| *left > 0);
            let (trip, left) = trip.context("the leases are too small for this case")?;
            *left -= 1;
            let journey = Journey {
                trip: trip.id,
                from: self.stop.to_owned(),
                to: trip.stops.last().context("a trip has stops")?.clone(),
                adults: 1,
            };
            let sold = self.edge.sell(&self.dice.uuid(), &journey)?;
            self.sales += 1;
            self.tickets
                .extend(sold.tickets.into_iter().map(|(id, _)| id));
        }
        Ok(())
    }

    /// Waits until the hub has judged everything.
    fn drain(&self) -> Result<()> {
        until("a station to be in step with the hub", DEADLINE, || {
            let status = self.edge.status()?;
            let in_step = status["unsynced"] == 0 && status["last_seq"] == status["judged_seq"];
            Ok(in_step.then_some(()).ok_or_else(|| status.to_string()))
        })
    }
}
