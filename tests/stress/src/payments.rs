//! Thousands of payments by mobile money and by card, each asked for many times at once, over
//! operators that lose and double callbacks and fail after charging, while Redis is emptied and
//! killed.

use std::collections::BTreeSet;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::{Caller, Child, Dice, Hub, Place, Redis, until};

use crate::Options;
use crate::report::Report;

/// Payments at full size.
const PAYMENTS: usize = 5_000;
/// Every so many-th is by card, the others by mobile money.
const CARD_EVERY: usize = 3;
const CLIENTS: usize = 8;
/// How long the operator, the hub's poller and the slow ones may take after the last request.
const SETTLING: Duration = Duration::from_mins(10);
/// What every booking costs, in minor units.
const PRICE_MINOR: i64 = 10_000;

/// Pays many bookings, each many times.
pub fn run(options: &Options) -> Result<Report> {
    let place = &options.place;
    let count = options.size(PAYMENTS);
    let way_back = WayBack::open()?;
    let events = format!("{}/payments/webhooks/card", way_back.url);
    let momo = Operator::start(place, "sim-momo", &["--decide-ms", "50"])?;
    let cards = Operator::start(place, "sim-card", &["--webhook-url", &events])?;
    let mut redis = Redis::start(place)?;
    let config = write_config(place, &momo.url, &cards.url, &way_back.url)?;
    let further = ["--config", &config, "--redis-url", &redis.url()];
    let hub = Hub::found_with(place, "hub", &further)?;
    way_back.leads_to(hub.base());
    make_bookings(&hub, count)?;
    for operator in [&momo, &cards] {
        operator.caller.send("/_control/faults", &script())?;
    }

    let paying = pay_all(&hub, &mut redis, count)?;
    let last = wait_for_the_last(&hub);
    let captured = hub.rows("/payments?state=captured")?;
    let books = hub.office().fetch("/reconciliation/ledger")?;

    for failure in paying.failures.iter().take(20) {
        eprintln!("{failure}");
    }
    let by_card = (1..=count).filter(|n| is_card(*n)).count();
    let (momo, cards) = (momo.captures()?, cards.captures()?);
    let issued = captured.iter().filter(|p| p["outcome"] == "issued").count();
    let mut report = Report::default();
    report.figure("payments", count);
    report.figure("requests", paying.requests);
    report.figure("clients", CLIENTS);
    report.figure("by_card", by_card);
    report.figure("charges_distinct", momo.distinct + cards.distinct);
    let failed = paying.failures.len();
    report.goal("every retry gets the one answer", failed, failed == 0);
    let refused = paying.refused;
    report.goal(
        "another body is refused every time",
        refused,
        refused == count,
    );
    report.goal("nothing stays under way", last.is_ok(), last.is_ok());
    for (promise, taken, wanted) in [
        (
            "one capture each by mobile money, by its operator's count",
            momo,
            count - by_card,
        ),
        (
            "one capture each by card, by its operator's count",
            cards,
            by_card,
        ),
    ] {
        let met = taken.all == wanted && taken.distinct == wanted;
        report.goal(promise, taken.all, met);
    }
    report.goal(
        "one captured payment each",
        captured.len(),
        captured.len() == count,
    );
    report.goal("each has its tickets", issued, issued == count);
    let sum = books["ledger_sum_minor"].as_i64();
    report.goal("the ledger sums to zero", sum, sum == Some(0));
    last?;
    Ok(report)
}

fn script() -> Value {
    json!({
        "percent": [["lost_callback", 15], ["duplicate_callback", 15],
            ["error_after_charging", 5], ["slow", 3], ["timeout", 1]],
        "slow_ms": 2_000,
    })
}

fn is_card(n: usize) -> bool {
    n.is_multiple_of(CARD_EVERY)
}

/// Who takes the money.
struct Operator {
    _child: Child,
    url: String,
    caller: Caller,
}

/// Captures at an operator: all, and of different charges.
#[derive(Debug, Clone, Copy)]
struct Captures {
    all: usize,
    distinct: usize,
}

