//! A private, throw-away Postgres: unix socket only, in a temporary folder, gone afterwards.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::{packages, process};

const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A running server; dropping it stops the server and removes its data.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
}

/// Whom Postgres runs as when we are root, which it refuses to serve.
pub fn unprivileged_user() -> Result<Option<User>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("Postgres refuses to run as root, and there is neither a user postgres nor nobody");
}

impl Postgres {
    /// Creates a cluster and starts a server on it.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("mwimule-pg-")
            .tempdir()
            .context("could not make a temporary folder")?;
        let user = unprivileged_user()?;
        if let Some(user) = &user {
            chown(
                folder.path(),
                Some(user.uid.as_raw()),
                Some(user.gid.as_raw()),
            )?;
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        }
        let data = folder.path().join("data");
        let mut initdb = as_user("initdb", user.as_ref(), folder.path())?;
        process::output(
            initdb
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
                .args(["--locale=C", "--no-sync", "--no-instructions", "--pgdata"])
                .arg(&data),
        )?;
        let server = as_user("postgres", user.as_ref(), folder.path())?
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("server.log"))?)
            .process_group(0)
            .spawn()
            .context("could not start postgres")?;
        let mut running = Self { server, folder };
        running.wait_until_ready()?;
        Ok(running)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while self.query("postgres", "select 1").is_err() {
            process::check_interrupted()?;
            if self.server.try_wait()?.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("server.log"));
                bail!("postgres did not start:\n{}", log.unwrap_or_default());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn psql(&self, database: &str) -> Result<Command> {
        let mut command = Command::new(program("psql")?);
        command
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.folder.path())
            .args(["-d", database]);
        Ok(command)
    }

    /// Runs one statement as the superuser.
    pub fn query(&self, database: &str, sql: &str) -> Result<String> {
        process::output(self.psql(database)?.args(["-A", "-t", "-c", sql]))
    }

    /// Runs a file of statements in one transaction.
    pub fn apply(&self, database: &str, file: &Path) -> Result<()> {
        process::output(self.psql(database)?.arg("-1").arg("-f").arg(file))
            .with_context(|| format!("{} does not apply", file.display()))?;
        Ok(())
    }

    /// The address of a database of this server, as sqlx reads it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@localhost/{database}?host={}",
            self.folder.path().display()
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is Postgres's fast shutdown: sessions are cut and the server ends by itself.
        let _ = kill(Pid::from_raw(self.server.id() as i32), Signal::SIGINT);
        let _ = self.server.wait();
    }
}

fn program(name: &str) -> Result<PathBuf> {
    packages::find(name).with_context(|| format!("{name} is not installed (package postgresql)"))
}

fn as_user(name: &str, user: Option<&User>, folder: &Path) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    command.current_dir(folder).env("LC_ALL", "C");
    if let Some(user) = user {
        command
            .uid(user.uid.as_raw())
            .gid(user.gid.as_raw())
            .env("HOME", folder);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throw_away_server_answers_and_leaves_nothing_behind() {
        let server = Postgres::start().unwrap();
        assert_eq!(server.query("postgres", "select 40 + 2").unwrap(), "42\n");
        assert!(server.query("postgres", "select nonsense").is_err());
        let folder = server.folder.path().to_owned();
        let pid = Pid::from_raw(server.server.id() as i32);
        drop(server);
        assert!(!folder.exists());
        assert!(kill(pid, None).is_err(), "the server is still running");
    }
}
