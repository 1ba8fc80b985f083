//! The judgement of one trip: taken, mended or refused, and the calls that are left to sell.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::StopCode;
use domain::trip::LEGS_MAX;

use super::Options;
use super::feed::{Feed, Route, Stop, StopTime, Times, TripRow};
use super::plan::Call;
use super::report::{Note, quote};
use super::value;

/// The most departures that headways may make of one trip on one day.
const HEADWAY_RUNS_MAX: usize = 300;

/// A trip that can be sold.
pub(super) struct Judged {
    pub(super) stops: Vec<StopCode>,
    /// Each run's stable name with its calls: one, or one per headway departure.
    pub(super) runs: Vec<(String, Vec<Call>)>,
    /// How far along its shape each stop is, in millionths of the feed's unit.
    pub(super) distances: Vec<Option<i64>>,
    pub(super) mends: Vec<Note>,
    pub(super) remarks: Vec<Note>,
}

/// How many routes of each agency are road routes and how many are trams.
pub(super) struct RouteMix(BTreeMap<String, (usize, usize)>);

impl RouteMix {
    pub(super) fn of(feed: &Feed) -> Self {
        let mut mix: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for route in feed.routes.values() {
            let (road, tram) = mix.entry(route.agency_id.clone()).or_default();
            match route.kind {
                Some(t) if is_road(t) => *road += 1,
                Some(t) if is_tram(t) => *tram += 1,
                Some(_) | None => {}
            }
        }
        Self(mix)
    }
}

/// Buses, coaches and trolleybuses, in the plain and the extended numbering.
fn is_road(route_type: u16) -> bool {
    matches!(route_type, 3 | 11 | 200..=299 | 700..=899)
}

fn is_tram(route_type: u16) -> bool {
    matches!(route_type, 0 | 900..=999)
}

fn type_name(route_type: u16) -> &'static str {
    match route_type {
        0 | 900..=999 => "tram",
        1 | 400..=499 => "underground",
        2 | 100..=199 => "rail",
        4 | 1000 | 1200 => "ferry or boat",
        5 => "cable tram",
        6 | 1300 => "aerial lift",
        7 | 1400 => "funicular",
        12 => "monorail",
        1100 => "air",
        1500..=1599 => "taxi",
        _ => "an unknown kind",
    }
}

/// Judges one row of `trips.txt`.
pub(super) fn judge(
    feed: &Feed,
    mix: &RouteMix,
    options: &Options,
    trip: &TripRow,
) -> Result<Judged, Note> {
    if let Some(fault) = &trip.fault {
        return Err(fault.clone());
    }
    let mut mends = Vec::new();
    let mut remarks = Vec::new();
    check_route(feed, mix, options, trip, &mut mends, &mut remarks)?;
    check_service(feed, trip, &mut mends)?;
    let times = feed
        .times
        .get(&trip.id)
        .ok_or_else(|| Note::new("no_stop_times", "stop_times.txt has no line of the trip"))?;
    let rows = in_sequence(times, &mut mends)?;
    let stops = stops_of(feed, &rows)?;
    let calls = calls_of(&rows, &mut mends, &mut remarks)?;
    let mut seen = BTreeSet::new();
    if let Some(stop) = stops.iter().find(|stop| !seen.insert(*stop)) {
        let text = format!(
            "the trip comes back to stop {}; it is sold from its first call there",
            quote(&stop.0)
        );
        remarks.push(Note::new("comes_back", text));
    }
    if feed.shapes.lacks(&trip.shape_id) {
        let text = format!(
            "shapes.txt has no usable shape {}; the trip is followed along another or straight lines",
            quote(&trip.shape_id)
        );
        remarks.push(Note::new("unknown_shape", text));
    }
    let runs = runs_of(feed, trip, calls, &mut mends)?;
    Ok(Judged {
        stops,
        runs,
        distances: rows.iter().map(|row| row.distance).collect(),
        mends,
        remarks,
    })
}

