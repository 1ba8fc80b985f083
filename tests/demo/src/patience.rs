//! Waiting: always for a condition, never longer than a deadline, and not past a Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(40);

/// The user wants the demo to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Knows whether the user pressed Ctrl-C.
#[derive(Debug, Clone)]
pub struct Patience {
    interrupted: Arc<AtomicBool>,
}

impl Patience {
    /// Begins to listen for the signals that end a program.
    pub fn listen() -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .context("could not catch Ctrl-C on this system")?;
        }
        Ok(Self { interrupted })
    }

    /// Refuses to go on once the user asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            bail!(Interrupted);
        }
        Ok(())
    }

    /// Waits until `look` finds something. Its answer is `Ok(found)` or, in words, what is still
    /// missing; the last of these becomes part of the error when `deadline` passes.
    pub fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut() -> Result<Result<T, String>>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            self.check()?;
            match look()? {
                Ok(found) => return Ok(found),
                Err(missing) if began.elapsed() > deadline => bail!(
                    "waited {} s for {what}, in vain: {missing}",
                    deadline.as_secs()
                ),
                // tidy-allow-sleep: between two looks at a condition
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Waits for Ctrl-C, looking in now and then.
    pub fn until_interrupted(&self, mut look: impl FnMut() -> Result<()>) -> Result<()> {
        while self.check().is_ok() {
            look()?;
            // tidy-allow-sleep: between two looks at a signal
            std::thread::sleep(POLL * 5);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_passes_says_what_was_missing() {
        let patience = Patience::listen().unwrap();
        let error = patience
            .until::<()>("the bus", Duration::ZERO, || {
                Ok(Err("still in Kabwe".to_owned()))
            })
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the bus, in vain: still in Kabwe"),
            "{error}"
        );
    }
}
