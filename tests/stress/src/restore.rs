//! A hub that was lost, with a million sales: its backup comes back in time, nodes report, frozen
//! trips thaw, nothing that a node acknowledged is lost and no seat is sold twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::http::{list, number, text};
use system_tests::load::{Stock, load};
use system_tests::{Edge, Hub, Journey, Relay, SeatLegs, Trip, World, until};

use crate::Options;
use crate::report::{Report, tenths};

/// Sales in the backup.
const SALES: usize = 1_000_000;
/// On each trip.
const SALES_PER_TRIP: usize = 25;
/// How long a restore may take.
const RESTORE_GOAL: Duration = Duration::from_mins(10);
/// How long devices have to come, tell and be heard.
const THAW_DEADLINE: Duration = Duration::from_mins(2);
const STATION: &str = "LUN";
/// Seats that a counter asks for before the backup, and again after it.
const SEATS: u64 = 6;

/// The postings of the sales that were stored: one entry a ticket.
const POSTINGS: &str = "
    DO $$
    DECLARE
        company uuid := (SELECT company_id FROM company);
        cash bigint;
        deferred bigint;
    BEGIN
        PERFORM set_config('mwimule.company', company::text, false);
        INSERT INTO ledger_account (company_id, kind, currency)
        VALUES (company, 'online_clearing', 'ZMW') RETURNING account_id INTO cash;
        INSERT INTO ledger_account (company_id, kind, currency)
        VALUES (company, 'deferred_revenue', 'ZMW') RETURNING account_id INTO deferred;
        INSERT INTO ledger_entry (company_id, entry_id, kind, currency, business_date, posting_date,
            posted_at_ms)
        SELECT company_id, ticket_id, 'sale', 'ZMW', current_date, current_date, 0 FROM ticket;
        INSERT INTO ledger_posting (company_id, entry_id, line, account_id, amount_minor, ticket_id,
            kind)
        SELECT t.company_id, t.ticket_id, l.line,
               CASE l.line WHEN 0 THEN cash ELSE deferred END,
               CASE l.line WHEN 0 THEN 12500 ELSE -12500 END,
               CASE l.line WHEN 0 THEN NULL ELSE t.ticket_id END, 'sale'
        FROM ticket t, generate_series(0, 1) AS l(line);
    END
    $$";

/// What was acknowledged, and by whom.
#[derive(Debug, Default)]
struct Told {
    /// Tickets of nodes: ids.
    nodes: BTreeSet<String>,
    /// The code of a ticket that the hub sold after the backup.
    lost_qr: String,
    /// And its seat.
    lost_seat: i64,
}

/// The whole story of a loss.
pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let sales = options.size(SALES);
    report.figure("sales", sales);
    let config = options.place.path("limits.toml");
    std::fs::write(&config, "[http.limits]\non = false\n")?;
    let config = config.to_str().context("the folder's path is no text")?;
    let hub = Hub::found_with(&options.place, "hub", &["--config", config])?;
    let mut world = World {
        place: &options.place,
        dice: system_tests::Dice::seeded(),
        relay: Relay::start(&options.place, hub.quic())?,
        hub,
    };
    fill(&world.hub, &mut report, sales)?;
    let trip = world
        .hub
        .trips_from(STATION)?
        .into_iter()
        .find(|t| t.stops.len() > 3);
    let trip = trip.context("no trip is long enough")?;
    let (mut first, mut second) = (world.station(STATION)?, world.station(&trip.stops[1])?);
    let mut bus = world.bus(trip.id)?;
    world.stock(&first, STATION, std::slice::from_ref(&trip), SEATS)?;
    second.open_shift(&world.dice.uuid())?;
    let mut told = Told::default();
    sell(&mut world, &first, (&trip, 0), 2, &mut told)?;
    world.drain(&first)?;
    let backup = options.place.path("backup");
    let to = backup.to_str().context("the folder's path is no text")?;
    let made = world.hub.command(&["backup", to])?;
    report.figure(
        "backup_s",
        tenths(made["seconds"].as_f64().unwrap_or_default()),
    );
    report.figure("backup_mb", number(&made, "bytes")? / 1_000_000);
    after_the_backup(&mut world, (&first, &second), &trip, &mut told)?;
    let nodes_sold = told.nodes.len();
    report.figure("node_tickets", nodes_sold);

    for device in [&mut second, &mut bus] {
        device.stop()?;
    }
    world.hub.kill()?;
    let began = Instant::now();
    let restored = options.place.path("restored");
    let into = restored.to_str().context("the folder's path is no text")?;
    let done = world.hub.command(&["restore", to, "--into", into])?;
    let took = began.elapsed();
    report.figure("restore_s", tenths(took.as_secs_f64()));
    report.figure("frozen_trips", number(&done, "frozen_trips")?);
    report.goal(
        "restored in 10 minutes at most",
        format!("{:.1} s", took.as_secs_f64()),
        took <= RESTORE_GOAL,
    );
    world.hub.move_to(restored);
    world.hub.start()?;
    silent_devices(&mut world, &mut report, &trip, &first)?;
    let began = Instant::now();
    second.start()?;
    bus.start()?;
    wait_for_thaw(&world.hub)?;
    report.figure("thaw_s", tenths(began.elapsed().as_secs_f64()));
    for device in [&first, &second] {
        world.drain(device)?;
    }
    scan_the_lost(&mut world, &mut report, (&bus, &trip), &told)?;
    sell_out(&mut world, &mut report, &trip, &told)?;
    for device in [&mut first, &mut second, &mut bus] {
        device.stop()?;
    }
    world.hub.stop()?;
    Ok(report)
}

