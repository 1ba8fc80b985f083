//! The hub: the `mwimule-hub` program on a Postgres of its own.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::http::{list, number, text};
use crate::{Caller, Child, Dice, Place, Ran};

/// The company of every test.
pub const COMPANY: &str = "Mwimule Coaches";
const ZONE: &str = "Africa/Lusaka";
const PAGE_ROWS: usize = 500;
/// Below the ports that systems give away by themselves, so that a killed hub finds its own free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A hub, running or not.
#[derive(Debug)]
pub struct Hub {
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    quic: String,
    child: Option<Child>,
    base: String,
    postgres_url: String,
    token: String,
    further: Vec<String>,
    http: String,
    internal: String,
    env: Vec<(String, String)>,
}

/// A trip as the hub lists it.
#[derive(Debug, Clone)]
pub struct Trip {
    /// Its number.
    pub id: u64,
    /// Codes of its stops, in order.
    pub stops: Vec<String>,
    /// How many seats.
    pub seats: u64,
}

/// A UDP address that is free, and stays so for a while when its holder dies.
pub fn own_udp_address() -> Result<String> {
    let mut dice = Dice::unseeded();
    for _ in 0..1_000 {
        let port = PORTS.start + dice.below(u64::from(PORTS.end - PORTS.start)) as u16;
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(socket.local_addr()?.to_string());
        }
    }
    bail!("no UDP port is free");
}

/// A TCP address that is free, and stays so for a while when its holder dies.
pub fn own_tcp_address() -> Result<String> {
    let mut dice = Dice::unseeded();
    for _ in 0..1_000 {
        let port = PORTS.start + dice.below(u64::from(PORTS.end - PORTS.start)) as u16;
        if let Ok(socket) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(socket.local_addr()?.to_string());
        }
    }
    bail!("no TCP port is free");
}

impl Hub {
    /// Starts a hub in a folder of its own, with a company and its timetable for three days.
    pub fn found(place: &Place, name: &str) -> Result<Self> {
        Self::found_with(place, name, &[])
    }

    /// The same with further words for `serve`.
    pub fn found_with(place: &Place, name: &str, further: &[&str]) -> Result<Self> {
        Self::found_as(place, "mwimule-hub", name, further)
    }

    /// The same with another program that speaks as the hub does.
    pub fn found_as(place: &Place, program: &str, name: &str, further: &[&str]) -> Result<Self> {
        let mut hub = Self::bare(place, name)?;
        hub.program = place.program(program)?;
        hub.further = further.iter().map(|&word| word.to_owned()).collect();
        hub.start()?;
        hub.settle_in()?;
        Ok(hub)
    }

    /// A process beside others of one hub, not running: what they share is in the environment
    /// (`MWIMULE_DATABASE_URL` and so on). Its ports stay its own.
    pub fn beside(place: &Place, name: &str, env: &[(&str, &str)]) -> Result<Self> {
        let mut hub = Self::bare(place, name)?;
        hub.http = own_tcp_address()?;
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        hub.env = env.iter().map(own).collect();
        Ok(hub)
    }

    /// Makes a company with its timetable for three days.
    pub fn settle_in(&mut self) -> Result<()> {
        let hub = self;
        hub.command(&[
            "company",
            "create",
            COMPANY,
            "--zone",
            ZONE,
            "--currency",
            "ZMW",
        ])?;
        let made = hub.command(&["admin", "create", "--company", COMPANY, "--name", "office"])?;
        hub.token = text(&made, "token")?;
        let feed = Place::fixture("zambia-gtfs");
        let feed = feed.to_str().context("the fixture's path is no text")?;
        hub.command(&["gtfs", "import", feed, "--company", COMPANY, "--days", "3"])?;
        Ok(())
    }

    /// Speaks to this process with the token of a company that another one made.
    pub fn know(&mut self, other: &Self) {
        self.token.clone_from(&other.token);
    }

    /// A hub in a folder of its own, with nobody and nothing, and not running.
    pub fn bare(place: &Place, name: &str) -> Result<Self> {
        Ok(Self {
            program: place.program("mwimule-hub")?,
            data: place.path(name),
            log: place.log(name),
            quic: own_udp_address()?,
            child: None,
            base: String::new(),
            postgres_url: String::new(),
            token: String::new(),
            further: vec![],
            http: "127.0.0.1:0".to_owned(),
            internal: String::new(),
            env: vec![],
        })
    }

