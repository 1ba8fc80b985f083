//! From a feed to a plan: judges every trip and puts together what the good ones need.

use std::collections::{BTreeMap, BTreeSet};

use domain::fare::FareTable;
use domain::ids::StopCode;
use domain::layout::SeatLayout;
use domain::passenger::PassengerClass;
use domain::time::{ServiceDate, Zone};

use crate::gtfs::Options;
use crate::gtfs::error::GtfsError;
use crate::gtfs::fares::Prices;
use crate::gtfs::feed::{Feed, TripRow};
use crate::gtfs::judge::{self, Judged, RouteMix};
use crate::gtfs::layout::BUILT_IN_LAYOUT;
use crate::gtfs::report::{Note, Outcome, Recorder, TripOutcome, quote};

use super::shapes::Votes;
use super::{Call, PatternKey, Plan, PlanCompany, PlanPattern, PlanRoute, PlanRun, PlanStop};

/// Judges every trip and plans those that can be sold.
pub(in crate::gtfs) fn build(
    feed: &Feed,
    options: &Options,
    recorder: &mut Recorder,
) -> Result<Plan, GtfsError> {
    let company = company(feed, options)?;
    let prices = Prices::of(feed);
    let mix = RouteMix::of(feed);
    let mut planned = Planned::default();
    for trip in &feed.trips {
        let judged = judge::judge(feed, &mix, options, trip);
        let verdict = judged.and_then(|judged| planned.add(feed, options, trip, judged));
        recorder.trip(outcome(trip, verdict, &prices));
    }
    let shapes = planned.votes.settle(feed, &planned.patterns, recorder);
    let patterns: Vec<PlanPattern> = planned.patterns.into_values().collect();
    let routes = routes(feed, options, &patterns)?;
    Ok(Plan {
        stops: stops(feed, &company.zone),
        layouts: used_layouts(feed, &routes),
        deck_rows: feed.layouts.deck_rows.clone(),
        route_stops: feed.own.route_stops.clone(),
        fare_tables: fare_tables(feed, options, &prices, &routes, &patterns),
        company,
        from: options.from,
        days: options.days,
        routes,
        patterns,
        shapes,
        runs: planned.runs.into_values().collect(),
    })
}

/// Patterns and runs so far, in the order of the plan.
#[derive(Default)]
struct Planned {
    patterns: BTreeMap<PatternKey, PlanPattern>,
    /// By pattern, run and the feed's trip.
    runs: BTreeMap<(PatternKey, String, String), PlanRun>,
    votes: Votes,
}

/// What the report says of a trip that was planned.
struct Sold {
    stops: Vec<StopCode>,
    mends: Vec<Note>,
    remarks: Vec<Note>,
    days: usize,
    runs: usize,
}

impl Planned {
    fn add(
        &mut self,
        feed: &Feed,
        options: &Options,
        trip: &TripRow,
        judged: Judged,
    ) -> Result<Sold, Note> {
        let key = PatternKey::of(&trip.route_id, &judged.stops);
        let dates = service_days(feed, &trip.service_id, options);
        let named = feed.own.runs.contains_key(&trip.id);
        let taken = |(run, _): &&(String, Vec<Call>)| {
            let first = (key, run.clone(), String::new());
            let mut others = self
                .runs
                .range(first..)
                .take_while(|((k, r, _), _)| (k, r) == (&key, run));
            // Trips that the feed itself gives one run are told apart by their days.
            others.any(|(_, other)| !named || other.dates.iter().any(|d| dates.contains(d)))
        };
        if let Some((run, _)) = judged.runs.iter().find(taken) {
            let text = format!("another trip of these stops is named {} too", quote(run));
            return Err(Note::new("run_named_twice", text));
        }
        let headsign = headsign(feed, &trip.headsign, &judged);
        let sold = Sold {
            days: dates.len(),
            runs: judged.runs.len(),
            stops: judged.stops.clone(),
            mends: judged.mends,
            remarks: judged.remarks,
        };
        self.votes.add(key, trip, judged.distances);
        self.patterns.entry(key).or_insert_with(|| PlanPattern {
            key,
            route_id: trip.route_id.clone(),
            stops: judged.stops,
        });
        for (run, calls) in judged.runs {
            let planned = PlanRun {
                pattern: key,
                run: run.clone(),
                gtfs_trip_id: trip.id.clone(),
                headsign: headsign.clone(),
                calls,
                dates: dates.clone(),
            };
            self.runs.insert((key, run, trip.id.clone()), planned);
        }
        Ok(sold)
    }
}

fn outcome(trip: &TripRow, verdict: Result<Sold, Note>, prices: &Prices<'_>) -> TripOutcome {
    let mut outcome = TripOutcome {
        trip_id: trip.id.clone(),
        route_id: trip.route_id.clone(),
        line: trip.line,
        outcome: Outcome::Taken,
        notes: Vec::new(),
        remarks: Vec::new(),
        departures: 0,
    };
    match verdict {
        Err(note) => {
            outcome.outcome = Outcome::Refused;
            outcome.notes.push(note);
        }
        Ok(sold) => {
            if !sold.mends.is_empty() {
                outcome.outcome = Outcome::Mended;
            }
            outcome.departures = (sold.days * sold.runs) as u64;
            outcome.remarks = remarks(&sold, prices, &trip.route_id);
            outcome.notes = sold.mends;
        }
    }
    outcome
}

