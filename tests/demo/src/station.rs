//! A counter: the `mwimule-edge` program and the agent who works it.

mod deal;

pub use deal::{Drawer, Lease, Order, Outcome, Ticket};

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::children::Child;
use crate::http::{Answer, Caller, list, number, text};
use crate::voice::Who;
use deal::{sell_body, ticket};

/// How long a request for a lease waits for the hub's answer.
const LEASE_WAIT_MS: u64 = 5_000;

/// A counter in one town.
#[derive(Debug)]
pub struct Station {
    /// Whose lines these are in the story.
    pub who: Who,
    /// The town.
    pub town: &'static str,
    /// The stop's code.
    pub stop: &'static str,
    /// Who sells.
    pub agent: String,
    /// The node's number.
    pub node: String,
    /// What is in the drawer, as the agent counts it.
    pub drawer: Drawer,
    data: PathBuf,
    program: PathBuf,
    log: PathBuf,
    running: Option<(Child, Caller)>,
}

/// Where a station's files are.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The folder with the programs.
    pub bin_dir: &'a Path,
    /// The demo's data folder.
    pub data: &'a Path,
    /// Where logs go.
    pub logs: &'a Path,
}

impl Station {
    /// Enrols a device with a one-use code.
    pub fn enrol(
        place: Place<'_>,
        who: Who,
        (town, stop): (&'static str, &'static str),
        node: String,
        code: &str,
    ) -> Result<Self> {
        let name = town.to_lowercase();
        let station = Self {
            who,
            town,
            stop,
            agent: String::new(),
            node,
            drawer: Drawer::default(),
            data: place.data.join(format!("station-{name}")),
            program: place.bin_dir.join("mwimule-edge"),
            log: place.logs.join(format!("station-{name}.log")),
            running: None,
        };
        let mut command = Command::new(&station.program);
        command
            .args(["enrol", code, "--data-dir"])
            .arg(&station.data);
        crate::children::run(&mut command, &station.log)?;
        Ok(station)
    }

