//! Schedules become trips: again and again, changing only what changed.
//!
//! A trip is (schedule, service date, run). A changed rule changes trips on which nobody holds a
//! right; the others stay as they were sold and are named. A trip whose rule dropped it is
//! withdrawn where nothing was sold, and runs again when the rule takes it back. What has left,
//! or was cancelled by a person, stays.

use std::collections::BTreeMap;

use domain::ids::{CompanyId, LayoutVersion, TripId};
use domain::time::{Instant, ServiceDate};
use domain::trip::{Trip, TripStop};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::calendar::{Rule, moment};
use super::crew::Busy;
use super::db::{self, crew, plan as rows, schedules};
use super::schedules::{Schedule, ScheduleFilter};
use super::state::State;
use crate::audit::{self, Actor, Change};
use crate::company::trip_facts;
use crate::db::{Db, DbError};
use crate::sync::buckets;
use crate::tenant::TenantTx;

/// How long before departure a stop stops boarding, in ms.
const BOARDING_CLOSES_BEFORE_MS: i64 = 5 * 60 * 1000;
/// A stop where nobody may get on closes before any ticket can be sold.
const NEVER_BOARDS_MS: i64 = 0;
/// How many kept and skipped trips an answer names.
const NAMED_MAX: usize = 200;

/// A trip that stays as it is although its rule says otherwise, or one that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"schedule": "LUN-LVI-0600", "date": "2026-12-24", "trip": 4711,
    "why": "seats are leased or sold: it stays as it was"}))]
pub struct Exempt {
    /// The rule.
    pub schedule: String,
    /// The service day; absent where no day can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The trip's number, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip: Option<u64>,
    /// In words.
    pub why: String,
}

/// What an expansion did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(example = json!({"from": "2026-11-23", "until": "2026-12-06", "created": 14,
    "updated": 0, "unchanged": 28, "withdrawn": 1, "kept": [], "skipped": []}))]
pub struct Expanded {
    /// The first service day.
    pub from: String,
    /// The last.
    pub until: String,
    /// Trips that were not there before.
    pub created: usize,
    /// Trips that are different now, or run again.
    pub updated: usize,
    /// Trips as before.
    pub unchanged: usize,
    /// Unsold trips that no rule wants.
    pub withdrawn: usize,
    /// Trips that keep what was sold; at most 200 are named.
    pub kept: Vec<Exempt>,
    /// What could not be made; at most 200 are named.
    pub skipped: Vec<Exempt>,
}

impl Expanded {
    fn keep(&mut self, (schedule, date, _): &rows::Key, trip: TripId, why: &str) {
        if self.kept.len() < NAMED_MAX {
            self.kept.push(Exempt {
                schedule: schedule.clone(),
                date: Some(date.to_string()),
                trip: Some(trip.0),
                why: why.to_owned(),
            });
        }
    }

    fn skip(&mut self, schedule: &str, date: Option<ServiceDate>, why: impl Into<String>) {
        if self.skipped.len() < NAMED_MAX {
            self.skipped.push(Exempt {
                schedule: schedule.to_owned(),
                date: date.map(|d| d.to_string()),
                trip: None,
                why: why.into(),
            });
        }
    }
}

/// A trip as a rule wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) schedule: String,
    pub(super) run: String,
    pub(super) route_code: String,
    pub(super) closes_ms: Vec<i64>,
    pub(super) bus: Option<String>,
    pub(super) trip: Trip,
}

impl Wanted {
    pub(super) fn departs_at(&self) -> Instant {
        Busy::of(&self.trip).from
    }

    fn is(&self, made: &rows::Made) -> bool {
        self.trip == made.trip
            && self.closes_ms == made.closes_ms
            && self.route_code == made.route_code
            && (self.bus.is_none() || self.bus == made.bus)
    }
}

