//! The driver on the bus: the `mwimule-driver` program with a scanner at its keyboard input.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::children::Child;
use crate::http::{Caller, number, text};
use crate::station::Place;
use crate::voice::Who;

/// How long an answer may take; the driver expects it within a second.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The onboard device.
#[derive(Debug)]
pub struct Bus {
    data: PathBuf,
    program: PathBuf,
    log: PathBuf,
    /// Whose program errors name.
    name: &'static str,
    /// Further words for `run`.
    further: Vec<String>,
    running: Option<(Child, Caller)>,
}

/// What the driver sees.
#[derive(Debug, Clone)]
pub struct Seen {
    /// One of the six, as `good_but_unlisted`.
    pub answer: String,
    /// Why, in words.
    pub reason: String,
    /// The seat, large.
    pub seat: Option<String>,
}

impl Bus {
    /// Enrols the device with a one-use code; its files are called `name`.
    pub fn enrol(place: Place<'_>, who: Who, name: &str, code: &str) -> Result<Self> {
        let bus = Self {
            data: place.data.join(name),
            program: place.bin_dir.join("mwimule-driver"),
            log: place.logs.join(format!("{name}.log")),
            name: who.program(),
            further: vec![],
            running: None,
        };
        let mut command = Command::new(&bus.program);
        command.args(["enrol", code, "--data-dir"]).arg(&bus.data);
        crate::children::run(&mut command, &bus.log)?;
        Ok(bus)
    }

    /// From its next start on it makes up a drive along the stops of `stops`, at `kmh`, from the
    /// moment when its trip boards.
    pub fn will_drive(&mut self, kmh: u32, stops: &str) {
        let source = format!("drive:{kmh}@{stops}");
        let week_min = 7 * 24 * 60;
        self.further = vec![
            "--gps".to_owned(),
            source,
            "--gps-before-min".to_owned(),
            week_min.to_string(),
        ];
    }

    /// Starts the program.
    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command
            .args(["--json", "run", "--data-dir"])
            .arg(&self.data)
            .args(["--http", "127.0.0.1:0"])
            .args(&self.further);
        self.running = Some(Child::serving(self.name, &mut command, &self.log)?);
        Ok(())
    }

    fn running(&self) -> Result<&(Child, Caller)> {
        self.running
            .as_ref()
            .with_context(|| format!("{} is not running", self.name))
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        self.running()
            .map(|(_, caller)| caller.base().to_owned())
            .unwrap_or_default()
    }

    fn fetch(&self, path: &str) -> Result<Value> {
        let (child, caller) = self.running()?;
        caller.fetch(path).map_err(|error| child.blame(error))
    }

    /// What it would answer to a ticket, recording nothing; `None` while it knows nothing of the
    /// trip.
    pub fn would_answer(&self, trip: i64, qr: &str) -> Result<Option<String>> {
        let (child, caller) = self.running()?;
        let body = json!({"trip": trip, "text": qr});
        let told = caller
            .post("/explain", &[], &body)
            .map_err(|error| child.blame(error))?;
        Ok(told.body["answer"].as_str().map(str::to_owned))
    }

    /// Events in its own log that the hub has not stored.
    pub fn unsynced(&self) -> Result<i64> {
        number(&self.fetch("/status")?, "unsynced")
    }

    /// Holds a ticket before the scanner, which types its code, and reads the screen.
    pub fn scan(&mut self, qr: &str) -> Result<Seen> {
        let (child, _) = self
            .running
            .as_mut()
            .with_context(|| format!("{} is not running", self.name))?;
        child.type_line(qr)?;
        let answer = child.line(ANSWER_DEADLINE, |line| {
            if line.starts_with("NOT CHECKED") {
                Some(Err(line.to_owned()))
            } else {
                serde_json::from_str::<Value>(line).ok().map(Ok)
            }
        });
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Err(child.blame(anyhow::anyhow!(why))),
            Err(error) => return Err(child.blame(error)),
        };
        Ok(Seen {
            answer: text(&answer, "answer")?,
            reason: text(&answer, "reason")?,
            seat: answer["seat_label"].as_str().map(str::to_owned),
        })
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
            None => bail!("{} is not running", self.name),
        }
    }
}
