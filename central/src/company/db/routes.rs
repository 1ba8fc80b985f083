//! The rows of routes and of their stops.

use std::collections::BTreeMap;

use domain::time::Instant;

use crate::company::records::Use;
use crate::company::routes::{Route, RouteFilter, RouteStop};
use crate::db::DbError;
use crate::tenant::TenantTx;

struct Row {
    route_code: String,
    name: String,
    short_name: String,
    layout_id: String,
    fare_table_id: String,
    colour: Option<String>,
    route_type: i32,
    version: i32,
}

impl Row {
    fn with(self, stops: Vec<RouteStop>) -> (i32, Route) {
        let route = Route {
            short_name: if self.short_name.is_empty() {
                self.route_code.clone()
            } else {
                self.short_name
            },
            code: self.route_code,
            name: self.name,
            layout: self.layout_id,
            fare_table: self.fare_table_id,
            colour: self.colour,
            gtfs_type: u16::try_from(self.route_type).unwrap_or(3),
            stops,
        };
        (self.version, route)
    }
}

async fn stops_of(
    tx: &mut TenantTx,
    codes: &[String],
) -> Result<BTreeMap<String, Vec<RouteStop>>, DbError> {
    let rows = sqlx::query!(
        "SELECT route_code, stop_code, arrives_s, departs_s, board FROM route_stop
         WHERE company_id = $1 AND route_code = ANY($2) ORDER BY route_code, stop_no",
        tx.company().0,
        codes
    )
    .fetch_all(tx.conn())
    .await?;
    let mut stops: BTreeMap<String, Vec<RouteStop>> = BTreeMap::new();
    for row in rows {
        stops.entry(row.route_code).or_default().push(RouteStop {
            stop: row.stop_code,
            arrives_s: row.arrives_s,
            departs_s: row.departs_s,
            board: row.board,
        });
    }
    Ok(stops)
}

pub(in crate::company) async fn list(
    tx: &mut TenantTx,
    filter: &RouteFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<(i32, Route)>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT route_code, name, short_name, layout_id, fare_table_id, colour, route_type, version
         FROM route r
         WHERE company_id = $1 AND route_code > $2
           AND ($3::text IS NULL OR strpos(lower(route_code || ' ' || name), lower($3)) > 0)
           AND ($4::text IS NULL OR EXISTS (
                   SELECT FROM route_stop s
                   WHERE s.company_id = r.company_id AND s.route_code = r.route_code
                     AND s.stop_code = $4))
           AND ($5::text IS NULL OR layout_id = $5)
         ORDER BY route_code LIMIT $6",
        tx.company().0,
        after,
        filter.text.as_deref(),
        filter.stop.as_deref(),
        filter.layout.as_deref(),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let codes: Vec<String> = rows.iter().map(|r| r.route_code.clone()).collect();
    let mut stops = stops_of(tx, &codes).await?;
    let with = |row: Row| {
        let stops = stops.remove(&row.route_code).unwrap_or_default();
        row.with(stops)
    };
    Ok(rows.into_iter().map(with).collect())
}

pub(in crate::company) async fn lock(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<(i32, Route)>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT route_code, name, short_name, layout_id, fare_table_id, colour, route_type, version
         FROM route WHERE company_id = $1 AND route_code = $2 FOR UPDATE",
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut stops = stops_of(tx, std::slice::from_ref(&row.route_code)).await?;
    let stops = stops.remove(&row.route_code).unwrap_or_default();
    Ok(Some(row.with(stops)))
}

pub(in crate::company) async fn insert(tx: &mut TenantTx, route: &Route) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO route (company_id, route_code, name, short_name, layout_id, fare_table_id,
             colour, route_type)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.company().0,
        route.code,
        route.name,
        route.short_name,
        route.layout,
        route.fare_table,
        route.colour,
        i32::from(route.gtfs_type)
    )
    .execute(tx.conn())
    .await?;
    insert_stops(tx, &route.code, &route.stops).await
}

pub(in crate::company) async fn update(tx: &mut TenantTx, route: &Route) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE route
         SET name = $3, short_name = $4, layout_id = $5, fare_table_id = $6, colour = $7,
             route_type = $8, version = version + 1
         WHERE company_id = $1 AND route_code = $2 RETURNING version",
        tx.company().0,
        route.code,
        route.name,
        route.short_name,
        route.layout,
        route.fare_table,
        route.colour,
        i32::from(route.gtfs_type)
    )
    .fetch_one(tx.conn())
    .await?;
    sqlx::query!(
        "DELETE FROM route_stop WHERE company_id = $1 AND route_code = $2",
        tx.company().0,
        route.code
    )
    .execute(tx.conn())
    .await?;
    insert_stops(tx, &route.code, &route.stops).await?;
    Ok(version)
}

/// Writes the stops of a route that has none.
pub(in crate::company) async fn insert_stops(
    tx: &mut TenantTx,
    code: &str,
    stops: &[RouteStop],
) -> Result<(), DbError> {
    let codes: Vec<String> = stops.iter().map(|s| s.stop.clone()).collect();
    let numbers: Vec<i16> = (0..).take(stops.len()).collect();
    let arrives: Vec<i32> = stops.iter().map(|s| s.arrives_s).collect();
    let departs: Vec<i32> = stops.iter().map(|s| s.departs_s).collect();
    let boards: Vec<bool> = stops.iter().map(|s| s.board).collect();
    sqlx::query!(
        "INSERT INTO route_stop (company_id, route_code, stop_no, stop_code, arrives_s, departs_s,
             board)
         SELECT $1, $2, w.* FROM UNNEST($3::smallint[], $4::text[], $5::int[], $6::int[],
                                        $7::bool[]) AS w",
        tx.company().0,
        code,
        &numbers,
        &codes,
        &arrives,
        &departs,
        &boards
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which of these routes have no stops yet.
pub(in crate::company) async fn without_stops(
    tx: &mut TenantTx,
    codes: &[String],
) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT route_code FROM route r
         WHERE company_id = $1 AND route_code = ANY($2) AND NOT EXISTS (
                   SELECT FROM route_stop s
                   WHERE s.company_id = r.company_id AND s.route_code = r.route_code)",
        tx.company().0,
        codes
    )
    .fetch_all(tx.conn())
    .await?)
}

pub(in crate::company) async fn delete(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM route WHERE company_id = $1 AND route_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What still runs on it.
pub(in crate::company) async fn uses(
    tx: &mut TenantTx,
    code: &str,
    now: Instant,
) -> Result<Vec<Use>, DbError> {
    let trips = sqlx::query_scalar!(
        r#"SELECT trip_id::text AS "trip!" FROM trip
           WHERE company_id = $1 AND route_code = $2 AND departs_at_ms + delay_ms > $3
           ORDER BY departs_at_ms"#,
        tx.company().0,
        code,
        now.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Use::of("trips to come", trips).into_iter().collect())
}
