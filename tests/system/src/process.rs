//! Programs: started, heard, killed, stopped.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::until;

/// A hub makes a Postgres cluster in this time, on a busy machine.
const READY_DEADLINE: Duration = Duration::from_mins(2);
/// For an answer on the terminal.
const ANSWER_DEADLINE: Duration = Duration::from_secs(40);
const STOP_DEADLINE: Duration = Duration::from_secs(40);

/// A running program; dropping it ends it.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    lines: Mutex<Receiver<String>>,
    keyboard: Option<ChildStdin>,
}

/// A program that ran to its end.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

impl Child {
    /// Starts a program; what it says is added to the file `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let mut out = File::options().create(true).append(true).open(log)?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(out.try_clone()?)
            .spawn()
            .with_context(|| format!("could not start {}", command.get_program().display()))?;
        let stdout = process.stdout.take().context("the output is piped")?;
        let keyboard = process.stdin.take();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = writeln!(out, "{line}");
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            name: name.to_owned(),
            process,
            lines: Mutex::new(lines),
            keyboard,
        })
    }

    /// The line of JSON that a program prints once it is ready.
    pub fn ready(&self) -> Result<Value> {
        let began = Instant::now();
        loop {
            let left = READY_DEADLINE.saturating_sub(began.elapsed());
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let line = lines
                .recv_timeout(left)
                .with_context(|| format!("{} did not get ready", self.name))?;
            if let Ok(ready) = serde_json::from_str(&line) {
                return Ok(ready);
            }
        }
    }

    /// Types a line on its keyboard.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let keyboard = self.keyboard.as_mut().context("it has no keyboard")?;
        writeln!(keyboard, "{line}")?;
        Ok(keyboard.flush()?)
    }

    /// The next line that it prints.
    pub fn next_line(&self) -> Result<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.recv_timeout(ANSWER_DEADLINE);
        line.with_context(|| format!("{} prints nothing", self.name))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// SIGKILL: it gets no chance to tidy up.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.terminate()
    }

    fn terminate(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM)?;
        let what = format!("{} to end", self.name);
        until(&what, STOP_DEADLINE, || {
            let status = self.process.try_wait()?;
            Ok(status.ok_or_else(|| "it still runs".to_owned()))
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.terminate().is_err() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Result<Self> {
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("could not start {}", command.get_program().display()))?;
        Ok(Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed.
    pub fn good(command: &mut Command) -> Result<Self> {
        let ran = Self::of(command)?;
        anyhow::ensure!(
            ran.status.success(),
            "{command:?} failed ({}): {}",
            ran.status,
            ran.stderr.trim()
        );
        Ok(ran)
    }

    /// The JSON in its last line.
    pub fn json(&self) -> Result<Value> {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("no JSON: {last:?}"))
    }

    /// Fails unless it failed and its error has all these words.
    pub fn must_fail_saying(&self, words: &[&str]) -> Result<()> {
        anyhow::ensure!(!self.status.success(), "it succeeded: {}", self.stdout);
        anyhow::ensure!(
            self.status.code().is_some(),
            "it was killed: {}",
            self.status
        );
        for word in words {
            anyhow::ensure!(
                self.stderr.contains(word),
                "it failed without the words {word:?}: {}",
                self.stderr
            );
        }
        anyhow::ensure!(
            !self.stderr.contains("panicked"),
            "it panicked: {}",
            self.stderr
        );
        Ok(())
    }
}
