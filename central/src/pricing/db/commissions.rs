//! Commission rates.

use domain::ids::StopCode;
use uuid::Uuid;

use super::{day_text, off_columns, off_of, validity_of};
use crate::db::DbError;
use crate::pricing::commission::{CommissionRate, RateFor};
use crate::tenant::TenantTx;
use crate::views::Cursor;

struct Columns {
    rate_id: Uuid,
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
            id: self.rate_id,
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
        "SELECT rate_id, seller_kind, seller, percent_bp, amount_minor, currency,
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

pub(in crate::pricing) async fn list(
    tx: &mut TenantTx,
    kind: Option<&str>,
    seller: Option<&str>,
    cursor: &Cursor,
) -> Result<Vec<CommissionRate>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        "SELECT rate_id, seller_kind, seller, percent_bp, amount_minor, currency,
             valid_from::text, valid_until::text, version
         FROM commission_rate
         WHERE company_id = $1 AND rate_id > $2
             AND ($4::text IS NULL OR seller_kind = $4) AND ($5::text IS NULL OR seller = $5)
         ORDER BY rate_id LIMIT $3",
        tx.company().0,
        cursor.part(0, Uuid::nil()),
        cursor.fetch(),
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
    id: Uuid,
) -> Result<Option<CommissionRate>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        "SELECT rate_id, seller_kind, seller, percent_bp, amount_minor, currency,
             valid_from::text, valid_until::text, version
         FROM commission_rate WHERE company_id = $1 AND rate_id = $2 FOR UPDATE",
        tx.company().0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

/// Writes one, new or changed; a change steps its version.
pub(in crate::pricing) async fn put(
    tx: &mut TenantTx,
    rate: &CommissionRate,
) -> Result<i32, DbError> {
    let (percent_bp, amount_minor, currency) = off_columns(&rate.part);
    let version = sqlx::query_scalar!(
        "INSERT INTO commission_rate AS r (company_id, rate_id, seller_kind, seller, percent_bp,
             amount_minor, currency, valid_from, valid_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::date, $9::text::date)
         ON CONFLICT (company_id, rate_id) DO UPDATE
         SET seller_kind = EXCLUDED.seller_kind, seller = EXCLUDED.seller,
             percent_bp = EXCLUDED.percent_bp, amount_minor = EXCLUDED.amount_minor,
             currency = EXCLUDED.currency, valid_from = EXCLUDED.valid_from,
             valid_until = EXCLUDED.valid_until, version = r.version + 1
         RETURNING version",
        tx.company().0,
        rate.id,
        rate.whose.kind(),
        rate.whose.who(),
        percent_bp,
        amount_minor,
        currency,
        day_text(rate.valid.from),
        day_text(rate.valid.until)
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::pricing) async fn delete(tx: &mut TenantTx, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM commission_rate WHERE company_id = $1 AND rate_id = $2",
        tx.company().0,
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
