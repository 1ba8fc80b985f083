//! A Redis that a test may kill.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{Place, until};

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A private Redis on a unix socket, with nothing on disk; dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    socket: PathBuf,
    log: PathBuf,
    server: Option<Child>,
}

impl Redis {
    /// Starts one in the test's folder.
    pub fn start(place: &Place) -> Result<Self> {
        let mut redis = Self {
            socket: place.path("redis.sock"),
            log: place.log("redis"),
            server: None,
        };
        redis.restart()?;
        Ok(redis)
    }

    /// What a hub calls it by.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }

    /// Starts it again where it was, empty.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(&self.socket)
            .stdin(Stdio::null())
            .stdout(File::options().create(true).append(true).open(&self.log)?)
            .stderr(Stdio::null())
            .spawn()
            .context("could not start redis-server: is the package redis-server installed?")?;
        self.server = Some(server);
        until("Redis to answer", READY_DEADLINE, || {
            Ok(UnixStream::connect(&self.socket)
                .map(drop)
                .map_err(|e| e.to_string()))
        })
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    /// Forgets everything it holds.
    pub fn flush(&self) -> Result<()> {
        use std::io::{Read as _, Write as _};
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.write_all(b"FLUSHALL\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        anyhow::ensure!(&answer == b"+OK\r\n", "Redis did not flush");
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Nothing more can be done about one that cannot be killed.
        let _ = self.kill();
    }
}
