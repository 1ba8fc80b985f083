//! The embedded default: a private Postgres cluster from the locally installed programs.
//!
//! It listens on a unix socket only and runs as an unprivileged user when the hub is root. A
//! watching shell holds a pipe from the hub: however the hub ends, SIGKILL included, the pipe
//! closes and the cluster shuts down cleanly. A file lock keeps a second hub out.

mod account;
mod cluster;
mod error;
mod lock;
mod programs;
mod testing;

pub use cluster::{Durability, EmbeddedPostgres, SETTINGS};
pub use error::PostgresError;
pub use lock::{Purpose, holder};
pub use programs::{POSTGRES_MAJOR_MIN, Programs};
pub use testing::{TestCluster, TestDatabase};
