//! `hub.json` in the data folder: where a running hub can be reached. Commands beside it, and
//! people, read it.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

const FILE: &str = "hub.json";

/// A running hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunFile {
    /// Its process.
    pub(super) pid: u32,
    /// Which parts it runs.
    pub(super) roles: String,
    /// The base of its HTTP API, where it has one.
    pub(super) hub_url: Option<String>,
    /// Where its HTTP API listens.
    pub(super) http: Option<String>,
    /// Where it tells health and metrics inside.
    pub(super) internal_http: Option<String>,
    /// Where nodes connect, UDP.
    pub(super) quic: Option<String>,
    /// How nodes reach it from outside.
    pub(super) public_addr: Option<String>,
    /// Its database, as the owner.
    pub(super) postgres_url: String,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

impl RunFile {
    /// The hub that runs on this folder, if one does.
    pub(super) fn of_running(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path(data_dir)).ok()?;
        let found: Self = serde_json::from_str(&text).ok()?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(found.pid).ok()?);
        let alive = nix::sys::signal::kill(pid, None);
        // EPERM says that it is there and somebody else's.
        (alive.is_ok() || alive == Err(nix::errno::Errno::EPERM)).then_some(found)
    }

    pub(super) fn write(&self, data_dir: &Path) -> Result<()> {
        let fresh = data_dir.join("hub.json.new");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| {
                file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
                file.write_all(self.to_line().as_bytes())
            })
            .and_then(|()| std::fs::rename(&fresh, path(data_dir)))
            .with_context(|| format!("cannot write {}", path(data_dir).display()))
    }

    /// One line of JSON.
    pub(super) fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes it away, unless another process has put its own there.
    pub(super) fn remove(data_dir: &Path) {
        if Self::of_running(data_dir).is_some_and(|found| found.pid != std::process::id()) {
            return;
        }
        let _ = std::fs::remove_file(path(data_dir));
    }
}
