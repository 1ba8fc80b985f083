//! Bookings while Redis goes away: none fails, and few wait longer.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;
use system_tests::{Dice, Hub, Redis, Trip};

use crate::Options;
use crate::report::{Report, percentile, tenths};

/// Bookings of each half.
const BOOKINGS: usize = 2_000;
const CLIENTS: usize = 8;
/// How much the 95th percentile may lose, in milliseconds.
const WORSE_MS_MAX: f64 = 50.0;

/// Books with Redis there and with Redis killed.
pub fn run(options: &Options) -> Result<Report> {
    let mut redis = Redis::start(&options.place)?;
    // The limits stay on, since they are what asks the cache most, but no client comes near them.
    let config = options.place.path("hub.toml");
    let limits = "[http.limits]\nbooking_per_min = 1000000\n";
    std::fs::write(&config, limits)?;
    let config = config.to_str().context("the folder's path is no text")?;
    let further = ["--config", config, "--redis-url", &redis.url()];
    let hub = Hub::found_with(&options.place, "hub", &further)?;
    let trips = hub.trips_from("LUN")?;
    let mut dice = Dice::seeded();
    let count = options.size(BOOKINGS);
    // The first bookings of a process make its connections and plans.
    book(&hub, &trips, &mut dice, count.div_ceil(10))?;
    let mut with = book(&hub, &trips, &mut dice, count)?;
    redis.kill()?;
    let mut without = book(&hub, &trips, &mut dice, count)?;
    redis.restart()?;
    let back = book(&hub, &trips, &mut dice, count.div_ceil(10))?;

    let (p95_with, p95_without) = (with.p95_ms(), without.p95_ms());
    let failed = without.failures.len();
    let mut report = Report::default();
    report.figure("bookings_each", count);
    report.figure("clients", CLIENTS);
    report.figure("p95_ms_redis_up", p95_with);
    report.figure("p95_ms_redis_down", p95_without);
    report.figure("longest_ms_redis_down", without.longest_ms());
    for failure in with.failures.iter().chain(&back.failures) {
        eprintln!("{failure}");
    }
    for failure in &without.failures {
        eprintln!("while Redis was down: {failure}");
    }
    let otherwise = with.failures.len() + back.failures.len();
    report.goal("no booking fails with Redis up", otherwise, otherwise == 0);
    report.goal("no booking fails with Redis down", failed, failed == 0);
    let worse = tenths(p95_without - p95_with);
    let promise = format!("the 95th percentile at most {WORSE_MS_MAX} ms worse");
    report.goal(&promise, worse, worse <= WORSE_MS_MAX);
    Ok(report)
}

#[derive(Debug, Default)]
struct Booked {
    took_ms: Vec<f64>,
    failures: Vec<String>,
}

impl Booked {
    fn p95_ms(&mut self) -> f64 {
        tenths(percentile(&mut self.took_ms, 95.0))
    }

    fn longest_ms(&mut self) -> f64 {
        tenths(percentile(&mut self.took_ms, 100.0))
    }
}

/// So many bookings of one leg each, by several clients at once.
fn book(hub: &Hub, trips: &[Trip], dice: &mut Dice, count: usize) -> Result<Booked> {
    let all = Mutex::new(Booked::default());
    let keys: Vec<String> = (0..count).map(|_| dice.uuid()).collect();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (all, keys) = (&all, &keys);
            let office = hub.office();
            scope.spawn(move || {
                for (n, key) in keys.iter().enumerate().skip(client).step_by(CLIENTS) {
                    let trip = &trips[n % trips.len()];
                    let leg = n / trips.len() % (trip.stops.len() - 1);
                    let body = json!({
                        "trip": trip.id, "from": trip.stops[leg], "to": trip.stops[leg + 1],
                        "passengers": ["adult"],
                        "contact": {"name": "Chanda", "phone": "+260970000001"},
                    });
                    let began = Instant::now();
                    let answer = office.post_with("/bookings", &[("idempotency-key", key)], &body);
                    let took_ms = began.elapsed().as_secs_f64() * 1_000.0;
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.took_ms.push(took_ms);
                    match answer {
                        // A full trip is an answer of a healthy hub.
                        Ok(answer) if matches!(answer.status, 201 | 409) => {}
                        Ok(answer) => all.failures.push(format!("{answer:?}")),
                        Err(error) => all.failures.push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let booked = all.into_inner().ok().context("a client panicked")?;
    Ok(booked)
}
