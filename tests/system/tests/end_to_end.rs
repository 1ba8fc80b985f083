//! The whole way of a ticket, once: let in, leased, sold offline, drained, scanned, settled.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::http::text;
use system_tests::{Edge, Journey, World, settle, story, until};

const NEWS_DEADLINE: Duration = Duration::from_mins(1);
const SALES: usize = 5;

fn scan(bus: &Edge, id: &str, trip: u64, qr: &str) -> Result<Value> {
    let body = json!({"command_id": id, "trip": trip, "text": qr});
    bus.caller()?.send("/scan", &body)
}

/// What the bus would answer, without a record of it.
fn foresee(bus: &Edge, trip: u64, qr: &str) -> Result<String> {
    let told = bus
        .caller()?
        .post("/explain", &json!({"trip": trip, "text": qr}))?;
    // Before the manifest is here there is no answer but a problem.
    text(&told.body, "answer").or_else(|_| text(&told.body, "code"))
}

#[test]
fn a_ticket_sold_offline_boards_once_and_is_settled_at_the_office() -> Result<()> {
    story(|place| {
        let mut world = World::new(place)?;
        let trips = world.hub.trips_from("LUN")?;
        let trip = trips.iter().find(|t| t.stops.iter().any(|s| s == "KAB"));
        let trip = trip.context("a bus to Kabwe")?.clone();
        let mut counter = world.station("LUN")?;
        let mut bus = world.bus(trip.id)?;
        world.stock(&counter, "LUN", std::slice::from_ref(&trip), 8)?;
        world.drain(&counter)?;
        world.relay.cut()?;
        let kabwe = Journey {
            trip: trip.id,
            from: "LUN".to_owned(),
            to: "KAB".to_owned(),
            adults: 1,
        };
        let mut qrs = vec![];
        let mut ids = BTreeSet::new();
        let mut taken_minor = 0;
        for _ in 0..SALES {
            let sold = counter.sell(&world.dice.uuid(), &kabwe)?;
            taken_minor += sold.total_minor;
            for (id, qr) in sold.tickets {
                ids.insert(id);
                qrs.push(qr);
            }
        }
        ensure!(
            counter.status()?["unsynced"] == SALES,
            "{}",
            counter.status()?
        );
        world.relay.mend()?;
        world.drain(&counter)?;
        for qr in &qrs {
            until("the manifest to list a ticket", NEWS_DEADLINE, || {
                let answer = foresee(&bus, trip.id, qr)?;
                Ok(if answer == "valid" {
                    Ok(())
                } else {
                    Err(answer)
                })
            })?;
        }
        for (qr, answer) in [
            (&qrs[0], "valid"),
            (&qrs[1], "valid"),
            (&qrs[0], "already_used"),
        ] {
            let seen = scan(&bus, &world.dice.uuid(), trip.id, qr)?;
            ensure!(seen["answer"] == answer, "not {answer}: {seen}");
        }
        let body = json!({"command_id": world.dice.uuid(), "declared_minor": taken_minor - 500});
        counter.caller()?.send("/shift/close", &body)?;
        world.drain(&counter)?;
        world.drain(&bus)?;
        let shifts = world.hub.rows("/reconciliation/shifts")?;
        ensure!(shifts.len() == 1, "{shifts:?}");
        let expected = [
            ("tickets_sold", SALES as i64),
            ("tickets_disputed", 0),
            ("expected_minor", taken_minor),
            ("expected_by_node_minor", taken_minor),
            ("declared_minor", taken_minor - 500),
            ("difference_minor", -500),
        ];
        for (name, value) in expected {
            ensure!(
                shifts[0][name] == value,
                "{name} is not {value}: {}",
                shifts[0]
            );
        }
        settle(&world.hub, SALES, &ids)?;
        bus.stop()?;
        counter.stop()?;
        world.hub.stop()
    })
}
