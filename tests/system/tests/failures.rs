//! What a person sees when something goes wrong on the way to the hub, and that nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sync_transport::EnrolmentCode;
use system_tests::edge::enrol_command;
use system_tests::{Edge, Hub, Journey, Place, Ran, Trip, World, settle, story, until};

/// Longer than a device tries to reach its hub.
const LINK_DEADLINE: Duration = Duration::from_secs(40);
const SEATS: u64 = 6;

fn enrol(place: &Place, code: &str, folder: &str) -> Result<Ran> {
    let program = place.program("mwimule-edge")?;
    Ran::of(&mut enrol_command(&program, code, &place.path(folder)))
}

/// The code with its last character mistyped.
fn mistyped(code: &str) -> String {
    let (rest, last) = code.split_at(code.len() - 1);
    format!("{rest}{}", if last == "7" { "8" } else { "7" })
}

fn one_stop(trip: &Trip) -> Journey {
    Journey {
        trip: trip.id,
        from: trip.stops[0].clone(),
        to: trip.stops[1].clone(),
        adults: 1,
    }
}

fn wait_for_link_error(edge: &Edge, words: &[&str]) -> Result<()> {
    until("an error of the link", LINK_DEADLINE, || {
        let error = edge.link_error()?.unwrap_or_default();
        let said = words.iter().all(|word| error.contains(word));
        Ok(if said { Ok(()) } else { Err(error) })
    })
}

#[test]
fn a_wrong_enrolment_code_says_what_is_wrong_with_it_and_spoils_nothing() -> Result<()> {
    story(|place| {
        let world = World::new(place)?;
        let code = world.station_code("LUN")?;
        enrol(place, "hello", "counter")?.must_fail_saying(&["not an enrolment code", "MWE1"])?;
        enrol(place, &mistyped(&code), "counter")?
            .must_fail_saying(&["typing error", "check it against the original"])?;
        let mut unknown: EnrolmentCode = code.parse()?;
        unknown.secret[0] ^= 1;
        enrol(place, &unknown.to_string(), "counter")?.must_fail_saying(&[
            "refused",
            "does not know this code",
            "ask the office",
        ])?;
        // The right one still works, in the same folder, once.
        let enrolled = enrol(place, &code, "counter")?;
        ensure!(enrolled.status.success(), "{}", enrolled.stderr);
        enrol(place, &code, "another")?
            .must_fail_saying(&["used already", "ask the office for a new one"])?;
        let next = world.station_code("KAB")?;
        enrol(place, &next, "counter")?
            .must_fail_saying(&["holds node", "another folder for another node"])?;
        world
            .hub
            .sql("UPDATE enrolment_code SET expires_at_ms = 1 WHERE used_at_ms IS NULL")?;
        enrol(place, &next, "another")?
            .must_fail_saying(&["too old", "ask the office for a new one"])?;
        let mut edge = Edge::in_folder(place, "mwimule-edge", "counter")?;
        edge.start()?;
        world.drain(&edge)
    })
}

#[test]
fn a_device_of_another_hub_is_told_so_and_sells_on() -> Result<()> {
    story(|place| {
        let mut world = World::new(place)?;
        let trips = world.hub.trips_from("LUN")?;
        let mut other = Hub::bare(place, "other-hub")?;
        other.start()?;
        let mut edge = world.station("LUN")?;
        world.stock(&edge, "LUN", &trips[..1], SEATS)?;
        let mut tickets = BTreeSet::new();
        let mut sell = |edge: &Edge, id: &str| -> Result<()> {
            let sold = edge.sell(id, &one_stop(&trips[0]))?;
            tickets.extend(sold.tickets.into_iter().map(|(id, _)| id));
            Ok(())
        };
        // Pointed at a hub that is not its own: it sends nothing there.
        edge.stop()?;
        edge.run_with(&["--hub", other.quic()]);
        edge.start()?;
        wait_for_link_error(
            &edge,
            &["not the hub that enrolled this device", "sales go on"],
        )?;
        sell(&edge, &world.dice.uuid())?;
        edge.stop()?;
        // Made to trust that hub: the hub does not know its certificate.
        let trusted = edge.data().join("keys/ca.cert.pem");
        let own = std::fs::read(&trusted)?;
        std::fs::copy(other.data().join("pki/ca.cert.pem"), &trusted)?;
        edge.start()?;
        wait_for_link_error(
            &edge,
            &["certificate was not issued by the hub", "sales go on"],
        )?;
        sell(&edge, &world.dice.uuid())?;
        edge.stop()?;
        std::fs::write(&trusted, own)?;
        edge.run_with(&[]);
        edge.start()?;
        world.drain(&edge)?;
        settle(&world.hub, 2, &tickets)
    })
}

#[test]
fn while_the_hub_is_down_a_counter_starts_cold_and_sells_and_a_code_keeps() -> Result<()> {
    story(|place| {
        let mut world = World::new(place)?;
        let trips = world.hub.trips_from("LUN")?;
        let mut edge = world.station("LUN")?;
        world.stock(&edge, "LUN", &trips[..1], SEATS)?;
        world.drain(&edge)?;
        edge.stop()?;
        let code = world.station_code("KAB")?;
        world.hub.stop()?;
        enrol(place, &code, "later")?
            .must_fail_saying(&["did not answer within", "check the connection"])?;
        edge.start()?;
        let mut tickets = BTreeSet::new();
        let sold = edge.sell(&world.dice.uuid(), &one_stop(&trips[0]))?;
        tickets.extend(sold.tickets.into_iter().map(|(id, _)| id));
        wait_for_link_error(&edge, &["did not answer within", "sales go on"])?;
        // Killed, so that its note of where it listens stays behind: the command line sells.
        edge.kill()?;
        tickets.extend(sell_by_command(&edge, &trips[0], &world.dice.uuid())?);
        edge.command(&["ticket", "nonsense"])?
            .must_fail_saying(&["is not a ticket's id"])?;
        world.hub.start()?;
        let enrolled = enrol(place, &code, "later")?;
        ensure!(enrolled.status.success(), "{}", enrolled.stderr);
        edge.start()?;
        tickets.extend(sell_by_command(&edge, &trips[0], &world.dice.uuid())?);
        world.drain(&edge)?;
        settle(&world.hub, 3, &tickets)
    })
}

/// Sells with `mwimule-edge sell`; the same command again is the same sale.
fn sell_by_command(edge: &Edge, trip: &Trip, id: &str) -> Result<Vec<String>> {
    let number = trip.id.to_string();
    let words = [
        "sell",
        "--json",
        "--trip",
        &number,
        "--from",
        &trip.stops[0],
        "--to",
        &trip.stops[1],
        "--adults",
        "1",
        "--command-id",
        id,
    ];
    let ran = edge.command(&words)?;
    ensure!(ran.status.success(), "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout)?;
    let again: Value = serde_json::from_str(&edge.command(&words)?.stdout)?;
    ensure!(answer == again, "{answer} and {again}");
    let sold = system_tests::Sold::of(&answer)?;
    Ok(sold.tickets.into_iter().map(|(id, _)| id).collect())
}

#[test]
fn commands_on_a_folder_without_a_device_say_how_to_get_one() -> Result<()> {
    story(|place| {
        let edge = Edge::in_folder(place, "mwimule-edge", "nobody")?;
        for command in [&["status"][..], &["trips"], &["doctor"], &["run"]] {
            let ran = edge.command(command)?;
            ensure!(!ran.status.success(), "{command:?}: {}", ran.stdout);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            ensure!(
                said.contains("get a code from the office"),
                "{command:?}: {said}"
            );
        }
        Ok(())
    })
}