impl Operator {
    fn start(place: &Place, name: &str, words: &[&str]) -> Result<Self> {
        let mut command = Command::new(place.program(name)?);
        let child = Child::start(name, command.args(words), &place.log(name))?;
        let url = child.ready()?["url"].as_str().map(str::to_owned);
        let url = url.with_context(|| format!("{name} does not say where it is"))?;
        Ok(Self {
            _child: child,
            caller: Caller::new(&url, None),
            url,
        })
    }

    fn captures(&self) -> Result<Captures> {
        let ledger = self.caller.fetch("/_control/ledger")?;
        let lines = ledger["lines"].as_array().context("no lines")?;
        let taken = lines.iter().filter(|l| l["kind"] == "capture");
        let once: BTreeSet<&str> = taken
            .clone()
            .filter_map(|l| l["reference"].as_str())
            .collect();
        Ok(Captures {
            all: taken.count(),
            distinct: once.len(),
        })
    }
}

fn write_config(place: &Place, momo: &str, cards: &str, way_back: &str) -> Result<String> {
    let path = place.path("payments.toml");
    let text = format!(
        "[http.limits]\non = false\n[momo]\nurl = \"{momo}\"\ncallback_url = \"{way_back}\"\n\
         answer_within_s = 2\n[momo.collection]\nsubscription_key = \"sim-subscription\"\n\
         api_user = \"00000000-0000-4000-8000-000000000001\"\napi_key = \"sim-api-key\"\n\
         [card]\nurl = \"{cards}\"\nsecret_key = \"sk_test_sim\"\nanswer_within_s = 2\n\
         webhook_secrets = [\"whsec_sim_card\"]\n"
    );
    std::fs::write(&path, text)?;
    let path = path.to_str().context("the folder's path is no text")?;
    Ok(path.to_owned())
}

/// Bookings that wait for their money, put there behind the hub's back: what is tried is paying.
fn make_bookings(hub: &Hub, count: usize) -> Result<()> {
    hub.sql(&format!(
        "CREATE TEMP TABLE wanted AS
         SELECT t.company_id, t.trip_id, t.leg_count, s AS seat,
             row_number() OVER (ORDER BY t.departs_at_ms DESC, t.trip_id, s) AS n
         FROM trip t, generate_series(1, t.seat_count) s
         ORDER BY n LIMIT {count};
         INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor, currency,
             created_at_ms, state, expires_at_ms, expires_last_ms)
         SELECT company_id, ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
             'PAY-' || n, trip_id, {PRICE_MINOR}, 'ZMW', 0, 'awaiting_payment',
             (extract(epoch FROM now()) * 1000)::bigint + 3600000,
             (extract(epoch FROM now()) * 1000)::bigint + 7200000
         FROM wanted;
         INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
             fare_minor)
         SELECT company_id, ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1,
             trip_id, seat, int4range(0, leg_count), 0, {PRICE_MINOR} FROM wanted;
         INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id)
         SELECT company_id, trip_id, seat, int4range(0, leg_count), 'hold',
             ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid FROM wanted;
         DO $$ BEGIN
             IF (SELECT count(*) FROM wanted) <> {count} THEN
                 RAISE EXCEPTION 'the timetable has too few seats';
             END IF;
         END $$;"
    ))
}

#[derive(Debug, Default)]
struct Paying {
    requests: usize,
    refused: usize,
    failures: Vec<String>,
}

