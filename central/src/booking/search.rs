//! Search: from a place to a place on a day, over all companies.
//!
//! What the public may see is laid out in tables of its own (`search_*`), which hold no personal
//! data and no tenant. A trip that changes is marked behind in the same transaction; the first
//! who searches afterwards, or the job, lays it out again.

mod connect;
mod db;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::CompanyId;
use domain::money::Minor;
use domain::passenger::PassengerClass;
use domain::time::{Instant, ServiceDate};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use self::connect::{Piece, Wait, connect};
pub(super) use self::db::{Call, Place, Ride};
use self::db::{Ends, Operator};
use super::catalog::{Catalog, PriceKey, day};
use super::decide::{CONNECTION_MIN_MS, Journey, Price, Wish};
use super::prices::{self, PricedTrip};
use crate::db::{Db, DbError};
use crate::http::Api;
use crate::pricing::Channel;
use crate::worker::{Job, Progress};

/// Stops that one text may mean.
const PLACES_MAX: i64 = 20;
/// A stop whose name is less like the text than this is not meant, 0 to 1.
const ALIKE_MIN: f32 = 0.35;
/// Of stops that are only alike, those nearly as much so as the best one count too.
const ALIKE_SLACK: f32 = 0.08;
/// Departures of one answer.
const RIDES_MAX: i64 = 100;
/// Rows looked at for journeys with a change, per side.
const PIECES_MAX: i64 = 2_000;
/// Journeys with a change of one answer.
const CHANGES_MAX: usize = 10;
/// Nobody waits longer for a second bus, in ms.
const WAIT_MAX_MS: i64 = 6 * 3_600_000;
/// Trips laid out by one piece of work.
const BATCH: i64 = 500;
/// Pieces of work that one who searches does at most.
const PIECES_OF_WORK_MAX: usize = 4;
const KEEP_STEP_EVERY: Duration = Duration::from_secs(1);

/// What is searched for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) date: ServiceDate,
    pub(super) passengers: Vec<PassengerClass>,
    /// Journeys with a change too; without it only where no bus goes all the way.
    pub(super) changes: bool,
}

/// A bus with what it costs.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) ride: Ride,
    pub(super) company: String,
    pub(super) seats_left: i64,
    /// What all passengers pay; `None` where the company sells no such ticket.
    pub(super) price: Option<Minor>,
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) from: Vec<Place>,
    pub(super) to: Vec<Place>,
    pub(super) departures: Vec<Offer>,
    pub(super) connections: Vec<[Offer; 2]>,
}

/// Why nothing was searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoSearch {
    /// No stop is called anything like this.
    UnknownPlace(String),
}

/// Keeps search in step with the trips.
pub(super) fn job() -> Job {
    Job {
        name: "search",
        every: KEEP_STEP_EVERY,
        run: |api| Box::pin(async move { Ok(keep_step(&api.db).await?) }),
    }
}

/// Lays out a batch of changed trips per company.
pub(super) async fn keep_step(db: &Db) -> Result<Progress, DbError> {
    let behind = db::behind(&mut *db.pool().acquire().await?).await?;
    catch_up(db, &behind).await
}

async fn catch_up(db: &Db, behind: &[CompanyId]) -> Result<Progress, DbError> {
    let mut progress = Progress::Idle;
    for company in behind.iter().copied() {
        let mut tx = db.tenant(company).await?;
        let trips = db::take_behind(&mut tx, BATCH).await?;
        db::put(&mut tx, &trips).await?;
        tx.commit().await?;
        if !trips.is_empty() {
            progress = Progress::More;
        }
    }
    Ok(progress)
}

