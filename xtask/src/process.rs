//! Children: each in its own process group, so that one Ctrl-C reaches it exactly once and
//! reaches everything that it started too.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The exit code of a program that the user interrupted.
pub const EXIT_INTERRUPTED: i32 = 130;

/// How long an interrupted child may take to close its files before it is told again.
const GRACE: Duration = Duration::from_secs(25);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static FOREGROUND: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The user pressed Ctrl-C. Everything unwinds with this error; `main` turns it into the code 130.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Starts the thread that forwards SIGINT, SIGTERM and SIGHUP to the running children: politely
/// first, SIGTERM at the second request or after the grace time, SIGKILL after that.
pub fn forward_signals() -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("could not catch Ctrl-C on this system")?;
    thread::spawn(move || {
        for (nth, _) in signals.forever().enumerate() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            match nth {
                0 => {
                    eprintln!("\nstopping (Ctrl-C again to insist) ...");
                    signal_foreground(Signal::SIGINT);
                    thread::spawn(|| {
                        thread::sleep(GRACE);
                        signal_foreground(Signal::SIGTERM);
                        thread::sleep(GRACE);
                        signal_foreground(Signal::SIGKILL);
                    });
                }
                1 => signal_foreground(Signal::SIGTERM),
                _ => signal_foreground(Signal::SIGKILL),
            }
        }
    });
    Ok(())
}

/// Refuses to go on once the user asked to stop.
pub fn check_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!(Interrupted);
    }
    Ok(())
}

fn foreground() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    FOREGROUND.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal_foreground(signal: Signal) {
    for group in foreground().iter() {
        // A group that is gone already is what we wanted.
        let _ = killpg(*group, signal);
    }
}

struct Foreground(Pid);

impl Foreground {
    fn register(id: u32) -> Self {
        let pid = Pid::from_raw(id as i32);
        foreground().push(pid);
        if INTERRUPTED.load(Ordering::SeqCst) {
            let _ = killpg(pid, Signal::SIGINT);
        }
        Self(pid)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        foreground().retain(|pid| *pid != self.0);
    }
}

/// What `cargo run` told us about ourselves must not leak into other builds: some build scripts
/// watch these variables and would run again for nothing.
fn forget_cargo_run(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// The command as a person would type it.
pub fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs to the end with this terminal as its output; a status other than 0 is not an error here.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    check_interrupted()?;
    forget_cargo_run(command);
    let name = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("could not start `{name}`"))?;
    let guard = Foreground::register(child.id());
    let status = child
        .wait()
        .with_context(|| format!("could not wait for `{name}`"))?;
    drop(guard);
    check_interrupted()?;
    Ok(status)
}

/// Like [`run`], but anything other than success is an error that names the command.
pub fn run_ok(command: &mut Command) -> Result<()> {
    let status = run(command)?;
    if !status.success() {
        bail!("`{}` {}", shown(command), describe(status));
    }
    Ok(())
}

/// Runs to the end, shows each line as it comes and hands it, without colours, to `on_line`.
pub fn run_tee(
    command: &mut Command,
    on_line: impl FnMut(&str) + Send + 'static,
) -> Result<ExitStatus> {
    check_interrupted()?;
    forget_cargo_run(command);
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let name = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("could not start `{name}`"))?;
    let guard = Foreground::register(child.id());
    let on_line = Arc::new(Mutex::new(on_line));
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| spawn_tee(pipe, std::io::stdout(), Arc::clone(&on_line))),
        child
            .stderr
            .take()
            .map(|pipe| spawn_tee(pipe, std::io::stderr(), on_line)),
    ];
    let status = child
        .wait()
        .with_context(|| format!("could not wait for `{name}`"))?;
    drop(guard);
    check_interrupted()?;
    for reader in readers.into_iter().flatten() {
        if reader.join().is_err() {
            bail!("lost the output of `{name}`");
        }
    }
    Ok(status)
}

fn spawn_tee(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    on_line: Arc<Mutex<impl FnMut(&str) + Send + 'static>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            // The terminal may be gone; the child must still be read to its end.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            let text = without_colours(&String::from_utf8_lossy(&line));
            let mut on_line = on_line.lock().unwrap_or_else(PoisonError::into_inner);
            on_line(text.trim_end());
            line.clear();
        }
    })
}

/// Runs quietly and gives what it printed; a failure carries what it complained about.
pub fn output(command: &mut Command) -> Result<String> {
    check_interrupted()?;
    forget_cargo_run(command);
    let name = shown(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start `{name}`"))?;
    if !out.status.success() {
        bail!(
            "`{name}` {}: {}",
            describe(out.status),
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// `exited with 1` or `was killed by signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// The text without ANSI escape sequences.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A control sequence ends at its first letter.
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_dropped_and_text_is_kept() {
        assert_eq!(
            without_colours("\u{1b}[32;1m     Summary\u{1b}[0m 3 tests"),
            "     Summary 3 tests"
        );
    }

    #[test]
    fn tee_hands_over_both_streams_and_the_exit_code() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let status = run_tee(
            Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]),
            move |line| sink.lock().unwrap().push(line.to_owned()),
        )
        .unwrap();
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_failing_command_is_named_with_its_complaint() {
        let error = output(Command::new("sh").args(["-c", "echo oh no >&2; exit 2"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exited with 2: oh no"), "{text}");
    }
}
