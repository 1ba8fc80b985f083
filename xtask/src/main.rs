//! `cargo xtask`: everything a person does with this workspace, each with one command.
#![expect(clippy::print_stdout, reason = "a program that talks to a person")]

mod codegen;
mod counts;
mod demo;
mod doctor;
mod measure;
mod packages;
mod postgres;
mod process;
mod redis;
mod test;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};

use crate::process::{EXIT_INTERRUPTED, Interrupted};
use crate::workspace::Workspace;

/// Everything to do with this workspace, one command each. Ctrl-C stops what was started.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Debug, Subcommand)]
enum Cmd {
    /// Play the whole story: a hub, two stations and a bus lose each other and settle up
    ///
    /// Installs Postgres with apt when it is missing (it says so first), builds the programs, and
    /// runs them as separate processes on free ports, with all data in demo-data/. Without --once
    /// they stay up afterwards, until Ctrl-C.
    Demo(demo::Options),
    /// Check everything: house rules, format, lints, tests, the deterministic world
    ///
    /// Installs what is missing with apt, Postgres and Redis among it (it says so first). All steps
    /// run even when one fails; the last line says how many tests and steps passed and failed. Tests start
    /// private databases and free ports of their own, and need no network.
    Test {
        /// Minutes instead of a quarter of an hour: shorter stories, fewer seeds, no query data
        #[arg(long)]
        fast: bool,
    },
    /// Measure sales, scans and sync against what disk, processor and database can do
    ///
    /// Installs Postgres with apt when it is missing (it says so first) and builds for release.
    /// Each figure stands next to the limit measured in the same run, fsync on.
    Bench(measure::BenchOptions),
    /// Run one heavy case against real programs, and say whether its promises held
    ///
    /// Installs Postgres and Redis with apt when they are missing (it says so first) and builds
    /// for release. Without NAME it lists the cases.
    Stress(measure::StressOptions),
    /// Run the deterministic world: many seeds, every invariant after every step
    ///
    /// Builds for release. A failing seed is printed as a short script; the same seed gives the
    /// same trace.
    Sim(measure::SimOptions),
    /// Say what this machine has, what it lacks, and what to type about it
    Doctor,
    /// Write the query data in .sqlx that builds the hub without a database
    ///
    /// Starts a private Postgres in a temporary folder, applies migrations/central, compiles the
    /// hub against it, and stops it again. Type this after changing a query or a migration.
    Codegen {
        /// Change nothing; fail when .sqlx is out of step
        #[arg(long)]
        check: bool,
    },
    /// Check the house rules only (seconds)
    Tidy,
}

fn main() {
    let cli = Cli::parse();
    let code = match run(&cli.command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("stopped");
            EXIT_INTERRUPTED
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    };
    std::process::exit(code);
}

fn run(command: &Cmd) -> anyhow::Result<i32> {
    process::forward_signals()?;
    let workspace = Workspace::load()?;
    let failed_if = |failed: bool| i32::from(failed);
    Ok(match command {
        Cmd::Demo(options) => demo::run(&workspace, options)?,
        Cmd::Test { fast } => failed_if(!test::run(&workspace, *fast)?),
        Cmd::Bench(options) => measure::bench(&workspace, options)?,
        Cmd::Stress(options) => measure::stress(&workspace, options)?,
        Cmd::Sim(options) => measure::sim(&workspace, options)?,
        Cmd::Doctor => failed_if(!doctor::run(&workspace)),
        Cmd::Codegen { check } => {
            codegen::run(&workspace, *check)?;
            0
        }
        Cmd::Tidy => {
            let findings = tidy::check(&workspace)?;
            for finding in &findings {
                println!("{finding}");
            }
            println!("{} broken rules", findings.len());
            failed_if(!findings.is_empty())
        }
    })
}
