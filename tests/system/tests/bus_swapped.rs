//! The office swaps a bus, and the driver's device shows where everybody sits.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::http::{list, text};
use system_tests::{Caller, Edge, World, story, until};

const DEADLINE: Duration = Duration::from_mins(1);
const PASSENGERS: usize = 4;

/// A bus with other labels than any of the company's.
fn other_bus(office: &Caller) -> Result<()> {
    let place = |row: usize, side: &str| json!({"label": format!("Z{row}{side}")});
    let row = |row| {
        json!([
            place(row, "A"),
            place(row, "B"),
            null,
            place(row, "C"),
            place(row, "D")
        ])
    };
    let rows: Vec<Value> = (1..=17).map(row).collect();
    let wish = json!({"id": "OTHER", "draw": {"decks": [{"rows": rows}]}});
    office.send("/layouts", &wish)?;
    Ok(())
}

/// Tickets of one booking: id, label of the seat, code.
fn book(office: &Caller, trip: u64, (from, to): (&str, &str)) -> Result<Vec<[String; 3]>> {
    let passengers = ["adult"; PASSENGERS];
    let body = json!({
        "trip": trip, "from": from, "to": to, "passengers": passengers, "pay": "cash",
        "contact": {"name": "Mutale", "phone": "+260970000001"},
    });
    let booked = office.post_with("/bookings", &[("idempotency-key", "family")], &body)?;
    let booked = booked.good()?;
    let ticket = |t: &Value| Ok([text(t, "ticket")?, text(t, "seat_label")?, text(t, "qr")?]);
    list(&booked, "tickets")?.iter().map(ticket).collect()
}

/// Waits until a device would show a seat for a code, without scanning it.
fn until_seat(bus: &Edge, trip: u64, qr: &str, seat: &str) -> Result<()> {
    until("the device to hear of the bus", DEADLINE, || {
        let body = json!({"trip": trip, "text": qr});
        let told = bus.caller()?.post("/explain", &body)?;
        let findings = told.body["findings"].as_array().into_iter().flatten();
        let says = format!("seat {seat},");
        let mut texts = findings.filter_map(Value::as_str);
        let there = told.body["answer"] == "valid" && texts.any(|f| f.contains(&says));
        Ok(there.then_some(()).ok_or_else(|| told.body.to_string()))
    })
}

/// The seat as a driver sees it, large.
fn large(seat: &str) -> String {
    let letters: Vec<String> = seat.chars().map(String::from).collect();
    format!("S E A T   {}", letters.join(" "))
}

fn lets_on(bus: &mut Edge, qr: &str, seat: &str) -> Result<()> {
    let shown = bus.scan_code(qr)?;
    let right = shown.contains("OK - LET ON") && shown.lines().any(|l| l.trim() == large(seat));
    ensure!(right, "not seat {seat}:\n{shown}");
    Ok(())
}

/// Swaps the bus as previewed; gives the labels that tickets have after it.
fn swap(office: &Caller, swaps: &str, tickets: &[[String; 3]]) -> Result<Vec<String>> {
    let preview = office.send(&format!("{swaps}/preview"), &json!({"layout": "OTHER"}))?;
    ensure!(preview["without_place"] == 0, "{preview}");
    let confirm = json!({"layout": "OTHER", "preview": text(&preview, "preview")?});
    let key = [("idempotency-key", "swap")];
    let done = office.post_with(swaps, &key, &confirm)?.good()?;
    let again = office.post_with(swaps, &key, &confirm)?.good()?;
    ensure!(again == done, "a retry did something else: {again}");
    let passengers = list(&done, "passengers")?;
    let label = |[id, old, _]: &[String; 3]| {
        let mut found = passengers.iter().filter(|p| p["ticket"] == id.as_str());
        let passenger = found.next().context("a passenger is missing")?;
        ensure!(passenger["old"] == old.as_str(), "{passenger}");
        text(passenger, "new")
    };
    tickets.iter().map(label).collect()
}

#[test]
fn the_drivers_device_shows_the_seat_of_the_bus_that_drives_without_a_network_too() -> Result<()> {
    story(|place| {
        let mut world = World::new(place)?;
        let office = world.hub.office();
        other_bus(&office)?;
        let trip = world.hub.trips_from("LUN")?.swap_remove(0);
        let mut bus = world.bus(trip.id)?;
        let last = trip.stops.last().context("a last stop")?;
        let tickets = book(&office, trip.id, ("LUN", last))?;
        ensure!(tickets.len() == PASSENGERS, "{tickets:?}");
        let [
            [_, first, first_qr],
            [_, _, second_qr],
            [_, _, third_qr],
            [_, fourth, fourth_qr],
        ] = tickets.as_slice()
        else {
            anyhow::bail!("not four tickets: {tickets:?}");
        };
        until_seat(&bus, trip.id, first_qr, first)?;
        lets_on(&mut bus, first_qr, first)?;
        // A preview holds as long as nobody boards.
        world.drain(&bus)?;

        let swaps = format!("/operations/trips/{}/swaps", trip.id);
        let labels = swap(&office, &swaps, &tickets)?;
        ensure!(labels.iter().all(|l| l.starts_with('Z')), "{labels:?}");
        until_seat(&bus, trip.id, second_qr, &labels[1])?;
        lets_on(&mut bus, second_qr, &labels[1])?;
        let boarded = bus.scan_code(first_qr)?;
        let moved = format!("ticket for seat {}", labels[0]);
        let right = boarded.contains("STOP - ALREADY USED") && boarded.contains(&moved);
        ensure!(right, "{boarded}");

        world.relay.cut()?;
        bus.kill()?;
        bus.start()?;
        lets_on(&mut bus, third_qr, &labels[2])?;
        let undo = format!("{swaps}/1/undo");
        let key = [("idempotency-key", "undo")];
        office.post_with(&undo, &key, &json!({}))?.good()?;
        let boarded = bus.scan_code(first_qr)?;
        ensure!(boarded.contains(&moved), "it cannot know yet:\n{boarded}");

        world.relay.mend()?;
        until_seat(&bus, trip.id, fourth_qr, fourth)?;
        lets_on(&mut bus, fourth_qr, fourth)?;
        let boarded = bus.scan_code(first_qr)?;
        let back = format!("ticket for seat {first}");
        ensure!(boarded.contains(&back), "not back on {first}:\n{boarded}");
        bus.check()?;
        bus.stop()?;
        world.hub.stop()
    })
}
