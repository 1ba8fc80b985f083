//! The Redis that several hub processes share.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::children::Child;
use crate::station::Place;

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A running Redis of the demo's own, with nothing on disk.
#[derive(Debug)]
pub struct Cache {
    /// Its process.
    pub child: Child,
    /// Its address, as a hub reads it.
    pub url: String,
}

impl Cache {
    /// Starts one on a port of this machine.
    pub fn start(place: Place<'_>) -> Result<Self> {
        let address = crate::hub::free_tcp_address()?;
        let (host, port) = address.rsplit_once(':').unwrap_or(("127.0.0.1", "0"));
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", host, "--port", port, "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(place.logs);
        let mut child = Child::start("Redis", &mut command, &place.logs.join("redis.log"))?;
        let ready = child.line(READY_DEADLINE, |line| {
            line.contains("Ready to accept connections").then_some(())
        });
        ready.map_err(|error| child.blame(error))?;
        Ok(Self {
            child,
            url: format!("redis://{address}/0"),
        })
    }
}
