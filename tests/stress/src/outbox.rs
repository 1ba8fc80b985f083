//! Events on their way to phones while RabbitMQ is killed and hubs that consume are killed; a
//! poison message; and bookings while RabbitMQ is away.
//!
//! What is counted is what reached the gateway, which heeds keys: a hub that dies between the
//! gateway's answer and its own record asks again under the same key, and how often that happened
//! is a figure. A gateway that heeds none would have sent those messages twice.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::{Caller, Child, Dice, Hub, Place, Rabbit, Ran, until};

use crate::Options;
use crate::report::{Report, tenths};

/// At full size.
const EVENTS: usize = 100_000;
const RESTARTS: usize = 20;
const KILLS: usize = 50;
const AWAY_S: usize = 600;
const BOOKINGS: usize = 2_000;
/// Events that one statement writes.
const CHUNK: usize = 1_000;
/// How long what is left may take once nobody is killed any more.
const SETTLING: Duration = Duration::from_mins(15);
/// A dead letter after so many tries, these waits between them.
const RETRY_DELAYS_MS: &str = "[200, 400, 800]";
const TRIES: i64 = 4;
const STAFF_PHONE: &str = "+260970000001";
/// When an event happened: of one that is old nobody is told.
const NOW_MS: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const POISON: &str = "POISON-1";

struct World {
    hub: Hub,
    gateway: Caller,
    further: Vec<String>,
    _operator: Child,
}

/// Tells, restarts, kills, poisons, and goes away.
pub fn run(options: &Options) -> Result<Report> {
    let place = &options.place;
    let mut rabbit = Rabbit::start(&place.path("rabbitmq"))?;
    let world = World::found(place, &rabbit)?;
    let events = options.size(EVENTS);
    let mut dice = Dice::seeded();
    let mut report = Report::default();

    let began = Instant::now();
    let second = world.second(place)?;
    let chaos = Chaos {
        restarts: options.size(RESTARTS),
        kills: options.size(KILLS),
    };
    let killed = chaos.run(&second, &mut rabbit, events, &mut dice)?;
    let all = world.until_sent(events);
    let took = began.elapsed().as_secs_f64();
    let count = world.count()?;
    report.figure("events", events);
    report.figure("rabbitmq_kills", killed.0);
    report.figure("consumer_kills", killed.1);
    report.figure("events_told_in_s", tenths(took));
    report.figure("asked_again_under_a_known_key", count["repeated"].clone());
    let lost = events.saturating_sub(as_size(&count["sms_distinct"]));
    report.goal(
        "every event reaches its reader",
        lost,
        lost == 0 && all.is_ok(),
    );
    let doubled = as_size(&count["sms"]) - as_size(&count["sms_distinct"]);
    report.goal("nobody is told twice", doubled, doubled == 0);
    let notices = world.number("SELECT count(*) FROM notice WHERE kind = 'node_back'")?;
    let promise = "one message per event and person";
    report.goal(promise, notices, notices == events as i64);
    let dead = world.dead_letters()?.len();
    report.goal("no event among the dead letters", dead, dead == 0);

    poison(&world, &mut report)?;
    away(options, &world, &mut rabbit, &mut report)?;
    Ok(report)
}

fn as_size(value: &Value) -> usize {
    value.as_u64().unwrap_or_default() as usize
}

impl World {
    fn found(place: &Place, rabbit: &Rabbit) -> Result<Self> {
        let mut command = Command::new(place.program("sim-sms")?);
        command.args(["--deduplicate", "--deliver-ms", "0"]);
        let operator = Child::start("sim-sms", &mut command, &place.log("sim-sms"))?;
        let url = operator.ready()?["url"].as_str().map(str::to_owned);
        let url = url.context("sim-sms does not say where it is")?;
        let config = place.path("outbox.toml");
        std::fs::write(
            &config,
            format!(
                "[http.limits]\non = false\n[broker]\nurl = \"{}\"\n\
                 retry_delays_ms = {RETRY_DELAYS_MS}\n[sms]\nurl = \"{url}\"\n\
                 username = \"sandbox\"\napi_key = \"sim-sms-key\"\nanswer_within_s = 2\n",
                rabbit.url()
            ),
        )?;
        let config = config.to_str().context("the folder's path is no text")?;
        let further = vec!["--config".to_owned(), config.to_owned()];
        let words: Vec<&str> = further.iter().map(String::as_str).collect();
        let hub = Hub::found_with(place, "hub", &words)?;
        let company = system_tests::hub::COMPANY;
        hub.command(&[
            "person",
            "create",
            "--email",
            STAFF_PHONE,
            "--name",
            "Chanda",
            "--role",
            "clerk",
            "--company",
            company,
        ])?;
        // At any time of the day this runs.
        hub.sql(
            "INSERT INTO notice_preference (person_id, sms, email, muted)
             SELECT person_id, true, true, '{}' FROM membership WHERE 'clerk' = ANY (roles)",
        )?;
        Ok(Self {
            hub,
            gateway: Caller::new(&url, None),
            further,
            _operator: operator,
        })
    }

