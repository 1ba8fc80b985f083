//! The programs come up, the timetable comes in, the devices are let in.

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::json;

use crate::bus::Bus;
use crate::cache::Cache;
use crate::dice::Dice;
use crate::http::text;
use crate::hub::{COMPANY, Cli, Hub, Serving, Trip, free_tcp_address, free_udp_address};
use crate::messages::Messages;
use crate::operators::Operators;
use crate::patience::Patience;
use crate::relay::Relay;
use crate::station::{Place, Station};
use crate::voice::{Voice, Who};
use crate::world::{Ground, Tally, World};

/// Whose local time the timetable is in.
const ZONE: &str = "Africa/Lusaka";
/// How long before its departure a bus is still taken for the story.
const LEAD: SignedDuration = SignedDuration::from_hours(2);
/// How long before its departure a boarding bus may be followed; a week, as much as there is.
const FOLLOWED_BEFORE_MIN: u32 = 7 * 24 * 60;
/// The timetable, in the checkout that the demo was built in.
pub const TIMETABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/zambia-gtfs");

/// Brings everything up.
pub fn raise(place: Place<'_>, voice: Voice, patience: Patience, dice: Dice) -> Result<World> {
    voice.chapter("A bus company opens its doors");
    let cli = Cli::new(place);
    let token = found_company(&cli, voice)?;
    patience.check()?;
    let quic = free_udp_address()?;
    let relay = Relay::start(place.bin_dir, place.logs, &quic)?;
    let cache = Cache::start(place)?;
    let http = free_tcp_address()?;
    let hub_url = format!("http://{http}");
    let operators = Operators::start(place, &hub_url)?;
    let messages = Messages::start(place, &hub_url)?;
    let config = place.data.join("hub.toml");
    let settings = operators.settings(&hub_url) + &messages.settings() + &cache_settings(&cache);
    std::fs::write(&config, settings)
        .with_context(|| format!("could not write {}", config.display()))?;
    let serving = Serving {
        http: &http,
        quic: &quic,
        public: &relay.listen,
        config: &config,
    };
    let hub = cli.serve(place.logs, serving, &token)?;
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
    voice.tell(
        Who::Bank,
        "a mobile-money operator and a card operator are up, as the real ones speak",
    );
    voice.tell(
        Who::Phone,
        "so are an SMS gateway and a mail server; what arrives there can be read",
    );
    patience.check()?;
    hub.put(
        "/tracking/settings",
        &json!({
            "before_min": FOLLOWED_BEFORE_MIN, "keep_days": 30, "moves_trips": false,
            "publish_positions": true,
        }),
    )?;
    let trip = next_bus(&hub, "LUN", "SOL")?;
    let other_trip = next_bus(&hub, "LUN", "LVI")?;
    voice.tell(
        Who::Hub,
        &format!(
            "the bus of this story: Lusaka to Solwezi, {}",
            local(departure(&trip)?)?
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
    let mut bus = Bus::enrol(place, Who::Driver, "bus", &code)?;
    bus.start()?;
    voice.tell(
        Who::Driver,
        &format!("the device on the bus is let in: {}", bus.url()),
    );
    Ok(World {
        lusaka,
        kabwe,
        bus,
        coach: None,
        relay,
        operators,
        messages,
        second: None,
        hub,
        cache,
        ground: Ground {
            bin_dir: place.bin_dir.to_owned(),
            data: place.data.to_owned(),
            logs: place.logs.to_owned(),
            config,
        },
        riders: vec![],
        listener: None,
        follow_path: None,
        trip,
        other_trip,
        cut_off: false,
        tally: Tally::default(),
        voice,
        dice,
        patience,
    })
}

/// What lets a second process join this one.
fn cache_settings(cache: &Cache) -> String {
    format!("\n[redis]\nurl = \"{}\"\n", cache.url)
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

/// The next bus between two stops that leaves late enough for boarding not to close while the
/// demo runs, whatever the time of day.
fn next_bus(hub: &Hub, from: &str, to: &str) -> Result<Trip> {
    let earliest = Timestamp::now() + LEAD;
    let today = Timestamp::now().in_tz(ZONE)?.date();
    for date in [today, today.tomorrow()?, today.checked_add(2.days())?] {
        for trip in hub.trips(&date.to_string(), from, to)? {
            let begins_here = trip.stops.first().is_some_and(|stop| stop == from);
            if begins_here && departure(&trip)? >= earliest {
                return Ok(trip);
            }
        }
    }
    bail!("no bus leaves {from} for {to} by {}", today.tomorrow()?)
}

fn departure(trip: &Trip) -> Result<Timestamp> {
    trip.departs_at.parse().context("a departure is no instant")
}

/// `tomorrow at 05:00`.
pub fn local(at: Timestamp) -> Result<String> {
    let (at, now) = (at.in_tz(ZONE)?, Timestamp::now().in_tz(ZONE)?);
    let day = match (at.date() - now.date()).get_days() {
        0 => "today",
        1 => "tomorrow",
        _ => "the day after tomorrow",
    };
    Ok(format!("{day} at {}", at.strftime("%H:%M")))
}

/// Has the office make a code for a device; gives the node's number and the code.
pub fn admit(hub: &Hub, words: &[&str]) -> Result<(String, String)> {
    let command = [&["node", "enrol", "--company", COMPANY], words].concat();
    let answer = hub.cli().run(&command)?;
    Ok((text(&answer, "node")?, text(&answer, "code")?))
}
