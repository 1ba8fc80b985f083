//! What schedules become trips of, and those trips.

use std::collections::BTreeMap;

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{LayoutVersion, StopCode, TripId};
use domain::money::Currency;
use domain::time::{ServiceDate, Zone};
use domain::trip::Trip;

use super::zone_of;
use crate::db::DbError;
use crate::operations::expand::Wanted;
use crate::operations::state::State;
use crate::tenant::TenantTx;

/// A stop of a route.
pub(in crate::operations) struct Call {
    pub(in crate::operations) code: StopCode,
    pub(in crate::operations) name: String,
    pub(in crate::operations) zone: Zone,
    /// After the departure from the first stop.
    pub(in crate::operations) arrives_s: i32,
    pub(in crate::operations) departs_s: i32,
    pub(in crate::operations) board: bool,
}

/// A route, as far as its trips need it.
pub(in crate::operations) struct Route {
    pub(in crate::operations) short_name: String,
    pub(in crate::operations) layout: String,
    pub(in crate::operations) fare_table: String,
    pub(in crate::operations) currency: Currency,
    pub(in crate::operations) calls: Vec<Call>,
}

/// Every route that a schedule names, by code.
pub(in crate::operations) async fn routes(
    tx: &mut TenantTx,
) -> Result<BTreeMap<String, Route>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT r.route_code, r.short_name, r.layout_id, r.fare_table_id,
               coalesce(f.currency, c.currency) AS "currency!"
           FROM route r JOIN company c USING (company_id)
           LEFT JOIN fare_table f USING (company_id, fare_table_id)
           WHERE r.company_id = $1 AND EXISTS (SELECT FROM schedule s
               WHERE s.company_id = r.company_id AND s.route_code = r.route_code)"#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let mut routes = BTreeMap::new();
    for r in rows {
        let currency = r.currency.parse();
        let named = !r.short_name.is_empty();
        let route = Route {
            short_name: if named {
                r.short_name
            } else {
                r.route_code.clone()
            },
            layout: r.layout_id,
            fare_table: r.fare_table_id,
            currency: currency.map_err(|_| DbError::damaged("a currency"))?,
            calls: vec![],
        };
        routes.insert(r.route_code, route);
    }
    let calls = sqlx::query!(
        "SELECT w.route_code, w.stop_code, s.name, s.zone, w.arrives_s, w.departs_s, w.board
         FROM route_stop w JOIN stop s USING (company_id, stop_code)
         WHERE w.company_id = $1 ORDER BY w.route_code, w.stop_no",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    for c in calls {
        if let Some(route) = routes.get_mut(&c.route_code) {
            route.calls.push(Call {
                code: StopCode(c.stop_code),
                name: c.name,
                zone: zone_of(&c.zone)?,
                arrives_s: c.arrives_s,
                departs_s: c.departs_s,
                board: c.board,
            });
        }
    }
    Ok(routes)
}

/// The newest version and number of seats of each layout.
pub(in crate::operations) async fn layouts(
    tx: &mut TenantTx,
) -> Result<BTreeMap<String, (LayoutVersion, u16)>, DbError> {
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (layout_id) layout_id, version, seat_count FROM seat_layout
         WHERE company_id = $1 ORDER BY layout_id, version DESC",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let newest = rows.into_iter().map(|r| {
        let seats = (LayoutVersion(r.version as u32), r.seat_count as u16);
        (r.layout_id, seats)
    });
    Ok(newest.collect())
}

/// The layout of each bus that can be sent out.
pub(in crate::operations) async fn buses(
    tx: &mut TenantTx,
) -> Result<BTreeMap<String, String>, DbError> {
    let rows = sqlx::query!(
        "SELECT registration, layout_id FROM bus WHERE company_id = $1 AND state = 'in_service'",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.registration, r.layout_id))
        .collect())
}

/// A trip that a schedule made.
pub(in crate::operations) struct Made {
    pub(in crate::operations) trip: Trip,
    pub(in crate::operations) route_code: String,
    pub(in crate::operations) closes_ms: Vec<i64>,
    pub(in crate::operations) state: State,
    pub(in crate::operations) withdrawn: bool,
    pub(in crate::operations) bus: Option<String>,
}

/// What a trip of a schedule is known by: schedule, day, run.
pub(in crate::operations) type Key = (String, ServiceDate, String);

