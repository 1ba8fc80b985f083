//! A private, throw-away Redis: unix socket only, nothing on disk, gone afterwards.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{packages, process};

const START_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const SOCKET: &str = "redis.sock";

/// A running server; dropping it stops the server.
#[derive(Debug)]
pub struct Redis {
    server: Child,
    folder: tempfile::TempDir,
}

impl Redis {
    /// Starts a server.
    pub fn start() -> Result<Self> {
        let program = packages::find("redis-server")
            .context("redis-server is not installed (package redis-server)")?;
        let folder = tempfile::Builder::new()
            .prefix("mwimule-redis-")
            .tempdir()
            .context("could not make a temporary folder")?;
        let server = Command::new(program)
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(folder.path().join(SOCKET))
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(folder.path().join("server.log"))?)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("could not start redis-server")?;
        let mut running = Self { server, folder };
        running.wait_until_ready()?;
        Ok(running)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let socket = self.folder.path().join(SOCKET);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            process::check_interrupted()?;
            if self.server.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("server.log"));
                bail!("redis-server did not start:\n{}", log.unwrap_or_default());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The address of its first database, as the hub reads it.
    pub fn url(&self) -> String {
        let socket = self.folder.path().join(SOCKET);
        format!("redis+unix://{}", socket.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It keeps nothing, so there is nothing to end politely.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_throw_away_server_answers_and_leaves_nothing_behind() {
        let server = Redis::start().unwrap();
        let socket = server.folder.path().join(SOCKET);
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
        drop(server);
        assert!(!socket.exists());
    }
}
