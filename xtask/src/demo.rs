//! `demo`: builds the programs and plays the story in a folder of its own.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;
use crate::{packages, process};

/// Shows that a folder was made by a demo; the running demo holds a lock on it.
const MARKER: &str = ".mwimule-demo";

const MARKER_TEXT: &str =
    "Everything in this folder belongs to a demo and may be deleted at any time.\n";

/// What the user asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// End after the story instead of leaving the programs up
    #[arg(long)]
    once: bool,
    /// Write what happened to FILE as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The same number tells the same story
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the demo keeps its data [default: demo-data/ in the workspace]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Remove what an earlier demo left, and do nothing else
    #[arg(long, conflicts_with_all = ["once", "report"])]
    clean: bool,
}

/// Plays the story once in a folder of its own and removes it; the story checks its promises.
pub fn rehearse(workspace: &Workspace) -> Result<()> {
    let data = workspace.target.join("demo-rehearsal");
    let options = Options {
        once: true,
        report: None,
        seed: 1,
        data: Some(data.clone()),
        clean: false,
    };
    match run(workspace, &options)? {
        0 => clean(&data).map(|_| ()),
        code => bail!("the story ended with exit code {code}"),
    }
}

/// Plays the demo or cleans up after it; gives the exit code.
pub fn run(workspace: &Workspace, options: &Options) -> Result<i32> {
    let data = match &options.data {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace.root.join("demo-data"),
    };
    if options.clean {
        if clean(&data)? {
            println!("removed {}", data.display());
        } else {
            println!("nothing to remove: {} does not exist", data.display());
        }
        return Ok(0);
    }
    packages::ensure(packages::NEEDED_BY_DEMO)?;
    println!("building the hub, the nodes and the story (a few minutes the first time) ...");
    process::run_ok(workspace.cargo().args([
        "build",
        "-p",
        "central",
        "-p",
        "edge-node",
        "-p",
        "driver-agent",
        "-p",
        "udp-relay",
        "-p",
        "sim-momo",
        "-p",
        "sim-card",
        "-p",
        "sim-sms",
        "-p",
        "demo",
    ]))?;
    clean(&data)?;
    let _lock = claim(&data)?;

    let bin_dir = workspace.target.join("debug");
    let mut command = Command::new(bin_dir.join("demo"));
    command
        .arg("--bin-dir")
        .arg(&bin_dir)
        .arg("--data")
        .arg(&data)
        .args(["--seed", &options.seed.to_string()])
        .env("MWIMULE_BIN_DIR", &bin_dir);
    if options.once {
        command.arg("--once");
    }
    if let Some(report) = &options.report {
        command.arg("--report").arg(std::path::absolute(report)?);
    }
    let status = process::run(&mut command)?;
    if !status.success() {
        eprintln!(
            "the demo {}; its logs are in {}",
            process::describe(status),
            data.display()
        );
    }
    Ok(status.code().unwrap_or(1))
}

/// Removes an earlier demo's folder; false when there is none. Never removes anything else.
fn clean(data: &Path) -> Result<bool> {
    if !data.exists() {
        return Ok(false);
    }
    let marker = data.join(MARKER);
    if !marker.is_file() {
        if std::fs::read_dir(data)?.next().is_none() {
            return Ok(false);
        }
        bail!(
            "{} was not made by a demo (it has no file {MARKER}), so it stays; \
             choose another folder with --data",
            data.display()
        );
    }
    let file = File::open(&marker)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "a demo is running in {}; stop it first with Ctrl-C where it runs",
            data.display()
        ),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    std::fs::remove_dir_all(data)
        .with_context(|| format!("could not remove all of {}", data.display()))?;
    Ok(true)
}

/// Makes the folder and its marker; the lock lasts as long as the file is held.
fn claim(data: &Path) -> Result<File> {
    std::fs::create_dir_all(data).with_context(|| format!("could not make {}", data.display()))?;
    let marker = data.join(MARKER);
    std::fs::write(&marker, MARKER_TEXT)?;
    let file = File::open(&marker)?;
    file.try_lock()
        .with_context(|| format!("another demo starts in {} just now", data.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_no_demo_made_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        assert!(clean(folder.path()).is_err());
        assert!(folder.path().join("thesis.txt").exists());
    }

    #[test]
    fn a_running_demo_keeps_its_folder_and_a_finished_one_gives_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("demo");
        assert!(!clean(&data).unwrap());
        let lock = claim(&data).unwrap();
        assert!(clean(&data).is_err());
        drop(lock);
        assert!(clean(&data).unwrap());
        assert!(!data.exists());
    }
}
