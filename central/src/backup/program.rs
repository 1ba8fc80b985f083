//! The programs of Postgres that write and read dumps.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{BackupError, Tell};
use crate::postgres::Programs;

/// Lines of a failed program that are shown.
const LINES_SHOWN: usize = 8;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Tables that are written or read at once.
pub(super) const JOBS: &str = "4";

/// Runs a program; `progress` makes a line for people of how many objects it has named and the
/// last of them.
pub(super) fn run(
    name: &'static str,
    arguments: &[String],
    settings: &str,
    (tell, progress): (Tell<'_>, &dyn Fn(usize) -> String),
) -> Result<(), BackupError> {
    let program = Programs::find()?.path(name);
    let mut child = Command::new(&program)
        .args(arguments)
        .env("PGOPTIONS", settings)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(BackupError::file("cannot run", &program))?;
    let mut last: Vec<String> = vec![];
    let mut named = 0;
    let mut told = Instant::now();
    if let Some(said) = child.stderr.take() {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            named += usize::from(is_object(&line));
            if told.elapsed() > TELL_EVERY {
                tell(&progress(named));
                told = Instant::now();
            }
            // What it does all the time says nothing of why it stopped.
            if !is_object(&line) {
                last.push(line);
            }
            if last.len() > LINES_SHOWN {
                last.remove(0);
            }
        }
    }
    let done = child
        .wait()
        .map_err(BackupError::file("cannot wait for", &program))?;
    if !done.success() {
        return Err(BackupError::Program {
            program: name,
            log: last.join("; "),
        });
    }
    Ok(())
}

/// A line of `--verbose` that begins an object.
fn is_object(line: &str) -> bool {
    [
        "dumping contents of table",
        "processing item",
        "launching item",
        "creating ",
    ]
    .iter()
    .any(|word| line.contains(word))
}

/// What an archive holds.
pub(super) struct Contents {
    /// How many objects.
    pub objects: usize,
    /// The role that owned the schema: look-ups across companies are allowed to it by name.
    pub owner: Option<String>,
}

/// Reads an archive's list.
pub(super) fn contents(archive: &str) -> Result<Contents, BackupError> {
    let program = Programs::find()?.path("pg_restore");
    let out = Command::new(&program)
        .args(["--list", archive])
        .env("LC_ALL", "C")
        .output()
        .map_err(BackupError::file("cannot run", &program))?;
    if !out.status.success() {
        return Err(BackupError::Program {
            program: "pg_restore",
            log: String::from_utf8_lossy(&out.stderr).trim().to_owned(),
        });
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let objects = text.lines().filter(|l| !l.starts_with(';'));
    Ok(Contents {
        objects: objects.clone().count(),
        owner: objects
            .filter(|l| l.contains(" POLICY "))
            .find_map(|l| Some(l.split_once(" owner_look_up ")?.1.trim().to_owned())),
    })
}