/// Trips that schedules made for these days.
pub(in crate::operations) async fn made(
    tx: &mut TenantTx,
    from: ServiceDate,
    until: ServiceDate,
) -> Result<BTreeMap<Key, Made>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT t.trip_id, t.schedule_code AS "schedule_code!", t.run, t.route_code, t.state,
               t.withdrawn, t.boarding_closes_ms, t.body, b.registration AS "registration?"
           FROM trip t LEFT JOIN trip_bus b USING (company_id, trip_id)
           WHERE t.company_id = $1 AND t.schedule_code IS NOT NULL
               AND t.service_date BETWEEN $2::text::date AND $3::text::date"#,
        tx.company().0,
        from.to_string(),
        until.to_string()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("trip {}", r.trip_id));
            let trip: Trip = from_cbor(&r.body).map_err(|_| damaged())?;
            let key = (r.schedule_code, trip.service_date, r.run);
            let made = Made {
                state: State::of(&r.state).ok_or_else(damaged)?,
                route_code: r.route_code,
                closes_ms: r.boarding_closes_ms,
                withdrawn: r.withdrawn,
                bus: r.registration,
                trip,
            };
            Ok((key, made))
        })
        .collect()
}

/// Locks a trip and says whether anybody holds a right on it, as the look after the lock has it.
pub(in crate::operations) async fn lock_has_rights(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<bool, DbError> {
    let id = trip.0 as i64;
    sqlx::query!(
        "SELECT trip_id FROM trip WHERE company_id = $1 AND trip_id = $2 FOR UPDATE",
        tx.company().0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let any = sqlx::query_scalar!(
        r#"SELECT (EXISTS (SELECT FROM lease WHERE company_id = $1 AND trip_id = $2)
               OR EXISTS (SELECT FROM ticket WHERE company_id = $1 AND trip_id = $2)
               OR EXISTS (SELECT FROM claim WHERE company_id = $1 AND trip_id = $2)) AS "any!""#,
        tx.company().0,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(any)
}

pub(in crate::operations) async fn insert(
    tx: &mut TenantTx,
    wanted: &mut Wanted,
) -> Result<(), DbError> {
    let id = sqlx::query_scalar!(
        r#"SELECT nextval(pg_get_serial_sequence('trip', 'trip_id')) AS "id!""#
    )
    .fetch_one(tx.conn())
    .await?;
    wanted.trip.id = TripId(id as u64);
    let trip = &wanted.trip;
    sqlx::query!(
        "INSERT INTO trip (company_id, trip_id, pattern_key, service_date, run, route_code,
             headsign, seat_count, leg_count, layout_version, departs_at_ms, boarding_closes_ms,
             body, schedule_code)
         OVERRIDING SYSTEM VALUE
         VALUES ($1, $2, $3, $4::text::date, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        tx.company().0,
        id,
        format!("schedule:{}", wanted.schedule),
        trip.service_date.to_string(),
        wanted.run,
        wanted.route_code,
        trip.headsign,
        i32::from(trip.seat_count),
        i32::from(trip.leg_count()),
        trip.layout_version.0 as i32,
        wanted.departs_at().0,
        &wanted.closes_ms,
        to_cbor(trip),
        wanted.schedule
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes over a trip on which nobody holds a right; one that was withdrawn runs again.
pub(in crate::operations) async fn update(
    tx: &mut TenantTx,
    wanted: &Wanted,
) -> Result<(), DbError> {
    let trip = &wanted.trip;
    sqlx::query!(
        "UPDATE trip SET route_code = $3, headsign = $4, seat_count = $5, leg_count = $6,
             layout_version = $7, departs_at_ms = $8, boarding_closes_ms = $9, body = $10,
             state = 'scheduled', withdrawn = false, state_reason = NULL, version = version + 1
         WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.id.0 as i64,
        wanted.route_code,
        trip.headsign,
        i32::from(trip.seat_count),
        i32::from(trip.leg_count()),
        trip.layout_version.0 as i32,
        wanted.departs_at().0,
        &wanted.closes_ms,
        to_cbor(trip)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A trip that its rule dropped and nobody bought a seat on.
pub(in crate::operations) async fn withdraw(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE trip SET state = 'cancelled', withdrawn = true, version = version + 1
         WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.0 as i64
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
