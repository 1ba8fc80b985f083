//! A device: the `mwimule-edge` or `mwimule-driver` program in a data folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::{list, number, text};
use crate::{Answer, Caller, Child, Place, Ran};

/// How long a request for seats waits for the hub's answer, in ms.
const LEASE_WAIT_MS: u64 = 25_000;

/// An enrolled device, running or not.
#[derive(Debug)]
pub struct Edge {
    name: String,
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    extra: Vec<String>,
    running: Option<(Child, Caller)>,
}

/// One journey for some adults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    /// The trip's number.
    pub trip: u64,
    /// Code of the stop where they board.
    pub from: String,
    /// Code of the stop where they leave.
    pub to: String,
    /// How many.
    pub adults: usize,
}

/// An acknowledged sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// Ids and QR texts.
    pub tickets: Vec<(String, String)>,
    /// What was paid, in minor units.
    pub total_minor: i64,
}

impl Journey {
    /// The body of `POST /sell`.
    pub fn sell(&self, command: &str) -> Value {
        let passengers = vec![json!({"class": "adult"}); self.adults];
        json!({
            "command_id": command,
            "journeys": [{
                "trip": self.trip, "from": self.from, "to": self.to, "passengers": passengers,
            }],
        })
    }
}

impl Sold {
    /// What an answer to `POST /sell` says.
    pub fn of(answer: &Value) -> Result<Self> {
        let tickets = list(answer, "tickets")?.iter();
        let tickets: Result<Vec<_>> = tickets
            .map(|t| Ok((text(t, "id")?, text(t, "qr")?)))
            .collect();
        let sold = Self {
            tickets: tickets?,
            total_minor: number(answer, "total_minor")?,
        };
        ensure!(!sold.tickets.is_empty(), "a sale without tickets: {answer}");
        Ok(sold)
    }
}

/// The command that makes a device a node.
pub fn enrol_command(program: &Path, code: &str, data: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["enrol", code, "--data-dir"]).arg(data);
    command
}

impl Edge {
    /// Enrols a device of `program` in the folder `name`.
    pub fn enrol(place: &Place, program: &str, name: &str, code: &str) -> Result<Self> {
        let edge = Self::in_folder(place, program, name)?;
        Ran::good(&mut enrol_command(&edge.program, code, &edge.data))?;
        Ok(edge)
    }

    /// The device whose data are in the folder `name`.
    pub fn in_folder(place: &Place, program: &str, name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            program: place.program(program)?,
            data: place.path(name),
            log: place.log(name),
            extra: vec![],
            running: None,
        })
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Further words for its `run` command.
    pub fn run_with(&mut self, words: &[&str]) {
        self.extra = words.iter().map(|&word| word.to_owned()).collect();
    }

    /// Its `run` command.
    pub fn run_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["run", "--http", "127.0.0.1:0", "--data-dir"]);
        command.arg(&self.data).args(&self.extra);
        command
    }

    /// Starts the program; does not wait.
    pub fn spawn(&self) -> Result<Child> {
        Child::start(&self.name, &mut self.run_command(), &self.log)
    }

    /// Starts the program and waits until it takes commands; it needs no network for that.
    pub fn start(&mut self) -> Result<()> {
        self.start_as(self.run_command())
    }

    /// The same, with a command that becomes the program.
    pub fn start_as(&mut self, mut command: Command) -> Result<()> {
        let child = Child::start(&self.name, &mut command, &self.log)?;
        let base = text(&child.ready()?, "http")?;
        self.running = Some((child, Caller::new(&base, None)));
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        let running = self.running.take();
        running.context("the device does not run")?.0.kill()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> Result<()> {
        let (child, _) = self.running.take().context("the device does not run")?;
        let status = child.stop()?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        let running = self.running.as_ref();
        Ok(running.context("the device does not run")?.0.pid())
    }

    /// Its local API.
    pub fn caller(&self) -> Result<&Caller> {
        let running = self.running.as_ref().map(|(_, caller)| caller);
        running.with_context(|| format!("{} does not run", self.name))
    }

    /// `GET /status`.
    pub fn status(&self) -> Result<Value> {
        self.caller()?.fetch("/status")
    }

    /// Ids of the tickets that it sold, by its own log.
    pub fn ticket_ids(&self) -> Result<Vec<String>> {
        let tickets = self.caller()?.fetch("/tickets")?;
        let tickets = tickets.as_array().context("the tickets are no list")?;
        tickets.iter().map(|t| text(t, "id")).collect()
    }

    /// Whether it has heard of a trip.
    pub fn knows(&self, trip: u64) -> Result<bool> {
        let trips = self.caller()?.fetch("/trips")?;
        let trips = trips.as_array().context("the trips are no list")?;
        Ok(trips.iter().any(|t| t["trip"] == trip))
    }

    /// Gets the right to sell `count` seats from a stop to another, and waits for it. A small
    /// bus gives fewer: the answer is how many.
    pub fn lease(&self, id: &str, trip: u64, (from, to): (&str, &str), count: u64) -> Result<u64> {
        let body = json!({
            "command_id": id, "trip": trip, "boarding": from,
            "wants": [{"to": to, "count": count}], "wait_ms": LEASE_WAIT_MS,
        });
        let answer = self.caller()?.send("/lease/request", &body)?;
        ensure!(answer["state"] == "granted", "no lease: {answer}");
        Ok(number(&answer, "seats")? as u64)
    }

    /// Opens a shift with an empty drawer.
    pub fn open_shift(&self, id: &str) -> Result<()> {
        let body = json!({
            "command_id": id, "agent": "Mwansa", "float_minor": 0, "currency": "ZMW",
        });
        self.caller()?.send("/shift/open", &body)?;
        Ok(())
    }

    /// Holds a code before a driver's scanner; gives what the terminal shows, from rule to rule.
    pub fn scan_code(&mut self, code: &str) -> Result<String> {
        let (child, _) = self.running.as_mut().context("the device does not run")?;
        child.type_line(code)?;
        let is_rule = |line: &str| line.len() > 10 && line.chars().all(|c| c == '=' || c == 'X');
        let mut shown = vec![child.next_line()?];
        while shown.len() < 2 || !shown.last().is_some_and(|line| is_rule(line)) {
            shown.push(child.next_line()?);
        }
        Ok(shown.join("\n"))
    }

    /// What the link to the hub last failed with.
    pub fn link_error(&self) -> Result<Option<String>> {
        let status = self.status()?;
        Ok(status["link"]["last_error"].as_str().map(str::to_owned))
    }

    /// Sells.
    pub fn sell(&self, id: &str, journey: &Journey) -> Result<Sold> {
        Sold::of(&self.try_sell(id, journey)?.good()?)
    }

    /// Tries to sell.
    pub fn try_sell(&self, id: &str, journey: &Journey) -> Result<Answer> {
        self.caller()?.post("/sell", &journey.sell(id))
    }

    /// Runs another of its commands.
    pub fn command(&self, words: &[&str]) -> Result<Ran> {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--data-dir").arg(&self.data);
        Ran::of(&mut command)
    }

    /// Fails if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let (child, _) = self.running.as_mut().context("the device does not run")?;
        match child.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}", self.name),
        }
    }
}
