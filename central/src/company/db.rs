//! The rows of companies and timetables.

pub(super) mod buses;
pub(super) mod layouts;
pub(super) mod network;
pub(super) mod routes;
pub(super) mod settings;
pub(super) mod shapes;
pub(super) mod stations;
pub(super) mod stops;

use std::collections::BTreeMap;

use domain::codec::{from_cbor, to_cbor};
use domain::fare::FareTable;
use domain::ids::{CompanyId, TripId};
use domain::layout::SeatLayout;
use domain::money::Currency;
use domain::time::{Instant, ServiceDate, Zone};
use domain::trip::Trip;

use super::NewCompany;
use super::admin::token_hash;
use super::timetable::{Counts, TripRow};
use uuid::Uuid;

use crate::db::{Db, DbError};
use crate::gtfs::{PlanRoute, PlanStop};
use crate::tenant::TenantTx;

pub(super) async fn insert_company(
    tx: &mut TenantTx,
    company: &NewCompany,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO company (company_id, name, zone, currency, created_at_ms)
         VALUES ($1, $2, $3, $4, $5)",
        tx.company().0,
        company.name,
        company.zone.as_str(),
        company.currency.as_str(),
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Who holds an office's bearer token: company, the token's id, and its scopes where it has any.
pub async fn caller_of_token(
    db: &Db,
    token: &str,
    now: Instant,
) -> Result<Option<(CompanyId, Uuid, Option<Vec<String>>)>, DbError> {
    let row = sqlx::query!(
        r#"SELECT company_id AS "company_id!", token_id AS "token_id!", scopes
           FROM caller_of_token($1, $2)"#,
        &token_hash(token)[..],
        now.0
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|r| (CompanyId(r.company_id), r.token_id, r.scopes)))
}

/// The company that runs a trip.
pub async fn company_of_trip(db: &Db, trip: TripId) -> Result<Option<CompanyId>, DbError> {
    let Ok(number) = i64::try_from(trip.0) else {
        return Ok(None);
    };
    let id = sqlx::query_scalar!("SELECT company_of_trip($1)", number)
        .fetch_one(db.pool())
        .await?;
    Ok(id.map(CompanyId))
}

/// The zone of a company's office, and what it is paid in.
pub async fn zone_and_currency(db: &Db, company: CompanyId) -> Result<(Zone, Currency), DbError> {
    let mut tx = db.tenant(company).await?;
    let row = sqlx::query!(
        "SELECT zone, currency FROM company WHERE company_id = $1",
        company.0
    )
    .fetch_one(tx.conn())
    .await?;
    row.zone
        .parse()
        .ok()
        .zip(row.currency.parse().ok())
        .ok_or_else(|| DbError::damaged(format!("company {company}")))
}

/// The zone of the company's office, in an open transaction.
pub(crate) async fn zone_of(tx: &mut TenantTx) -> Result<Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone.parse()
        .map_err(|_| DbError::damaged(format!("the time zone {zone}")))
}

/// The company with this name.
pub async fn find_by_name(db: &Db, name: &str) -> Result<Option<CompanyId>, DbError> {
    let id = sqlx::query_scalar!("SELECT company_by_name($1)", name)
        .fetch_one(db.pool())
        .await?;
    Ok(id.map(CompanyId))
}

