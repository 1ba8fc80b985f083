//! Creating, starting and stopping the cluster.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use domain::codec::to_hex;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};

use super::account::Account;
use super::lock::Lock;
use super::{PostgresError, Programs, Purpose};

/// The role that owns the cluster, and the name of the hub's database.
const OWNER: &str = "mwimule";
/// The name a socket has; part of its length.
const SOCKET: &str = ".s.PGSQL.5432";
/// `sun_path` holds 107 bytes and Postgres makes a lock file beside the socket.
const SOCKET_PATH_BYTES_MAX: usize = 100;
const START_TIMEOUT: Duration = Duration::from_mins(2);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a start waits for another command to be done.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
const LOG_TAIL_BYTES: u64 = 1500;

/// How the cluster is set, for a machine of two cores; its memory is [`shared_buffers_mb`].
pub const SETTINGS: [(&str, &str); 19] = [
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "50"),
    ("superuser_reserved_connections", "3"),
    ("work_mem", "8MB"),
    ("maintenance_work_mem", "64MB"),
    ("effective_cache_size", "512MB"),
    // Nothing replicates from an embedded cluster, so the log need only serve a crash.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "1GB"),
    ("wal_buffers", "8MB"),
    ("checkpoint_timeout", "10min"),
    ("random_page_cost", "1.1"),
    ("jit", "off"),
    ("autovacuum_naptime", "15s"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("max_parallel_workers_per_gather", "0"),
];

/// Starts the server, and stops it once standard input ends. It asks again and again: a server
/// that has only begun to start does not hear the first time.
const WATCH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
postmaster=$!
{ cat <&3 >/dev/null; while kill -INT "$postmaster"; do sleep 0.2; done; } 2>/dev/null &
watcher=$!
wait "$postmaster"
kill "$watcher" 2>/dev/null
"#;

/// Whether a commit survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Full,
    /// It need not: for tests that say so.
    NoneForTests,
}

/// A running private cluster. Dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    folder: PathBuf,
    socket_folder: PathBuf,
    watcher: Child,
    /// The cluster runs for as long as this end of the pipe is open.
    pipe: Option<ChildStdin>,
    programs: Programs,
    account: Account,
    durability: Durability,
    _lock: Lock,
}

impl EmbeddedPostgres {
    /// Starts the cluster in `folder`, which is made when it is not there.
    pub async fn start(folder: &Path, purpose: Purpose) -> Result<Self, PostgresError> {
        Self::start_with(folder, purpose, Durability::Full).await
    }

    /// Starts the cluster with less durability than a product has.
    pub async fn start_with(
        folder: &Path,
        purpose: Purpose,
        durability: Durability,
    ) -> Result<Self, PostgresError> {
        let wanted = folder.to_owned();
        let running =
            tokio::task::spawn_blocking(move || Self::start_blocking(&wanted, purpose, durability))
                .await
                .unwrap_or_else(|stopped| {
                    Err(PostgresError::Program {
                        program: "the start of Postgres",
                        log: stopped.to_string(),
                    })
                })?;
        running.make_database().await?;
        Ok(running)
    }

    fn start_blocking(
        folder: &Path,
        purpose: Purpose,
        durability: Durability,
    ) -> Result<Self, PostgresError> {
        let programs = Programs::find()?;
        std::fs::create_dir_all(folder).map_err(PostgresError::file("cannot make", folder))?;
        let folder = folder
            .canonicalize()
            .map_err(PostgresError::file("cannot find", folder))?;
        let lock = Lock::take(&folder, purpose, LOCK_PATIENCE)?;
        let mut account = Account::choose()?;
        account.make_folder(&folder)?;
        account.reach(&folder)?;
        let socket_folder = socket_folder_of(&folder);
        account.make_folder(&socket_folder)?;
        if !folder.join("cluster/PG_VERSION").exists() {
            create(&programs, &account, &folder, durability)?;
        }
        make_way(&folder)?;
        let mut watcher = serve(&programs, &account, &folder, &socket_folder, durability)?;
        let pipe = watcher.stdin.take();
        let mut running = Self {
            folder,
            socket_folder,
            watcher,
            pipe,
            programs,
            account,
            durability,
            _lock: lock,
        };
        running.wait_until_ready()?;
        Ok(running)
    }