    /// How a second hub on the same database and broker is started.
    fn second(&self, place: &Place) -> Result<Second> {
        let data = place.path("second");
        Ok(Second {
            program: place.program("mwimule-hub")?,
            data,
            secrets: self.hub.data().to_owned(),
            log: place.log("second"),
            database: self.hub.postgres_url().to_owned(),
            further: self.further.clone(),
        })
    }

    fn count(&self) -> Result<Value> {
        self.gateway.fetch("/_control/count")
    }

    fn number(&self, sql: &str) -> Result<i64> {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let ran = Ran::good(psql.arg(self.hub.postgres_url()))?;
        Ok(ran.stdout.trim().parse()?)
    }

    /// Until so many different messages have reached the gateway and nothing is under way.
    fn until_sent(&self, wanted: usize) -> Result<()> {
        until("every message", SETTLING, || {
            let sent = as_size(&self.count()?["sms_distinct"]);
            if sent < wanted {
                return Ok(Err(format!("{sent} of {wanted}")));
            }
            let left = self.number(
                "SELECT (SELECT count(*) FROM outbox WHERE NOT published)
                 + (SELECT count(*) FROM notice_delivery WHERE state IN ('waiting', 'sending'))",
            )?;
            Ok(if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} are under way"))
            })
        })
    }

    fn dead_letters(&self) -> Result<Vec<Value>> {
        let words: Vec<&str> = self.further.iter().map(String::as_str).collect();
        let listed = self
            .hub
            .command(&[&words[..], &["dead-letters", "list"]].concat())?;
        let letters = listed["dead_letters"].as_array();
        Ok(letters.context("no list of dead letters")?.clone())
    }
}

/// Writes events as another service would.
fn tell(postgres_url: &str, from: usize, to: usize) -> Result<()> {
    let sql = format!(
        "INSERT INTO outbox (company_id, event_id, kind, subject, body, at_ms)
         SELECT c.company_id, gen_random_uuid(), 'node.back', 'node:' || n,
             jsonb_build_object('node', gen_random_uuid(), 'name', 'Node ' || n,
                 'silent_s', 7200), {NOW_MS}
         FROM company c, generate_series({from}, {to}) AS n"
    );
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &sql]);
    Ran::good(psql.arg(postgres_url))?;
    Ok(())
}

struct Second {
    program: std::path::PathBuf,
    data: std::path::PathBuf,
    secrets: std::path::PathBuf,
    log: std::path::PathBuf,
    database: String,
    further: Vec<String>,
}

impl Second {
    fn start(&self) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("--json").arg("--data-dir").arg(&self.data);
        command.arg("--secrets-dir").arg(&self.secrets);
        command.args(["--database-url", &self.database, "serve"]);
        command.args(["--http", "127.0.0.1:0", "--quic", "127.0.0.1:0"]);
        command.args(&self.further);
        Child::start("the second hub", &mut command, &self.log)
    }
}

struct Chaos {
    restarts: usize,
    kills: usize,
}

impl Chaos {
    /// Tells everything while servers and consumers are killed; how often each was.
    fn run(
        &self,
        second: &Second,
        rabbit: &mut Rabbit,
        events: usize,
        dice: &mut Dice,
    ) -> Result<(usize, usize)> {
        let told = AtomicUsize::new(0);
        let mut dice_of_kills = dice.split();
        std::thread::scope(|scope| {
            let telling = scope.spawn(|| {
                for from in (1..=events).step_by(CHUNK) {
                    let to = events.min(from + CHUNK - 1);
                    tell(&second.database, from, to)?;
                    told.store(to, Ordering::Relaxed);
                }
                Ok::<_, anyhow::Error>(())
            });
            let killing = scope.spawn(|| {
                let mut killed = 0;
                while killed < self.kills {
                    let child = second.start()?;
                    child.ready()?;
                    pause(Duration::from_millis(100 + dice_of_kills.below(900)));
                    child.kill()?;
                    killed += 1;
                }
                Ok::<_, anyhow::Error>(killed)
            });
            let mut restarted = 0;
            while restarted < self.restarts {
                pause(Duration::from_millis(500 + dice.below(2_000)));
                rabbit.restart()?;
                rabbit.wait()?;
                restarted += 1;
            }
            telling.join().ok().context("telling panicked")??;
            let killed = killing.join().ok().context("killing panicked")??;
            ensure!(told.load(Ordering::Relaxed) == events, "not all was told");
            Ok((restarted, killed))
        })
    }
}

/// Work goes on meanwhile: a kill after no time would find nothing in hand.
fn pause(time: Duration) {
    // tidy-allow-sleep: the time that a server runs before it is killed
    std::thread::sleep(time);
}

