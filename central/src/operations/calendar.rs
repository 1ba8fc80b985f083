//! On which days a rule runs, and when that is: pure.
//!
//! A departure is a time on the clock of the first stop. A time that does not exist on a day
//! because the clock was put forward moves forward by as much; one that exists twice because it
//! was put back is the first. The other stops follow by the minutes that the bus takes.

use std::collections::BTreeMap;

use domain::time::{Instant, ServiceDate, Zone};

use crate::pricing::Validity;

/// A time on a clock, in seconds after midnight.
pub type ClockSeconds = i32;

/// What a rule does on one day instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// It runs although it would not, at its own time or another.
    Added(Option<ClockSeconds>),
    /// It does not run.
    Removed,
    /// Where it runs, it leaves at this time.
    Moved(ClockSeconds),
}

/// When a rule runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// From the first stop, on its clock.
    pub departs_s: ClockSeconds,
    /// 1 Monday to 7 Sunday.
    pub weekdays: Vec<u8>,
    /// Service days.
    pub valid: Validity,
    /// By day.
    pub exceptions: BTreeMap<ServiceDate, Exception>,
}

impl Rule {
    /// When it leaves on a day, by the clock; `None` where it does not run.
    pub fn departs_on(&self, day: ServiceDate) -> Option<ClockSeconds> {
        let weekday = day.0.weekday().to_monday_one_offset().unsigned_abs();
        let runs = self.valid.holds_on(day) && self.weekdays.contains(&weekday);
        match self.exceptions.get(&day) {
            Some(Exception::Removed) => None,
            Some(Exception::Added(at)) => Some(at.unwrap_or(self.departs_s)),
            Some(Exception::Moved(at)) => runs.then_some(*at),
            None => runs.then_some(self.departs_s),
        }
    }
}

/// The moment at which a clock in `zone` shows this time on this day; `None` at the end of time.
pub fn moment(day: ServiceDate, clock_s: ClockSeconds, zone: &Zone) -> Option<Instant> {
    let midnight = day.0.at(0, 0, 0, 0);
    let shown = midnight
        .checked_add(jiff::Span::new().seconds(clock_s))
        .ok()?;
    // "Compatible": forward over a gap, the first of two.
    let zoned = zone
        .time_zone()?
        .to_ambiguous_zoned(shown)
        .compatible()
        .ok()?;
    Some(Instant(zoned.timestamp().as_millisecond()))
}

/// `06:30` or `06:30:15`.
pub fn clock_text(clock_s: ClockSeconds) -> String {
    let (h, m, s) = (clock_s / 3600, clock_s / 60 % 60, clock_s % 60);
    if s == 0 {
        format!("{h:02}:{m:02}")
    } else {
        format!("{h:02}:{m:02}:{s:02}")
    }
}

