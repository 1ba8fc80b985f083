//! A Postgres that several hub processes share.

use std::fs::{File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::{Place, Ran, until};

const READY_DEADLINE: Duration = Duration::from_mins(1);

/// A private Postgres on a unix socket, every commit synced; dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    user: Option<User>,
    server: Option<Child>,
}

/// One of Postgres's programs: Debian keeps the servers out of PATH.
fn path_of(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = debian.flatten().map(|version| version.path().join("bin"));
    std::env::split_paths(&path)
        .chain(debian)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not there: is the package postgresql installed?"))
}

impl Postgres {
    /// Makes a cluster in the test's folder and starts it.
    pub fn start(place: &Place) -> Result<Self> {
        let folder = place.path("postgres");
        std::fs::create_dir(&folder)?;
        let mut user = None;
        if nix::unistd::geteuid().is_root() {
            // Postgres refuses to serve root.
            let found = User::from_name("postgres")?;
            let found = found.or(User::from_name("nobody")?);
            let found = found.context("neither a user postgres nor nobody")?;
            chown(&folder, Some(found.uid.as_raw()), Some(found.gid.as_raw()))?;
            user = Some(found);
        }
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let mut postgres = Self {
            folder,
            user,
            server: None,
        };
        let mut initdb = postgres.program("initdb")?;
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-instructions", "--pgdata=data"]);
        Ran::good(&mut initdb)?;
        postgres.begin(&place.log("postgres"))?;
        Ok(postgres)
    }

    fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(path_of(name)?);
        command.current_dir(&self.folder).env("LC_ALL", "C");
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            command.env("HOME", &self.folder);
        }
        Ok(command)
    }

    fn begin(&mut self, log: &Path) -> Result<()> {
        let server = self
            .program("postgres")?
            .args(["-D", "data", "-c", "listen_addresses="])
            .args(["-c", "max_connections=120", "-k"])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(log)?)
            .spawn()
            .context("could not start postgres")?;
        self.server = Some(server);
        until("Postgres to answer", READY_DEADLINE, || {
            let ready = Ran::of(self.program("pg_isready")?.arg("-h").arg(&self.folder))?;
            Ok(ready.status.success().then_some(()).ok_or(ready.stdout))
        })
    }

    /// The folder of its socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A database of its own, as its owner.
    pub fn database(&self, name: &str) -> Result<String> {
        let mut createdb = self.program("createdb")?;
        createdb.args(["-U", "postgres", "-h"]).arg(&self.folder);
        Ran::good(createdb.arg(name))?;
        let folder = self.folder.display();
        Ok(format!(
            "postgres://postgres@localhost/{name}?host={folder}"
        ))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGINT: sessions are cut and the server ends by itself.
            let _ = kill(Pid::from_raw(server.id() as i32), Signal::SIGINT);
            let _ = server.wait();
        }
    }
}
