//! The only place of the node that asks what time it is.

use domain::time::Instant;
use sync_protocol::Uptime;

/// A jump of the wall clock against the monotonic one that is logged, in ms.
pub const STEP_MS_MIN: i64 = 120_000;

/// The wall clock.
pub fn now() -> Instant {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Instant(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}

/// Time since the start of the machine, suspend included.
pub fn uptime() -> Uptime {
    #[cfg(target_os = "linux")]
    if let Ok(at) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME) {
        return Uptime(at.tv_sec().unsigned_abs() * 1000 + at.tv_nsec().unsigned_abs() / 1_000_000);
    }
    // Elsewhere the process's own clock, which may stop while the machine sleeps.
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    Uptime(start.elapsed().as_millis() as u64)
}

/// Compares the wall clock with the monotonic one.
#[derive(Debug)]
pub struct StepWatch {
    offset_ms: i64,
}

impl StepWatch {
    /// Starts from a pair of readings.
    pub fn new(wall: Instant, up: Uptime) -> Self {
        Self {
            offset_ms: wall.0 - up.0 as i64,
        }
    }

    /// The time that the wall clock should show if it shows another: it has jumped.
    pub fn check(&mut self, wall: Instant, up: Uptime) -> Option<Instant> {
        let expected = Instant(self.offset_ms + up.0 as i64);
        self.offset_ms = wall.0 - up.0 as i64;
        ((wall.0 - expected.0).abs() > STEP_MS_MIN).then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_seen_once_and_drift_is_not() {
        let mut watch = StepWatch::new(Instant(1_000_000), Uptime(0));
        assert_eq!(watch.check(Instant(1_100_000), Uptime(5_000)), None);
        let back = watch.check(Instant(500_000), Uptime(10_000));
        assert_eq!(back, Some(Instant(1_105_000)));
        assert_eq!(watch.check(Instant(505_000), Uptime(15_000)), None);
    }
}