pub(super) async fn insert_token(
    tx: &mut TenantTx,
    hash: &[u8; 32],
    name: &str,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO api_token (company_id, token_hash, name, created_at_ms)
         VALUES ($1, $2, $3, $4)",
        tx.company().0,
        &hash[..],
        name,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Locks the company's settings of every kind, whether or not there is a row of them.
pub(crate) async fn lock_settings(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query!(
        "SELECT company_id FROM company WHERE company_id = $1 FOR NO KEY UPDATE",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// Two imports of one company never run side by side.
pub(super) async fn lock_company(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query!(
        "SELECT company_id FROM company WHERE company_id = $1 FOR UPDATE",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// Written rows, told apart by whether they were there before.
fn counted(total: usize, inserted: impl Iterator<Item = Option<bool>>) -> Counts {
    let mut counts = Counts::default();
    for inserted in inserted {
        if inserted == Some(true) {
            counts.created += 1;
        } else {
            counts.updated += 1;
        }
    }
    counts.unchanged = total - counts.created - counts.updated;
    counts
}

pub(super) async fn upsert_stops(tx: &mut TenantTx, stops: &[PlanStop]) -> Result<Counts, DbError> {
    let column = |f: fn(&PlanStop) -> String| stops.iter().map(f).collect::<Vec<_>>();
    let codes = column(|s| s.code.0.clone());
    let names = column(|s| s.name.clone());
    let fare_zones = column(|s| s.fare_zone.clone());
    let zones = column(|s| s.zone.as_str().to_owned());
    let lats: Vec<Option<f64>> = stops.iter().map(|s| s.position.map(|p| p.0)).collect();
    let lons: Vec<Option<f64>> = stops.iter().map(|s| s.position.map(|p| p.1)).collect();
    let rows = sqlx::query_scalar!(
        // A row that is written for the first time has no older version: xmax is 0.
        r#"INSERT INTO stop AS s (company_id, stop_code, name, lat, lon, fare_zone, zone)
           SELECT $1, w.* FROM UNNEST($2::text[], $3::text[], $4::float8[], $5::float8[],
                                      $6::text[], $7::text[]) AS w
           ON CONFLICT (company_id, stop_code) DO UPDATE
           SET name = EXCLUDED.name, lat = EXCLUDED.lat, lon = EXCLUDED.lon,
               fare_zone = EXCLUDED.fare_zone, zone = EXCLUDED.zone, version = s.version + 1
           WHERE (s.name, s.lat, s.lon, s.fare_zone, s.zone) IS DISTINCT FROM
                 (EXCLUDED.name, EXCLUDED.lat, EXCLUDED.lon, EXCLUDED.fare_zone, EXCLUDED.zone)
           RETURNING xmax = 0"#,
        tx.company().0,
        &codes,
        &names,
        &lats as &[Option<f64>],
        &lons as &[Option<f64>],
        &fare_zones,
        &zones
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(counted(stops.len(), rows.into_iter()))
}

pub(super) async fn upsert_routes(
    tx: &mut TenantTx,
    routes: &[PlanRoute],
) -> Result<Counts, DbError> {
    let column = |f: fn(&PlanRoute) -> &String| routes.iter().map(f).cloned().collect::<Vec<_>>();
    let types: Vec<i32> = routes.iter().map(|r| i32::from(r.route_type)).collect();
    let colours: Vec<Option<String>> = routes.iter().map(|r| r.colour.clone()).collect();
    let rows = sqlx::query_scalar!(
        r#"INSERT INTO route AS r (company_id, route_code, name, short_name, layout_id,
                                   fare_table_id, route_type, colour)
           SELECT $1, w.* FROM UNNEST($2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                                      $7::int[], $8::text[]) AS w
           ON CONFLICT (company_id, route_code) DO UPDATE
           SET name = EXCLUDED.name, short_name = EXCLUDED.short_name,
               layout_id = EXCLUDED.layout_id, fare_table_id = EXCLUDED.fare_table_id,
               route_type = EXCLUDED.route_type, colour = EXCLUDED.colour,
               version = r.version + 1
           WHERE (r.name, r.short_name, r.layout_id, r.fare_table_id, r.route_type, r.colour)
                 IS DISTINCT FROM
                 (EXCLUDED.name, EXCLUDED.short_name, EXCLUDED.layout_id, EXCLUDED.fare_table_id,
                  EXCLUDED.route_type, EXCLUDED.colour)
           RETURNING xmax = 0"#,
        tx.company().0,
        &column(|r| &r.id),
        &column(|r| &r.long_name),
        &column(|r| &r.short_name),
        &column(|r| &r.layout),
        &column(|r| &r.fare_table),
        &types,
        &colours as &[Option<String>]
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(counted(routes.len(), rows.into_iter()))
}

/// Every stored version of these layouts, by id and version.
pub(super) async fn stored_layouts(
    tx: &mut TenantTx,
    ids: &[String],
) -> Result<Vec<SeatLayout>, DbError> {
    let rows = sqlx::query!(
        "SELECT layout_id, body FROM seat_layout
         WHERE company_id = $1 AND layout_id = ANY($2) ORDER BY layout_id, version",
        tx.company().0,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            from_cbor(&r.body).map_err(|_| DbError::damaged(format!("layout {}", r.layout_id)))
        })
        .collect()
}

/// Writes an empty table that is not there; whether it was not. Its fares, none, are rows.
pub(super) async fn insert_fare_table(
    tx: &mut TenantTx,
    table: &FareTable,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "INSERT INTO fare_table (company_id, fare_table_id, currency, body, adopted)
         VALUES ($1, $2, $3, $4, true) ON CONFLICT DO NOTHING",
        tx.company().0,
        table.id,
        table.currency.as_str(),
        to_cbor(table)
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Every fare table of the company by id.
pub(super) async fn fare_tables(tx: &mut TenantTx) -> Result<Vec<FareTable>, DbError> {
    let rows = sqlx::query!(
        "SELECT fare_table_id, body FROM fare_table WHERE company_id = $1 ORDER BY fare_table_id",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = |_| DbError::damaged(format!("fare table {}", r.fare_table_id));
            from_cbor(&r.body).map_err(damaged)
        })
        .collect()
}

/// The fare tables that have a price from or to a stop.
pub(super) async fn fare_tables_with(
    tx: &mut TenantTx,
    stop: &str,
) -> Result<Vec<String>, DbError> {
    let tables = fare_tables(tx).await?.into_iter();
    let named = |t: &FareTable| t.rows.iter().any(|r| r.from.0 == stop || r.to.0 == stop);
    Ok(tables.filter(named).map(|t| t.id).collect())
}

/// A trip that is there already.
pub(super) struct StoredTrip {
    pub(super) trip: Trip,
    pub(super) route_code: String,
    pub(super) boarding_closes_ms: Vec<i64>,
    /// It has a lease or a ticket.
    pub(super) has_rights: bool,
}

/// The window's trips by natural key, locked against sales until the end of the transaction.
pub(super) async fn lock_trips(
    tx: &mut TenantTx,
    from: ServiceDate,
    until: ServiceDate,
) -> Result<BTreeMap<(String, ServiceDate, String), StoredTrip>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT t.trip_id, t.pattern_key, t.run, t.route_code, t.boarding_closes_ms, t.body,
                  (EXISTS (SELECT FROM lease l
                           WHERE l.company_id = t.company_id AND l.trip_id = t.trip_id)
                   OR EXISTS (SELECT FROM ticket k
                              WHERE k.company_id = t.company_id AND k.trip_id = t.trip_id))
                  AS "has_rights!"
           FROM trip t
           WHERE t.company_id = $1
             AND t.service_date BETWEEN $2::text::date AND $3::text::date
           ORDER BY t.trip_id
           FOR UPDATE OF t"#,
        tx.company().0,
        from.to_string(),
        until.to_string()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let trip: Trip =
                from_cbor(&r.body).map_err(|_| DbError::damaged(format!("trip {}", r.trip_id)))?;
            let key = (r.pattern_key, trip.service_date, r.run);
            let stored = StoredTrip {
                trip,
                route_code: r.route_code,
                boarding_closes_ms: r.boarding_closes_ms,
                has_rights: r.has_rights,
            };
            Ok((key, stored))
        })
        .collect()
}

pub(super) async fn fresh_trip_ids(
    tx: &mut TenantTx,
    count: usize,
) -> Result<Vec<TripId>, DbError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT nextval(pg_get_serial_sequence('trip', 'trip_id')) AS "id!"
           FROM generate_series(1, $1::bigint)"#,
        count as i64
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(|id| TripId(id as u64)).collect())
}

