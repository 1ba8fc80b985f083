//! Whom Postgres runs as. It refuses root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::User;

use super::PostgresError;

/// Lets the unprivileged user through folders that only root may enter, where the machine
/// allows it; tried in this order.
const SEARCH_CAPABILITIES: [&str; 2] = ["+dac_read_search", "+dac_override"];

/// The user that the cluster's programs run as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// Set when we are root.
    user: Option<User>,
    /// A capability that the programs need on top, to get to their folder.
    capability: Option<&'static str>,
}

impl Account {
    /// We ourselves, or when root somebody without rights.
    pub(super) fn choose() -> Result<Self, PostgresError> {
        let user = if nix::unistd::geteuid().is_root() {
            let found = ["postgres", "nobody"]
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten());
            Some(found.ok_or(PostgresError::NoUser)?)
        } else {
            None
        };
        Ok(Self {
            user,
            capability: None,
        })
    }

    /// Whose files these are.
    pub(super) fn uid(&self) -> u32 {
        self.user
            .as_ref()
            .map_or_else(|| nix::unistd::geteuid().as_raw(), |u| u.uid.as_raw())
    }

    /// Makes a folder that only this account (and root) may enter.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), PostgresError> {
        std::fs::create_dir_all(folder).map_err(PostgresError::file("cannot make", folder))?;
        let about = std::fs::symlink_metadata(folder)
            .map_err(PostgresError::file("cannot look at", folder))?;
        // Another user's folder could be exchanged for something else under our hands.
        let ours = [self.uid(), nix::unistd::geteuid().as_raw()].contains(&about.uid());
        if !about.is_dir() || !ours {
            return Err(PostgresError::File {
                what: "cannot use",
                path: folder.to_owned(),
                source: std::io::Error::other("it belongs to somebody else"),
            });
        }
        if let Some(user) = &self.user {
            lchown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(PostgresError::file("cannot hand over", folder))?;
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
            .map_err(PostgresError::file("cannot close", folder))
    }

    /// Makes sure that the account can work in `folder`.
    pub(super) fn reach(&mut self, folder: &Path) -> Result<(), PostgresError> {
        let Some(user) = self.user.clone() else {
            return Ok(());
        };
        let choices = std::iter::once(None).chain(SEARCH_CAPABILITIES.into_iter().map(Some));
        for capability in choices {
            self.capability = capability;
            let arrived = self
                .command(Path::new("/bin/sh"))
                .args(["-c", r#"cd "$1" && test -w ."#, "sh"])
                .arg(folder)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if arrived.is_ok_and(|status| status.success()) {
                return Ok(());
            }
        }
        Err(PostgresError::Unreachable {
            user: user.name,
            folder: folder.to_owned(),
        })
    }

    /// A program as this account.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match (&self.user, self.capability) {
            (Some(user), Some(capability)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", user.uid))
                    .arg(format!("--regid={}", user.gid))
                    .arg("--clear-groups")
                    .arg(format!("--inh-caps={capability}"))
                    .arg(format!("--ambient-caps={capability}"))
                    .arg("--")
                    .arg(program);
                command
            }
            (Some(user), None) => {
                let mut command = Command::new(program);
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
                command
            }
            (None, _) => Command::new(program),
        };
        // The folder that we are in may be closed to the account.
        command.current_dir("/").env("LC_ALL", "C").process_group(0);
        command
    }
}