/// The stops that a text means: by code, by name, by the beginning of a name, or alike.
async fn meant(
    conn: &mut PgConnection,
    catalog: &Catalog,
    text: &str,
) -> Result<Arc<Vec<Place>>, DbError> {
    if let Some(places) = catalog.meaning(text) {
        return Ok(places);
    }
    let mut places = db::places(conn, text, PLACES_MAX).await?;
    let best = places.first().map_or(0.0, |p| p.rank);
    // A rank from 1 on is a kind of match of its own; below it is likeness.
    let least = if best > 1.0 {
        best
    } else {
        (best - ALIKE_SLACK).max(ALIKE_MIN)
    };
    places.retain(|p| p.rank >= least);
    let places = Arc::new(places);
    // A place that is not there may be there in a moment.
    if !places.is_empty() {
        catalog.keep_meaning(text, Arc::clone(&places));
    }
    Ok(places)
}

/// The stops that a beginning may become, for completion as it is typed.
pub(super) async fn completions(db: &Db, text: &str, most: i64) -> Result<Vec<Place>, DbError> {
    let mut conn = db.pool().acquire().await?;
    let mut places = db::places(&mut conn, text, most.saturating_mul(4)).await?;
    places.retain(|p| p.rank >= ALIKE_MIN);
    // Companies call at the same places.
    let mut seen = std::collections::BTreeSet::new();
    places.retain(|p| seen.insert((p.name.to_lowercase(), p.code.clone())));
    places.truncate(usize::try_from(most).unwrap_or(0));
    Ok(places)
}

/// Buses from a place to a place on a day.
pub(super) async fn search(
    api: &Api,
    asked: &Asked,
    now: Instant,
) -> Result<Result<Found, NoSearch>, DbError> {
    let db = &api.db;
    // One connection for all that is read: each way to the pool costs a question of its own.
    let mut conn = db.pool().acquire().await?;
    for _ in 0..PIECES_OF_WORK_MAX {
        let behind = db::behind(&mut conn).await?;
        if behind.is_empty() {
            break;
        }
        // Who waits for a second connection must not sit on a first.
        drop(conn);
        let progress = catch_up(db, &behind).await?;
        conn = db.pool().acquire().await?;
        if progress == Progress::Idle {
            break;
        }
    }
    let from = meant(&mut conn, db.catalog(), &asked.from).await?;
    let to = meant(&mut conn, db.catalog(), &asked.to).await?;
    for (places, text) in [(&from, &asked.from), (&to, &asked.to)] {
        if places.is_empty() {
            return Ok(Err(NoSearch::UnknownPlace(text.clone())));
        }
    }
    let when = (asked.date, now);
    let mut direct = db::rides(&mut conn, Ends::Both, (&from, &to), when, RIDES_MAX).await?;
    // A loop may call at a place twice: the first call counts.
    let mut seen = std::collections::BTreeSet::new();
    direct.retain(|r| seen.insert(r.trip));
    let pairs = if asked.changes || direct.is_empty() {
        changes(&mut conn, (&from, &to), when).await?
    } else {
        vec![]
    };
    let rides: Vec<Ride> = direct
        .iter()
        .chain(pairs.iter().flatten())
        .cloned()
        .collect();
    let mut offers = offers(db, conn, rides, (&asked.passengers, now))
        .await?
        .into_iter();
    let departures: Vec<Offer> = offers.by_ref().take(direct.len()).collect();
    let mut connections = vec![];
    while let Some((first, second)) = offers.next().zip(offers.next()) {
        connections.push([first, second]);
    }
    Ok(Ok(Found {
        from: from.to_vec(),
        to: to.to_vec(),
        departures,
        connections,
    }))
}

async fn changes(
    conn: &mut PgConnection,
    (from, to): (&[Place], &[Place]),
    when: (ServiceDate, Instant),
) -> Result<Vec<[Ride; 2]>, DbError> {
    let firsts = db::rides(conn, Ends::Begin, (from, to), when, PIECES_MAX).await?;
    let seconds = db::rides(conn, Ends::End, (from, to), when, PIECES_MAX).await?;
    let begin: Vec<Piece<'_>> = firsts
        .iter()
        .map(|ride| Piece {
            trip: ride.trip,
            change: (ride.operator.0, ride.to.code.0.as_str()),
            departs: ride.from.at,
            arrives: ride.to.at,
        })
        .collect();
    let end: Vec<Piece<'_>> = seconds
        .iter()
        .map(|ride| Piece {
            trip: ride.trip,
            change: (ride.operator.0, ride.from.code.0.as_str()),
            departs: ride.from.at,
            arrives: ride.to.at,
        })
        .collect();
    let wait = Wait {
        min_ms: CONNECTION_MIN_MS,
        max_ms: WAIT_MAX_MS,
    };
    Ok(connect(&begin, &end, wait, CHANGES_MAX)
        .into_iter()
        .filter_map(|(i, j)| Some([firsts.get(i)?.clone(), seconds.get(j)?.clone()]))
        .collect())
}

