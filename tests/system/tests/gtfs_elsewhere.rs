//! A hub's network as a GTFS feed, read by a library in another language.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use system_tests::http::number;
use system_tests::{Place, Ran, World, story};

/// A reader of GTFS feeds, from PyPI.
const LIBRARY: &str = "partridge>=1.1,<2";
/// The company of every test.
const COMPANY: &str = "Mwimule Coaches";

/// Counts what the library sees: every row, and every departure by its own reading of the calendar.
const READER: &str = r#"
import json, sys
import partridge

path = sys.argv[1]
def seconds(text):
    hours, minutes, rest = text.split(':')
    return int(hours) * 3600 + int(minutes) * 60 + int(rest)
feed = partridge.load_raw_feed(path)
days = partridge.read_service_ids_by_date(path)
of_service = feed.trips.service_id.value_counts().to_dict()
departures = sum(of_service.get(s, 0) for services in days.values() for s in services)
print(json.dumps({
    "agencies": len(feed.agency), "stops": len(feed.stops), "routes": len(feed.routes),
    "trips": len(feed.trips), "calls": len(feed.stop_times), "days": len(days),
    "departures": int(departures), "latest_s": max(seconds(t) for t in feed.stop_times.arrival_time.dropna()),
    "fares": len(feed.fare_attributes), "rules": len(feed.fare_rules),
    "zone": feed.agency.agency_timezone[0], "pruned": len(partridge.load_feed(path).stops),
}))
"#;

/// The folder with the library, which is fetched once for this workspace.
fn library(place: &Place) -> Result<PathBuf> {
    let folder = place.cache("python-partridge-1")?;
    if !folder.exists() {
        // Whole or not at all, and another run may be at the same.
        let fresh = folder.with_extension(format!("new-{}", std::process::id()));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet"]);
        pip.args(["--disable-pip-version-check", "--target"]);
        pip.arg(&fresh).arg(LIBRARY);
        Ran::good(&mut pip).context("is python3-pip installed, and PyPI reachable?")?;
        if std::fs::rename(&fresh, &folder).is_err() {
            std::fs::remove_dir_all(&fresh)?;
        }
    }
    Ok(folder)
}

fn read(library: &Path, feed: &Path) -> Result<Value> {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", library).args(["-B", "-c", READER]);
    Ran::good(python.arg(feed))?.json()
}

fn rows_of(fixture: &str, file: &str) -> Result<i64> {
    let text = std::fs::read_to_string(Place::fixture(fixture).join(file))?;
    Ok(text.lines().count() as i64 - 1)
}

#[test]
fn a_gtfs_reader_in_another_language_sees_the_hubs_network() -> Result<()> {
    story(|place| {
        let library = library(place)?;
        let world = World::new(place)?;
        let file = place.path("network.zip");
        let path = file.to_str().context("a path in UTF-8")?;
        let said = world
            .hub
            .command(&["gtfs", "export", "--company", COMPANY, path])?;
        let seen = read(&library, &file)?;
        let trips = world.hub.rows("/trips")?;
        ensure!(number(&said, "departures")? == trips.len() as i64, "{said}");
        ensure!(number(&seen, "departures")? == trips.len() as i64, "{seen}");
        for (what, file) in [
            ("agencies", "agency.txt"),
            ("stops", "stops.txt"),
            ("routes", "routes.txt"),
            ("trips", "trips.txt"),
            ("calls", "stop_times.txt"),
        ] {
            let wanted = rows_of("zambia-gtfs", file)?;
            ensure!(number(&seen, what)? == wanted, "{what}: {wanted}, {seen}");
        }
        ensure!(number(&seen, "latest_s")? > 24 * 3600, "{seen}");
        ensure!(
            number(&seen, "rules")? > 0 && number(&seen, "fares")? > 0,
            "{seen}"
        );
        ensure!(
            seen.get("zone").and_then(Value::as_str) == Some("Africa/Lusaka"),
            "{seen}"
        );
        Ok(())
    })
}
