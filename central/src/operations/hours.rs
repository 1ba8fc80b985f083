//! How long a driver drives and rests: pure. It warns; it never forbids.
//!
//! A trip counts whole for each of its drivers, on the day of the company on which it begins. A
//! week is Monday to Sunday. The rest is the time between the end of one day's last trip and the
//! beginning of the next day's first.

use std::collections::BTreeMap;

use domain::time::{Instant, ServiceDate, Zone};

/// What a company allows its drivers, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Driving in one day, at most.
    pub driving_day_ms_max: i64,
    /// Driving in one week, at most.
    pub driving_week_ms_max: i64,
    /// Rest between two days' work, at least.
    pub rest_ms_min: i64,
}

const HOUR_MS: i64 = 3_600_000;

impl Default for Limits {
    /// 9 h a day, 56 h a week, 11 h of rest.
    fn default() -> Self {
        Self {
            driving_day_ms_max: 9 * HOUR_MS,
            driving_week_ms_max: 56 * HOUR_MS,
            rest_ms_min: 11 * HOUR_MS,
        }
    }
}

/// From when to when somebody drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drive {
    /// From the first stop.
    pub from: Instant,
    /// To the last.
    pub to: Instant,
}

/// What is beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// Too much driving on a day.
    Day {
        /// Which.
        day: ServiceDate,
        /// How much, in ms.
        driving_ms: i64,
    },
    /// Too much driving in a week.
    Week {
        /// Its Monday.
        monday: ServiceDate,
        /// How much, in ms.
        driving_ms: i64,
    },
    /// Too little rest before a day's work.
    Rest {
        /// The day that begins too early.
        day: ServiceDate,
        /// How much, in ms.
        rest_ms: i64,
    },
}

impl Warning {
    /// `driving-day`, `driving-week` or `rest`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Day { .. } => "driving-day",
            Self::Week { .. } => "driving-week",
            Self::Rest { .. } => "rest",
        }
    }

    /// In words.
    pub fn text(&self, limits: &Limits) -> String {
        let h = |ms: i64| format!("{}:{:02} h", ms / HOUR_MS, ms / 60_000 % 60);
        match self {
            Self::Day { day, driving_ms } => format!(
                "{} of driving on {day}, more than {}",
                h(*driving_ms),
                h(limits.driving_day_ms_max)
            ),
            Self::Week { monday, driving_ms } => format!(
                "{} of driving in the week of {monday}, more than {}",
                h(*driving_ms),
                h(limits.driving_week_ms_max)
            ),
            Self::Rest { day, rest_ms } => format!(
                "{} of rest before {day}, less than {}",
                h(*rest_ms),
                h(limits.rest_ms_min)
            ),
        }
    }
}

fn monday_of(day: ServiceDate) -> ServiceDate {
    let back = i32::from(day.0.weekday().to_monday_zero_offset());
    day.plus_days(-back).unwrap_or(day)
}

/// What is beyond the limits in one driver's drives.
pub fn warnings(drives: &[Drive], limits: &Limits, zone: &Zone) -> Vec<Warning> {
    let mut days: BTreeMap<ServiceDate, Vec<Drive>> = BTreeMap::new();
    for drive in drives {
        if let Some(day) = drive.from.local_date(zone) {
            days.entry(day).or_default().push(*drive);
        }
    }
    let mut found = vec![];
    let mut weeks: BTreeMap<ServiceDate, i64> = BTreeMap::new();
    let mut ended: Option<Instant> = None;
    for (day, drives) in &days {
        let driving_ms: i64 = drives.iter().map(|d| (d.to.0 - d.from.0).max(0)).sum();
        *weeks.entry(monday_of(*day)).or_default() += driving_ms;
        if driving_ms > limits.driving_day_ms_max {
            found.push(Warning::Day {
                day: *day,
                driving_ms,
            });
        }
        let begins = drives.iter().map(|d| d.from).min();
        if let (Some(ended), Some(begins)) = (ended, begins) {
            let rest_ms = (begins.0 - ended.0).max(0);
            if rest_ms < limits.rest_ms_min {
                found.push(Warning::Rest { day: *day, rest_ms });
            }
        }
        ended = drives.iter().map(|d| d.to).max().max(ended);
    }
    let beyond = weeks
        .into_iter()
        .filter(|(_, ms)| *ms > limits.driving_week_ms_max);
    found.extend(beyond.map(|(monday, driving_ms)| Warning::Week { monday, driving_ms }));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::calendar::moment;

    fn zone() -> Zone {
        "Africa/Lusaka".parse().unwrap()
    }

    fn drive(day: &str, from_h: i32, hours: i64) -> Drive {
        let from = moment(day.parse().unwrap(), from_h * 3600, &zone()).unwrap();
        Drive {
            from,
            to: from.plus_ms(hours * HOUR_MS),
        }
    }

    fn kinds(drives: &[Drive]) -> Vec<&'static str> {
        let found = warnings(drives, &Limits::default(), &zone());
        found.iter().map(Warning::kind).collect()
    }

    #[test]
    fn nine_hours_a_day_are_enough_and_a_minute_more_is_told() {
        let mut drives = [drive("2026-11-23", 5, 5), drive("2026-11-23", 12, 4)];
        assert_eq!(kinds(&drives), Vec::<&str>::new());
        drives[1].to = drives[1].to.plus_ms(60_000);
        assert_eq!(kinds(&drives), ["driving-day"]);
        let text = warnings(&drives, &Limits::default(), &zone())[0].text(&Limits::default());
        assert_eq!(text, "9:01 h of driving on 2026-11-23, more than 9:00 h");
    }

    #[test]
    fn a_trip_past_midnight_counts_to_the_day_it_began_and_shortens_the_rest() {
        let night = drive("2026-11-23", 20, 8);
        assert_eq!(kinds(&[night, drive("2026-11-24", 15, 4)]), [] as [&str; 0]);
        assert_eq!(kinds(&[night, drive("2026-11-24", 14, 4)]), ["rest"]);
    }

    #[test]
    fn a_week_runs_from_monday_to_sunday() {
        // Monday the 23rd to Sunday the 29th, nine hours a day: 63.
        let days: Vec<Drive> = (23..30)
            .map(|d| drive(&format!("2026-11-{d}"), 6, 9))
            .collect();
        assert_eq!(kinds(&days), ["driving-week"]);
        assert_eq!(kinds(&days[..6]), [] as [&str; 0]);
        let mut shifted = days[1..].to_vec();
        shifted.push(drive("2026-11-30", 6, 9));
        assert_eq!(kinds(&shifted), [] as [&str; 0]);
    }
}
