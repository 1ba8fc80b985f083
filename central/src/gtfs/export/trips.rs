//! Dated trips become groups with a service each.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::{ServiceDate, Zone};

use super::{Call, Group, NetworkTrip, Services};

/// The longest `trip_id` that the importer takes, in characters.
const TRIP_ID_CHARS_MAX: usize = 200;
/// How many days a trip's first day may move back so that no time is negative.
const DAYS_BACK_MAX: i32 = 2;

/// What the days of a group have in common.
type Alike = (String, String, String, Vec<Call>);

/// The service day and the calls of a trip in seconds of it; `None` where no calendar has them.
fn timed(trip: &NetworkTrip, zone: &Zone) -> Option<(ServiceDate, Vec<Call>)> {
    // A day that counts in another zone may begin after the trip does: it counts to the day before.
    (0..=DAYS_BACK_MAX).find_map(|back| {
        let date = trip.trip.service_date.plus_days(-back)?;
        let start = date.instant_at(0, zone)?;
        let secs = |at: domain::time::Instant| u32::try_from((at.0 - start.0) / 1000).ok();
        let calls: Option<Vec<Call>> = trip
            .trip
            .stops
            .iter()
            .zip(&trip.board)
            .map(|(stop, board)| {
                let code = stop.code.0.clone();
                Some((code, secs(stop.arrives)?, secs(stop.departs)?, *board))
            })
            .collect();
        calls.map(|calls| (date, calls))
    })
}

/// Groups in the order of route and run, and the services that they name.
pub(super) fn grouped(trips: &[NetworkTrip], zone: &Zone) -> (Vec<Group>, Services) {
    let mut days: BTreeMap<Alike, BTreeSet<ServiceDate>> = BTreeMap::new();
    for trip in trips {
        if let Some((date, calls)) = timed(trip, zone) {
            let headsign = trip.trip.headsign.clone();
            let alike = (trip.route.clone(), trip.run.clone(), headsign, calls);
            days.entry(alike).or_default().insert(date);
        }
    }
    let runs: BTreeSet<String> = days.keys().map(|(_, run, ..)| run.clone()).collect();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut names: BTreeMap<Vec<ServiceDate>, String> = BTreeMap::new();
    let mut groups = vec![];
    for ((route, run, headsign, calls), days) in days {
        let days: Vec<ServiceDate> = days.into_iter().collect();
        let fresh = format!("S{}", names.len() + 1);
        groups.push(Group {
            trip_id: trip_id(&run, &runs, &mut taken),
            service: names.entry(days).or_insert(fresh).clone(),
            route,
            run,
            headsign,
            calls,
        });
    }
    let services = names.into_iter().map(|(days, id)| (id, days)).collect();
    (groups, services)
}

/// The run where it is free and short enough, else one that no run has.
fn trip_id(run: &str, runs: &BTreeSet<String>, taken: &mut BTreeSet<String>) -> String {
    let short = !run.is_empty() && run.chars().count() <= TRIP_ID_CHARS_MAX;
    if short && taken.insert(run.to_owned()) {
        return run.to_owned();
    }
    let stem: String = run.chars().take(TRIP_ID_CHARS_MAX - 10).collect();
    let mut n = 2u64;
    loop {
        let id = format!("{stem}~{n}");
        if !runs.contains(&id) && taken.insert(id.clone()) {
            return id;
        }
        n += 1;
    }
}