fn check_route(
    feed: &Feed,
    mix: &RouteMix,
    options: &Options,
    trip: &TripRow,
    mends: &mut Vec<Note>,
    remarks: &mut Vec<Note>,
) -> Result<(), Note> {
    let route: &Route = feed.routes.get(&trip.route_id).ok_or_else(|| {
        let text = format!("route {} is not in routes.txt", quote(&trip.route_id));
        Note::new("unknown_route", text)
    })?;
    if options
        .agency
        .as_ref()
        .is_some_and(|a| *a != route.agency_id)
    {
        let text = format!("the route belongs to agency {}", quote(&route.agency_id));
        return Err(Note::new("other_agency", text));
    }
    let Some(route_type) = route.kind else {
        let text = "the route's type is not a number";
        return Err(Note::new("bad_route_type", text));
    };
    if is_road(route_type) || feed.own.routes.contains_key(&trip.route_id) {
        return Ok(());
    }
    let kind = type_name(route_type);
    if options.include_route_types.contains(&route_type) {
        let text = format!("route type {route_type} ({kind}) was asked for by option");
        remarks.push(Note::new("route_type_by_option", text));
        return Ok(());
    }
    let (road, tram) = mix.0.get(&route.agency_id).copied().unwrap_or_default();
    if is_tram(route_type) && road > tram {
        let text = format!(
            "route type {route_type} ({kind}) was read as a coach: {road} routes of the agency are on the road"
        );
        mends.push(Note::new("tram_read_as_coach", text));
        return Ok(());
    }
    let text = format!(
        "route type {route_type} ({kind}) is not road transport; include the type by option to sell it"
    );
    Err(Note::new("not_road_transport", text))
}

fn check_service(feed: &Feed, trip: &TripRow, mends: &mut Vec<Note>) -> Result<(), Note> {
    let service = feed.services.get(&trip.service_id).ok_or_else(|| {
        let text = format!(
            "service {} is in neither calendar.txt nor calendar_dates.txt",
            quote(&trip.service_id)
        );
        Note::new("unknown_service", text)
    })?;
    if let Some(fault) = &service.fault {
        let text = format!("service {}: {}", quote(&trip.service_id), fault.text);
        return Err(Note::new("service_unusable", text));
    }
    if !service.ever_runs() {
        let text = format!("service {} runs on no day", quote(&trip.service_id));
        return Err(Note::new("service_never_runs", text));
    }
    mends.extend(service.mends.iter().cloned());
    Ok(())
}

/// The stop times in order of their sequence numbers.
fn in_sequence<'f>(times: &'f Times, mends: &mut Vec<Note>) -> Result<Vec<&'f StopTime>, Note> {
    if let Some(fault) = &times.fault {
        return Err(fault.clone());
    }
    mends.extend(times.mends.iter().cloned());
    let mut rows: Vec<&StopTime> = times.rows.iter().collect();
    if !rows.is_sorted_by_key(|r| r.sequence) {
        rows.sort_by_key(|r| r.sequence);
        let text = "the lines of stop_times.txt were put in order of stop_sequence";
        mends.push(Note::new("sorted_by_sequence", text));
    }
    if rows.len() < 2 {
        let text = "the trip has one stop; two are needed to sell a seat";
        return Err(Note::new("too_few_stops", text));
    }
    if rows.len() > usize::from(LEGS_MAX) + 1 {
        let text = format!(
            "the trip has {} stops; at most {} can be sold",
            rows.len(),
            LEGS_MAX + 1
        );
        return Err(Note::new("too_many_stops", text));
    }
    for pair in rows.windows(2) {
        let [a, b] = pair else { continue };
        if a.sequence == b.sequence {
            let text = format!("stop_sequence {} is on two lines that differ", a.sequence);
            return Err(Note::new("duplicate_sequence", text));
        }
        if a.stop_id == b.stop_id {
            let text = format!("stop {} comes twice in a row", quote(&a.stop_id));
            return Err(Note::new("stop_repeated", text));
        }
    }
    if rows
        .windows(2)
        .any(|w| matches!(w, [a, b] if b.sequence - a.sequence > 1))
    {
        let text = "stop_sequence has gaps; the stops were counted anew";
        mends.push(Note::new("sequence_gaps", text));
    }
    Ok(rows)
}

fn stops_of(feed: &Feed, rows: &[&StopTime]) -> Result<Vec<StopCode>, Note> {
    rows.iter()
        .map(|row| {
            let stop: &Stop = feed.stops.get(&row.stop_id).ok_or_else(|| {
                let text = format!("stop {} is not in stops.txt", quote(&row.stop_id));
                Note::new("unknown_stop", text)
            })?;
            if !stop.boarding {
                let text = format!(
                    "{} is a station or an entrance; the trip must name a stop where the bus stands",
                    quote(&row.stop_id)
                );
                return Err(Note::new("not_a_boarding_stop", text));
            }
            Ok(stop.code.clone())
        })
        .collect()
}

