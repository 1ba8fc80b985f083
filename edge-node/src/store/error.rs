//! What can go wrong with the store, in words that say what to do.

use rusqlite::ErrorCode;

/// A store that cannot be used, or did not keep what it was given.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is there and its content is broken.
    #[error(
        "the sales file {path} is damaged ({detail}): sell nothing on this device; copy its whole \
         folder to a safe place, then call the office. What the hub has stored is safe"
    )]
    Corrupt {
        /// Which file.
        path: String,
        /// What SQLite said.
        detail: String,
    },
    /// The file is something else.
    #[error(
        "{path} is not a sales file: another program has overwritten it, or the wrong folder was \
         given. Check the folder; if it is the right one, copy it to a safe place and call the office"
    )]
    NotADatabase {
        /// Which file.
        path: String,
    },
    /// No space is left.
    #[error(
        "the disk is full ({path}): nothing of this command was kept and nothing was lost. Free \
         some space and try again"
    )]
    DiskFull {
        /// Which file.
        path: String,
    },
    /// The file cannot be opened or written.
    #[error("{path} cannot be opened or written ({detail}): check the folder and its permissions")]
    CannotOpen {
        /// Which file.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// The disk failed.
    #[error(
        "the disk did not take the data ({path}: {detail}): nothing of this command is certain to \
         be kept; repeat it, and if it fails again call the office"
    )]
    DiskFailed {
        /// Which file.
        path: String,
        /// What the system said.
        detail: String,
    },
    /// Another program holds it.
    #[error("{path} is in use by another program: close it and try again")]
    Busy {
        /// Which file.
        path: String,
    },
    /// A later version of the program wrote it.
    #[error(
        "{path} was written by a later version of this program (schema {found}, this one knows \
         {known}): install that version again; nothing was changed"
    )]
    TooNew {
        /// Which file.
        path: String,
        /// What it has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The file belongs to another node.
    #[error(
        "{path} is the log of node {found}, this device is node {expected}: it was copied here. \
         Put back the right folder"
    )]
    OtherNode {
        /// Which file.
        path: String,
        /// Whose it is.
        found: String,
        /// Who this is.
        expected: String,
    },
    /// A row does not hold what it should.
    #[error(
        "the sales file {path} is damaged (table {table}, row {row}: {what}): sell nothing on this \
         device; copy its whole folder to a safe place, then call the office"
    )]
    BadRow {
        /// Which file.
        path: String,
        /// Which table.
        table: &'static str,
        /// Which row, in words.
        row: String,
        /// What was wrong.
        what: String,
    },
    /// The SQLite linked in has a known bug that loses data.
    #[error("this program was built with SQLite {found}; at least {needed} is needed: rebuild it")]
    OldSqlite {
        /// What is linked.
        found: &'static str,
        /// What is needed.
        needed: &'static str,
    },
    /// A test made this commit fail.
    #[error("a test made this commit fail")]
    Injected,
    /// Anything else that SQLite said.
    #[error("the sales file {path} could not be used ({detail}): try again, then call the office")]
    Other {
        /// Which file.
        path: String,
        /// What SQLite said.
        detail: String,
    },
}

impl StoreError {
    pub(super) fn of(error: rusqlite::Error, path: &str) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, detail },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::CannotOpen { path, detail }
            }
            Some(ErrorCode::SystemIoFailure) => Self::DiskFailed { path, detail },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            _ => Self::Other { path, detail },
        }
    }

    /// A stable name for APIs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } | Self::BadRow { .. } => "store_corrupt",
            Self::NotADatabase { .. } => "store_not_a_database",
            Self::DiskFull { .. } => "disk_full",
            Self::CannotOpen { .. } => "store_cannot_open",
            Self::DiskFailed { .. } => "disk_failed",
            Self::Busy { .. } => "store_busy",
            Self::TooNew { .. } => "store_too_new",
            Self::OtherNode { .. } => "store_of_another_node",
            Self::OldSqlite { .. } => "sqlite_too_old",
            Self::Injected => "injected",
            Self::Other { .. } => "store_failed",
        }
    }
}
