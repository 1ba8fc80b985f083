//! `bench` and `sim`: release builds that answer with figures.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{packages, process};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {
    /// Fewer repetitions: figures within some ten percent
    #[arg(long)]
    quick: bool,
    /// Write the figures to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Which worlds to simulate.
#[derive(Debug, clap::Args)]
pub struct SimOptions {
    /// How many seeds, each a world of its own
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "K")]
    first: Option<u64>,
    /// Write the counts to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Break the program on purpose, one way at a time: each must be caught
    #[arg(long)]
    mutants: bool,
}

/// Runs the bench; gives its exit code.
pub fn bench(workspace: &Workspace, options: &BenchOptions) -> Result<i32> {
    packages::ensure(&[])?;
    println!("building for release (some minutes the first time) ...");
    process::run_ok(workspace.cargo().args([
        "build",
        "--release",
        "-p",
        "central",
        "-p",
        "edge-node",
        "-p",
        "driver-agent",
        "-p",
        "bench",
    ]))?;
    let mut command = Command::new(workspace.program("release", "bench"));
    command.env("MWIMULE_BIN_DIR", workspace.target.join("release"));
    if options.quick {
        command.arg("--quick");
    }
    add_json(&mut command, options.json.as_deref())?;
    finish(&mut command)
}

/// Runs the deterministic world; gives its exit code.
pub fn sim(workspace: &Workspace, options: &SimOptions) -> Result<i32> {
    println!("building the simulator for release ...");
    let mut build = workspace.cargo();
    build.args(["build", "--release", "-p", "sim"]);
    if options.mutants {
        build.args(["--features", "weaken"]);
    }
    process::run_ok(&mut build)?;
    let mut command = Command::new(workspace.program("release", "mwimule-sim"));
    command.args(["--seeds", &options.seeds.to_string()]);
    if let Some(first) = options.first {
        command.args(["--first", &first.to_string()]);
    }
    if options.mutants {
        command.arg("--mutants");
    }
    add_json(&mut command, options.json.as_deref())?;
    finish(&mut command)
}

fn add_json(command: &mut Command, json: Option<&Path>) -> Result<()> {
    if let Some(file) = json {
        command.arg("--json").arg(std::path::absolute(file)?);
    }
    Ok(())
}

fn finish(command: &mut Command) -> Result<i32> {
    let status = process::run(command)?;
    if !status.success() {
        eprintln!(
            "`{}` {}",
            process::shown(command),
            process::describe(status)
        );
    }
    Ok(status.code().unwrap_or(1))
}