/// A message that nobody can handle, until its cause is gone.
fn poison(world: &World, report: &mut Report) -> Result<()> {
    let body = json!({"booking": POISON, "amount_minor": 100, "currency": "ZMW"});
    world.hub.sql(&format!(
        "INSERT INTO outbox (company_id, event_id, kind, subject, body, at_ms)
         SELECT company_id, gen_random_uuid(), 'payment.captured', 'payment:poison', '{body}', {NOW_MS}
         FROM company"
    ))?;
    let letter = until("the dead letter", SETTLING, || {
        let letters = world.dead_letters()?;
        Ok(letters.into_iter().next().ok_or_else(|| "none".to_owned()))
    })?;
    let tries = letter["tries"].as_i64().unwrap_or_default();
    let promise = format!("a poison message is a dead letter after {TRIES} tries");
    report.goal(&promise, tries, tries == TRIES);
    world.hub.sql(&format!(
        "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor, currency,
             created_at_ms, contact_phone)
         SELECT company_id, gen_random_uuid(), '{POISON}', min(trip_id), 100, 'ZMW', 0,
             '+260970000002' FROM trip GROUP BY company_id"
    ))?;
    let words: Vec<&str> = world.further.iter().map(String::as_str).collect();
    let replay = [&words[..], &["dead-letters", "replay"]].concat();
    let done = world.hub.command(&replay)?;
    let replayed = done["dead_letters"][0]["replayed"].as_u64();
    let told = until("the replayed message", SETTLING, || {
        let sql = "SELECT count(*) FROM notice_delivery d JOIN notice n USING (notice_id)
                   WHERE n.subject = 'payment:poison' AND d.state = 'sent'";
        let told = world.number(sql)?;
        Ok((told == 1)
            .then_some(told)
            .ok_or_else(|| "not yet".to_owned()))
    });
    let handled = told.is_ok() && replayed == Some(1) && world.dead_letters()?.is_empty();
    let promise = "replayed once its cause is gone it is handled";
    report.goal(promise, handled, handled);
    Ok(())
}

fn booking(trip: u64, stops: &[String], number: usize) -> Value {
    let legs = stops.len() - 1;
    json!({
        "trip": trip, "from": stops[number % legs], "to": stops[number % legs + 1],
        "passengers": ["adult"], "pay": "cash",
        "contact": {"name": "Chanda", "phone": format!("+2609{number:06}00")},
    })
}

/// Bookings while RabbitMQ is away: none fails, and everybody is told afterwards.
fn away(options: &Options, world: &World, rabbit: &mut Rabbit, report: &mut Report) -> Result<()> {
    let (seconds, count) = (options.size(AWAY_S), options.size(BOOKINGS));
    // A tenth of the time would still be a minute of waiting for nothing.
    let seconds = if options.tenth { seconds / 6 } else { seconds };
    let trips = world.hub.trips_from("LUN")?;
    let before = as_size(&world.count()?["sms_distinct"]);
    rabbit.kill()?;
    let began = Instant::now();
    let (mut booked, mut failed) = (0, 0);
    let office = world.hub.office();
    for number in 1..=count {
        let trip = &trips[number % trips.len()];
        let body = booking(trip.id, &trip.stops, number / trips.len());
        let key = format!("away-{number}");
        match office.post_with("/bookings", &[("idempotency-key", &key)], &body) {
            Ok(answer) if answer.status == 201 => booked += 1,
            // A full trip is an answer of a healthy hub.
            Ok(answer) if answer.status == 409 => {}
            other => {
                failed += 1;
                eprintln!("while RabbitMQ was away: {other:?}");
            }
        }
        let due = Duration::from_secs(seconds as u64).mul_f64(number as f64 / count as f64);
        pause(due.saturating_sub(began.elapsed()));
    }
    let waiting = world.number("SELECT count(*) FROM outbox WHERE NOT published")?;
    rabbit.begin()?;
    rabbit.wait()?;
    let back = Instant::now();
    let notices = "SELECT count(*) FROM notice WHERE kind = 'ticket_sold'";
    let told = until("every ticket", SETTLING, || {
        let told = world.number(notices)?;
        Ok((told == booked)
            .then_some(told)
            .ok_or_else(|| format!("{told} of {booked}")))
    });
    world.until_sent(before)?;
    let count = world.count()?;
    report.figure("rabbitmq_away_s", seconds);
    report.figure("bookings_meanwhile", booked);
    report.figure("events_waiting_at_its_return", waiting);
    report.figure(
        "told_after_its_return_s",
        tenths(back.elapsed().as_secs_f64()),
    );
    report.goal(
        "no booking fails while RabbitMQ is away",
        failed,
        failed == 0,
    );
    let lost = booked - world.number(notices)?;
    report.goal(
        "every booking of that time is told",
        lost,
        lost == 0 && told.is_ok(),
    );
    let doubled = as_size(&count["sms"]) - as_size(&count["sms_distinct"]);
    report.goal("none of them twice", doubled, doubled == 0);
    Ok(())
}
