//! What a database can answer, told apart by what the caller does about it.

use std::time::Duration;

/// What fires when a seat-leg is about to get a second owner.
const SEAT_OWNED_ONCE: [&str; 3] = ["ticket_no_overlap", "claim_no_overlap", "seat_owned_once"];

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A constraint stood in the way.
    #[error("the database's constraint {constraint} stands against it")]
    Constraint {
        /// Its name in the schema.
        constraint: String,
        /// What Postgres said.
        source: sqlx::Error,
    },
    /// Another transaction was in the way; the same again may succeed.
    #[error("the database asks to try again: {0}")]
    TryAgain(sqlx::Error),
    /// The server is away, full or broken.
    #[error("the database failed: {0}: check that Postgres runs and has disk space")]
    Failed(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// What was stored cannot be read back.
    #[error("{what} in the database cannot be read: restore it from its backup")]
    Damaged {
        /// What, in words.
        what: String,
    },
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let Some(said) = error.as_database_error() else {
            return Self::Failed(error);
        };
        if matches!(said.code().as_deref(), Some("40001" | "40P01")) {
            return Self::TryAgain(error);
        }
        match said.constraint().map(str::to_owned) {
            Some(constraint) => Self::Constraint {
                constraint,
                source: error,
            },
            None => Self::Failed(error),
        }
    }
}

impl DbError {
    /// A stored value that does not decode.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    /// The table whose rows refer to what was to be deleted.
    pub fn refers_from(&self) -> Option<&str> {
        match self {
            Self::Constraint { source, .. } => source
                .as_database_error()
                .filter(|said| said.is_foreign_key_violation())
                .and_then(|said| said.table()),
            Self::TryAgain(_) | Self::Failed(_) | Self::Migration(_) | Self::Damaged { .. } => None,
        }
    }

    /// The constraint that fired.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { constraint, .. } => Some(constraint),
            Self::TryAgain(_) | Self::Failed(_) | Self::Migration(_) | Self::Damaged { .. } => None,
        }
    }

    /// Whether somebody else came to own a seat meanwhile: the application's lock did not hold.
    pub fn is_seat_taken(&self) -> bool {
        self.constraint()
            .is_some_and(|name| SEAT_OWNED_ONCE.contains(&name))
    }
}

/// Repeats of a transaction that lost against another.
///
/// ```ignore
/// let mut backoff = Backoff::new();
/// loop {
///     match work().await {
///         Err(error) if backoff.again(&error).await => {}
///         done => return done,
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    const ATTEMPTS_MAX: u32 = 6;

    /// No attempt was made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to do it once more; waits a little longer each time.
    pub async fn again(&mut self, error: &DbError) -> bool {
        let worth = matches!(error, DbError::TryAgain(_)) || error.is_seat_taken();
        if !worth || self.attempts >= Self::ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        // Deadlocks pick one victim, so that growing waits are enough to let the other pass.
        tokio::time::sleep(Duration::from_millis(3 << self.attempts)).await;
        true
    }
}