fn pay_all(hub: &Hub, redis: &mut Redis, count: usize) -> Result<Paying> {
    let (all, done) = (Mutex::new(Paying::default()), AtomicUsize::new(0));
    let bearer = format!("Bearer {}", hub.token());
    let mut dice = Dice::seeded();
    let plans: Vec<(String, usize)> = (0..count)
        .map(|_| (dice.uuid(), 3 + dice.below(8) as usize))
        .collect();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (all, done, plans, bearer) = (&all, &done, &plans, &bearer);
            let office = hub.office();
            scope.spawn(move || {
                for (n, (key, retries)) in plans.iter().enumerate().skip(client).step_by(CLIENTS) {
                    let headers = [
                        ("idempotency-key", key.as_str()),
                        ("authorization", bearer.as_str()),
                    ];
                    let one = pay(&office, n + 1, &headers, *retries);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.requests += retries + 1;
                    match one {
                        Ok(()) => all.refused += 1,
                        Err(error) => all.failures.push(format!("payment {}: {error:#}", n + 1)),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let reach = |part: usize| {
            until("the payments", SETTLING, || {
                let so_far = done.load(Ordering::Relaxed);
                Ok(if so_far >= part {
                    Ok(())
                } else {
                    Err(format!("{so_far} of {part}"))
                })
            })
        };
        reach(count / 4)?;
        redis.flush()?;
        reach(count / 2)?;
        redis.kill()?;
        reach(count * 3 / 4)?;
        redis.restart()
    })?;
    all.into_inner().ok().context("a client panicked")
}

/// One payment, asked for many times at once, then once with another body.
fn pay(office: &Caller, n: usize, headers: &[(&str, &str)], retries: usize) -> Result<()> {
    let path = format!("/bookings/PAY-{n}/payments");
    let wish = if is_card(n) {
        json!({ "provider": "card", "card": "pm_card_visa" })
    } else {
        json!({ "provider": "momo", "phone": format!("+26096{n:04}000") })
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = || office.post_with(&path, headers, &wish);
        let asking: Vec<_> = (0..retries).map(|_| scope.spawn(ask)).collect();
        asking
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut given: Option<Value> = None;
    for answer in answers {
        let answer = answer.map_err(|_| anyhow::anyhow!("a client panicked"))??;
        if answer.status == 409 && answer.body["type"] == "urn:mwimule:problem:in-flight" {
            continue;
        }
        ensure!(answer.status == 201, "{answer:?}");
        let first = given.get_or_insert_with(|| answer.body.clone());
        ensure!(
            *first == answer.body,
            "two answers to one key: {first} {answer:?}"
        );
    }
    ensure!(given.is_some(), "no answer but in-flight");
    // A number that none of the wishes above has.
    let other = json!({ "provider": "momo", "phone": "+260970000000" });
    let refused = office.post_with(&path, headers, &other)?;
    let kind = "urn:mwimule:problem:idempotency-key-reused";
    ensure!(
        refused.status == 422 && refused.body["type"] == kind,
        "another body under the same key: {refused:?}"
    );
    Ok(())
}

fn wait_for_the_last(hub: &Hub) -> Result<()> {
    let office = hub.office();
    until("the last payment", SETTLING, || {
        for state in ["intent", "pending"] {
            let page = office.fetch(&format!("/payments?state={state}&limit=1"))?;
            if page["items"].as_array().is_none_or(|rows| !rows.is_empty()) {
                return Ok(Err(format!("some are still {state}")));
            }
        }
        Ok(Ok(()))
    })
}

/// The operators' way to the hub: an address that is known before the hub's own.
struct WayBack {
    url: String,
    hub: Arc<OnceLock<String>>,
}

impl WayBack {
    fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let hub: Arc<OnceLock<String>> = Arc::default();
        let target = Arc::clone(&hub);
        std::thread::spawn(move || {
            for incoming in listener.incoming().map_while(Result::ok) {
                let Some(address) = target.get().cloned() else {
                    continue;
                };
                std::thread::spawn(move || pass_on(incoming, &address));
            }
        });
        Ok(Self { url, hub })
    }

    fn leads_to(&self, base: &str) {
        let _ = self.hub.set(base.trim_start_matches("http://").to_owned());
    }
}

/// Both ways, until one side ends.
fn pass_on(mut incoming: TcpStream, address: &str) -> io::Result<()> {
    let mut hub = TcpStream::connect(address)?;
    let (mut back_from, mut back_to) = (hub.try_clone()?, incoming.try_clone()?);
    let back = std::thread::spawn(move || io::copy(&mut back_from, &mut back_to));
    let _ = io::copy(&mut incoming, &mut hub);
    hub.shutdown(std::net::Shutdown::Write)?;
    let _ = back.join();
    Ok(())
}
