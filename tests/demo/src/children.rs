//! The programs of the demo: started, listened to, killed and stopped.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::http::{Caller, text};

/// How long a program may take to be ready.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// How long a program may take to close its files once it was asked to.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// How often somebody looks whether it did.
const POLL: Duration = Duration::from_millis(10);
/// How much of a log an error shows, in lines.
const TAIL_LINES: usize = 15;

/// A running program. Its output is copied to a log file; dropping it stops it.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    process: std::process::Child,
    lines: Receiver<String>,
    log: PathBuf,
    /// Whether it was asked to end: a second word would cut its goodbyes short.
    asked: bool,
}

impl Child {
    /// Starts a program; both its outputs are appended to the file `log`.
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let mut out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("could not open {}", log.display()))?;
        let mut process = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(out.try_clone()?)
            .spawn()
            .with_context(|| format!("could not start {}", command.get_program().display()))?;
        let stdout = process.stdout.take().context("the output is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A full disk must not stop the program that is being listened to.
                let _ = writeln!(out, "{line}");
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            name,
            process,
            lines,
            log: log.to_owned(),
            asked: false,
        })
    }

    /// Starts a program with an API of its own, and waits until it has said where that is.
    pub fn serving(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> Result<(Self, Caller)> {
        let mut child = Self::start(name, command, log)?;
        let ready = child.line(READY_DEADLINE, |line| {
            serde_json::from_str::<Value>(line).ok()
        });
        let base = ready.and_then(|ready| text(&ready, "http"));
        let base = base.map_err(|error| child.blame(error))?;
        Ok((child, Caller::new(&base, None)))
    }

    /// The next line it prints that `wanted` takes.
    pub fn line<T>(
        &mut self,
        deadline: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            let left = deadline.saturating_sub(began.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{} did not say what was expected within {} s",
                    self.name,
                    deadline.as_secs()
                ),
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended by itself", self.name),
            }
        }
    }

    /// Types a line into it, as a keyboard-wedge scanner does.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.process.stdin.as_mut().context("the input is piped")?;
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .with_context(|| format!("{} takes no input", self.name))
    }

    /// Fails if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            Some(status) => bail!("{} ended by itself ({status})", self.name),
            None => Ok(()),
        }
    }

    /// SIGKILL: it gets no chance to tidy up.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.process.kill()?;
        Ok(self.process.wait()?)
    }

    /// Asks it to end, and waits for nothing.
    pub fn ask_to_end(&mut self) -> Result<()> {
        if !self.asked {
            let pid = Pid::from_raw(self.process.id() as i32);
            let told = kill(pid, Signal::SIGINT);
            told.with_context(|| format!("{} is gone", self.name))?;
            self.asked = true;
        }
        Ok(())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Asks it to end, and insists after a while; false if it had to be forced.
    pub fn stop(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if let Ok(Some(_)) = self.process.try_wait() {
                return true;
            }
            // Gone in between is what is wanted.
            let _ = self.ask_to_end();
            if began.elapsed() > STOP_DEADLINE {
                let _ = self.kill();
                return false;
            }
            // tidy-allow-sleep: between two looks at a process
            std::thread::sleep(POLL);
        }
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(self.name, &self.log)
    }

    /// An error of which the program itself may know more.
    pub fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        anyhow::anyhow!("{error:#}\n\n{}", self.tail())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The last lines of a log, with a heading.
fn tail(name: &str, log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    let shown = if lines.is_empty() {
        "    (empty)".to_owned()
    } else {
        lines[from..]
            .iter()
            .map(|line| format!("    {}", line.chars().take(300).collect::<String>()))
            .collect::<Vec<_>>()
            .join("\n")
    };
    format!(
        "the end of what {name} said, from {}:\n{shown}",
        log.display()
    )
}

/// Runs a command to its end and gives what it printed; its failure is an error with its words.
pub fn run(command: &mut Command, log: &Path) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {}", command.get_program().display()))?;
    let mut file = File::options().create(true).append(true).open(log)?;
    file.write_all(&output.stdout)?;
    file.write_all(&output.stderr)?;
    if !output.status.success() {
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        bail!(
            "`{}` failed ({}): {}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("the command's output is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_is_heard_stopped_and_logged() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = "echo starting; echo ready 7; read line; echo got $line; exec sleep 600";
        let mut child = Child::start("sleeper", &mut shell(script), &log).unwrap();
        let deadline = Duration::from_secs(20);
        let ready = child.line(deadline, |l| l.strip_prefix("ready ").map(str::to_owned));
        assert_eq!(ready.unwrap(), "7");
        child.type_line("a ticket").unwrap();
        child
            .line(deadline, |l| (l == "got a ticket").then_some(()))
            .unwrap();
        child.check().unwrap();
        assert!(child.stop());
        assert!(child.check().is_err());
        assert!(child.tail().contains("got a ticket"), "{}", child.tail());
    }

    #[test]
    fn a_program_that_ends_too_early_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut child =
            Child::start("quitter", &mut shell("exit 3"), &folder.path().join("log")).unwrap();
        let error = child
            .line(Duration::from_secs(20), |_| Some(()))
            .unwrap_err();
        assert!(
            error.to_string().contains("quitter ended by itself"),
            "{error}"
        );
    }

    #[test]
    fn a_failed_command_is_told_with_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let error = run(&mut shell("echo no such trip >&2; exit 1"), &log).unwrap_err();
        assert!(error.to_string().contains("no such trip"), "{error}");
        assert_eq!(run(&mut shell("echo yes"), &log).unwrap(), "yes\n");
    }
}
