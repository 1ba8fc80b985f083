//! Many buyers for few seats: none sold twice, nobody hears of a deadlock, with the application's
//! locks and without.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use system_tests::{Caller, Dice, Hub, Trip};

use crate::Options;
use crate::report::Report;

/// Attempts of each half.
const ATTEMPTS: usize = 20_000;
const CLIENTS: usize = 200;
/// What is fought for: so many seats on so many legs.
const SEATS: u64 = 50;
const LEGS: usize = 6;

/// The hub without the application's locks.
const WEAK: &str = "weak-hub";

/// A live ticket or a claim that shares a seat-leg with another ticket or claim.
const OVERLAPS: &str = "
    DO $$
    DECLARE
        found bigint;
    BEGIN
        WITH taken AS (
            SELECT 'c' || claim_id AS id, trip_id, seat, legs FROM claim
            UNION ALL
            SELECT 't' || ticket_id, trip_id, seat, legs FROM ticket WHERE state = 0)
        SELECT count(*) INTO found FROM taken a JOIN taken b
            ON a.trip_id = b.trip_id AND a.seat = b.seat AND a.legs && b.legs AND a.id < b.id;
        IF found > 0 THEN
            RAISE EXCEPTION '% seat-legs have two owners', found;
        END IF;
    END
    $$";

/// The books of what was sold.
const BOOKS: &str = "
    DO $$
    BEGIN
        IF (SELECT count(*) FROM ticket) <> (SELECT count(*) FROM ledger_posting
                WHERE ticket_id IS NOT NULL AND kind = 'sale')
            OR (SELECT COALESCE(sum(amount_minor), 0) FROM ledger_posting) <> 0 THEN
            RAISE EXCEPTION 'tickets and ledger differ';
        END IF;
    END
    $$";

/// The same rush with the locks and without.
pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let attempts = options.size(ATTEMPTS);
    report.figure("attempts_each", attempts);
    report.figure("clients", CLIENTS);
    for (name, program) in [("locks_on", "mwimule-hub"), ("locks_off", WEAK)] {
        rush(options, &mut report, (name, program), attempts)?;
    }
    Ok(report)
}

fn rush(
    options: &Options,
    report: &mut Report,
    (name, program): (&str, &str),
    attempts: usize,
) -> Result<()> {
    let config = options.place.path("limits.toml");
    std::fs::write(&config, "[http.limits]\non = false\n")?;
    let config = config.to_str().context("the folder's path is no text")?;
    let hub = Hub::found_as(&options.place, program, name, &["--config", config])?;
    let trips = hub.trips_from("LUN")?;
    let trip = trips.into_iter().find(|t| t.stops.len() > LEGS);
    let mut trip = trip.context("no trip has legs enough")?;
    trip.stops.truncate(LEGS + 1);
    fill(&hub, &trip)?;
    let mut dice = Dice::seeded();
    let all: Vec<Dice> = (0..CLIENTS).map(|_| dice.split()).collect();
    let counted = Mutex::new(BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for (client, mut dice) in all.into_iter().enumerate() {
            let (trip, counted) = (&trip, &counted);
            let callers = [hub.office(), hub.public()];
            let own = (client..attempts).step_by(CLIENTS).count();
            scope.spawn(move || {
                for _ in 0..own {
                    for heard in attempt(&callers, trip, &mut dice) {
                        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                        *counted.entry(heard).or_default() += 1;
                    }
                }
            });
        }
    });
    let counted = counted.into_inner().ok().context("a client panicked")?;
    let healthy = |heard: &str| {
        let refusals = ["sold-out", "seat-taken", "hold-over"];
        heard.starts_with("201")
            || heard.starts_with("204")
            || refusals.iter().any(|r| heard.ends_with(r))
    };
    let sick: usize = counted
        .iter()
        .filter(|(h, _)| !healthy(h))
        .map(|(_, n)| n)
        .sum();
    for (heard, count) in &counted {
        report.figure(&format!("{name}_{heard}"), *count);
    }
    report.goal(
        &format!("{name}: no 5xx and no other surprise"),
        sick,
        sick == 0,
    );
    let overlaps = hub.sql(OVERLAPS);
    let books = hub.sql(BOOKS);
    for said in [&overlaps, &books]
        .into_iter()
        .filter_map(|r| r.as_ref().err())
    {
        eprintln!("{name}: {said:#}");
    }
    report.goal(
        &format!("{name}: no seat-leg has two owners"),
        overlaps.is_ok(),
        overlaps.is_ok(),
    );
    report.goal(
        &format!("{name}: every ticket is in the ledger once"),
        books.is_ok(),
        books.is_ok(),
    );
    Ok(())
}

