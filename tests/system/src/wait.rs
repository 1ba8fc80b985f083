//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often somebody looks.
const POLL: Duration = Duration::from_millis(10);

/// Looks until `look` gives something; its last complaint is told when the deadline has passed.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(complaint) if began.elapsed() > deadline => bail!(
                "waited {} s for {what} in vain: {complaint}",
                deadline.as_secs()
            ),
            // tidy-allow-sleep: between two looks at a condition
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