fn calls_of(
    rows: &[&StopTime],
    mends: &mut Vec<Note>,
    remarks: &mut Vec<Note>,
) -> Result<Vec<Call>, Note> {
    let times = fill_times(rows, mends)?;
    let mut latest = 0;
    for (row, (arrives_s, departs_s)) in rows.iter().zip(&times) {
        if *arrives_s < latest || departs_s < arrives_s {
            let text = format!(
                "at stop {} the time runs backwards ({} after {})",
                quote(&row.stop_id),
                value::time_text((*arrives_s).min(*departs_s)),
                value::time_text(latest.max(*arrives_s)),
            );
            return Err(Note::new("time_runs_backwards", text));
        }
        latest = *departs_s;
    }
    let zero_legs = times
        .windows(2)
        .filter(|w| matches!(w, [a, b] if a.1 == b.0))
        .count();
    if zero_legs > 0 {
        let text = format!("{zero_legs} legs take no time; the times were kept");
        remarks.push(Note::new("leg_takes_no_time", text));
    }
    let calls: Vec<Call> = rows
        .iter()
        .zip(times)
        .map(|(row, (arrives_s, departs_s))| Call {
            arrives_s,
            departs_s,
            board: row.board,
            alight: row.alight,
        })
        .collect();
    let first_board = calls.iter().position(|c| c.board);
    let last_alight = calls.iter().rposition(|c| c.alight);
    if first_board.zip(last_alight).is_none_or(|(a, b)| a >= b) {
        let text = "no passenger may board at one stop and leave at a later one";
        return Err(Note::new("nothing_to_sell", text));
    }
    Ok(calls)
}

/// Completes the times: one of arrival and departure stands for both, and blanks between two
/// timed stops are spread evenly.
fn fill_times(rows: &[&StopTime], mends: &mut Vec<Note>) -> Result<Vec<(u32, u32)>, Note> {
    let mut copied = 0;
    let known: Vec<Option<(u32, u32)>> = rows
        .iter()
        .map(|row| match (row.arrives_s, row.departs_s) {
            (Some(a), Some(d)) => Some((a, d)),
            (Some(one), None) | (None, Some(one)) => {
                copied += 1;
                Some((one, one))
            }
            (None, None) => None,
        })
        .collect();
    if copied > 0 {
        let text = format!("at {copied} stops the one time given stands for arrival and departure");
        mends.push(Note::new("one_time_for_both", text));
    }
    let blanks = known.iter().filter(|t| t.is_none()).count();
    if blanks > 0 {
        let text =
            format!("{blanks} stops without a time were spread evenly between their neighbours");
        mends.push(Note::new("times_interpolated", text));
    }
    let no_end = || {
        let text = "the first and the last stop need a time";
        Note::new("no_first_or_last_time", text)
    };
    let mut filled: Vec<(u32, u32)> = Vec::with_capacity(known.len());
    for (i, time) in known.iter().enumerate() {
        if let Some(time) = time {
            filled.push(*time);
            continue;
        }
        let before = filled.last().ok_or_else(no_end)?.1;
        let (ahead, after) = known
            .iter()
            .enumerate()
            .skip(i + 1)
            .find_map(|(j, t)| t.map(|t| (j, t.0)))
            .ok_or_else(no_end)?;
        let share = after.saturating_sub(before) / (ahead - i + 1) as u32;
        filled.push((before + share, before + share));
    }
    Ok(filled)
}

/// A plain trip is one run named by its trip id; a headway trip is one run per departure, named
/// by trip id and departure time. Neither depends on the order of the file.
fn runs_of(
    feed: &Feed,
    trip: &TripRow,
    calls: Vec<Call>,
    mends: &mut Vec<Note>,
) -> Result<Vec<(String, Vec<Call>)>, Note> {
    let Some(frequencies) = feed.frequencies.get(&trip.id) else {
        let run = feed.own.runs.get(&trip.id).unwrap_or(&trip.id);
        return Ok(vec![(run.clone(), calls)]);
    };
    if let Some(fault) = &frequencies.fault {
        return Err(fault.clone());
    }
    let mut starts = BTreeSet::new();
    for headway in &frequencies.rows {
        let count = (headway.until_s - headway.from_s).div_ceil(headway.every_s) as usize;
        if starts.len() + count > HEADWAY_RUNS_MAX {
            let text = format!("the headways make more than {HEADWAY_RUNS_MAX} departures a day");
            return Err(Note::new("too_many_departures", text));
        }
        starts.extend((headway.from_s..headway.until_s).step_by(headway.every_s as usize));
    }
    if frequencies.rows.iter().any(|h| !h.exact) {
        let text = format!(
            "the headway was made {} fixed departures a day",
            starts.len()
        );
        mends.push(Note::new("headway_made_fixed", text));
    }
    let template_s = calls.first().map_or(0, |c| c.departs_s);
    Ok(starts
        .into_iter()
        .map(|start_s| {
            let shifted = calls.iter().map(|call| Call {
                arrives_s: (call.arrives_s + start_s).saturating_sub(template_s),
                departs_s: (call.departs_s + start_s).saturating_sub(template_s),
                ..*call
            });
            (
                format!("{}@{}", trip.id, value::time_text(start_s)),
                shifted.collect(),
            )
        })
        .collect())
}
