//! The programs come up, the timetable comes in, the devices are let in.

use anyhow::{Context as _, Result};
use jiff::{Timestamp, ToSpan as _};

use crate::bus::Bus;
use crate::dice::Dice;
use crate::http::text;
use crate::hub::{COMPANY, Cli, Hub, Trip, free_udp_address};
use crate::patience::Patience;
use crate::relay::Relay;
use crate::station::{Place, Station};
use crate::voice::{Voice, Who};
use crate::world::{Tally, World};

/// Whose local time the timetable is in.
const ZONE: &str = "Africa/Lusaka";
/// The timetable, in the checkout that the demo was built in.
const TIMETABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/zambia-gtfs");

/// Brings everything up.
pub fn raise(place: Place<'_>, voice: Voice, patience: Patience, dice: Dice) -> Result<World> {
    voice.chapter("A bus company opens its doors");
    let cli = Cli::new(place);
    let token = found_company(&cli, voice)?;
    patience.check()?;
    let quic = free_udp_address()?;
    let relay = Relay::start(place.bin_dir, place.logs, &quic)?;
    let hub = cli.serve(place.logs, &quic, &relay.listen, &token)?;
    voice.tell(
        Who::Hub,
        &format!("up, on a Postgres of its own: {}", hub.url()),
    );
    voice.tell(
        Who::Network,
        &format!(
            "every device reaches the hub through one relay, at {}",
            relay.listen
        ),
    );
    patience.check()?;
    let trip = tomorrow(&hub, "LUN", "SOL")?;
    let other_trip = tomorrow(&hub, "LUN", "LVI")?;
    voice.tell(
        Who::Hub,
        &format!(
            "the bus of this story: Lusaka to Solwezi, {}",
            local(&trip.departs_at)?
        ),
    );
    let station = |who, town: &'static str, stop: &'static str| {
        let name = format!("{town} counter");
        let (node, code) = admit(
            &hub,
            &["--name", &name, "--kind", "station", "--stop", stop],
        )?;
        let mut station = Station::enrol(place, who, (town, stop), node, &code)?;
        station.start()?;
        voice.tell(
            who,
            &format!(
                "the counter is let in with a one-use code: {}",
                station.url()
            ),
        );
        anyhow::Ok(station)
    };
    let lusaka = station(Who::Lusaka, "Lusaka", "LUN")?;
    let kabwe = station(Who::Kabwe, "Kabwe", "KAB")?;
    let id = trip.id.to_string();
    let words = [
        "--name",
        "Bus to Solwezi",
        "--kind",
        "onboard",
        "--trip",
        &id,
    ];
    let (_, code) = admit(&hub, &words)?;
    let mut bus = Bus::enrol(place, &code)?;
    bus.start()?;
    voice.tell(
        Who::Driver,
        &format!("the device on the bus is let in: {}", bus.url()),
    );
    Ok(World {
        lusaka,
        kabwe,
        bus,
        relay,
        hub,
        trip,
        other_trip,
        cut_off: false,
        tally: Tally::default(),
        voice,
        dice,
        patience,
    })
}

/// Founds the company and reads its timetable; gives the office's token.
fn found_company(cli: &Cli, voice: Voice) -> Result<String> {
    cli.run(&[
        "company",
        "create",
        COMPANY,
        "--zone",
        ZONE,
        "--currency",
        "ZMW",
    ])?;
    let token = cli.run(&["admin", "create", "--company", COMPANY, "--name", "office"])?;

    cli.run(&["gtfs", "import", TIMETABLE, "--company", COMPANY])?;
    voice.tell(
        Who::Hub,
        &format!("{COMPANY} is founded, its Zambian timetable imported"),
    );
    text(&token, "token")
}

/// The first bus of tomorrow between two stops: boarding never closes during the demo, whatever
/// the time of day.
fn tomorrow(hub: &Hub, from: &str, to: &str) -> Result<Trip> {
    let today = Timestamp::now().in_tz(ZONE)?.date();
    let date = today.checked_add(1.day())?.to_string();
    let trips = hub.trips(&date, from, to)?;
    let first = trips
        .into_iter()
        .find(|t| t.stops.first().is_some_and(|s| s == from));
    first.with_context(|| format!("no bus leaves {from} for {to} on {date}"))
}

/// `tomorrow at 05:00`.
fn local(at: &str) -> Result<String> {
    let at: Timestamp = at.parse().context("a departure is no instant")?;
    Ok(at.in_tz(ZONE)?.strftime("tomorrow at %H:%M").to_string())
}

/// Has the office make a code for a device; gives the node's number and the code.
fn admit(hub: &Hub, words: &[&str]) -> Result<(String, String)> {
    let command = [&["node", "enrol", "--company", COMPANY], words].concat();
    let answer = hub.cli().run(&command)?;
    Ok((text(&answer, "node")?, text(&answer, "code")?))
}