    /// Starts the program and waits until it takes commands; it needs no network for that.
    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--http", "127.0.0.1:0"]);
        let name = self.who.program();
        self.running = Some(Child::serving(name, &mut command, &self.log)?);
        Ok(())
    }

    fn running(&self) -> Result<&(Child, Caller)> {
        self.running
            .as_ref()
            .with_context(|| format!("the station in {} is not running", self.town))
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        self.running()
            .map(|(_, caller)| caller.base().to_owned())
            .unwrap_or_default()
    }

    /// Where its ticket key is, for a thief.
    pub fn ticket_key_file(&self) -> PathBuf {
        self.data.join("keys").join("ticket.key")
    }

    fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let (child, caller) = self.running()?;
        caller
            .post(path, &[], body)
            .map_err(|error| child.blame(error))
    }

    fn send(&self, path: &str, body: &Value) -> Result<Value> {
        let (child, caller) = self.running()?;
        caller.send(path, body).map_err(|error| child.blame(error))
    }

    /// GET of its API.
    pub fn fetch(&self, path: &str) -> Result<Value> {
        let (child, caller) = self.running()?;
        caller.fetch(path).map_err(|error| child.blame(error))
    }

    /// Asks the hub for the right to sell seats from its own stop, so many to each stop of `wants`.
    /// True once they are granted; until then the same request may be made again.
    pub fn ask_for_lease(&self, request: &str, trip: i64, wants: &[(&str, usize)]) -> Result<bool> {
        let wants: Vec<Value> = wants
            .iter()
            .map(|(to, count)| json!({"to": to, "count": count}))
            .collect();
        let body = json!({
            "command_id": request, "trip": trip, "boarding": self.stop, "wants": wants,
            "wait_ms": LEASE_WAIT_MS,
        });
        let answer = self.send("/lease/request", &body)?;
        match text(&answer, "state")?.as_str() {
            "granted" => Ok(true),
            "waiting" => Ok(false),
            _ => bail!("the hub did not grant {} its seats: {answer}", self.town),
        }
    }

    /// Whether it has heard of a trip.
    pub fn knows(&self, trip: i64) -> Result<bool> {
        let answer = self.fetch("/trips")?;
        let trips = answer.as_array().context("the trips are no list")?;
        Ok(trips.iter().any(|t| t["trip"] == trip))
    }

    /// The leases that it sells from.
    pub fn leases(&self) -> Result<Vec<Lease>> {
        let status = self.fetch("/status")?;
        let lease = |lease: &Value| {
            Ok(Lease {
                trip: number(lease, "trip")?,
                number: number(lease, "lease_no")?,
                seats_left: number(lease, "seats_left")? as usize,
            })
        };
        list(&status, "leases")?.iter().map(lease).collect()
    }

    /// Seats of a trip that it may still sell.
    pub fn seats_left(&self, trip: i64) -> Result<usize> {
        let leases = self.leases()?;
        Ok(leases
            .iter()
            .filter(|l| l.trip == trip)
            .map(|l| l.seats_left)
            .sum())
    }

    /// Gives a lease back to the hub.
    pub fn surrender(&self, command: &str, lease: &Lease) -> Result<()> {
        let body = json!({
            "command_id": command, "trip": lease.trip, "lease_no": lease.number,
        });
        self.send("/lease/surrender", &body)?;
        Ok(())
    }

    /// Events in its own log that the hub has not stored.
    pub fn unsynced(&self) -> Result<i64> {
        number(&self.fetch("/status")?, "unsynced")
    }

    /// Opens a shift with some cash in the drawer.
    pub fn open_shift(&mut self, command: &str, agent: &str, float_minor: i64) -> Result<()> {
        self.send(
            "/shift/open",
            &json!({
                "command_id": command, "agent": agent, "float_minor": float_minor,
                "currency": "ZMW",
            }),
        )?;
        agent.clone_into(&mut self.agent);
        self.drawer.float_minor = float_minor;
        Ok(())
    }

    /// Closes the shift with what the agent counted.
    pub fn close_shift(&self, command: &str, declared_minor: i64) -> Result<()> {
        let body = json!({"command_id": command, "declared_minor": declared_minor});
        self.send("/shift/close", &body)?;
        Ok(())
    }

    /// Sells, or says why not.
    pub fn sell(&mut self, command: &str, order: Order<'_>) -> Result<Outcome> {
        let answer = self.post("/sell", &sell_body(command, order))?;
        self.take(answer)
    }

    /// Presses *sell* and kills the program `after` that. Gives what came back, if anything did.
    pub fn sell_and_die(
        &mut self,
        command: &str,
        order: Order<'_>,
        after: Duration,
    ) -> Result<Option<Outcome>> {
        let (mut child, caller) = self
            .running
            .take()
            .with_context(|| format!("the station in {} is not running", self.town))?;
        let answer = caller.post_and("/sell", &sell_body(command, order), || {
            // tidy-allow-sleep: decides when the power fails, and waits for nothing
            std::thread::sleep(after);
            child.kill().map(drop)
        })?;
        answer.map(|answer| self.take(answer)).transpose()
    }

    /// Sells with a command id that was answered before; the money is in the drawer already.
    pub fn sell_again(&mut self, command: &str, order: Order<'_>) -> Result<Outcome> {
        let drawer = self.drawer;
        let outcome = self.sell(command, order);
        self.drawer = drawer;
        outcome
    }

    fn take(&mut self, answer: Answer) -> Result<Outcome> {
        if !answer.is_good() {
            if answer.status >= 500 || !answer.body["code"].is_string() {
                bail!(
                    "the station in {} answered {}: {}",
                    self.town,
                    answer.status,
                    answer.reason()
                );
            }
            return Ok(Outcome::Refused {
                code: text(&answer.body, "code")?,
                reason: answer.reason(),
            });
        }
        let tickets = list(&answer.body, "tickets")?.iter().map(ticket);
        let tickets = tickets.collect::<Result<Vec<_>>>()?;
        self.drawer.taken_minor += tickets.iter().map(|t| t.fare_minor).sum::<i64>();
        Ok(Outcome::Sold(tickets))
    }

    /// Takes a ticket back.
    pub fn void(&mut self, command: &str, ticket: &Ticket) -> Result<()> {
        let body = json!({
            "command_id": command, "ticket": ticket.id, "reason": "passenger_request",
        });
        self.send("/void", &body)?;
        self.drawer.returned_minor += ticket.fare_minor;
        Ok(())
    }

    /// The numbers of all tickets that it ever sold, by its own books.
    pub fn ticket_ids(&self) -> Result<Vec<String>> {
        let answer = self.fetch("/tickets")?;
        let sold = answer.as_array().context("the tickets are no list")?;
        sold.iter().map(|t| text(t, "id")).collect()
    }

    /// What its own book calls the seat of a ticket that it sold.
    pub fn seat_of(&self, ticket: &str) -> Result<String> {
        let answer = self.fetch("/tickets")?;
        let sold = answer.as_array().context("the tickets are no list")?;
        let own = sold.iter().find(|t| t["id"] == ticket);
        text(own.context("a station forgot a ticket")?, "seat_label")
    }

    /// Stops the program; false if it had to be forced.
    pub fn stop(&mut self) -> bool {
        self.running
            .take()
            .is_none_or(|(mut child, _)| child.stop())
    }

    /// Fails if the program ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match &mut self.running {
            Some((child, _)) => child.check().map_err(|error| child.blame(error)),
            None => bail!("the station in {} is not running", self.town),
        }
    }
}
