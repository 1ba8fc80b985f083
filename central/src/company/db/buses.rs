//! The rows of the fleet.

use crate::company::buses::{Bus, BusFilter, BusState};
use crate::db::DbError;
use crate::tenant::TenantTx;

struct Row {
    registration: String,
    layout_id: String,
    year: Option<i32>,
    state: String,
    wheelchair_lift: bool,
    version: i32,
}

impl TryFrom<Row> for (i32, Bus) {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let state = row.state.parse();
        let bus = Bus {
            state: state.map_err(|_| DbError::damaged(format!("bus {}", row.registration)))?,
            registration: row.registration,
            layout: row.layout_id,
            year: row.year,
            wheelchair_lift: row.wheelchair_lift,
        };
        Ok((row.version, bus))
    }
}

pub(in crate::company) async fn list(
    tx: &mut TenantTx,
    filter: &BusFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<(i32, Bus)>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT registration, layout_id, year, state, wheelchair_lift, version FROM bus
         WHERE company_id = $1 AND registration > $2
           AND ($3::text IS NULL OR strpos(lower(registration), lower($3)) > 0)
           AND ($4::text IS NULL OR state = $4)
           AND ($5::text IS NULL OR layout_id = $5)
         ORDER BY registration LIMIT $6",
        tx.company().0,
        after,
        filter.text.as_deref(),
        filter.state.map(BusState::as_str),
        filter.layout.as_deref(),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(in crate::company) async fn lock(
    tx: &mut TenantTx,
    registration: &str,
) -> Result<Option<(i32, Bus)>, DbError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT registration, layout_id, year, state, wheelchair_lift, version FROM bus
         WHERE company_id = $1 AND registration = $2 FOR UPDATE",
        tx.company().0,
        registration
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(TryInto::try_into).transpose()
}

pub(in crate::company) async fn insert(tx: &mut TenantTx, bus: &Bus) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO bus (company_id, registration, layout_id, year, state, wheelchair_lift)
         VALUES ($1, $2, $3, $4, $5, $6)",
        tx.company().0,
        bus.registration,
        bus.layout,
        bus.year,
        bus.state.as_str(),
        bus.wheelchair_lift
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::company) async fn update(tx: &mut TenantTx, bus: &Bus) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE bus
         SET layout_id = $3, year = $4, state = $5, wheelchair_lift = $6, version = version + 1
         WHERE company_id = $1 AND registration = $2 RETURNING version",
        tx.company().0,
        bus.registration,
        bus.layout,
        bus.year,
        bus.state.as_str(),
        bus.wheelchair_lift
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::company) async fn delete(
    tx: &mut TenantTx,
    registration: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM bus WHERE company_id = $1 AND registration = $2",
        tx.company().0,
        registration
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