    fn words(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--json").arg("--data-dir").arg(&self.data);
        command.args(words).envs(self.env.iter().cloned());
        command
    }

    /// Runs one of its commands that must succeed.
    pub fn command(&self, words: &[&str]) -> Result<Value> {
        Ran::good(&mut self.words(words))?.json()
    }

    /// Goes on from another data folder, at the same address.
    pub fn move_to(&mut self, data: PathBuf) {
        self.data = data;
    }

    /// Where devices reach it, without a relay.
    pub fn quic(&self) -> &str {
        &self.quic
    }

    /// Starts the program and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        let serve = ["serve", "--http", &self.http, "--quic", &self.quic];
        let mut command = self.words(&serve);
        command.args(&self.further);
        let child = Child::start("the hub", &mut command, &self.log)?;
        let ready = child.ready()?;
        // A process without the API has no address of one.
        self.base = text(&ready, "hub_url").unwrap_or_default();
        self.postgres_url = text(&ready, "postgres_url")?;
        self.internal = text(&ready, "internal_http").unwrap_or_default();
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.take().context("the hub does not run")?.kill()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.child.take().context("the hub does not run")?.stop()?;
        anyhow::ensure!(status.success(), "the hub ended with {status}");
        Ok(())
    }

    /// Fails if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let child = self.child.as_mut().context("the hub does not run")?;
        match child.ended()? {
            None => Ok(()),
            Some(status) => bail!("the hub ended by itself: {status}"),
        }
    }

    /// Changes its database behind its back.
    pub fn sql(&self, statement: &str) -> Result<()> {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        Ran::good(psql.arg(&self.postgres_url))?;
        Ok(())
    }

    /// Its database, as its owner.
    pub fn postgres_url(&self) -> &str {
        &self.postgres_url
    }

    /// The file with what it says.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where its API listens, `host:port`; known before it runs where it runs beside others.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Where it tells health and metrics inside, `host:port`.
    pub fn internal_addr(&self) -> &str {
        &self.internal
    }

    /// Its internal port as a caller.
    pub fn internal(&self) -> Caller {
        Caller::new(&format!("http://{}", self.internal), None)
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the hub does not run")?.pid())
    }

    /// Where its API is, as `http://127.0.0.1:80`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token of its company's office.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its API as the office sees it.
    pub fn office(&self) -> Caller {
        Caller::new(&self.base, Some(&self.token))
    }

    /// Its API as everybody sees it.
    pub fn public(&self) -> Caller {
        Caller::new(&self.base, None)
    }

    /// Every row of a paged list.
    pub fn rows(&self, path: &str) -> Result<Vec<Value>> {
        let office = self.office();
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut rows = vec![];
        let mut after = String::new();
        loop {
            let page = office.fetch(&format!("{path}{glue}limit={PAGE_ROWS}{after}"))?;
            rows.extend_from_slice(list(&page, "items")?);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// Tomorrow's trips that begin at a stop: boarding does not close while a test runs.
    pub fn trips_from(&self, stop: &str) -> Result<Vec<Trip>> {
        let today = Timestamp::now().in_tz(ZONE)?.date();
        let date = today.checked_add(1.day())?;
        let mut trips = vec![];
        for row in self.rows(&format!("/trips?date={date}&from={stop}"))? {
            let stops: Result<Vec<String>> = list(&row, "stops")?
                .iter()
                .map(|s| text(s, "code"))
                .collect();
            let trip = Trip {
                id: number(&row, "trip")? as u64,
                stops: stops?,
                seats: number(&row, "seat_count")? as u64,
            };
            if trip.stops.first().is_some_and(|first| first == stop) {
                trips.push(trip);
            }
        }
        anyhow::ensure!(!trips.is_empty(), "no trip begins at {stop} on {date}");
        Ok(trips)
    }

    /// Makes a one-use code for a device that will reach the hub at `addr`.
    pub fn code(&self, addr: &str, words: &[&str]) -> Result<String> {
        let enrol = ["node", "enrol", "--company", COMPANY, "--public-addr", addr];
        text(&self.command(&[&enrol, words].concat())?, "code")
    }
}