/// Seats and prices of rides.
async fn offers(
    db: &Db,
    mut conn: PoolConnection<Postgres>,
    rides: Vec<Ride>,
    (passengers, now): (&[PassengerClass], Instant),
) -> Result<Vec<Offer>, DbError> {
    if rides.is_empty() {
        return Ok(vec![]);
    }
    let taken = db::taken(&mut conn, &rides.iter().collect::<Vec<_>>()).await?;
    let mut ids: Vec<_> = rides.iter().map(|r| r.operator.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let operators: BTreeMap<CompanyId, Operator> = db::operators(&mut conn, &ids)
        .await?
        .into_iter()
        .map(|o| (o.id, o))
        .collect();
    // A price that is not known takes a connection of its own.
    drop(conn);
    let mut offers = Vec::with_capacity(rides.len());
    for (ride, taken) in rides.into_iter().zip(taken) {
        let Some(operator) = operators.get(&ride.operator) else {
            continue;
        };
        let price = price(db, &ride, operator, passengers, now).await?;
        offers.push(Offer {
            company: operator.name.clone(),
            seats_left: if ride.frozen {
                0
            } else {
                i64::from(ride.seat_count) - taken
            },
            price,
            ride,
        });
    }
    Ok(offers)
}

/// What all passengers of a ride pay.
async fn price(
    db: &Db,
    ride: &Ride,
    operator: &Operator,
    passengers: &[PassengerClass],
    now: Instant,
) -> Result<Option<Minor>, DbError> {
    let key = |class: PassengerClass| PriceKey {
        company: (ride.operator, operator.price_version),
        table: ride.fare_table.clone(),
        route: ride.route_code.clone(),
        from: ride.from.code.clone(),
        to: ride.to.code.clone(),
        class,
        channel: Channel::Online,
        days: [
            day(ride.from.at.local_date(&ride.from.zone)),
            day(now.local_date(&ride.from.zone)),
            day(now.local_date(&operator.zone)),
        ],
    };
    let known: Option<Vec<Price>> = passengers
        .iter()
        .map(|class| db.catalog().price(&key(*class)))
        .collect();
    let prices = match known {
        Some(prices) => prices,
        None => match looked_up(db, ride, operator, passengers, now).await? {
            Some(prices) => prices,
            None => return Ok(None),
        },
    };
    Ok(Minor::checked_sum(prices.iter().map(|p| {
        Minor(p.fare_minor.0.saturating_sub(p.discount_minor.0))
    })))
}

async fn looked_up(
    db: &Db,
    ride: &Ride,
    operator: &Operator,
    passengers: &[PassengerClass],
    now: Instant,
) -> Result<Option<Vec<Price>>, DbError> {
    let mut tx = db.tenant(ride.operator).await?;
    let Some(facts) = super::db::trip_facts(&mut tx, ride.trip).await? else {
        return Ok(None);
    };
    let journey = Journey {
        trip: ride.trip,
        from: ride.from.code.clone(),
        to: ride.to.code.clone(),
        passengers: passengers.iter().copied().map(Wish::any).collect(),
    };
    let of = PricedTrip {
        trip: &facts.trip,
        route: &facts.route_code,
        zone: &operator.zone,
        price_version: operator.price_version,
    };
    let asked = prices::Asked {
        journeys: std::slice::from_ref(&journey),
        voucher: None,
        channel: Channel::Online,
    };
    let found = prices::priced(&mut tx, &[of], asked, now).await?;
    Ok(found.ok().map(|p| p.each))
}
