//! Writing a GTFS plan into the database: again and again, changing only what changed.

use std::collections::{BTreeMap, BTreeSet};

use domain::fare::FareTable;
use domain::ids::{CompanyId, LayoutVersion, TripId};
use domain::layout::SeatLayout;
use domain::money::Currency;
use domain::time::ServiceDate;
use domain::trip::{Trip, TripStop};
use serde::Serialize;
use sync_protocol::{BucketId, Item};

use super::db::{self, StoredTrip};
use super::routes::{RouteStop, stops_fault};
use crate::db::{Db, DbError};
use crate::gtfs::{Plan, PlanPattern, PlanRoute, PlanRun, PlanStop};
use crate::pricing::fares;
use crate::sync::buckets::{self, Publication};
use crate::tenant::TenantTx;

/// How long before departure a stop stops boarding, in ms.
const BOARDING_CLOSES_BEFORE_MS: i64 = 5 * 60 * 1000;
/// A stop where nobody may get on closes before any ticket can be sold.
const NEVER_BOARDS_MS: i64 = 0;
/// Trips written by one statement.
const TRIPS_PER_STATEMENT: usize = 500;

/// What an import did to one kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Not there before.
    pub created: usize,
    /// There before, different now.
    pub updated: usize,
    /// As before.
    pub unchanged: usize,
}

/// What an import did to the trips of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TripChanges {
    /// Not there before.
    pub created: usize,
    /// There before, different now.
    pub updated: usize,
    /// As before.
    pub unchanged: usize,
    /// Keep a seat layout that the feed has changed, because seats are leased or sold.
    pub kept: usize,
    /// In the window, but not in the feed; they stay.
    pub not_in_feed: usize,
}

/// A trip whose layout stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptTrip {
    /// Its number.
    pub trip: u64,
    /// In words.
    pub why: String,
}

/// What an import did to the database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Applied {
    /// Stops.
    pub stops: Counts,
    /// Seat layouts; a changed one is a new version, and counts as created.
    pub layouts: Counts,
    /// Fare tables.
    pub fare_tables: Counts,
    /// Routes.
    pub routes: Counts,
    /// Roads of stop sequences; those that the feed does not draw stay.
    pub shapes: Counts,
    /// Trips of the window.
    pub trips: TripChanges,
    /// One entry per kept trip.
    pub kept: Vec<KeptTrip>,
}

