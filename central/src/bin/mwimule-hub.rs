//! The hub's program. What it does is in `central::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    central::cli::main()
}
