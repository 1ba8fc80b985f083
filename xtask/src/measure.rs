//! `bench`, `stress` and `sim`: release builds that answer with figures.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{packages, process};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {
    /// What to measure: `edge` (selling, scanning, draining) or `booking` (bookings, search)
    #[arg(value_parser = ["edge", "booking"], default_value = "edge")]
    what: String,
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

/// Which heavy case to run.
#[derive(Debug, clap::Args)]
pub struct StressOptions {
    /// The case
    name: Option<String>,
    /// Write the figures to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A tenth of the full size
    #[arg(long)]
    tenth: bool,
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
    let programs = lay_down(workspace)?;
    let mut command = Command::new(programs.join("bench"));
    command.arg(&options.what);
    command.env("MWIMULE_BIN_DIR", &programs);
    if options.quick {
        command.arg("--quick");
    }
    add_json(&mut command, options.json.as_deref())?;
    finish(&mut command)
}

/// Copies what is measured, as an installation lays it down, and says where to. The file that a
/// linker has written serves its code from pages that lie scattered for as long as it is cached:
/// from one such a signature's check took 41 microseconds, from its copy 22.
fn lay_down(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("bench-programs");
    std::fs::create_dir_all(&folder)?;
    for name in ["bench", "mwimule-hub", "mwimule-edge", "mwimule-driver"] {
        let (from, to) = (workspace.program("release", name), folder.join(name));
        // A file that runs or is cached is replaced, not written into.
        if to.exists() {
            std::fs::remove_file(&to)?;
        }
        std::fs::copy(&from, &to).with_context(|| format!("could not copy {}", from.display()))?;
    }
    Ok(folder)
}

/// Runs a heavy case, or lists them; gives its exit code.
pub fn stress(workspace: &Workspace, options: &StressOptions) -> Result<i32> {
    packages::ensure(packages::NEEDED_BY_STRESS)?;
    println!("building for release (some minutes the first time) ...");
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--release",
        "--bins",
        "-p",
        "central",
        "-p",
        "edge-node",
    ]);
    for simulator in packages_under(workspace, "simulators/") {
        build.arg("-p").arg(simulator);
    }
    process::run_ok(build.args(["-p", "stress"]))?;
    // By itself, so that no product program is built with its features.
    build_weak_hub(workspace, true)?;
    let mut command = stress_program(workspace, "release");
    match &options.name {
        Some(name) => command.arg(name),
        None => command.arg("--list"),
    };
    if options.tenth {
        command.arg("--tenth");
    }
    add_json(&mut command, options.json.as_deref())?;
    finish(&mut command)
}

/// Builds the hub whose locks can be switched off, into a file of its own.
pub fn build_weak_hub(workspace: &Workspace, release: bool) -> Result<()> {
    let mut build = workspace.cargo();
    build.args([
        "build",
        "-p",
        "stress",
        "--features",
        "weaken",
        "--bin",
        "weak-hub",
    ]);
    if release {
        build.arg("--release");
    }
    process::run_ok(&mut build)
}

/// The program that holds the heavy cases, told where the others are.
pub fn stress_program(workspace: &Workspace, profile: &str) -> Command {
    let mut command = Command::new(workspace.program(profile, "stress"));
    command
        .current_dir(&workspace.root)
        .env("MWIMULE_BIN_DIR", workspace.target.join(profile));
    command
}

/// The names of the packages in a folder of the workspace.
fn packages_under(workspace: &Workspace, folder: &str) -> Vec<String> {
    let packages = workspace.metadata["packages"].as_array();
    let root = workspace.root.join(folder);
    packages
        .into_iter()
        .flatten()
        .filter(|p| {
            let manifest = p["manifest_path"].as_str().unwrap_or_default();
            Path::new(manifest).starts_with(&root)
        })
        .filter_map(|p| p["name"].as_str().map(str::to_owned))
        .collect()
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
