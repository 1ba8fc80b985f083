//! How a company follows its buses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::Problem;

/// How a company follows its buses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrackingSettings, example = json!({"before_min": 60, "keep_days": 30, "moves_trips": false,
    "publish_positions": true}))]
pub struct Settings {
    /// A boarding trip is followed from so many minutes before it leaves by its timetable.
    #[schema(minimum = 0, maximum = 10080)]
    pub before_min: i32,
    /// For how many days fixes are kept.
    #[schema(minimum = 1, maximum = 400)]
    pub keep_days: i32,
    /// Whether a departure from the first stop, and an arrival at the last, that the fixes show
    /// move the trip, with its revenue. Otherwise they are told as `trip.departure_seen` and
    /// `trip.arrival_seen`, and somebody decides.
    pub moves_trips: bool,
    /// Whether the GTFS-Realtime feed shows vehicles to everybody.
    pub publish_positions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            before_min: 60,
            keep_days: 30,
            moves_trips: false,
            publish_positions: false,
        }
    }
}

impl Settings {
    /// How long before its departure a trip is followed, in ms.
    pub(super) fn before_ms(&self) -> i64 {
        i64::from(self.before_min) * 60_000
    }

    pub(super) fn checked(self) -> Result<Self, Problem> {
        if !(0..=10_080).contains(&self.before_min) {
            let detail = "`before_min` is 0 to 10080: a week at most";
            return Err(Problem::unprocessable(detail));
        }
        if !(1..=400).contains(&self.keep_days) {
            return Err(Problem::unprocessable("`keep_days` is 1 to 400"));
        }
        Ok(self)
    }
}