/// The time that `06:30` or `06:30:15` shows.
pub fn clock_seconds(text: &str) -> Option<ClockSeconds> {
    let mut parts = text.split(':');
    let mut part = |most: i32| {
        let digits = parts.next()?;
        let fits = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        let number: i32 = digits.parse().ok().filter(|_| fits)?;
        (number <= most).then_some(number)
    };
    let (hours, minutes) = (part(23)?, part(59)?);
    let seconds = part(59);
    let whole = text.len() == if seconds.is_some() { 8 } else { 5 };
    whole.then_some(hours * 3600 + minutes * 60 + seconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> ServiceDate {
        text.parse().unwrap()
    }

    fn at(date: &str, clock: &str, zone: &str) -> String {
        let seconds = clock_seconds(clock).unwrap();
        moment(day(date), seconds, &zone.parse().unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_time_that_does_not_exist_moves_forward_by_the_gap() {
        let berlin = "Europe/Berlin";
        assert_eq!(at("2026-03-29", "01:59", berlin), "2026-03-29T00:59:00Z");
        // 02:30 is shown by no clock: 03:30 summer time.
        assert_eq!(at("2026-03-29", "02:30", berlin), "2026-03-29T01:30:00Z");
        assert_eq!(at("2026-03-29", "03:30", berlin), "2026-03-29T01:30:00Z");
        // Cairo goes forward at midnight, so that the day begins at 01:00.
        let cairo = "Africa/Cairo";
        assert_eq!(at("2026-04-24", "00:15", cairo), "2026-04-23T22:15:00Z");
        assert_eq!(at("2026-04-24", "01:15", cairo), "2026-04-23T22:15:00Z");
        assert_eq!(at("2026-04-23", "23:45", cairo), "2026-04-23T21:45:00Z");
    }

    #[test]
    fn a_time_that_exists_twice_is_the_first() {
        let berlin = "Europe/Berlin";
        assert_eq!(at("2026-10-25", "02:30", berlin), "2026-10-25T00:30:00Z");
        assert_eq!(at("2026-10-25", "03:00", berlin), "2026-10-25T02:00:00Z");
        // Cairo goes back at the end of the 29th: 23:00 to 23:59 come twice.
        let cairo = "Africa/Cairo";
        assert_eq!(at("2026-10-29", "23:30", cairo), "2026-10-29T20:30:00Z");
        assert_eq!(at("2026-10-30", "00:00", cairo), "2026-10-29T22:00:00Z");
    }

    #[test]
    fn the_clock_counts_not_the_hours_since_midnight() {
        let leaves = |date| at(date, "14:00", "Europe/Berlin");
        assert_eq!(leaves("2026-03-28"), "2026-03-28T13:00:00Z");
        assert_eq!(leaves("2026-03-29"), "2026-03-29T12:00:00Z");
    }

    #[test]
    fn a_rule_runs_on_its_days_but_for_its_exceptions() {
        let rule = Rule {
            departs_s: 6 * 3600,
            weekdays: vec![1, 5],
            valid: Validity {
                from: Some(day("2026-11-02")),
                until: Some(day("2026-11-30")),
            },
            exceptions: BTreeMap::from([
                (day("2026-11-06"), Exception::Removed),
                (day("2026-11-07"), Exception::Added(None)),
                (day("2026-12-01"), Exception::Added(Some(3_600))),
                (day("2026-11-09"), Exception::Moved(25_200)),
                (day("2026-11-10"), Exception::Moved(25_200)),
            ]),
        };
        let runs = |text: &str| rule.departs_on(day(text));
        assert_eq!(runs("2026-10-30"), None, "a Friday before");
        assert_eq!(runs("2026-11-02"), Some(21_600), "the first Monday");
        assert_eq!(runs("2026-11-03"), None, "a Tuesday");
        assert_eq!(runs("2026-11-06"), None, "removed");
        assert_eq!(runs("2026-11-07"), Some(21_600), "an added Saturday");
        assert_eq!(runs("2026-11-09"), Some(25_200), "moved");
        assert_eq!(runs("2026-11-10"), None, "moved, but it would not run");
        assert_eq!(runs("2026-11-30"), Some(21_600), "the last Monday");
        assert_eq!(runs("2026-12-01"), Some(3_600), "added after the end");
        assert_eq!(runs("2026-12-04"), None);
    }

    #[test]
    fn a_clock_shows_hours_minutes_and_perhaps_seconds() {
        for (text, seconds) in [
            ("00:00", Some(0)),
            ("06:30", Some(23_400)),
            ("23:59:59", Some(86_399)),
            ("24:00", None),
            ("6:30", None),
            ("06:60", None),
            ("06:30:", None),
            ("06:30:00:00", None),
            ("+6:30", None),
            ("", None),
        ] {
            assert_eq!(clock_seconds(text), seconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_clock_time_reads_back(seconds in 0..86_400) {
            prop_assert_eq!(clock_seconds(&clock_text(seconds)), Some(seconds));
        }

        #[test]
        fn days_come_in_order_wherever_the_clock_changes(
            days in 0..800_i32,
            clock in 0..86_400,
            zone in prop::sample::select(vec!["Europe/Berlin", "Africa/Cairo", "Africa/Lusaka"]),
        ) {
            let zone: Zone = zone.parse().unwrap();
            let first = day("2025-06-01").plus_days(days).unwrap();
            let second = first.plus_days(1).unwrap();
            let (a, b) = (moment(first, clock, &zone).unwrap(), moment(second, clock, &zone).unwrap());
            let hours = (b.0 - a.0) / 3_600_000;
            prop_assert!((23..=25).contains(&hours), "{} h", hours);
        }
    }
}
