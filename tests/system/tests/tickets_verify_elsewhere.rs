//! Tickets of a run, checked by a COSE library in another language from the public page alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use system_tests::http::{list, text};
use system_tests::{Journey, Place, Ran, World, python, story};

/// What `docs/ticket-format/verify.py` needs, from PyPI.
const LIBRARY: &str = "cwt>=3,<4";
const SALES: usize = 3;

fn docs(name: &str) -> PathBuf {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ticket-format");
    Path::new(docs).join(name)
}

fn library(place: &Place) -> Result<PathBuf> {
    python::library(place, "python-cwt-3", LIBRARY)
}

fn verify(library: &Path, arguments: &[&Path]) -> Result<String> {
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", library)
        .arg("-B")
        .arg(docs("verify.py"));
    Ok(Ran::good(python.args(arguments))?.stdout)
}

#[test]
fn tickets_of_counter_and_hub_verify_in_another_language_and_altered_ones_do_not() -> Result<()> {
    story(|place| {
        let library = library(place)?;
        let mut world = World::new(place)?;
        let trip = world.hub.trips_from("LUN")?.remove(0);
        let counter = world.station("LUN")?;
        world.stock(&counter, "LUN", std::slice::from_ref(&trip), 6)?;
        let mut tickets = vec![];
        for to in trip.stops.iter().skip(1).cycle().take(SALES) {
            let journey = Journey {
                trip: trip.id,
                from: "LUN".to_owned(),
                to: to.clone(),
                adults: 1,
            };
            let sold = counter.sell(&world.dice.uuid(), &journey)?;
            tickets.extend(sold.tickets.into_iter().map(|(_, qr)| json!({"qr": qr})));
        }
        let body = json!({
            "trip": trip.id, "from": "LUN", "to": trip.stops[1], "passengers": ["child"],
            "contact": {"name": "Chanda", "phone": "+260970000001"}, "pay": "cash",
        });
        let key = world.dice.uuid();
        let office = world.hub.office();
        let booked = office.post_with("/bookings", &[("idempotency-key", &key)], &body)?;
        for ticket in list(&booked.good()?, "tickets")? {
            tickets.push(json!({"qr": text(ticket, "qr")?}));
        }
        world.drain(&counter)?;
        let keys: Value = office.fetch("/keys")?;
        let count = tickets.len();
        let report = json!({"tickets": tickets, "key_bundle": keys});
        let file = place.path("report.json");
        std::fs::write(&file, report.to_string())?;
        let said = verify(&library, &[Path::new("--sample=1"), &file])?;
        let all = format!("{count} of {count} tickets verify; ");
        ensure!(said.contains(&all), "{said}");
        ensure!(
            said.trim_end().ends_with("to 1 of them, 0 verify"),
            "{said}"
        );
        Ok(())
    })
}

#[test]
fn the_published_vectors_hold_in_another_language() -> Result<()> {
    story(|place| {
        let said = verify(
            &library(place)?,
            &[Path::new("--vectors"), &docs("vectors.json")],
        )?;
        ensure!(said.contains(" vectors as published"), "{said}");
        Ok(())
    })
}