    /// Starts the server again if it has ended by itself; says whether it had.
    pub fn restart_if_ended(&mut self) -> Result<bool, PostgresError> {
        if matches!(self.watcher.try_wait(), Ok(None)) {
            return Ok(false);
        }
        drop(self.pipe.take());
        make_way(&self.folder)?;
        self.watcher = serve(
            &self.programs,
            &self.account,
            &self.folder,
            &self.socket_folder,
            self.durability,
        )?;
        self.pipe = self.watcher.stdin.take();
        self.wait_until_ready()?;
        Ok(true)
    }

    fn wait_until_ready(&mut self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !PostmasterFile::read(&self.folder).is_some_and(|p| p.ready) {
            if matches!(self.watcher.try_wait(), Ok(Some(_)) | Err(_)) {
                return Err(PostgresError::Program {
                    program: "postgres",
                    log: log_tail(&self.folder),
                });
            }
            if Instant::now() > deadline {
                return Err(too_slow(&self.folder, "start", START_TIMEOUT));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    async fn make_database(&self) -> Result<(), PostgresError> {
        let mut connection = PgConnection::connect(&self.url_of("postgres")).await?;
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(OWNER)
                .fetch_one(&mut connection)
                .await?;
        if !there {
            sqlx::query("CREATE DATABASE mwimule")
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// The hub's database, as the cluster's owner.
    pub fn url(&self) -> String {
        self.url_of(OWNER)
    }

    /// Another database of the cluster, as its owner.
    pub fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://{OWNER}@localhost/{database}?host={}",
            percent_encode(&self.socket_folder.to_string_lossy())
        )
    }

    /// The process that clients' sessions descend from.
    pub fn postmaster_pid(&self) -> Option<i32> {
        PostmasterFile::read(&self.folder).map(|p| p.pid)
    }

    /// Ends every session, and returns once the data is safe on disk.
    pub fn stop(mut self) -> Result<(), PostgresError> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), PostgresError> {
        drop(self.pipe.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.watcher.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                if let Some(pid) = self.postmaster_pid() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
                }
                let _ = self.watcher.wait();
                return Err(too_slow(&self.folder, "stop", STOP_TIMEOUT));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::warn!(%error, "the embedded Postgres had to be cut off; it recovers by itself");
        }
    }
}

/// Inside the cluster's folder when a socket's path has room for that; otherwise a private
/// folder with a short path, named after the long one.
fn socket_folder_of(folder: &Path) -> PathBuf {
    let inside = folder.join("run");
    let text = inside.to_string_lossy();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain && text.len() + 1 + SOCKET.len() <= SOCKET_PATH_BYTES_MAX {
        return inside;
    }
    let name = to_hex(&Sha256::digest(folder.as_os_str().as_encoded_bytes())[..8]);
    PathBuf::from("/tmp").join(format!("mwimule-{name}"))
}

fn create(
    programs: &Programs,
    account: &Account,
    folder: &Path,
    durability: Durability,
) -> Result<(), PostgresError> {
    // Under another name until it is whole: a start that was cut short begins again.
    let unfinished = folder.join("cluster.unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)
            .map_err(PostgresError::file("cannot remove", &unfinished))?;
    }
    let mut initdb = account.command(&programs.path("initdb"));
    initdb
        .args(["--auth-local=trust", "--auth-host=reject"])
        .args(["--encoding=UTF8", "--locale=C", "--no-instructions"])
        .arg(format!("--username={OWNER}"))
        .arg("--pgdata")
        .arg(&unfinished);
    if durability == Durability::NoneForTests {
        initdb.arg("--no-sync");
    }
    let done = initdb
        .stdin(Stdio::null())
        .output()
        .map_err(PostgresError::file("cannot run", &programs.path("initdb")))?;
    if !done.status.success() {
        return Err(PostgresError::Program {
            program: "initdb",
            log: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        });
    }
    let finished = folder.join("cluster");
    std::fs::rename(&unfinished, &finished)
        .map_err(PostgresError::file("cannot rename", &unfinished))
}

fn serve(
    programs: &Programs,
    account: &Account,
    folder: &Path,
    socket_folder: &Path,
    durability: Durability,
) -> Result<Child, PostgresError> {
    let log = open_log(folder)?;
    let log_too = log
        .try_clone()
        .map_err(PostgresError::file("cannot open", folder))?;
    let mut command: Command = account.command(Path::new("/bin/sh"));
    command
        .args(["-c", WATCH, "mwimule-postgres"])
        .arg(programs.path("postgres"))
        .arg("-D")
        .arg(folder.join("cluster"))
        .arg("-k")
        .arg(socket_folder);
    for (name, value) in SETTINGS {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let memory_kb = std::fs::read_to_string("/proc/meminfo").map_or(0, |text| memory_kb(&text));
    let buffers_mb = shared_buffers_mb(memory_kb);
    command.args(["-c", &format!("shared_buffers={buffers_mb}MB")]);
    if durability == Durability::NoneForTests {
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(log_too)
        .spawn()
        .map_err(PostgresError::file("cannot run", Path::new("/bin/sh")))
}

/// An eighth of the machine's memory, 96 to 1,024 MB: what is searched and sold every day stays
/// there, and the rest of the machine is left alone. Taken as it is used.
const fn shared_buffers_mb(memory_kb: u64) -> u64 {
    match memory_kb / 8 / 1024 {
        little if little < 96 => 96,
        much if much > 1024 => 1024,
        fitting => fitting,
    }
}

/// The machine's memory as Linux tells it; 0 where it is not told.
fn memory_kb(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let number = line.and_then(|l| l.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn open_log(folder: &Path) -> Result<File, PostgresError> {
    let path = folder.join("log");
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
        let _ = std::fs::rename(&path, folder.join("log.old"));
    }
    File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(PostgresError::file("cannot open", &path))
}

/// What `postmaster.pid` says.
struct PostmasterFile {
    pid: i32,
    ready: bool,
}

impl PostmasterFile {
    fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join("cluster/postmaster.pid")).ok()?;
        let mut lines = text.lines();
        Some(Self {
            pid: lines.next()?.trim().parse().ok()?,
            ready: lines.nth(6).is_some_and(|line| line.trim() == "ready"),
        })
    }

    /// Whether the process is a Postgres on this cluster and not one that got its number since.
    fn is_alive(&self, folder: &Path) -> bool {
        let works_in = std::fs::read_link(format!("/proc/{}/cwd", self.pid));
        works_in.is_ok_and(|cwd| cwd == folder.join("cluster"))
    }
}

/// We hold the lock, so whatever is left of a former server belongs to a hub that died: it is
/// shut down, and a note of a server that is gone is removed.
fn make_way(folder: &Path) -> Result<(), PostgresError> {
    let Some(former) = PostmasterFile::read(folder) else {
        return Ok(());
    };
    let signals = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL];
    for signal in signals {
        if !former.is_alive(folder) {
            break;
        }
        tracing::warn!(pid = former.pid, %signal, "stopping the Postgres of a hub that died");
        let _ = kill(Pid::from_raw(former.pid), signal);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while former.is_alive(folder) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
    if former.is_alive(folder) {
        return Err(too_slow(folder, "stop", STOP_TIMEOUT));
    }
    if Path::new("/proc/self").exists() {
        let _ = std::fs::remove_file(folder.join("cluster/postmaster.pid"));
    }
    Ok(())
}

fn too_slow(folder: &Path, what: &'static str, timeout: Duration) -> PostgresError {
    PostgresError::TooSlow {
        what,
        folder: folder.to_owned(),
        timeout_s: timeout.as_secs(),
        log: log_tail(folder),
    }
}

fn log_tail(folder: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(folder.join("log")) {
        let len = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(len.saturating_sub(LOG_TAIL_BYTES)));
        let _ = file.take(LOG_TAIL_BYTES).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
