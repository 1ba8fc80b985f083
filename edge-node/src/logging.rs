//! How the programs of a node log.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Logs to standard error, in colours on a terminal only; `MWIMULE_LOG` chooses what.
pub fn to_stderr() {
    let filter = EnvFilter::try_from_env("MWIMULE_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,edge_node=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
