//! The rows of stops.

use domain::time::Instant;
use sync_protocol::BucketId;

use crate::company::records::Use;
use crate::company::stops::{Stop, StopFilter};
use crate::csvio::Fault;
use crate::db::DbError;
use crate::tenant::TenantTx;

struct Row {
    stop_code: String,
    name: String,
    lat: Option<f64>,
    lon: Option<f64>,
    fare_zone: String,
    zone: String,
    version: i32,
}

impl From<Row> for (i32, Stop) {
    fn from(row: Row) -> Self {
        let stop = Stop {
            code: row.stop_code,
            name: row.name,
            lat: row.lat,
            lon: row.lon,
            fare_zone: row.fare_zone,
            zone: row.zone,
        };
        (row.version, stop)
    }
}

pub(in crate::company) async fn list(
    tx: &mut TenantTx,
    filter: &StopFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<(i32, Stop)>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT stop_code, name, lat, lon, fare_zone, zone, version FROM stop
         WHERE company_id = $1 AND stop_code > $2
           AND ($3::text IS NULL OR strpos(lower(stop_code || ' ' || name), lower($3)) > 0)
           AND ($4::text IS NULL OR fare_zone = $4)
         ORDER BY stop_code LIMIT $5",
        tx.company().0,
        after,
        filter.text.as_deref(),
        filter.fare_zone.as_deref(),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub(in crate::company) async fn lock(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<(i32, Stop)>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT stop_code, name, lat, lon, fare_zone, zone, version FROM stop
         WHERE company_id = $1 AND stop_code = $2 FOR UPDATE",
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Into::into))
}

pub(in crate::company) async fn insert(tx: &mut TenantTx, stop: &Stop) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO stop (company_id, stop_code, name, lat, lon, fare_zone, zone)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        stop.code,
        stop.name,
        stop.lat,
        stop.lon,
        stop.fare_zone,
        stop.zone
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::company) async fn update(tx: &mut TenantTx, stop: &Stop) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE stop
         SET name = $3, lat = $4, lon = $5, fare_zone = $6, zone = $7, version = version + 1
         WHERE company_id = $1 AND stop_code = $2 RETURNING version",
        tx.company().0,
        stop.code,
        stop.name,
        stop.lat,
        stop.lon,
        stop.fare_zone,
        stop.zone
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::company) async fn delete(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM stop WHERE company_id = $1 AND stop_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What is wrong with a member that names a stop which is not there.
pub(in crate::company) async fn missing(
    tx: &mut TenantTx,
    field: &str,
    code: &str,
) -> Result<Option<Fault>, DbError> {
    any_missing(tx, field, &[code.to_owned()]).await
}

/// The same for several stops.
pub(in crate::company) async fn any_missing(
    tx: &mut TenantTx,
    field: &str,
    codes: &[String],
) -> Result<Option<Fault>, DbError> {
    let missing = sqlx::query_scalar!(
        r#"SELECT w.code AS "code!" FROM UNNEST($2::text[]) AS w(code)
           WHERE NOT EXISTS (SELECT FROM stop s
                             WHERE s.company_id = $1 AND s.stop_code = w.code) LIMIT 1"#,
        tx.company().0,
        codes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(missing.map(|code| {
        let wrong = format!("there is no stop {code:?}");
        Fault::new(field, wrong, "make the stop first, or name another")
    }))
}

/// What calls, stands or sells there. Trips are found in the station's bucket, where each is
/// published at every stop that it calls at.
pub(in crate::company) async fn uses(
    tx: &mut TenantTx,
    code: &str,
    now: Instant,
) -> Result<Vec<Use>, DbError> {
    let bucket = BucketId::Station(domain::ids::StopCode(code.to_owned())).name();
    let rows = sqlx::query!(
        r#"SELECT 'stations' AS "what!", station_code AS "name!" FROM station
           WHERE company_id = $1 AND stop_code = $2
           UNION ALL
           SELECT DISTINCT 'routes', route_code FROM route_stop
           WHERE company_id = $1 AND stop_code = $2
           UNION ALL
           SELECT 'nodes', name FROM node
           WHERE company_id = $1 AND stop_code = $2 AND NOT revoked
           UNION ALL
           SELECT 'trips to come', t.trip_id::text
           FROM bucket_item b
           JOIN trip t ON t.company_id = b.company_id
                      AND t.trip_id = substr(b.item_key, 6)::bigint
           WHERE b.company_id = $1 AND b.bucket = $3 AND b.item_key ~ '^trip:[0-9]{1,18}$'
             AND t.departs_at_ms + t.delay_ms > $4"#,
        tx.company().0,
        code,
        bucket,
        now.0
    )
    .fetch_all(tx.conn())
    .await?;
    let named = |what: &str| {
        let of = rows.iter().filter(|r| r.what == what);
        Use::of(what, of.map(|r| r.name.clone()).collect())
    };
    let mut uses: Vec<Use> = ["stations", "routes", "nodes", "trips to come"]
        .into_iter()
        .filter_map(named)
        .collect();
    let tables = super::fare_tables_with(tx, code).await?;
    uses.extend(Use::of("fare tables", tables));
    Ok(uses)
}