/// Expands a company's schedules for so many days from `from` on; today in its zone, and as
/// many as it is set to, where they are not given.
pub async fn expand(
    db: &Db,
    company: CompanyId,
    from: Option<ServiceDate>,
    days: Option<i16>,
    actor: Actor,
    now: Instant,
) -> Result<Expanded, DbError> {
    let mut tx = db.tenant(company).await?;
    let zone = db::lock_timetable(&mut tx).await?;
    let (_, settings) = db::settings(&mut tx).await?;
    let today = now.local_date(&zone);
    let today = today.ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let from = from.unwrap_or(today);
    let last = i32::from(days.unwrap_or(settings.expand_days)) - 1;
    let until = from.plus_days(last).unwrap_or(from);
    let mut done = Expanded {
        from: from.to_string(),
        until: until.to_string(),
        ..Expanded::default()
    };
    let wanted = wanted(&mut tx, from, until, &mut done).await?;
    write(&mut tx, wanted, (from, until), &mut done, now).await?;
    if done.created + done.updated + done.withdrawn > 0 {
        let change = Change {
            action: "schedule.expand",
            subject: "timetable",
            before: None,
            after: Some(json!({ "from": done.from, "until": done.until,
                "created": done.created, "updated": done.updated,
                "withdrawn": done.withdrawn })),
        };
        audit::note(&mut tx, actor, change, now).await?;
        tx.commit().await?;
    }
    Ok(done)
}

/// What all rules together want for these days.
async fn wanted(
    tx: &mut TenantTx,
    from: ServiceDate,
    until: ServiceDate,
    done: &mut Expanded,
) -> Result<Vec<Wanted>, DbError> {
    let active = ScheduleFilter {
        active: Some(true),
        ..ScheduleFilter::default()
    };
    let rules = schedules::list(tx, &active, "", i64::MAX).await?;
    let network = Network {
        routes: rows::routes(tx).await?,
        layouts: rows::layouts(tx).await?,
        buses: rows::buses(tx).await?,
    };
    let mut wanted = vec![];
    for (_, schedule) in rules {
        let rule = schedule.rule();
        let rule = rule.map_err(|_| DbError::damaged(format!("schedule {}", schedule.code)))?;
        let seats = match network.seats(&schedule) {
            Ok(seats) => seats,
            Err(why) => {
                done.skip(&schedule.code, None, why);
                continue;
            }
        };
        let mut day = Some(from);
        while let Some(date) = day.filter(|d| *d <= until) {
            if let Some(trip) = network.trip(&schedule, &rule, &seats, date) {
                wanted.push(trip);
            }
            day = date.plus_days(1);
        }
    }
    Ok(wanted)
}

/// A layout in its newest version.
struct Seats {
    layout: String,
    version: LayoutVersion,
    count: u16,
}

struct Network {
    routes: BTreeMap<String, rows::Route>,
    layouts: BTreeMap<String, (LayoutVersion, u16)>,
    buses: BTreeMap<String, String>,
}

impl Network {
    /// The seats that a rule's trips have, or why it has no trips.
    fn seats(&self, schedule: &Schedule) -> Result<Seats, String> {
        let route = self.routes.get(&schedule.route);
        let route = route.ok_or_else(|| format!("there is no route {:?}", schedule.route))?;
        if route.calls.len() < 2 {
            let why = "route has fewer than two stops with times: give it some";
            return Err(format!("the {why}"));
        }
        let layout = match &schedule.bus {
            Some(bus) => {
                let known = self.buses.get(bus);
                let own = known.ok_or_else(|| format!("bus {bus:?} is not in service"))?;
                if schedule.layout.as_ref().is_some_and(|l| l != own) {
                    return Err(format!("bus {bus:?} has the layout {own:?}"));
                }
                own
            }
            None => schedule.layout.as_ref().unwrap_or(&route.layout),
        };
        let newest = self.layouts.get(layout);
        let (version, count) =
            newest.ok_or_else(|| format!("there is no seat layout {layout:?}"))?;
        Ok(Seats {
            layout: layout.clone(),
            version: *version,
            count: *count,
        })
    }

