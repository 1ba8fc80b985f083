//! Backups: the database as `pg_dump` writes it from one snapshot, the hub's keys and certificates
//! beside it, and a manifest that says what belongs to it. A backup is whole or is not there: it is
//! written under another name and renamed last. So is a restored folder.

mod files;
mod make;
mod manifest;
mod program;
mod take;

pub use make::{Made, make};
pub use manifest::Manifest;
pub use take::{Taken, Target, take};

use std::path::{Path, PathBuf};

/// Where a backup or a restore stands, in words for a person.
pub type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is there already.
    #[error("{} is there already: name a place that is not, or remove it", .0.display())]
    Occupied(PathBuf),
    /// The database to restore into holds something.
    #[error("the database is not empty: restore into a fresh one (CREATE DATABASE …)")]
    DatabaseNotEmpty,
    /// Not a backup, or damaged.
    #[error("{} is no sound backup: {what}", path.display())]
    Unsound {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Made by a later program.
    #[error(
        "the backup has schema {theirs}, this program knows up to {ours}: restore it with the \
         program that made it, or a later one"
    )]
    TooNew {
        /// The backup's.
        theirs: i64,
        /// Ours.
        ours: i64,
    },
    /// A program of Postgres failed.
    #[error("{program} failed: {log}")]
    Program {
        /// Which.
        program: &'static str,
        /// The end of what it said.
        log: String,
    },
    /// Postgres is not there, or does not start.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::PostgresError),
    /// The keys of the backup cannot be read.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeyError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
}

impl BackupError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

#[cfg(test)]
mod tests;
