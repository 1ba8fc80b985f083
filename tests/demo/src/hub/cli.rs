//! The command line of `mwimule-hub`: its commands, and its processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Hub;
use crate::children::{Child, run};
use crate::http::{Caller, text};
use crate::station::Place;

const READY_DEADLINE: Duration = Duration::from_mins(2);
/// How long a second process goes on taking requests once it was told to end.
const DRAIN_MS: &str = "1500";

/// The hub's command line.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
}

/// Where the hub listens, and what it is told.
#[derive(Debug, Clone, Copy)]
pub struct Serving<'a> {
    /// For people and programs.
    pub http: &'a str,
    /// For devices.
    pub quic: &'a str,
    /// Where devices are told to reach it.
    pub public: &'a str,
    /// Its settings.
    pub config: &'a Path,
}

impl Cli {
    /// The command line of a hub that keeps its data in the demo's folder.
    pub fn new(place: Place<'_>) -> Self {
        Self {
            program: place.bin_dir.join("mwimule-hub"),
            data: place.data.join("hub"),
            log: place.logs.join("hub-commands.log"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--json")
            .arg("--data-dir")
            .arg(&self.data)
            .args(words);
        command
    }

    /// Runs one command to its end and gives its answer.
    pub fn run(&self, words: &[&str]) -> Result<Value> {
        let printed = run(&mut self.command(words), &self.log)?;
        let last = printed.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .with_context(|| format!("`mwimule-hub {}` did not answer in JSON", words.join(" ")))
    }

    /// Starts the hub.
    pub fn serve(self, logs: &Path, serving: Serving<'_>, token: &str) -> Result<Hub> {
        let config = serving.config.to_str();
        let words = [
            "serve",
            "--http",
            serving.http,
            "--quic",
            serving.quic,
            "--public-addr",
            serving.public,
            "--config",
            config.context("the demo's folder has a name that is no text")?,
        ];
        self.begin("the hub", &logs.join("hub.log"), &words, token)
    }

    fn begin(self, name: &'static str, log: &Path, words: &[&str], token: &str) -> Result<Hub> {
        let mut child = Child::start(name, &mut self.command(words), log)?;
        let ready = child.line(READY_DEADLINE, |line| {
            serde_json::from_str::<Value>(line).ok()
        });
        let ready = ready.map_err(|error| child.blame(error))?;
        let base = text(&ready, "hub_url")?;
        Ok(Hub {
            office: Caller::new(&base, Some(token)),
            public: Caller::new(&base, None),
            postgres_url: text(&ready, "postgres_url")?,
            token: token.to_owned(),
            child,
            cli: self,
        })
    }
}

impl Hub {
    /// Starts a second process for the API on the same database, keys and Redis.
    pub fn beside(&self, place: Place<'_>, config: &Path) -> Result<Self> {
        let keys = self.cli.data.to_str();
        let config = config.to_str();
        let unreadable = "the demo's folder has a name that is no text";
        let cli = Cli {
            data: place.data.join("hub-2"),
            ..self.cli.clone()
        };
        let words = [
            "serve",
            "--roles",
            "api",
            "--http",
            "127.0.0.1:0",
            "--database-url",
            &self.postgres_url,
            "--secrets-dir",
            keys.context(unreadable)?,
            "--config",
            config.context(unreadable)?,
            "--drain-ms",
            DRAIN_MS,
        ];
        let log = place.logs.join("hub-2.log");
        cli.begin("the second hub process", &log, &words, &self.token)
    }
}
