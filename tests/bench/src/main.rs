//! How fast it is, each figure beside its limit on the same machine in the same run.
//!
//! `docs/bench.md` says what is measured and how.

mod bare;
mod booking;
mod dice;
mod drain;
mod edge;
mod report;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;

use dice::Dice;
use drain::DrainFigures;
use edge::EdgeFigures;
use report::{Report, median, rounded};

/// Measures how fast selling, scanning, checking and draining are, each beside its limit
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Args {
    /// What to measure
    #[arg(value_enum, default_value_t = What::Edge)]
    what: What,
    /// Fewer repetitions: figures within some ten percent
    #[arg(long)]
    quick: bool,
    /// Write the figures to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to work; its file system is the one that is measured [default: the temporary folder]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// What names, numbers and journeys are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Sales, scans, checks and draining of a node
    Edge,
    /// Bookings and search at the hub
    Booking,
}

/// A line of progress.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody to tell is no reason to stop.
    let _ = writeln!(out, "  {what}");
}

fn main() -> Result<()> {
    let args = Args::parse();
    let started = Instant::now();
    if args.what == What::Booking {
        return bookings(&args, started);
    }
    let (edge_amount, drain_amount) = if args.quick {
        (
            edge::Amount {
                rounds: 6,
                commits: 250,
                checks: 1_000,
            },
            drain::Amount {
                rounds: 2,
                sales: 2_000,
            },
        )
    } else {
        (
            edge::Amount {
                rounds: 15,
                commits: 400,
                checks: 3_000,
            },
            drain::Amount {
                rounds: 5,
                sales: 10_000,
            },
        )
    };
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("mwimule-bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot work in {}: choose another --dir", parent.display()))?;
    open_to_postgres(folder.path())?;
    tidy_up_when_stopped(folder.path().to_owned());
    let mut dice = Dice::new(args.seed);
    say(&format!(
        "seed {}, working in {}",
        args.seed,
        folder.path().display()
    ));
    let edge_found = edge::measure(folder.path(), &mut dice, edge_amount)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let drain_found = runtime.block_on(drain::measure(folder.path(), &mut dice, drain_amount))?;
    let mut settings = machine(folder.path());
    settings.insert("drain_sales".to_owned(), drain_amount.sales.to_string());
    let mut report = figures(&args, edge_found, drain_found, settings);
    report.judge();
    say(&report.table());
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("the figures are in {}", file.display()));
    }
    say(&format!("took {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Bookings and search.
fn bookings(args: &Args, started: Instant) -> Result<()> {
    let amount = if args.quick {
        booking::Amount {
            lasts: std::time::Duration::from_secs(5),
            trips: 5_000,
            tickets: 100_000,
            searches: 400,
        }
    } else {
        booking::Amount {
            lasts: std::time::Duration::from_secs(20),
            trips: 50_000,
            tickets: 1_000_000,
            searches: 4_000,
        }
    };
    let report = booking::measure(args.quick, args.seed, amount)?;
    let text = serde_json::to_string_pretty(&report)?;
    say(&text);
    if let Some(file) = &args.json {
        std::fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        say(&format!("the figures are in {}", file.display()));
    }
    say(&format!("took {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Ctrl-C leaves nothing behind: the folder goes, and Postgres ends with this process.
fn tidy_up_when_stopped(folder: PathBuf) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // Without signals a stop leaves the folder, and says nothing.
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_err() {
            return;
        }
        say("stopped: nothing was written");
        // Postgres may be making a file at this moment.
        for _ in 0..3 {
            if std::fs::remove_dir_all(&folder).is_ok() {
                break;
            }
        }
        std::process::exit(130);
    });
}

/// Postgres runs as somebody else when we are root, and has to get to its own folder.
fn open_to_postgres(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let passable = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder, passable).with_context(|| folder.display().to_string())
}

fn figures(
    args: &Args,
    edge: EdgeFigures,
    drain: DrainFigures,
    mut settings: BTreeMap<String, String>,
) -> Report {
    settings.extend(edge.settings);
    settings.extend(drain.settings);
    let rounds = edge.rounds;
    let middle = |pick: fn(&report::DrainRound) -> f64| {
        median(&drain.rounds.iter().map(pick).collect::<Vec<_>>())
    };
    let [commit, sale, scan, bare_verify, verify] = [
        median(&rounds.bare_commit_per_s),
        median(&rounds.sale_per_s),
        median(&rounds.scan_per_s),
        median(&rounds.bare_verify_per_s),
        median(&rounds.verify_per_s),
    ];
    let (drained, raw) = (
        middle(|r| r.drain_sales_per_s),
        middle(|r| r.raw_sales_per_s),
    );
    Report {
        quick: args.quick,
        seed: args.seed,
        bare_commit_per_s: rounded(commit, 1),
        bare_verify_per_s: rounded(bare_verify, 1),
        sale_per_s: rounded(sale, 1),
        sale_ratio: rounded(sale / commit, 3),
        verify_per_s: rounded(verify, 1),
        verify_ratio: rounded(verify / bare_verify, 3),
        scan_per_s: rounded(scan, 1),
        scan_ratio: rounded(scan / commit, 3),
        drain_sales_per_s: rounded(drained, 1),
        raw_sales_per_s: rounded(raw, 1),
        drain_ratio: rounded(drained / raw, 3),
        wire_bytes_per_sale: rounded(middle(|r| r.wire_bytes_per_sale), 1),
        rounds,
        drains: drain.rounds,
        settings,
        goals: vec![],
    }
}

/// The machine, as far as it says what it is.
fn machine(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    found.insert("cores".to_owned(), cores.to_string());
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    if let Some((_, model)) = model.and_then(|line| line.split_once(':')) {
        found.insert("cpu".to_owned(), model.trim().to_owned());
    }
    if let Some(kind) = file_system(folder) {
        if kind == "tmpfs" {
            say("this folder is in memory, where a commit costs nothing: choose another --dir");
        }
        found.insert("file_system".to_owned(), kind);
    }
    found
}

/// The kind of file system that a folder is on: of the mounts it is under, the innermost.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.len())
        .map(|(_, kind)| kind)
}