    /// The trip of a rule on a day, without a number.
    fn trip(
        &self,
        schedule: &Schedule,
        rule: &Rule,
        seats: &Seats,
        date: ServiceDate,
    ) -> Option<Wanted> {
        let clock_s = rule.departs_on(date)?;
        let route = self.routes.get(&schedule.route)?;
        let leaves = moment(date, clock_s, &route.calls.first()?.zone)?;
        let last = route.calls.len() - 1;
        let mut stops = Vec::with_capacity(route.calls.len());
        let mut closes_ms = Vec::with_capacity(route.calls.len());
        for (place, call) in route.calls.iter().enumerate() {
            let departs = leaves.plus_ms(i64::from(call.departs_s) * 1000);
            closes_ms.push(if call.board && place < last {
                departs.plus_ms(-BOARDING_CLOSES_BEFORE_MS).0
            } else {
                NEVER_BOARDS_MS
            });
            stops.push(TripStop {
                code: call.code.clone(),
                name: call.name.clone(),
                zone: call.zone.clone(),
                arrives: leaves.plus_ms(i64::from(call.arrives_s) * 1000),
                departs,
            });
        }
        let headsign = if schedule.headsign.is_empty() {
            route.calls.last()?.name.clone()
        } else {
            schedule.headsign.clone()
        };
        Some(Wanted {
            schedule: schedule.code.clone(),
            run: schedule.run.clone(),
            route_code: schedule.route.clone(),
            closes_ms,
            bus: schedule.bus.clone(),
            trip: Trip {
                id: TripId(0),
                route: route.short_name.clone(),
                headsign,
                service_date: date,
                layout: seats.layout.clone(),
                layout_version: seats.version,
                seat_count: seats.count,
                fare_table: route.fare_table.clone(),
                currency: route.currency,
                stops,
                swaps: domain::swap::Swaps::NONE,
            },
        })
    }
}

async fn write(
    tx: &mut TenantTx,
    wanted: Vec<Wanted>,
    (from, until): (ServiceDate, ServiceDate),
    done: &mut Expanded,
    now: Instant,
) -> Result<(), DbError> {
    let mut made = rows::made(tx, from, until).await?;
    let mut news = vec![];
    for mut trip in wanted {
        let key = (
            trip.schedule.clone(),
            trip.trip.service_date,
            trip.run.clone(),
        );
        let Some(known) = made.remove(&key) else {
            // What would have left already is not made any more.
            if trip.departs_at() > now {
                rows::insert(tx, &mut trip).await?;
                give_bus(tx, &trip, done).await?;
                news.extend(trip_facts(&trip.trip));
                done.created += 1;
            }
            continue;
        };
        trip.trip.id = known.trip.id;
        let settled = known.state != State::Scheduled && !known.withdrawn;
        let past = Busy::of(&known.trip).from <= now || trip.departs_at() <= now;
        if settled || past || (trip.is(&known) && !known.withdrawn) {
            done.unchanged += 1;
        } else if rows::lock_has_rights(tx, known.trip.id).await? {
            done.keep(
                &key,
                known.trip.id,
                "seats are leased or sold: it stays as it was",
            );
        } else {
            change(tx, &trip, &known, done).await?;
            news.extend(trip_facts(&trip.trip));
            done.updated += 1;
        }
    }
    for (key, known) in made {
        let to_come = known.state == State::Scheduled && Busy::of(&known.trip).from > now;
        if !to_come {
            continue;
        }
        if rows::lock_has_rights(tx, known.trip.id).await? {
            let why = "no rule wants it any more, but seats are leased or sold: cancel it";
            done.keep(&key, known.trip.id, why);
            continue;
        }
        rows::withdraw(tx, known.trip.id).await?;
        let busy = Busy::of(&known.trip);
        crew::put_bus(tx, known.trip.id, None, busy).await?;
        crew::put_crew(tx, known.trip.id, &[], busy).await?;
        done.withdrawn += 1;
    }
    buckets::publish_all(tx, news).await
}

/// Writes over an unsold trip. Its crew stays while the times do.
async fn change(
    tx: &mut TenantTx,
    trip: &Wanted,
    known: &rows::Made,
    done: &mut Expanded,
) -> Result<(), DbError> {
    rows::update(tx, trip).await?;
    let busy = Busy::of(&trip.trip);
    if busy != Busy::of(&known.trip) {
        crew::put_crew(tx, trip.trip.id, &[], busy).await?;
        crew::put_bus(tx, trip.trip.id, None, busy).await?;
    }
    give_bus(tx, trip, done).await
}

/// The bus of the rule, unless it is somewhere else at that time.
async fn give_bus(tx: &mut TenantTx, trip: &Wanted, done: &mut Expanded) -> Result<(), DbError> {
    let Some(bus) = &trip.bus else { return Ok(()) };
    let busy = Busy::of(&trip.trip);
    match crew::bus_elsewhere(tx, bus, busy, trip.trip.id).await? {
        Some(other) => {
            let why = format!("made without its bus: {bus} runs trip {other} at that time");
            done.skip(&trip.schedule, Some(trip.trip.service_date), why);
            Ok(())
        }
        None => crew::put_bus(tx, trip.trip.id, Some(bus), busy).await,
    }
}