/// Why a plan could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TimetableError {
    /// The plan names something that it does not hold.
    #[error("the feed's plan has no {what} {id}: report this with the feed")]
    Dangling {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A time that no calendar has.
    #[error("trip {run} on {date} leaves the calendar")]
    OffCalendar {
        /// The run.
        run: String,
        /// The service day.
        date: ServiceDate,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// One trip as a row.
pub(super) struct TripRow {
    pub(super) pattern_key: String,
    pub(super) run: String,
    pub(super) route_code: String,
    pub(super) boarding_closes_ms: Vec<i64>,
    pub(super) trip: Trip,
}

impl TripRow {
    pub(super) fn departs_at_ms(&self) -> i64 {
        self.trip.stops.first().map_or(0, |s| s.departs.0)
    }

    /// In Postgres's notation for an array.
    pub(super) fn closes_as_array(&self) -> String {
        let times: Vec<String> = self.boarding_closes_ms.iter().map(i64::to_string).collect();
        format!("{{{}}}", times.join(","))
    }
}

/// Writes a plan in one transaction, and publishes what changed to the nodes.
pub async fn apply(db: &Db, company: CompanyId, plan: &Plan) -> Result<Applied, TimetableError> {
    let mut tx = db.tenant(company).await?;
    db::lock_company(&mut tx).await?;
    db::settings::set_timetable_zone(&mut tx, plan.company.zone.as_str()).await?;
    let mut applied = Applied {
        stops: db::upsert_stops(&mut tx, &plan.stops).await?,
        ..Applied::default()
    };
    let mut news = vec![];
    let layouts = write_layouts(&mut tx, plan, &mut applied, &mut news).await?;
    write_fares(&mut tx, plan, &mut applied, &mut news).await?;
    applied.routes = db::upsert_routes(&mut tx, &plan.routes).await?;
    applied.shapes = db::shapes::upsert(&mut tx, &plan.shapes).await?;
    write_route_stops(&mut tx, plan).await?;
    let network = Network::of(plan, &layouts);
    write_trips(&mut tx, plan, &network, &mut applied, &mut news).await?;
    buckets::publish_all(&mut tx, news).await?;
    tx.commit().await?;
    Ok(applied)
}

/// The layouts as they stand in the database afterwards, by id.
async fn write_layouts(
    tx: &mut TenantTx,
    plan: &Plan,
    applied: &mut Applied,
    news: &mut Vec<Publication>,
) -> Result<BTreeMap<String, SeatLayout>, TimetableError> {
    let ids: Vec<String> = plan.layouts.iter().map(|l| l.id.clone()).collect();
    let stored = db::stored_layouts(tx, &ids).await?;
    let mut in_force = BTreeMap::new();
    for layout in &plan.layouts {
        let versions: Vec<&SeatLayout> = stored.iter().filter(|s| s.id == layout.id).collect();
        let same = versions.iter().find(|s| s.seats == layout.seats);
        let layout = if let Some(same) = same {
            applied.layouts.unchanged += 1;
            (*same).clone()
        } else {
            let fresh = with_free_version(layout, &versions);
            let decks = plan.deck_rows.get(&fresh.id).map_or(&[][..], Vec::as_slice);
            db::layouts::insert(tx, &fresh, decks).await?;
            applied.layouts.created += 1;
            news.push(Publication {
                bucket: BucketId::Company.name(),
                key: format!("layout:{}:{}", fresh.id, fresh.version),
                item: Item::Layout(fresh.clone()),
            });
            fresh
        };
        in_force.insert(layout.id.clone(), layout);
    }
    Ok(in_force)
}

/// A version means one numbering for ever: a changed layout under a used number gets the next.
fn with_free_version(layout: &SeatLayout, stored: &[&SeatLayout]) -> SeatLayout {
    let mut fresh = layout.clone();
    if stored.iter().any(|s| s.version == layout.version) {
        let last = stored.iter().map(|s| s.version.0).max().unwrap_or(0);
        fresh.version = LayoutVersion(last.saturating_add(1));
    }
    fresh
}

async fn write_fares(
    tx: &mut TenantTx,
    plan: &Plan,
    applied: &mut Applied,
    news: &mut Vec<Publication>,
) -> Result<(), TimetableError> {
    for table in &plan.fare_tables {
        let Some(imported) = fares::import_table(tx, table).await? else {
            applied.fare_tables.unchanged += 1;
            continue;
        };
        if imported.created {
            applied.fare_tables.created += 1;
        } else {
            applied.fare_tables.updated += 1;
        }
        news.push(fares::fact(imported.table));
    }
    Ok(())
}

/// Gives routes without stops those of their longest pattern, so that schedules can be made of
/// them; a route whose stops somebody set keeps them.
async fn write_route_stops(tx: &mut TenantTx, plan: &Plan) -> Result<(), TimetableError> {
    let codes: Vec<String> = plan.routes.iter().map(|r| r.id.clone()).collect();
    for code in db::routes::without_stops(tx, &codes).await? {
        let Some(stops) = stops_of_route(plan, &code) else {
            continue;
        };
        db::routes::insert_stops(tx, &code, &stops).await?;
    }
    Ok(())
}

/// The stops and run times of the first run of a route's longest pattern; `None` where these are
/// none that a route may have.
fn stops_of_route(plan: &Plan, code: &str) -> Option<Vec<RouteStop>> {
    if let Some(stops) = plan.route_stops.get(code) {
        return Some(stops.clone());
    }
    // The first in the order of the feed's trip names where several are as long.
    let run_of = |p: &&PlanPattern| {
        let runs = plan.runs.iter().filter(|r| r.pattern == p.key);
        runs.map(|r| r.run.as_str()).min()
    };
    let patterns = plan.patterns.iter().filter(|p| p.route_id == code);
    let pattern = patterns.max_by_key(|p| (p.stops.len(), std::cmp::Reverse(run_of(p))))?;
    let first = run_of(&pattern)?;
    let run = plan
        .runs
        .iter()
        .find(|r| r.pattern == pattern.key && r.run == first)?;
    let start_s = run.calls.first()?.departs_s;
    let after = |secs: u32| i32::try_from(secs.saturating_sub(start_s)).unwrap_or(0);
    let calls = pattern.stops.iter().zip(&run.calls);
    let stops: Vec<RouteStop> = calls
        .map(|(stop, call)| RouteStop {
            stop: stop.0.clone(),
            arrives_s: after(call.arrives_s),
            departs_s: after(call.departs_s),
            board: call.board,
        })
        .collect();
    stops_fault(&stops).is_none().then_some(stops)
}

/// The plan laid out for look-up.
struct Network<'p> {
    stops: BTreeMap<&'p str, &'p PlanStop>,
    routes: BTreeMap<&'p str, &'p PlanRoute>,
    patterns: BTreeMap<[u8; 16], &'p PlanPattern>,
    fares: BTreeMap<&'p str, &'p FareTable>,
    layouts: &'p BTreeMap<String, SeatLayout>,
    plan: &'p Plan,
}

fn found<T>(what: &'static str, id: &str, thing: Option<T>) -> Result<T, TimetableError> {
    thing.ok_or_else(|| TimetableError::Dangling {
        what,
        id: id.to_owned(),
    })
}

impl<'p> Network<'p> {
    fn of(plan: &'p Plan, layouts: &'p BTreeMap<String, SeatLayout>) -> Self {
        Self {
            stops: plan.stops.iter().map(|s| (s.code.0.as_str(), s)).collect(),
            routes: plan.routes.iter().map(|r| (r.id.as_str(), r)).collect(),
            patterns: plan.patterns.iter().map(|p| (p.key.0, p)).collect(),
            fares: plan
                .fare_tables
                .iter()
                .map(|f| (f.id.as_str(), f))
                .collect(),
            layouts,
            plan,
        }
    }

    /// The row of a run on a day; its number is filled in by the caller.
    fn row(&self, run: &PlanRun, date: ServiceDate) -> Result<TripRow, TimetableError> {
        let key = run.pattern.to_string();
        let pattern = found("pattern", &key, self.patterns.get(&run.pattern.0))?;
        let route = found(
            "route",
            &pattern.route_id,
            self.routes.get(pattern.route_id.as_str()),
        )?;
        let layout = found("layout", &route.layout, self.layouts.get(&route.layout))?;
        let fares = self.fares.get(route.fare_table.as_str());
        let mut stops = Vec::with_capacity(pattern.stops.len());
        let mut boarding_closes_ms = Vec::with_capacity(pattern.stops.len());
        for (code, call) in pattern.stops.iter().zip(&run.calls) {
            let stop = found("stop", &code.0, self.stops.get(code.0.as_str()))?;
            let at = |secs: u32| {
                date.instant_at(i64::from(secs), &self.plan.company.zone)
                    .ok_or_else(|| TimetableError::OffCalendar {
                        run: run.run.clone(),
                        date,
                    })
            };
            let (arrives, departs) = (at(call.arrives_s)?, at(call.departs_s)?);
            boarding_closes_ms.push(if call.board {
                departs.plus_ms(-BOARDING_CLOSES_BEFORE_MS).0
            } else {
                NEVER_BOARDS_MS
            });
            stops.push(TripStop {
                code: code.clone(),
                name: stop.name.clone(),
                zone: stop.zone.clone(),
                arrives,
                departs,
            });
        }
        let trip = Trip {
            id: TripId(0),
            route: route.short_name.clone(),
            headsign: run.headsign.clone(),
            service_date: date,
            layout: layout.id.clone(),
            layout_version: layout.version,
            seat_count: layout.seat_count(),
            fare_table: route.fare_table.clone(),
            currency: fares.map_or(Currency::ZMW, |f| f.currency),
            stops,
            swaps: domain::swap::Swaps::NONE,
        };
        Ok(TripRow {
            pattern_key: key,
            run: run.run.clone(),
            route_code: route.id.clone(),
            boarding_closes_ms,
            trip,
        })
    }
}

async fn write_trips(
    tx: &mut TenantTx,
    plan: &Plan,
    network: &Network<'_>,
    applied: &mut Applied,
    news: &mut Vec<Publication>,
) -> Result<(), TimetableError> {
    let until = plan.from.plus_days(i32::from(plan.days) - 1);
    let mut stored = db::lock_trips(tx, plan.from, until.unwrap_or(plan.from)).await?;
    let (mut fresh, mut changed) = (vec![], vec![]);
    for (run, date) in plan.trips() {
        let mut row = network.row(run, date)?;
        let key = (row.pattern_key.clone(), date, row.run.clone());
        let Some(known) = stored.remove(&key) else {
            fresh.push(row);
            continue;
        };
        row.trip.id = known.trip.id;
        keep_what_was_sold(&mut row, &known, applied);
        let same = row.trip == known.trip
            && row.route_code == known.route_code
            && row.boarding_closes_ms == known.boarding_closes_ms;
        if same {
            applied.trips.unchanged += 1;
        } else {
            applied.trips.updated += 1;
            changed.push(row);
        }
    }
    applied.trips.created = fresh.len();
    applied.trips.not_in_feed = stored.len();
    let ids = db::fresh_trip_ids(tx, fresh.len()).await?;
    for (row, id) in fresh.iter_mut().zip(ids) {
        row.trip.id = id;
    }
    changed.append(&mut fresh);
    for rows in changed.chunks(TRIPS_PER_STATEMENT) {
        db::upsert_trips(tx, rows).await?;
    }
    news.extend(changed.iter().flat_map(|row| trip_facts(&row.trip)));
    Ok(())
}

/// The seats of a trip with leases or tickets stay as they were numbered.
fn keep_what_was_sold(row: &mut TripRow, known: &StoredTrip, applied: &mut Applied) {
    let same = row.trip.layout == known.trip.layout
        && row.trip.layout_version == known.trip.layout_version
        && row.trip.seat_count == known.trip.seat_count;
    let swapped = !known.trip.swaps.is_empty();
    if swapped {
        row.trip.swaps = known.trip.swaps.clone();
    }
    if same || !(known.has_rights || swapped) {
        return;
    }
    applied.trips.kept += 1;
    applied.kept.push(KeptTrip {
        trip: known.trip.id.0,
        why: format!(
            "seats are leased or sold, so it stays on layout {} version {} and does not take {} \
             version {}",
            known.trip.layout, known.trip.layout_version, row.trip.layout, row.trip.layout_version
        ),
    });
    row.trip.layout.clone_from(&known.trip.layout);
    row.trip.layout_version = known.trip.layout_version;
    row.trip.seat_count = known.trip.seat_count;
}

/// The trip as a fact of its own bucket and of every station that it calls at.
pub(crate) fn trip_facts(trip: &Trip) -> Vec<Publication> {
    let codes: BTreeSet<_> = trip.stops.iter().map(|s| &s.code).collect();
    codes
        .into_iter()
        .map(|code| BucketId::Station(code.clone()).name())
        .chain([buckets::trip_bucket(trip.id)])
        .map(|bucket| Publication {
            bucket,
            key: format!("trip:{}", trip.id),
            item: Item::Trip(trip.clone()),
        })
        .collect()
}
