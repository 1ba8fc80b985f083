//! The rows of roads.

use std::collections::BTreeMap;

use domain::tracking::Place;

use super::counted;
use crate::company::timetable::Counts;
use crate::db::DbError;
use crate::gtfs::{PatternKey, PlanShape};
use crate::tenant::TenantTx;

/// In Postgres's notation for an array.
fn as_array(alongs: &[Option<u32>]) -> String {
    let metres = |m: &Option<u32>| m.map_or_else(|| "NULL".to_owned(), |m| m.to_string());
    let metres: Vec<String> = alongs.iter().map(metres).collect();
    format!("{{{}}}", metres.join(","))
}

fn metres(alongs: Vec<Option<i32>>) -> Vec<Option<u32>> {
    let metres = alongs
        .into_iter()
        .map(|m| m.and_then(|m| u32::try_from(m).ok()));
    metres.collect()
}

/// Writes roads; those of stop sequences that are not among them stay.
pub(in crate::company) async fn upsert(
    tx: &mut TenantTx,
    shapes: &[PlanShape],
) -> Result<Counts, DbError> {
    let column = |f: fn(&PlanShape) -> String| shapes.iter().map(f).collect::<Vec<_>>();
    let rows = sqlx::query_scalar!(
        r#"INSERT INTO pattern_shape AS s (company_id, pattern_key, route_code, line, stop_along_m)
           SELECT $1, w.pattern, w.route, w.line, w.alongs::int[]
           FROM UNNEST($2::text[], $3::text[], $4::text[], $5::text[])
               AS w(pattern, route, line, alongs)
           ON CONFLICT (company_id, pattern_key) DO UPDATE
           SET line = EXCLUDED.line, stop_along_m = EXCLUDED.stop_along_m,
               version = s.version + 1
           WHERE (s.line, s.stop_along_m) IS DISTINCT FROM (EXCLUDED.line, EXCLUDED.stop_along_m)
           RETURNING xmax = 0"#,
        tx.company().0,
        &column(|s| s.pattern.to_string()),
        &column(|s| s.route_id.clone()),
        &column(|s| s.line.clone()),
        &column(|s| as_array(&s.stops_along_m))
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(counted(shapes.len(), rows.into_iter()))
}

/// Every road of the company by its stop sequence: route, line, stops along it.
pub(in crate::company) async fn all(
    tx: &mut TenantTx,
) -> Result<BTreeMap<String, (String, Vec<Option<u32>>)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT pattern_key, line, stop_along_m AS "stop_along_m!: Vec<Option<i32>>"
           FROM pattern_shape WHERE company_id = $1 AND line <> ''"#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let shapes = rows
        .into_iter()
        .map(|r| (r.pattern_key, (r.line, metres(r.stop_along_m))));
    Ok(shapes.collect())
}

/// The road of a stop sequence with its version; none and 0 where there never was one.
pub(in crate::company) async fn one(
    tx: &mut TenantTx,
    pattern: PatternKey,
) -> Result<(i32, String, Vec<Option<u32>>), DbError> {
    let row = sqlx::query!(
        r#"SELECT line, stop_along_m AS "stop_along_m!: Vec<Option<i32>>", version
           FROM pattern_shape WHERE company_id = $1 AND pattern_key = $2"#,
        tx.company().0,
        pattern.to_string()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or((0, String::new(), vec![]), |r| {
        (r.version, r.line, metres(r.stop_along_m))
    }))
}

/// Writes one road, an empty line to take it away; gives its version.
pub(in crate::company) async fn put(tx: &mut TenantTx, shape: &PlanShape) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "INSERT INTO pattern_shape AS s (company_id, pattern_key, route_code, line, stop_along_m)
         VALUES ($1, $2, $3, $4, $5::text::int[])
         ON CONFLICT (company_id, pattern_key) DO UPDATE
         SET line = EXCLUDED.line, stop_along_m = EXCLUDED.stop_along_m, version = s.version + 1
         RETURNING version",
        tx.company().0,
        shape.pattern.to_string(),
        shape.route_id,
        shape.line,
        as_array(&shape.stops_along_m)
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// Where stops are, of those whose place is known.
pub(crate) async fn stop_places(
    tx: &mut TenantTx,
    codes: &[String],
) -> Result<BTreeMap<String, Place>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT stop_code, lat AS "lat!", lon AS "lon!" FROM stop
           WHERE company_id = $1 AND stop_code = ANY($2) AND lat IS NOT NULL AND lon IS NOT NULL"#,
        tx.company().0,
        codes
    )
    .fetch_all(tx.conn())
    .await?;
    let places = rows
        .into_iter()
        .filter_map(|r| Some((r.stop_code, Place::of_degrees(r.lat, r.lon)?)));
    Ok(places.collect())
}
