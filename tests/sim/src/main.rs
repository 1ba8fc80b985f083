//! `mwimule-sim`: many seeds of the deterministic world, or every mutant until it is caught.

#![expect(clippy::print_stdout, reason = "a program that speaks to a terminal")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde::Serialize;
use sim::ops::Op;
use sim::script;
use sim::world::{Outcome, run_seed};

#[cfg(feature = "weaken")]
mod mutants;

#[derive(Parser)]
#[command(
    about = "Runs the deterministic world: a hub, two stations, a bus, and everything that can go wrong"
)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Write what was counted as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Switch off one rule after the other; every one must be caught. Needs the feature `weaken`.
    #[arg(long)]
    mutants: bool,
}

#[derive(Serialize)]
struct Summary {
    seeds: u64,
    first: u64,
    violations: Vec<String>,
    operations: BTreeMap<String, u64>,
    operations_total: u64,
    simulated_hours: f64,
    operations_per_simulated_hour: f64,
    tickets_handed_out: u64,
    /// SHA-256 over the trace hashes of all seeds, in order.
    trace_hash: String,
    seconds: f64,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.mutants {
        return hunt(&args);
    }
    let begun = Instant::now();
    let outcomes = run_all(args.first, args.seeds);
    let summary = summarise(&args, &outcomes, begun.elapsed().as_secs_f64());
    report(&summary);
    for outcome in outcomes.iter().filter(|o| o.violation.is_some()).take(3) {
        println!("{}", script::print(&script::shrink(outcome)));
    }
    write_json(&args, &summary)?;
    Ok(if summary.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write_json(args: &Args, value: &impl Serialize) -> Result<()> {
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(value)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(feature = "weaken")]
fn hunt(args: &Args) -> Result<ExitCode> {
    let found = mutants::hunt_all(args.first, args.seeds);
    write_json(args, &found)?;
    let caught = found.iter().all(|m| m.caught_by.is_some());
    Ok(if caught {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(not(feature = "weaken"))]
fn hunt(_: &Args) -> Result<ExitCode> {
    anyhow::bail!("this build cannot weaken anything: use `cargo xtask sim --mutants`")
}

/// Runs the seeds on two threads; the outcomes come back in the order of their seeds.
fn run_all(first: u64, seeds: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(first);
    let done: Mutex<BTreeMap<u64, Outcome>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let outcome = run_seed(seed);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.insert(seed, outcome);
                    let so_far = done.len() as u64;
                    if so_far.is_multiple_of(100) {
                        println!("  {so_far} of {seeds} seeds");
                    }
                }
            });
        }
    });
    done.into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect()
}

fn summarise(args: &Args, outcomes: &[Outcome], seconds: f64) -> Summary {
    let mut operations: BTreeMap<String, u64> = Op::NAMES
        .iter()
        .map(|name| ((*name).to_owned(), 0))
        .collect();
    let mut hash = sim::trace::Trace::default();
    for outcome in outcomes {
        for (name, count) in &outcome.took_effect {
            *operations.entry((*name).to_owned()).or_insert(0) += count;
        }
        hash.line(&outcome.trace_hash);
    }
    let total: u64 = operations.values().sum();
    let hours = outcomes.iter().map(|o| o.simulated_ms as f64).sum::<f64>() / 3_600_000.0;
    Summary {
        seeds: args.seeds,
        first: args.first,
        violations: outcomes
            .iter()
            .filter_map(|o| {
                let v = o.violation.as_ref()?;
                Some(format!("seed {}: {}: {}", o.seed, v.law, v.what))
            })
            .collect(),
        operations,
        operations_total: total,
        simulated_hours: hours,
        operations_per_simulated_hour: total as f64 / hours.max(f64::EPSILON),
        tickets_handed_out: outcomes.iter().map(|o| o.tickets).sum(),
        trace_hash: hash.finish(),
        seconds,
    }
}

fn report(summary: &Summary) {
    println!("operations that took effect:");
    for (name, count) in &summary.operations {
        println!("  {name:<20} {count:>9}");
    }
    println!(
        "{} seeds, {} operations in {:.0} simulated hours ({:.0} an hour), {} tickets, {:.0} s",
        summary.seeds,
        summary.operations_total,
        summary.simulated_hours,
        summary.operations_per_simulated_hour,
        summary.tickets_handed_out,
        summary.seconds
    );
    println!("trace hash {}", summary.trace_hash);
    for violation in &summary.violations {
        println!("VIOLATION {violation}");
    }
    println!("{} violations", summary.violations.len());
}
