//! The rows of stations.

use crate::company::stations::{Station, StationFilter};
use crate::db::DbError;
use crate::tenant::TenantTx;

struct Row {
    station_code: String,
    name: String,
    stop_code: String,
    address: String,
    phone: String,
    opening_hours: String,
    version: i32,
}

impl From<Row> for (i32, Station) {
    fn from(row: Row) -> Self {
        let station = Station {
            code: row.station_code,
            name: row.name,
            stop: row.stop_code,
            address: row.address,
            phone: row.phone,
            opening_hours: row.opening_hours,
        };
        (row.version, station)
    }
}

pub(in crate::company) async fn list(
    tx: &mut TenantTx,
    filter: &StationFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<(i32, Station)>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT station_code, name, stop_code, address, phone, opening_hours, version FROM station
         WHERE company_id = $1 AND station_code > $2
           AND ($3::text IS NULL OR strpos(lower(station_code || ' ' || name), lower($3)) > 0)
           AND ($4::text IS NULL OR stop_code = $4)
         ORDER BY station_code LIMIT $5",
        tx.company().0,
        after,
        filter.text.as_deref(),
        filter.stop.as_deref(),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub(in crate::company) async fn lock(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<(i32, Station)>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT station_code, name, stop_code, address, phone, opening_hours, version FROM station
         WHERE company_id = $1 AND station_code = $2 FOR UPDATE",
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Into::into))
}

pub(in crate::company) async fn insert(
    tx: &mut TenantTx,
    station: &Station,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO station (company_id, station_code, name, stop_code, address, phone,
             opening_hours)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        station.code,
        station.name,
        station.stop,
        station.address,
        station.phone,
        station.opening_hours
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::company) async fn update(
    tx: &mut TenantTx,
    station: &Station,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE station
         SET name = $3, stop_code = $4, address = $5, phone = $6, opening_hours = $7,
             version = version + 1
         WHERE company_id = $1 AND station_code = $2 RETURNING version",
        tx.company().0,
        station.code,
        station.name,
        station.stop,
        station.address,
        station.phone,
        station.opening_hours
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::company) async fn delete(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM station WHERE company_id = $1 AND station_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
