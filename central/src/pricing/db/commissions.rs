//! Commission rates.

use domain::ids::StopCode;

use super::{day_text, off_columns, off_of, validity_of};
use crate::db::DbError;
use crate::pricing::commission::{CommissionRate, RateFor};
use crate::tenant::TenantTx;

struct Columns {
    seller_kind: String,
    seller: String,
    percent_bp: Option<i32>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    version: i32,
}

impl Columns {
    fn read(self) -> Result<CommissionRate, DbError> {
        Ok(CommissionRate {
            whose: RateFor::read(&self.seller_kind, self.seller)?,
            part: off_of(self.percent_bp, self.amount_minor, self.currency.as_deref())?,
            valid: validity_of(self.valid_from, self.valid_until)?,
            version: self.version,
        })
    }
}

/// Every rate that could count for a seller.
pub(in crate::pricing) async fn for_seller(
    tx: &mut TenantTx,
    seller: Option<&str>,
    station: Option<&StopCode>,
) -> Result<Vec<CommissionRate>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        "SELECT seller_kind, seller, percent_bp, amount_minor, currency,
             valid_from::text, valid_until::text, version
         FROM commission_rate
         WHERE company_id = $1 AND (seller_kind = 'company'
             OR (seller_kind = 'agent' AND seller = $2)
             OR (seller_kind = 'station' AND seller = $3))",
        tx.company().0,
        seller,
        station.map(|s| s.0.as_str())
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Columns::read).collect()
}

/// Which rates a list shows, by kind and seller, in the order of their keys: kind, seller and
/// first day with `~` between.
pub(in crate::pricing) async fn list(
    tx: &mut TenantTx,
    (kind, seller): (Option<&str>, Option<&str>),
    after: &str,
    limit: i64,
) -> Result<Vec<CommissionRate>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        "SELECT seller_kind, seller, percent_bp, amount_minor, currency,
             valid_from::text, valid_until::text, version
         FROM commission_rate
         WHERE company_id = $1
             AND concat_ws('~', seller_kind, seller, coalesce(valid_from::text, 'always')) > $2
             AND ($4::text IS NULL OR seller_kind = $4) AND ($5::text IS NULL OR seller = $5)
         ORDER BY concat_ws('~', seller_kind, seller, coalesce(valid_from::text, 'always'))
         LIMIT $3",
        tx.company().0,
        after,
        limit,
        kind,
        seller
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Columns::read).collect()
}

/// One, its row locked to the end of the transaction.
pub(in crate::pricing) async fn lock(
    tx: &mut TenantTx,
    key: &str,
) -> Result<Option<CommissionRate>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        "SELECT seller_kind, seller, percent_bp, amount_minor, currency,
             valid_from::text, valid_until::text, version
         FROM commission_rate
         WHERE company_id = $1
             AND concat_ws('~', seller_kind, seller, coalesce(valid_from::text, 'always')) = $2
         FOR UPDATE",
        tx.company().0,
        key
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

/// Makes one that is not there.
pub(in crate::pricing) async fn insert(
    tx: &mut TenantTx,
    rate: &CommissionRate,
) -> Result<(), DbError> {
    let (percent_bp, amount_minor, currency) = off_columns(&rate.part);
    sqlx::query!(
        "INSERT INTO commission_rate (company_id, rate_id, seller_kind, seller, percent_bp,
             amount_minor, currency, valid_from, valid_until)
         VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, $6, $7::text::date, $8::text::date)",
        tx.company().0,
        rate.whose.kind(),
        rate.whose.who(),
        percent_bp,
        amount_minor,
        currency,
        day_text(rate.valid.from),
        day_text(rate.valid.until)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Changes what one comes to and its last day; steps its version.
pub(in crate::pricing) async fn update(
    tx: &mut TenantTx,
    key: &str,
    rate: &CommissionRate,
) -> Result<i32, DbError> {
    let (percent_bp, amount_minor, currency) = off_columns(&rate.part);
    let version = sqlx::query_scalar!(
        "UPDATE commission_rate SET percent_bp = $3, amount_minor = $4, currency = $5,
             valid_until = $6::text::date, version = version + 1
         WHERE company_id = $1
             AND concat_ws('~', seller_kind, seller, coalesce(valid_from::text, 'always')) = $2
         RETURNING version",
        tx.company().0,
        key,
        percent_bp,
        amount_minor,
        currency,
        day_text(rate.valid.until)
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::pricing) async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM commission_rate
         WHERE company_id = $1
             AND concat_ws('~', seller_kind, seller, coalesce(valid_from::text, 'always')) = $2",
        tx.company().0,
        key
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
