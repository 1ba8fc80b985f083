//! Days as a weekly rhythm with exceptions.

use std::collections::BTreeSet;

use domain::time::ServiceDate;

/// A service: `calendar.txt` and `calendar_dates.txt` in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rhythm {
    /// Monday first; none set means that only the exceptions count.
    pub(super) days: [bool; 7],
    pub(super) first: ServiceDate,
    pub(super) last: ServiceDate,
    pub(super) added: Vec<ServiceDate>,
    pub(super) removed: Vec<ServiceDate>,
}

fn weekday(day: ServiceDate) -> usize {
    day.0.weekday().to_monday_zero_offset() as usize
}

/// The rhythm with the fewest exceptions that serves exactly these days; `None` for no days.
pub(super) fn rhythm(days: &[ServiceDate]) -> Option<Rhythm> {
    let served: BTreeSet<ServiceDate> = days.iter().copied().collect();
    let (first, last) = (*served.first()?, *served.last()?);
    let (mut serves, mut of_all) = ([0usize; 7], [0usize; 7]);
    let mut between = vec![];
    let mut day = first;
    while day <= last {
        between.push(day);
        if let Some(count) = of_all.get_mut(weekday(day)) {
            *count += 1;
        }
        day = day.plus_days(1)?;
    }
    for day in &served {
        if let Some(count) = serves.get_mut(weekday(*day)) {
            *count += 1;
        }
    }
    let mut rhythm = [false; 7];
    for ((on, serves), all) in rhythm.iter_mut().zip(serves).zip(of_all) {
        *on = serves * 2 > all;
    }
    let on = |day: ServiceDate| rhythm.get(weekday(day)).copied().unwrap_or(false);
    let added = served.iter().copied().filter(|d| !on(*d)).collect();
    let removed = between
        .into_iter()
        .filter(|d| on(*d) && !served.contains(d))
        .collect();
    Some(Rhythm {
        days: rhythm,
        first,
        last,
        added,
        removed,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(n: i32) -> ServiceDate {
        let start: ServiceDate = "2026-11-23".parse().unwrap();
        start.plus_days(n).unwrap()
    }

    fn served(rhythm: &Rhythm) -> Vec<ServiceDate> {
        (-3..120)
            .map(day)
            .filter(|d| {
                let in_rhythm =
                    (rhythm.first..=rhythm.last).contains(d) && rhythm.days[weekday(*d)];
                (in_rhythm && !rhythm.removed.contains(d)) || rhythm.added.contains(d)
            })
            .collect()
    }

    #[test]
    fn a_daily_service_without_one_sunday_is_a_rhythm_with_one_exception() {
        let days: Vec<ServiceDate> = (0..28).filter(|n| *n != 6).map(day).collect();
        let found = rhythm(&days).unwrap();
        assert_eq!(found.days, [true; 7]);
        assert_eq!((found.added.len(), found.removed), (0, vec![day(6)]));
        let weekends: Vec<ServiceDate> = (0..28).filter(|n| n % 7 >= 5).map(day).collect();
        let found = rhythm(&weekends).unwrap();
        assert_eq!(found.days, [false, false, false, false, false, true, true]);
        assert_eq!((found.added.len(), found.removed.len()), (0, 0));
        assert_eq!(rhythm(&[]), None);
    }

    proptest! {
        #[test]
        fn a_rhythm_serves_exactly_its_days(days in prop::collection::btree_set(0..100i32, 1..60)) {
            let days: Vec<ServiceDate> = days.into_iter().map(day).collect();
            let found = rhythm(&days).unwrap();
            prop_assert_eq!(served(&found), days.clone());
            prop_assert!(found.added.len() + found.removed.len() <= days.len());
        }
    }
}
