//! The network between the devices and the hub: one relay that can stop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::children::Child;
use crate::http::{number, text};

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// The running relay.
#[derive(Debug)]
pub struct Relay {
    /// Its process.
    pub child: Child,
    /// Where the devices reach the hub, `host:port`.
    pub listen: String,
    control: String,
}

impl Relay {
    /// Starts a relay towards the hub's address.
    pub fn start(bin_dir: &Path, logs: &Path, hub: &str) -> Result<Self> {
        let mut command = Command::new(bin_dir.join("udp-relay"));
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--to",
            hub,
        ]);
        let mut child = Child::start("relay", &mut command, &logs.join("relay.log"))?;
        let ready = child.line(READY_DEADLINE, |line| {
            serde_json::from_str::<Value>(line).ok()
        });
        let ready = ready.map_err(|error| child.blame(error))?;
        Ok(Self {
            listen: text(&ready, "listen")?,
            control: text(&ready, "control")?,
            child,
        })
    }

    fn ask(&self, word: &str) -> Result<String> {
        let mut stream =
            TcpStream::connect(&self.control).context("the relay's control is gone")?;
        writeln!(stream, "{word}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    fn say(&self, word: &str) -> Result<()> {
        match self.ask(word)?.as_str() {
            "ok" => Ok(()),
            answer => bail!("the relay answered {answer:?} to {word:?}"),
        }
    }

    /// Datagrams that it swallowed while it was stopped.
    pub fn swallowed(&self) -> Result<i64> {
        let stats: Value = serde_json::from_str(&self.ask("stats")?)?;
        Ok(number(&stats, "up.stopped_datagrams")? + number(&stats, "down.stopped_datagrams")?)
    }

    /// From here on nothing gets through, in either direction.
    pub fn cut(&self) -> Result<()> {
        self.say("stop")
    }

    /// Everything gets through again.
    pub fn mend(&self) -> Result<()> {
        self.say("go")
    }
}
