//! `test`: everything that must hold before a change is kept. All steps run, whatever fails.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::counts::{self, Counts, Runner};
use crate::postgres::Postgres;
use crate::process::{self, Interrupted};
use crate::redis::Redis;
use crate::workspace::Workspace;
use crate::{codegen, demo, measure, packages, tidy};

/// Seeds of the deterministic world in the short form; `cargo xtask sim` runs many more.
const SIM_SEEDS_FAST: &str = "5";
const SIM_SEEDS_FULL: &str = "50";
const WASM: &str = "wasm32-unknown-unknown";

/// What one step found.
#[derive(Debug, Default)]
struct Report {
    counts: Counts,
    /// The tests that failed, as their runner names them.
    failed_tests: BTreeSet<String>,
}

impl Report {
    fn passed_step() -> Self {
        Self {
            counts: Counts::of_step(true),
            failed_tests: BTreeSet::new(),
        }
    }
}

type Action = Box<dyn FnOnce(&Workspace) -> Result<Report>>;

struct Step {
    name: &'static str,
    action: Action,
}

struct Finished {
    name: &'static str,
    counts: Counts,
    took: Duration,
    complaint: Option<String>,
}

/// Runs all steps; true when nothing failed. The last line printed is `N passed, M failed`.
pub fn run(workspace: &Workspace, fast: bool) -> Result<bool> {
    packages::ensure(packages::NEEDED_BY_TESTS)?;
    let steps = steps(workspace, fast);
    let total = steps.len();
    let mut finished = Vec::new();
    for (index, step) in steps.into_iter().enumerate() {
        println!("\n== {}/{total} {}", index + 1, step.name);
        finished.push(run_step(step, workspace)?);
    }
    let mut sum = Counts::default();
    println!();
    for step in &finished {
        sum.add(step.counts);
        let verdict = if step.counts.failed == 0 {
            "ok    "
        } else {
            "FAILED"
        };
        println!(
            "{verdict} {:<22} {:>7.1} s   {} passed, {} failed",
            step.name,
            step.took.as_secs_f64(),
            step.counts.passed,
            step.counts.failed
        );
    }
    for step in &finished {
        if let Some(complaint) = &step.complaint {
            println!("\n{}: {complaint}", step.name);
        }
    }
    println!("\n{} passed, {} failed", sum.passed, sum.failed);
    Ok(sum.failed == 0)
}

fn run_step(step: Step, workspace: &Workspace) -> Result<Finished> {
    let started = Instant::now();
    let (counts, complaint) = match (step.action)(workspace) {
        Ok(report) if report.failed_tests.is_empty() => (report.counts, None),
        Ok(report) => {
            let names: Vec<String> = report.failed_tests.into_iter().collect();
            (report.counts, Some(format!("failed\n{}", names.join("\n"))))
        }
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => {
            println!("{error:#}");
            (Counts::of_step(false), Some(format!("{error:#}")))
        }
    };
    Ok(Finished {
        name: step.name,
        counts,
        took: started.elapsed(),
        complaint,
    })
}

fn steps(workspace: &Workspace, fast: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |name: &'static str, action: Action| steps.push(Step { name, action });
    add("tidy", Box::new(check_tidy));
    add("format", cargo(&["fmt", "--all", "--check"]));
    add(
        "clippy",
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    );
    if !fast && has_feature(workspace, "sim", "weaken") {
        add(
            "clippy, weakened",
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                "sim/weaken",
                "--",
                "-D",
                "warnings",
            ]),
        );
    }
    for generated in GENERATED.iter().filter(|_| !fast) {
        add(
            generated.name,
            Box::new(|workspace| (generated.check)(workspace).map(|()| Report::passed_step())),
        );
    }
    add("programs", cargo(&["build", "--workspace", "--bins"]));
    add(
        "tests",
        Box::new(move |workspace| run_tests(workspace, fast)),
    );
    if has_doc_tests(&workspace.root.join("domain/src")) {
        add("doc tests", Box::new(run_doc_tests));
    }
    if !fast {
        if wasm_is_installed() {
            add(
                "domain for wasm",
                cargo(&["build", "--quiet", "-p", "domain", "--target", WASM]),
            );
        } else {
            println!("left out: domain for wasm (to have it: rustup target add {WASM})");
        }
    }
    if !fast {
        add("heavy cases, a tenth", Box::new(run_stress));
    }
    add(
        "deterministic world",
        Box::new(move |workspace| run_sim(workspace, fast)),
    );
    if !fast {
        add(
            "demo",
            Box::new(|workspace| demo::rehearse(workspace).map(|()| Report::passed_step())),
        );
    }
    if !fast && has_feature(workspace, "sim", "weaken") {
        add(
            "mutants",
            cargo(&[
                "run",
                "--quiet",
                "-p",
                "sim",
                "--features",
                "weaken",
                "--",
                "--mutants",
                "--seeds",
                "150",
            ]),
        );
    }
    steps
}

/// Files made by a program and committed: each must be what the program would make now.
struct Generated {
    name: &'static str,
    check: fn(&Workspace) -> Result<()>,
}

const GENERATED: &[Generated] = &[Generated {
    name: "query data in step",
    check: |workspace| codegen::run(workspace, true),
}];

fn cargo(args: &'static [&'static str]) -> Action {
    Box::new(move |workspace| {
        process::run_ok(workspace.cargo().args(args))?;
        Ok(Report::passed_step())
    })
}

