//! Fare tables as far as routes need them: prices are set elsewhere.

use domain::fare::FareTable;
use sync_protocol::{BucketId, Item};

use super::db;
use crate::db::DbError;
use crate::sync::buckets;
use crate::tenant::TenantTx;

/// A table that is not there begins empty, in the company's currency, and the nodes hear of it.
pub(super) async fn ensure_table(tx: &mut TenantTx, id: &str) -> Result<(), DbError> {
    let currency = db::settings::currency(tx).await?;
    let table = FareTable {
        id: id.to_owned(),
        currency,
        rows: vec![],
    };
    if !db::insert_fare_table(tx, &table).await? {
        return Ok(());
    }
    let key = format!("fares:{id}");
    buckets::publish(tx, &BucketId::Company.name(), &key, Item::Fares(table)).await
}
