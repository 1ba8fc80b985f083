//! The network between devices and hub.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::http::text;
use crate::{Child, Place};

/// A running `udp-relay`.
#[derive(Debug)]
pub struct Relay {
    _child: Child,
    /// Where devices reach the hub, `host:port`.
    pub listen: String,
    control: String,
}

impl Relay {
    /// Starts a relay towards the hub's address.
    pub fn start(place: &Place, hub: &str) -> Result<Self> {
        let mut command = Command::new(place.program("udp-relay")?);
        command.args(["--control", "127.0.0.1:0", "--to", hub]);
        let child = Child::start("the relay", &mut command, &place.log("relay"))?;
        let ready = child.ready()?;
        Ok(Self {
            listen: text(&ready, "listen")?,
            control: text(&ready, "control")?,
            _child: child,
        })
    }

    fn say(&self, word: &str) -> Result<()> {
        let mut stream = TcpStream::connect(&self.control).context("the relay is gone")?;
        writeln!(stream, "{word}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        ensure!(answer.trim() == "ok", "{word:?} was answered {answer:?}");
        Ok(())
    }

    /// From here on nothing gets through.
    pub fn cut(&self) -> Result<()> {
        self.say("stop")
    }

    /// Everything gets through again.
    pub fn mend(&self) -> Result<()> {
        self.say("go")
    }
}
