//! The hub with the application's booking locks switched off: only the database's constraints are
//! left. Never part of a product build.

use std::process::ExitCode;

use domain::weaken::{Weakness, activate};

fn main() -> ExitCode {
    activate(Some(Weakness::NoBookingLock));
    central::cli::main()
}