fn company(feed: &Feed, options: &Options) -> Result<PlanCompany, GtfsError> {
    let agency = feed
        .agencies
        .iter()
        .find(|a| options.agency.as_ref().is_none_or(|wanted| *wanted == a.id))
        .ok_or_else(|| {
            let ids: Vec<String> = feed.agencies.iter().map(|a| quote(&a.id)).collect();
            GtfsError::Option(format!(
                "agency.txt has no agency {}; it has {}",
                quote(options.agency.as_deref().unwrap_or_default()),
                ids.join(", ")
            ))
        })?;
    if let Some(other) = feed
        .agencies
        .iter()
        .find(|a| options.agency.is_none() && a.zone != agency.zone)
    {
        return Err(GtfsError::Option(format!(
            "agencies {} and {} keep different time zones, so no time of the feed is certain; choose one agency",
            quote(&agency.id),
            quote(&other.id)
        )));
    }
    Ok(PlanCompany {
        agency_id: agency.id.clone(),
        name: agency.name.clone(),
        zone: agency.zone.clone(),
    })
}

fn service_days(feed: &Feed, service_id: &str, options: &Options) -> Vec<ServiceDate> {
    let Some(service) = feed.services.get(service_id) else {
        return Vec::new();
    };
    (0..options.days)
        .filter_map(|n| options.from.plus_days(i32::from(n)))
        .filter(|day| service.runs_on(*day))
        .collect()
}

fn remarks(sold: &Sold, prices: &Prices<'_>, route_id: &str) -> Vec<Note> {
    let mut remarks = sold.remarks.clone();
    if sold.days == 0 {
        let text = "the service has no day inside the window; nothing is on sale yet";
        remarks.push(Note::new("no_day_in_window", text));
    }
    if let (Some(first), Some(last)) = (sold.stops.first(), sold.stops.last())
        && prices
            .price(route_id, first, last, PassengerClass::Adult)
            .is_none()
    {
        let text = format!(
            "the feed has no fare from {first} to {last}; it cannot be sold before one is set"
        );
        remarks.push(Note::new("no_fare", text));
    }
    remarks
}

fn headsign(feed: &Feed, named: &str, judged: &Judged) -> String {
    if !named.is_empty() {
        return named.to_owned();
    }
    judged
        .stops
        .last()
        .and_then(|code| feed.stops.get(&code.0))
        .map_or_else(String::new, |stop| stop.name.clone())
}

fn stops(feed: &Feed, company_zone: &Zone) -> Vec<PlanStop> {
    feed.stops
        .values()
        .filter(|stop| stop.boarding)
        .map(|stop| PlanStop {
            code: stop.code.clone(),
            name: stop.name.clone(),
            position: stop.position,
            fare_zone: stop.fare_zone.clone(),
            zone: stop.zone.clone().unwrap_or_else(|| company_zone.clone()),
        })
        .collect()
}

fn routes(
    feed: &Feed,
    options: &Options,
    patterns: &[PlanPattern],
) -> Result<Vec<PlanRoute>, GtfsError> {
    let known = |layout: &String| {
        if feed.layouts.by_id.contains_key(layout) {
            return Ok(());
        }
        let ids: Vec<&str> = feed.layouts.by_id.keys().map(String::as_str).collect();
        Err(GtfsError::Option(format!(
            "there is no seat layout {}; the feed offers {}",
            quote(layout),
            ids.join(", ")
        )))
    };
    if let Some(route) = options
        .layouts
        .keys()
        .find(|id| !feed.routes.contains_key(*id))
    {
        return Err(GtfsError::Option(format!(
            "a layout is given for route {}, which is not in routes.txt",
            quote(route)
        )));
    }
    options
        .layouts
        .values()
        .chain(&options.default_layout)
        .try_for_each(known)?;
    let used: BTreeSet<&str> = patterns.iter().map(|p| p.route_id.as_str()).collect();
    Ok(feed
        .routes
        .iter()
        .filter(|(id, _)| used.contains(id.as_str()) || feed.own.routes.contains_key(*id))
        .map(|(id, route)| {
            let layout = options
                .layouts
                .get(id)
                .or_else(|| feed.layouts.by_route.get(id))
                .or(options.default_layout.as_ref())
                .map_or(BUILT_IN_LAYOUT, String::as_str);
            let or = |name: &str, other: &str| {
                if name.is_empty() {
                    other.to_owned()
                } else {
                    name.to_owned()
                }
            };
            let short_name = or(&route.short_name, id);
            PlanRoute {
                id: id.clone(),
                long_name: or(&route.long_name, &short_name),
                short_name,
                route_type: route.kind.unwrap_or_default(),
                colour: route.colour.clone(),
                layout: layout.to_owned(),
                fare_table: feed.own.routes.get(id).unwrap_or(id).clone(),
            }
        })
        .collect())
}

fn used_layouts(feed: &Feed, routes: &[PlanRoute]) -> Vec<SeatLayout> {
    let used: BTreeSet<&str> = routes.iter().map(|r| r.layout.as_str()).collect();
    feed.layouts
        .by_id
        .values()
        .filter(|layout| used.contains(layout.id.as_str()))
        .cloned()
        .collect()
}

fn fare_tables(
    feed: &Feed,
    options: &Options,
    prices: &Prices<'_>,
    routes: &[PlanRoute],
    patterns: &[PlanPattern],
) -> Vec<FareTable> {
    let currency = feed.fares.currency.unwrap_or(options.currency);
    let tables: BTreeMap<&str, FareTable> = routes
        .iter()
        .map(|route| {
            let id = route.fare_table.as_str();
            let table = if feed.own.routes.contains_key(&route.id) {
                let exact = feed.own.fare_tables.get(id).cloned();
                exact.unwrap_or_else(|| FareTable {
                    id: id.to_owned(),
                    currency,
                    rows: vec![],
                })
            } else {
                let of_route = patterns.iter().filter(|p| p.route_id == route.id);
                prices.table(&route.id, of_route.map(|p| p.stops.as_slice()), currency)
            };
            (id, table)
        })
        .collect();
    tables.into_values().collect()
}
