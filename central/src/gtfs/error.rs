//! What stops an import altogether; everything smaller is an outcome in the report.

/// A feed that cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum GtfsError {
    /// The feed could not be opened.
    #[error("cannot open {path}: {reason}")]
    Open {
        /// The path as given.
        path: String,
        /// What went wrong and what to do.
        reason: String,
    },
    /// A file of the feed could not be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// The file inside the feed.
        file: String,
        /// What went wrong.
        reason: String,
    },
    /// A file that every feed must have is absent.
    #[error("{file} is missing; a GTFS feed must have it")]
    MissingFile {
        /// The file, or the files of which one is needed.
        file: String,
    },
    /// A column that the file must have is absent.
    #[error("{file} has no column {column}; its header must name it (found: {found})")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The header as found, cut short.
        found: String,
    },
    /// The file is not UTF-8.
    #[error("{file} line {line} is not UTF-8; save the file as UTF-8 and try again")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u64,
    },
    /// A size cap was passed.
    #[error("{file} is too large: {what}")]
    TooLarge {
        /// The file.
        file: String,
        /// Which cap, and its value.
        what: String,
    },
    /// A value without which nothing can be planned.
    #[error("{file} line {line}: {what}")]
    Value {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// What was wrong and what is wanted.
        what: String,
    },
    /// The operator's choices do not fit the feed.
    #[error("{0}")]
    Option(String),
}
