//! The one place of the hub that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::time::Instant;

/// The hub's time.
pub fn now() -> Instant {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Instant(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
