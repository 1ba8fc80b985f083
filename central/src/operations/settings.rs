//! How a company runs its day.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hours::Limits;
use crate::csvio::Fault;
use crate::nodes::silence::SILENT_MS;

const HOUR_MS: i64 = 3_600_000;

/// How a company runs its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OperationsSettings, example = json!({"driving_day_ms_max": 32_400_000, "driving_week_ms_max": 201_600_000,
    "rest_ms_min": 39_600_000, "departs_by_itself_ms": 1_800_000, "expand_days": 14, "node_silent_ms": 86_400_000}))]
pub struct Settings {
    /// Driving in one day without a warning, in ms.
    #[schema(minimum = 3_600_000, maximum = 86_400_000)]
    pub driving_day_ms_max: i64,
    /// Driving from Monday to Sunday without a warning, in ms.
    #[schema(minimum = 3_600_000, maximum = 604_800_000)]
    pub driving_week_ms_max: i64,
    /// Rest between two days' work without a warning, in ms.
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub rest_ms_min: i64,
    /// So long after departure and delay a trip has departed although nobody said so, in ms.
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub departs_by_itself_ms: i64,
    /// For how many days ahead schedules become trips.
    #[schema(minimum = 1, maximum = 120)]
    pub expand_days: i16,
    /// So long a station or bus may be silent before the office is told, in ms; a day where it is
    /// left out.
    #[schema(minimum = 60_000, maximum = 2_592_000_000_i64)]
    #[serde(default = "a_day")]
    pub node_silent_ms: i64,
}

const fn a_day() -> i64 {
    SILENT_MS
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            driving_day_ms_max: limits.driving_day_ms_max,
            driving_week_ms_max: limits.driving_week_ms_max,
            rest_ms_min: limits.rest_ms_min,
            departs_by_itself_ms: HOUR_MS / 2,
            expand_days: 14,
            node_silent_ms: SILENT_MS,
        }
    }
}

impl Settings {
    /// What drivers are allowed.
    pub fn limits(&self) -> Limits {
        Limits {
            driving_day_ms_max: self.driving_day_ms_max,
            driving_week_ms_max: self.driving_week_ms_max,
            rest_ms_min: self.rest_ms_min,
        }
    }

    /// Themselves, or what is wrong with them.
    pub fn checked(self) -> Result<Self, Fault> {
        let day = 24 * HOUR_MS;
        let bounds = [
            ("driving_day_ms_max", self.driving_day_ms_max, HOUR_MS, day),
            (
                "driving_week_ms_max",
                self.driving_week_ms_max,
                HOUR_MS,
                7 * day,
            ),
            ("rest_ms_min", self.rest_ms_min, 0, day),
            ("departs_by_itself_ms", self.departs_by_itself_ms, 0, day),
            ("expand_days", i64::from(self.expand_days), 1, 120),
            ("node_silent_ms", self.node_silent_ms, 60_000, 30 * day),
        ];
        for (column, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                let wrong = format!("{value} is out of bounds");
                return Err(Fault::new(
                    column,
                    wrong,
                    format!("write {least} to {most}"),
                ));
            }
        }
        Ok(self)
    }
}
