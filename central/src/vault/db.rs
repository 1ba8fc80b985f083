//! Sealed columns, whichever table they are in. The names come from the registry, never from
//! outside, so the statements are put together here instead of being checked at build time.

use sqlx::{AssertSqlSafe, Row as _};

use super::reseal::Sealed;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A value that an older master has sealed.
#[derive(Debug)]
pub struct Stale {
    at: String,
    /// What the value's place calls its row.
    pub row: Vec<u8>,
    /// The value.
    pub sealed: Vec<u8>,
}

/// Some values that the newest master has not sealed, locked; those that others hold are left
/// out, and so are some rows.
pub async fn stale(
    tx: &mut TenantTx,
    what: &Sealed,
    newest: u8,
    but: &[Vec<u8>],
    limit: i64,
) -> Result<Vec<Stale>, DbError> {
    let Sealed {
        table, row, column, ..
    } = what;
    let of_company = if what.tenant {
        "company_id = $3"
    } else {
        "$3::uuid IS NOT NULL"
    };
    let select = format!(
        "SELECT ctid::text AS at, {row} AS row, {column} AS sealed FROM {table}
         WHERE {of_company} AND {column} IS NOT NULL AND length({column}) > 0
             AND get_byte({column}, 0) <> $1 AND {row} <> ALL($4)
         LIMIT $2 FOR UPDATE SKIP LOCKED"
    );
    let company = tx.company().0;
    let rows = sqlx::query(AssertSqlSafe(select))
        .bind(i32::from(newest))
        .bind(limit)
        .bind(company)
        .bind(but)
        .fetch_all(tx.conn())
        .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Stale {
                at: r.try_get("at")?,
                row: r.try_get("row")?,
                sealed: r.try_get("sealed")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(DbError::from)
}

/// Puts a value that was locked by [`stale`] in its place again.
pub async fn replace(
    tx: &mut TenantTx,
    what: &Sealed,
    stale: &Stale,
    sealed: &[u8],
) -> Result<(), DbError> {
    let Sealed { table, column, .. } = what;
    let update = format!("UPDATE {table} SET {column} = $1 WHERE ctid = $2::tid");
    sqlx::query(AssertSqlSafe(update))
        .bind(sealed)
        .bind(&stale.at)
        .execute(tx.conn())
        .await?;
    Ok(())
}
