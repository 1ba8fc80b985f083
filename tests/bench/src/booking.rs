//! Bookings over HTTP, hold to ticket, beside the same three transactions as raw SQL; and search
//! over a year's worth of rows.

mod client;
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;
use system_tests::{Hub, Place};
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::report::{median, per_s, rounded};
use crate::say;
use client::Client;
use system_tests::load::{self, Loaded, Stock};

/// Who books at once.
const CLIENTS: usize = 32;
/// How often booking and raw SQL take turns.
const ROUNDS: u32 = 4;
/// Who searches at once.
const SEARCHERS: usize = 4;
/// The goal of bookings over raw SQL.
const RATIO_GOAL: f64 = 0.5;
/// The goal of search, in milliseconds.
const SEARCH_MS_GOAL: f64 = 20.0;
/// Bookings of one hot trip before the rush goes on to the next.
const HOT_BOOKINGS: usize = load::HOT_SEATS as usize * load::HOT_LEGS as usize * 9 / 10;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// How long each rate is taken.
    pub lasts: Duration,
    /// Trips stored.
    pub trips: usize,
    /// Tickets stored.
    pub tickets: usize,
    /// Searches.
    pub searches: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct BookingReport {
    /// Few repetitions.
    pub quick: bool,
    /// What was drawn from.
    pub seed: u64,
    /// Bookings a second, hold to ticket, over a thousand trips.
    pub booking_per_s: f64,
    /// The same rows by pgbench, as the same role.
    pub raw_pg_per_s: f64,
    /// Both, round by round.
    pub rounds: Vec<(f64, f64)>,
    /// One over the other.
    pub booking_ratio_to_pg: f64,
    /// Bookings a second on one trip.
    pub hot_trip_per_s: f64,
    /// In 99 of 100 searches the answer was there in so many milliseconds.
    pub search_p99_ms: f64,
    /// In half of them.
    pub search_p50_ms: f64,
    /// Who booked at once.
    pub clients: usize,
    /// Who searched at once.
    pub searchers: usize,
    /// Trips stored when searching.
    pub trips: usize,
    /// Tickets stored when searching.
    pub tickets: usize,
    /// Which goals were met.
    pub goals: Vec<String>,
}

/// Measures on a hub of its own.
pub fn measure(quick: bool, seed: u64, amount: Amount) -> Result<BookingReport> {
    let place = Place::new()?;
    let done = measure_at(&place, quick, seed, amount);
    if done.is_err() {
        place.show_logs();
    }
    done
}

