//! Fares with their days of sale, and the tables that nodes sell at.
//!
//! The rows of `fare` are the truth of an adopted table. Nodes know no days: they are told the
//! table that holds today in the company's zone, again whenever a fare of today changes and
//! whenever a period begins or ends. A table made before there were rows is adopted at its first
//! change or import; until then its body is the truth.

use std::collections::BTreeMap;

use domain::fare::{FareRow, FareTable};
use domain::ids::StopCode;
use domain::money::Currency;
use domain::time::{Instant, ServiceDate};
use sync_protocol::{BucketId, Item};

use super::db::{self, fares as rows};
use super::rules::DatedFare;
use crate::db::{Db, DbError};
use crate::sync::buckets::{Publication, publish_all};
use crate::tenant::TenantTx;
use crate::views;

/// A fare of one stop pair and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fare {
    /// The table it belongs to.
    pub table: String,
    /// What the table is paid in.
    pub currency: Currency,
    /// Where the passenger boards.
    pub from: StopCode,
    /// Where the passenger leaves.
    pub to: StopCode,
    /// For whom, how much and when.
    pub fare: DatedFare,
    /// Of the row.
    pub version: i32,
}

/// What an import did to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Whether it was not there before.
    pub created: bool,
    /// As nodes are to know it.
    pub table: FareTable,
}

/// Makes a table's undated fares these; dated ones stay. `None` where nothing changed.
pub async fn import_table(
    tx: &mut TenantTx,
    table: &FareTable,
) -> Result<Option<Imported>, DbError> {
    let created = rows::insert_table(tx, &table.id, table.currency).await?;
    let stored = rows::lock_table(tx, &table.id).await?;
    let stored = stored.ok_or_else(|| DbError::damaged("a fare table"))?;
    let changed = rows::replace_undated(tx, &table.id, &one_each(table)).await?;
    let same = !created && stored.adopted && stored.currency == table.currency && changed == 0;
    if same {
        return Ok(None);
    }
    let published = FareTable {
        id: table.id.clone(),
        currency: table.currency,
        rows: rows::in_force(tx, &table.id, stored.published_on).await?,
    };
    rows::put_body(tx, &published, stored.published_on).await?;
    Ok(Some(Imported {
        created,
        table: published,
    }))
}

/// The last of two rows for one pair and class counts.
fn one_each(table: &FareTable) -> Vec<FareRow> {
    let rows = table.rows.iter();
    let one: BTreeMap<_, _> = rows.map(|r| ((&r.from, &r.to, r.class), r)).collect();
    one.into_values().cloned().collect()
}

/// A table as a fact of the company's bucket.
pub(crate) fn fact(table: FareTable) -> Publication {
    Publication {
        bucket: BucketId::Company.name(),
        key: format!("fares:{}", table.id),
        item: Item::Fares(table),
    }
}

/// Tells the nodes of a table that is new and empty.
pub(super) async fn announce(
    tx: &mut TenantTx,
    table: &str,
    currency: Currency,
) -> Result<(), DbError> {
    let empty = FareTable {
        id: table.to_owned(),
        currency,
        rows: vec![],
    };
    publish_all(tx, vec![fact(empty)]).await
}

/// Locks a table for a change of its rows, which are made first where only its body was there.
/// `None` where nobody knows it.
pub(super) async fn open(tx: &mut TenantTx, table: &str) -> Result<Option<Currency>, DbError> {
    let Some(stored) = rows::lock_table(tx, table).await? else {
        return Ok(None);
    };
    if !stored.adopted {
        let body = rows::read_body(&stored.body)?;
        rows::replace_undated(tx, table, &one_each(&body)).await?;
        rows::put_body(tx, &body, None).await?;
    }
    Ok(Some(stored.currency))
}

/// Tells the nodes what holds on this day, where it is not what they know.
pub(super) async fn publish(
    tx: &mut TenantTx,
    table: &str,
    today: ServiceDate,
) -> Result<bool, DbError> {
    let Some(stored) = rows::lock_table(tx, table).await? else {
        return Ok(false);
    };
    let fresh = FareTable {
        id: table.to_owned(),
        currency: stored.currency,
        rows: rows::in_force(tx, table, Some(today)).await?,
    };
    let known = rows::read_body(&stored.body)?;
    let changed = one_each(&known) != fresh.rows;
    if changed || stored.published_on != Some(today) {
        rows::put_body(tx, &fresh, Some(today)).await?;
    }
    if changed {
        publish_all(tx, vec![fact(fresh)]).await?;
    }
    Ok(changed)
}

/// The day of sale of this moment.
pub(super) async fn today(tx: &mut TenantTx, now: Instant) -> Result<ServiceDate, DbError> {
    let zone = db::company_zone(tx).await?;
    now.local_date(&zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))
}

/// Publishes every table that was touched in this transaction, or whose day is over.
pub(super) async fn publish_touched(tx: &mut TenantTx, now: Instant) -> Result<usize, DbError> {
    let today = today(tx, now).await?;
    let mut changed = 0;
    for table in rows::stale_tables(tx, today).await? {
        changed += usize::from(publish(tx, &table, today).await?);
    }
    Ok(changed)
}

/// Publishes every table whose day is over; gives how many nodes have to learn anew.
pub async fn publish_due(db: &Db, now: Instant) -> Result<usize, DbError> {
    let mut changed = 0;
    for company in views::all_companies(db).await? {
        let mut tx = db.tenant(company).await?;
        changed += publish_touched(&mut tx, now).await?;
        tx.commit().await?;
    }
    Ok(changed)
}