fn fill(hub: &Hub, report: &mut Report, sales: usize) -> Result<()> {
    let began = Instant::now();
    let stock = Stock {
        trips: (sales / SALES_PER_TRIP).max(2_000),
        tickets: sales,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(load(hub.postgres_url(), stock))?;
    hub.sql(POSTINGS)?;
    report.figure("stored_s", tenths(began.elapsed().as_secs_f64()));
    Ok(())
}

/// Sells so many tickets from a stop of the trip to its last one.
fn sell(
    world: &mut World<'_>,
    edge: &Edge,
    (trip, from): (&Trip, usize),
    count: usize,
    told: &mut Told,
) -> Result<()> {
    for _ in 0..count {
        let journey = Journey {
            trip: trip.id,
            from: trip.stops[from].clone(),
            to: trip.stops.last().cloned().unwrap_or_default(),
            adults: 1,
        };
        let sold = edge.sell(&world.dice.uuid(), &journey)?;
        told.nodes
            .extend(sold.tickets.into_iter().map(|(id, _)| id));
    }
    Ok(())
}

/// What the backup does not have: sales of a right that it knows, a right that it does not, and a
/// ticket of the hub's own.
fn after_the_backup(
    world: &mut World<'_>,
    (first, second): (&Edge, &Edge),
    trip: &Trip,
    told: &mut Told,
) -> Result<()> {
    sell(world, first, (trip, 0), 2, told)?;
    let to = trip.stops.last().map_or("", String::as_str);
    first.lease(&world.dice.uuid(), trip.id, (STATION, to), SEATS)?;
    sell(world, first, (trip, 0), 4, told)?;
    until("the timetable", THAW_DEADLINE, || {
        Ok(second
            .knows(trip.id)?
            .then_some(())
            .ok_or_else(|| "no trip".to_owned()))
    })?;
    second.lease(&world.dice.uuid(), trip.id, (&trip.stops[1], to), SEATS)?;
    sell(world, second, (trip, 1), 3, told)?;
    world.drain(second)?;
    let booked = book(world, trip)?.good()?;
    let ticket = list(&booked, "tickets")?.first().context("no ticket")?;
    told.lost_qr = text(ticket, "qr")?;
    told.lost_seat = number(ticket, "seat")?;
    Ok(())
}

/// A seat all the way, for cash at the office.
fn book(world: &mut World<'_>, trip: &Trip) -> Result<system_tests::Answer> {
    let key = world.dice.uuid();
    let wish = json!({
        "trip": trip.id, "from": trip.stops[0], "to": trip.stops.last(), "passengers": ["adult"],
        "contact": {"name": "Mutale Banda", "phone": "+260970000001"}, "pay": "cash",
    });
    let headers = [("idempotency-key", key.as_str())];
    world.hub.office().post_with("/bookings", &headers, &wish)
}

/// One counter has come, another device and the bus have not: nothing is sold, and it says why.
fn silent_devices(
    world: &mut World<'_>,
    report: &mut Report,
    trip: &Trip,
    first: &Edge,
) -> Result<()> {
    world.drain(first)?;
    let waits = until("one device to be heard", THAW_DEADLINE, || {
        let state = world.hub.office().fetch("/restore")?;
        let waits = list(&state, "waits")?;
        let names: Vec<String> = waits.iter().filter_map(|w| text(w, "name").ok()).collect();
        let heard = !names.iter().any(|name| name == STATION);
        Ok(heard.then_some(names).ok_or_else(|| state.to_string()))
    })?;
    report.figure("waits_for", json!(waits));
    let refused = book(world, trip)?;
    let said: Value = refused.body.clone();
    let why = said["detail"].as_str().unwrap_or_default();
    report.goal(
        "without its nodes' reports a frozen trip is not sold, and says why",
        format!("{} {why}", refused.status),
        refused.status == 409
            && said["type"] == "urn:mwimule:problem:trip-frozen"
            && why.contains("restored")
            && waits.len() == 2,
    );
    let listed = world.hub.office().fetch("/restore/trips?limit=1")?;
    let names = listed["items"][0]["waits"].as_array().map_or(0, Vec::len);
    report.goal(
        "each frozen trip names whom it waits for",
        names,
        names == 2,
    );
    let sold = sell(world, first, (trip, 0), 1, &mut Told::default());
    report.goal(
        "a counter goes on selling what it holds",
        sold.is_ok(),
        sold.is_ok(),
    );
    Ok(())
}

fn wait_for_thaw(hub: &Hub) -> Result<()> {
    until("the trips to thaw", THAW_DEADLINE, || {
        let state = hub.office().fetch("/restore")?;
        let frozen = number(&state, "frozen_trips")?;
        Ok((frozen == 0).then_some(()).ok_or_else(|| state.to_string()))
    })
}

/// The bus sees the ticket that was lost: it lets its passenger on, and the hub keeps the seat.
fn scan_the_lost(
    world: &mut World<'_>,
    report: &mut Report,
    (bus, trip): (&Edge, &Trip),
    told: &Told,
) -> Result<()> {
    let body = json!({
        "command_id": world.dice.uuid(), "trip": trip.id, "text": told.lost_qr,
    });
    let answer = bus.caller()?.send("/scan", &body)?;
    let said = text(&answer, "answer")?;
    report.goal(
        "a ticket that was lost is good but unlisted",
        said.clone(),
        said == "good_but_unlisted",
    );
    world.drain(bus)?;
    Ok(())
}

/// Sells the trip out from the pool; then nobody may sit on anybody.
fn sell_out(world: &mut World<'_>, report: &mut Report, trip: &Trip, told: &Told) -> Result<()> {
    let mut booked = 0;
    loop {
        let answer = book(world, trip)?;
        if answer.status != 201 {
            let said = answer.body["type"].as_str().unwrap_or_default().to_owned();
            ensure!(said.ends_with(":sold-out"), "the rush ended with {said}");
            break;
        }
        booked += 1;
    }
    report.figure("booked_after_thaw", booked);
    let rows = world.hub.rows(&format!("/tickets?trip={}", trip.id))?;
    let mut seats = SeatLegs::default();
    let mut live = BTreeSet::new();
    let mut twice = 0;
    for row in &rows {
        if row["state"] == "live" {
            twice += usize::from(seats.seat(row).is_err());
            live.insert(text(row, "ticket")?);
        }
    }
    report.goal("no seat is sold twice", twice, twice == 0);
    let lost = told.nodes.difference(&live).count();
    report.goal("nothing that a node acknowledged is lost", lost, lost == 0);
    let on_it = rows.iter().any(|row| {
        row["state"] == "live" && number(row, "seat").is_ok_and(|seat| seat == told.lost_seat)
    });
    report.goal(
        "the seat of the lost ticket is not sold again",
        on_it,
        !on_it,
    );
    Ok(())
}