fn measure_at(place: &Place, quick: bool, seed: u64, amount: Amount) -> Result<BookingReport> {
    let config = place.path("hub.toml");
    std::fs::write(&config, "[http.limits]\non = false\n")?;
    let config = config.to_str().context("the folder's path is no text")?;
    let hub = Hub::found_with(place, "hub", &["--config", config])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    say(&format!(
        "storing {} trips and {} tickets",
        amount.trips, amount.tickets
    ));
    let stock = Stock {
        trips: amount.trips,
        tickets: amount.tickets,
    };
    let loaded = runtime.block_on(load::load(hub.postgres_url(), stock))?;
    let loaded = Arc::new(loaded);
    let address = hub.base().trim_start_matches("http://").to_owned();

    say("searching");
    let mut dice = Dice::new(seed);
    let mut took = runtime.block_on(search(&address, &loaded, &mut dice, amount.searches))?;
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];

    say("booking on a thousand trips, and the same in raw SQL, in turns");
    let spread = Target::Spread;
    runtime.block_on(book(&hub, &loaded, spread, Duration::from_secs(2)))?;
    let (mut bookings, mut raws) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let lasts = amount.lasts / ROUNDS;
        bookings.push(runtime.block_on(book(&hub, &loaded, spread, lasts))?);
        raws.push(raw::measure(
            place,
            hub.postgres_url(),
            &loaded,
            lasts,
            CLIENTS,
        )?);
    }
    let (booking, raw) = (median(&bookings), median(&raws));
    say("booking on one trip");
    let hot = runtime.block_on(book(&hub, &loaded, Target::Hot, amount.lasts))?;

    let ratio = rounded(booking / raw.max(f64::EPSILON), 3);
    let p99 = rounded(at(0.99), 2);
    let goal = |met: bool, what: String| format!("{}: {what}", if met { "met" } else { "missed" });
    Ok(BookingReport {
        quick,
        seed,
        booking_per_s: booking,
        raw_pg_per_s: raw,
        rounds: bookings.into_iter().zip(raws).collect(),
        booking_ratio_to_pg: ratio,
        hot_trip_per_s: hot,
        search_p99_ms: p99,
        search_p50_ms: rounded(at(0.5), 2),
        clients: CLIENTS,
        searchers: SEARCHERS,
        trips: amount.trips,
        tickets: amount.tickets,
        goals: vec![
            goal(
                ratio >= RATIO_GOAL,
                format!("booking_ratio_to_pg >= {RATIO_GOAL}"),
            ),
            goal(
                p99 <= SEARCH_MS_GOAL,
                format!("search_p99_ms <= {SEARCH_MS_GOAL}"),
            ),
        ],
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Spread,
    Hot,
}

/// The journey of the n-th booking.
fn journey(loaded: &Loaded, target: Target, n: usize) -> (u64, String, String) {
    match target {
        Target::Spread => {
            let trip = &loaded.spread[n % loaded.spread.len()];
            let leg = n / loaded.spread.len() % (trip.stops.len() - 1);
            (
                trip.id,
                trip.stops[leg].clone(),
                trip.stops[leg + 1].clone(),
            )
        }
        Target::Hot => {
            let trip = &loaded.hot[n / HOT_BOOKINGS % loaded.hot.len()];
            let leg = n % (trip.stops.len() - 1);
            (
                trip.id,
                trip.stops[leg].clone(),
                trip.stops[leg + 1].clone(),
            )
        }
    }
}

/// Bookings a second: hold, pay, fetch the ticket.
async fn book(hub: &Hub, loaded: &Arc<Loaded>, target: Target, lasts: Duration) -> Result<f64> {
    static NEXT: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for _ in 0..CLIENTS {
        let address = hub.base().trim_start_matches("http://").to_owned();
        let (token, loaded) = (hub.token().to_owned(), Arc::clone(loaded));
        clients.spawn(async move {
            let mut client = Client::connect(&address, &token).await?;
            let mut booked = 0_usize;
            while began.elapsed() < lasts {
                let n = NEXT[target as usize].fetch_add(1, Ordering::Relaxed);
                book_once(&mut client, journey(&loaded, target, n), (target, n)).await?;
                booked += 1;
            }
            anyhow::Ok(booked)
        });
    }
    let mut booked = 0;
    while let Some(done) = clients.join_next().await {
        booked += done??;
    }
    Ok(per_s(booked, began.elapsed()))
}

async fn book_once(
    client: &mut Client,
    (trip, from, to): (u64, String, String),
    (target, n): (Target, usize),
) -> Result<()> {
    let wish = json!({"journeys": [
        {"trip": trip, "from": from, "to": to, "passengers": ["adult"]}
    ]});
    let held = client
        .post("/holds", &format!("{target:?}-h{n}"), &wish)
        .await?;
    let paid = json!({
        "hold": held["hold"], "token": held["token"], "pay": "cash",
        "contact": {"name": "Chanda Mwila", "phone": "+260970000001"},
    });
    let paid = client
        .post("/bookings", &format!("{target:?}-b{n}"), &paid)
        .await?;
    let reference = paid["reference"].as_str().context("no reference")?;
    let path = format!("/bookings/{reference}?phone=%2B260970000001");
    let shown = client.get(&path).await?;
    ensure!(shown["tickets"][0]["qr"].is_string(), "no ticket: {shown}");
    Ok(())
}

/// How long each of some searches took, in milliseconds.
async fn search(
    address: &str,
    loaded: &Arc<Loaded>,
    dice: &mut Dice,
    count: usize,
) -> Result<Vec<f64>> {
    let mut clients = JoinSet::new();
    for _ in 0..SEARCHERS {
        let (address, loaded) = (address.to_owned(), Arc::clone(loaded));
        let mut dice = Dice::new(dice.number());
        clients.spawn(async move {
            let mut client = Client::connect(&address, "").await?;
            let mut took = vec![];
            for n in 0..count.div_ceil(SEARCHERS) {
                let path = loaded.wish(|n| dice.below(n));
                let began = Instant::now();
                let found = client.get_bytes(&path).await?;
                let ms = began.elapsed().as_secs_f64() * 1_000.0;
                let found: serde_json::Value = serde_json::from_slice(&found)?;
                let rows = found["departures"].as_array();
                ensure!(rows.is_some_and(|r| !r.is_empty()), "nothing for {path}");
                // The first ones of a process make its connections, plans and prices.
                if n >= 20 {
                    took.push(ms);
                }
            }
            anyhow::Ok(took)
        });
    }
    let mut took = vec![];
    while let Some(done) = clients.join_next().await {
        took.extend(done??);
    }
    Ok(took)
}