fn journey(trip: &Trip, from: usize, to: usize, passengers: &Value) -> Value {
    json!({
        "trip": trip.id, "from": trip.stops[from], "to": trip.stops[to], "passengers": passengers,
    })
}

/// Sells what is beyond the seats that are fought for.
fn fill(hub: &Hub, trip: &Trip) -> Result<()> {
    let mut beyond = trip.seats.saturating_sub(SEATS);
    let mut key = 0;
    while beyond > 0 {
        let party = beyond.min(10);
        let mut body = journey(trip, 0, LEGS, &json!(vec!["adult"; party as usize]));
        body["contact"] = json!({"name": "Chanda", "phone": "+260970000001"});
        body["pay"] = "cash".into();
        key += 1;
        let key = format!("fill-{key}");
        hub.office()
            .post_with("/bookings", &[("idempotency-key", &key)], &body)?
            .good()?;
        beyond -= party;
    }
    Ok(())
}

/// Status and kind of an answer.
fn heard(step: &str, answer: Result<system_tests::Answer>) -> (String, Value) {
    match answer {
        Ok(answer) => {
            let kind = answer.body["type"].as_str().unwrap_or_default();
            let kind = kind.rsplit(':').next().unwrap_or_default();
            (format!("{}_{step}_{kind}", answer.status), answer.body)
        }
        Err(error) => (format!("lost_{step}_{error:#}"), Value::Null),
    }
}

/// One wish: most are held, and of those most given back, so that there is always something to
/// fight for; the others are paid in cash.
fn attempt([office, public]: &[Caller; 2], trip: &Trip, dice: &mut Dice) -> Vec<String> {
    let from = dice.below(LEGS as u64) as usize;
    let to = from + 1 + dice.below((LEGS - from) as u64) as usize;
    let seat = 1 + dice.below(SEATS);
    let passengers = match dice.below(4) {
        0 => json!([{"seat": seat}]),
        1 => json!(["adult", "child"]),
        _ => json!(["adult"]),
    };
    let wish = journey(trip, from, to, &passengers);
    let contact = json!({"name": "Chanda", "phone": "+260970000001"});
    let key = dice.uuid();
    if dice.percent(10) {
        let mut body = wish;
        body["contact"] = contact;
        body["pay"] = "cash".into();
        let sold = office.post_with("/bookings", &[("idempotency-key", &key)], &body);
        return vec![heard("sell", sold).0];
    }
    let body = json!({"journeys": [wish]});
    let held = public.post_with("/holds", &[("idempotency-key", &key)], &body);
    let (first, held) = heard("hold", held);
    if !first.starts_with("201") {
        return vec![first];
    }
    let token = held["token"].as_str().unwrap_or_default();
    let hold = held["hold"].as_str().unwrap_or_default();
    let then = if dice.percent(90) {
        let path = format!("/holds/{hold}");
        heard(
            "release",
            public.delete_with(&path, &[("hold-token", token)]),
        )
        .0
    } else {
        let body = json!({"hold": hold, "token": token, "contact": contact, "pay": "cash"});
        let key = dice.uuid();
        heard(
            "pay",
            office.post_with("/bookings", &[("idempotency-key", &key)], &body),
        )
        .0
    };
    vec![first, then]
}
