//! How long a company keeps what it told.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::Problem;

const DAY_MS: i64 = 24 * 3_600_000;

/// How long a company keeps what it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationSettings, example = json!({"keep_days": 400}))]
pub struct Settings {
    /// For how many days messages, told events and ended deliveries of webhooks are kept. An event
    /// that is older than that is told to nobody, however late it comes.
    #[schema(minimum = 30, maximum = 3660)]
    pub keep_days: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_days: 400 }
    }
}

impl Settings {
    /// What is from before this moment goes.
    pub(super) fn kept_since(self, now: Instant) -> Instant {
        now.plus_ms(-i64::from(self.keep_days) * DAY_MS)
    }

    pub(super) fn checked(self) -> Result<Self, Problem> {
        if !(30..=3660).contains(&self.keep_days) {
            return Err(Problem::unprocessable("`keep_days` is 30 to 3660"));
        }
        Ok(self)
    }
}
