//! Heavy cases against real programs: each runs at its full size by `cargo xtask stress NAME`,
//! and at a tenth in the test command.
//!
//! A case starts its own hub and whatever else it needs, and gives a [`Report`]: figures, and
//! goals that were met or missed. A missed goal makes the program fail.
#![expect(clippy::print_stdout, reason = "a program that talks to a person")]

mod hubs;
mod outbox;
mod payments;
mod redis;
mod report;
mod restore;
mod roads;
mod seats;
mod tracking;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use system_tests::Place;

use report::Report;

/// A case by its name. The name is its module's.
type Case = (&'static str, fn(&Options) -> Result<Report>);

const CASES: &[Case] = &[
    ("hubs", hubs::run),
    ("outbox", outbox::run),
    ("payments", payments::run),
    ("redis", redis::run),
    ("restore", restore::run),
    ("seats", seats::run),
    ("tracking", tracking::run),
];

/// Runs one heavy case against real programs
#[derive(Debug, Parser)]
#[command(name = "stress", version)]
struct Args {
    /// The case
    name: Option<String>,
    /// Print the names of the cases
    #[arg(long)]
    list: bool,
    /// A tenth of the full size
    #[arg(long)]
    tenth: bool,
    /// Write the figures to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a case works with.
#[derive(Debug)]
pub struct Options {
    /// A tenth of the full size.
    pub tenth: bool,
    /// The case's own folder, and where the programs are.
    pub place: Place,
}

impl Options {
    /// How many of what is `full` at full size.
    pub fn size(&self, full: usize) -> usize {
        if self.tenth { full.div_ceil(10) } else { full }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when every goal was met.
fn run(args: &Args) -> Result<bool> {
    let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
    let Some(wanted) = args.name.as_deref().filter(|_| !args.list) else {
        println!("{}", names.join("\n"));
        return Ok(true);
    };
    let Some((_, case)) = CASES.iter().find(|(name, _)| *name == wanted) else {
        bail!(
            "there is no case {wanted:?}: choose among {}",
            names.join(", ")
        );
    };
    let options = Options {
        tenth: args.tenth,
        place: Place::new()?,
    };
    let began = Instant::now();
    let told = case(&options);
    if told.is_err() {
        options.place.show_logs();
    }
    let mut report = told?;
    report.finish(wanted, args.tenth, began.elapsed());
    println!("{}", report.text());
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report.is_met())
}
