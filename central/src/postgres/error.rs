//! What can go wrong with the embedded cluster, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::programs::POSTGRES_MAJOR_MIN;

/// Why there is no embedded Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Nothing of use is installed.
    #[error(
        "PostgreSQL {POSTGRES_MAJOR_MIN} or later is not installed ({found}). Install it, on \
         Debian with `apt-get install postgresql`, or name a running one with --database-url"
    )]
    NotInstalled {
        /// What was found instead.
        found: String,
    },
    /// Another hub or command works on this data folder.
    #[error("{folder} is in use by {holder}: stop it first, or choose another --data-dir")]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
        /// Who holds it, in words.
        holder: String,
    },
    /// Root, but nobody to run Postgres as.
    #[error("Postgres refuses to run as root, and there is neither a user postgres nor nobody")]
    NoUser,
    /// The unprivileged user cannot get to the folder.
    #[error(
        "the user {user}, whom Postgres runs as, cannot reach {folder}: choose a --data-dir \
         whose parent folders everybody may enter (chmod o+x), or start the hub as another user"
    )]
    Unreachable {
        /// The unprivileged user.
        user: String,
        /// The cluster's folder.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of Postgres failed.
    #[error("{program} failed: {log}")]
    Program {
        /// Which one.
        program: &'static str,
        /// The end of what it said.
        log: String,
    },
    /// The server did not come up, or a former one did not go away.
    #[error("Postgres in {} did not {what} within {timeout_s} s; its log ends: {log}", folder.display())]
    TooSlow {
        /// Start or stop.
        what: &'static str,
        /// The cluster's folder.
        folder: PathBuf,
        /// How long was waited, in seconds.
        timeout_s: u64,
        /// The end of its log.
        log: String,
    },
    /// The server runs but does not do what it is asked.
    #[error("the embedded Postgres answered: {0}")]
    Sql(#[from] sqlx::Error),
}

impl PostgresError {
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