/// Writes trips by number; those that are there are replaced but for their natural key.
pub(super) async fn upsert_trips(tx: &mut TenantTx, rows: &[TripRow]) -> Result<(), DbError> {
    let text = |f: fn(&TripRow) -> String| rows.iter().map(f).collect::<Vec<_>>();
    let number = |f: fn(&TripRow) -> i32| rows.iter().map(f).collect::<Vec<_>>();
    let ids: Vec<i64> = rows.iter().map(|r| r.trip.id.0 as i64).collect();
    let bodies: Vec<Vec<u8>> = rows.iter().map(|r| to_cbor(&r.trip)).collect();
    let departs: Vec<i64> = rows.iter().map(TripRow::departs_at_ms).collect();
    sqlx::query!(
        "INSERT INTO trip (company_id, trip_id, pattern_key, service_date, run, route_code,
                           headsign, seat_count, leg_count, layout_version, departs_at_ms,
                           boarding_closes_ms, body)
         OVERRIDING SYSTEM VALUE
         SELECT $1, w.id, w.pattern, w.day::date, w.run, w.route, w.headsign, w.seats, w.legs,
                w.layout_version, w.departs, w.closes::bigint[], w.body
         FROM UNNEST($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::int[], $9::int[], $10::int[], $11::bigint[], $12::text[], $13::bytea[])
              AS w(id, pattern, day, run, route, headsign, seats, legs, layout_version, departs,
                   closes, body)
         ON CONFLICT (company_id, trip_id) DO UPDATE
         SET route_code = EXCLUDED.route_code, headsign = EXCLUDED.headsign,
             seat_count = EXCLUDED.seat_count, leg_count = EXCLUDED.leg_count,
             layout_version = EXCLUDED.layout_version, departs_at_ms = EXCLUDED.departs_at_ms,
             boarding_closes_ms = EXCLUDED.boarding_closes_ms, body = EXCLUDED.body",
        tx.company().0,
        &ids,
        &text(|r| r.pattern_key.clone()),
        &text(|r| r.trip.service_date.to_string()),
        &text(|r| r.run.clone()),
        &text(|r| r.route_code.clone()),
        &text(|r| r.trip.headsign.clone()),
        &number(|r| i32::from(r.trip.seat_count)),
        &number(|r| i32::from(r.trip.leg_count())),
        &number(|r| r.trip.layout_version.0 as i32),
        &departs,
        &text(TripRow::closes_as_array),
        &bodies
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The fares that a trip is sold at.
pub(crate) async fn fares_of(tx: &mut TenantTx, trip: &Trip) -> Result<Option<FareTable>, DbError> {
    let body = sqlx::query_scalar!(
        "SELECT body FROM fare_table WHERE company_id = $1 AND fare_table_id = $2",
        tx.company().0,
        trip.fare_table
    )
    .fetch_optional(tx.conn())
    .await?;
    body.map(|b| from_cbor(&b).map_err(|_| DbError::damaged("a fare table")))
        .transpose()
}

/// The seats of a trip, in the numbering that it has.
pub(crate) async fn layout_of(
    tx: &mut TenantTx,
    trip: &Trip,
) -> Result<Option<SeatLayout>, DbError> {
    let body = sqlx::query_scalar!(
        "SELECT body FROM seat_layout
         WHERE company_id = $1 AND layout_id = $2 AND version = $3",
        tx.company().0,
        trip.layout,
        trip.layout_version.0 as i32
    )
    .fetch_optional(tx.conn())
    .await?;
    body.map(|b| from_cbor(&b).map_err(|_| DbError::damaged("a seat layout")))
        .transpose()
}