fn check_tidy(workspace: &Workspace) -> Result<Report> {
    let findings = tidy::check(workspace)?;
    if !findings.is_empty() {
        bail!("{} broken rules\n{}", findings.len(), findings.join("\n"));
    }
    Ok(Report::passed_step())
}

fn run_tests(workspace: &Workspace, fast: bool) -> Result<Report> {
    let mut command = workspace.cargo();
    let mut runner = Runner::CargoTest;
    if packages::find("cargo-nextest").is_some() {
        runner = Runner::Nextest;
        command.args([
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=pass",
        ]);
    } else {
        command.args([
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]);
    }
    command.env("MWIMULE_BIN_DIR", workspace.target.join("debug"));
    // One server for all of them: a cluster per test would cost seconds each.
    let server = Postgres::start()?;
    command.env("MWIMULE_TEST_DATABASE_URL", server.url("postgres"));
    let cache = Redis::start()?;
    command.env("MWIMULE_TEST_REDIS_URL", cache.url());
    if fast {
        command.env("MWIMULE_FAST", "1");
    }
    run_counted(runner, &mut command)
}

fn run_doc_tests(workspace: &Workspace) -> Result<Report> {
    run_counted(
        Runner::CargoTest,
        workspace.cargo().args(["test", "--doc", "-p", "domain"]),
    )
}

fn run_counted(runner: Runner, command: &mut Command) -> Result<Report> {
    let report = Arc::new(Mutex::new(Report::default()));
    let sink = Arc::clone(&report);
    let status = process::run_tee(command, move |line| {
        let mut report = sink.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = counts::parse(runner, line) {
            report.counts.add(more);
        }
        report
            .failed_tests
            .extend(counts::failed_test(runner, line));
    })?;
    let mut report = std::mem::take(&mut *report.lock().unwrap_or_else(PoisonError::into_inner));
    if !status.success() && report.counts.failed == 0 {
        // It did not come as far as a test: that is a failure too.
        report.counts.failed = 1;
        let what = format!(
            "`{}` {}",
            process::shown(command),
            process::describe(status)
        );
        report.failed_tests.insert(what);
    }
    Ok(report)
}

/// Each heavy case at a tenth of its size, as a step of its own in the count.
fn run_stress(workspace: &Workspace) -> Result<Report> {
    let program = || measure::stress_program(workspace, "debug");
    measure::build_weak_hub(workspace, false)?;
    let cases = process::output(program().arg("--list"))?;
    let mut report = Report::default();
    for case in cases.split_whitespace() {
        println!("-- {case}");
        let passed = process::run(program().args([case, "--tenth"]))?.success();
        report.counts.add(Counts::of_step(passed));
        if !passed {
            report.failed_tests.insert(format!("stress {case} --tenth"));
        }
    }
    Ok(report)
}

fn run_sim(workspace: &Workspace, fast: bool) -> Result<Report> {
    let seeds = if fast { SIM_SEEDS_FAST } else { SIM_SEEDS_FULL };
    process::run_ok(
        Command::new(workspace.program("debug", "mwimule-sim"))
            .current_dir(&workspace.root)
            .args(["--seeds", seeds]),
    )?;
    Ok(Report::passed_step())
}

fn has_feature(workspace: &Workspace, package: &str, feature: &str) -> bool {
    workspace.metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|p| p["name"] == package && p["features"].get(feature).is_some())
}

fn has_doc_tests(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return has_doc_tests(&path);
        }
        std::fs::read_to_string(&path).is_ok_and(|text| {
            text.lines().map(str::trim_start).any(|line| {
                ["/// ```", "//! ```"].iter().any(|fence| {
                    line.strip_prefix(fence)
                        .is_some_and(|language| matches!(language, "" | "rust" | "should_panic"))
                })
            })
        })
    })
}

fn wasm_is_installed() -> bool {
    process::output(Command::new("rustc").args(["--print", "sysroot"])).is_ok_and(|root| {
        Path::new(root.trim())
            .join("lib/rustlib")
            .join(WASM)
            .is_dir()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_run(script: &str, passed: u64, failed: u64, failed_test: &str) {
        let report = run_counted(Runner::Nextest, Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(report.counts, Counts { passed, failed });
        assert_eq!(report.failed_tests.len(), 1);
        assert!(
            report
                .failed_tests
                .iter()
                .all(|name| name.contains(failed_test))
        );
    }

    #[test]
    fn a_runner_that_dies_before_its_summary_counts_as_one_failure() {
        check_run("echo error: broken; exit 101", 0, 1, "exited with 101");
    }

    #[test]
    fn counts_and_names_are_found_in_what_the_runner_prints() {
        let script = "echo '  FAIL [ 0.1s] (3/6) domain law::holds' >&2; \
                      echo 'Summary [1s] 6 tests run: 5 passed, 1 failed, 0 skipped' >&2; \
                      echo '  FAIL [ 0.1s] (3/6) domain law::holds' >&2; exit 100";
        check_run(script, 5, 1, "domain law::holds");
    }

    #[test]
    fn doc_tests_are_noticed_and_other_blocks_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.rs");
        std::fs::write(&file, "/// ```text\n/// ```text\n").unwrap();
        assert!(!has_doc_tests(folder.path()));
        std::fs::write(&file, "//! ```\n//! assert!(true);\n//! ```\n").unwrap();
        assert!(has_doc_tests(folder.path()));
    }
}
