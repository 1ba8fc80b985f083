//! Discounts.

use super::{class_of, day_text, off_columns, off_of, validity_of};
use crate::db::DbError;
use crate::pricing::rules::{Channel, Discount};
use crate::tenant::TenantTx;
use domain::time::ServiceDate;

/// A discount as the office keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDiscount {
    /// What it does.
    pub discount: Discount,
    /// Whether it is given at all.
    pub active: bool,
    /// Of the row; 0 before the first.
    pub version: i32,
}

struct Columns {
    discount_code: String,
    name: String,
    percent_bp: Option<i32>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    classes: Vec<i16>,
    routes: Vec<String>,
    weekdays: Vec<i16>,
    channels: Vec<String>,
    days_ahead_min: Option<i32>,
    days_ahead_max: Option<i32>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    combines: bool,
    active: bool,
    version: i32,
}

impl Columns {
    fn read(self) -> Result<KeptDiscount, DbError> {
        let channels: Result<Vec<Channel>, _> = self.channels.iter().map(|c| c.parse()).collect();
        let classes: Result<_, DbError> = self.classes.into_iter().map(class_of).collect();
        let discount = Discount {
            off: off_of(self.percent_bp, self.amount_minor, self.currency.as_deref())?,
            classes: classes?,
            routes: self.routes,
            weekdays: self.weekdays.into_iter().map(|d| d as u8).collect(),
            channels: channels.map_err(|_| DbError::damaged("a sales channel"))?,
            days_ahead_min: self.days_ahead_min,
            days_ahead_max: self.days_ahead_max,
            valid: validity_of(self.valid_from, self.valid_until)?,
            combines: self.combines,
            code: self.discount_code,
            name: self.name,
        };
        Ok(KeptDiscount {
            discount,
            active: self.active,
            version: self.version,
        })
    }
}

/// What is given on a day of sale.
pub(in crate::pricing) async fn given_on(
    tx: &mut TenantTx,
    day: ServiceDate,
) -> Result<Vec<Discount>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        "SELECT discount_code, name, percent_bp, amount_minor, currency, classes, routes, weekdays,
             channels, days_ahead_min, days_ahead_max, valid_from::text, valid_until::text,
             combines, active, version
         FROM discount
         WHERE company_id = $1 AND active
             AND (valid_from IS NULL OR valid_from <= $2::text::date)
             AND (valid_until IS NULL OR valid_until >= $2::text::date)",
        tx.company().0,
        day.to_string()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| Ok(row.read()?.discount))
        .collect()
}

pub(in crate::pricing) async fn list(
    tx: &mut TenantTx,
    active: Option<bool>,
    after: &str,
    limit: i64,
) -> Result<Vec<KeptDiscount>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        "SELECT discount_code, name, percent_bp, amount_minor, currency, classes, routes, weekdays,
             channels, days_ahead_min, days_ahead_max, valid_from::text, valid_until::text,
             combines, active, version
         FROM discount
         WHERE company_id = $1 AND discount_code > $2 AND ($4::bool IS NULL OR active = $4)
         ORDER BY discount_code LIMIT $3",
        tx.company().0,
        after,
        limit,
        active
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Columns::read).collect()
}

/// One, its row locked to the end of the transaction.
pub(in crate::pricing) async fn lock(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<KeptDiscount>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        "SELECT discount_code, name, percent_bp, amount_minor, currency, classes, routes, weekdays,
             channels, days_ahead_min, days_ahead_max, valid_from::text, valid_until::text,
             combines, active, version
         FROM discount WHERE company_id = $1 AND discount_code = $2 FOR UPDATE",
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

/// Makes one that is not there, under version 0: [`put`] writes the rest.
pub(in crate::pricing) async fn insert(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO discount (company_id, discount_code, name, percent_bp, version)
         VALUES ($1, $2, '', 1, 0)",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which of these routes the company does not have.
pub(in crate::pricing) async fn unknown_route(
    tx: &mut TenantTx,
    codes: &[String],
) -> Result<Option<String>, DbError> {
    let unknown = sqlx::query_scalar!(
        r#"SELECT w.code AS "code!" FROM UNNEST($2::text[]) AS w(code)
           WHERE NOT EXISTS (SELECT FROM route r
               WHERE r.company_id = $1 AND r.route_code = w.code) LIMIT 1"#,
        tx.company().0,
        codes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(unknown)
}

/// Writes one, new or changed; a change steps its version.
pub(in crate::pricing) async fn put(
    tx: &mut TenantTx,
    kept: &KeptDiscount,
) -> Result<i32, DbError> {
    let d = &kept.discount;
    let (percent_bp, amount_minor, currency) = off_columns(&d.off);
    let classes: Vec<i16> = d.classes.iter().map(|c| i16::from(c.code())).collect();
    let weekdays: Vec<i16> = d.weekdays.iter().map(|d| i16::from(*d)).collect();
    let channels: Vec<String> = d.channels.iter().map(ToString::to_string).collect();
    let version = sqlx::query_scalar!(
        "INSERT INTO discount AS d (company_id, discount_code, name, percent_bp, amount_minor,
             currency, classes, routes, weekdays, channels, days_ahead_min, days_ahead_max,
             valid_from, valid_until, combines, active)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::text::date,
             $14::text::date, $15, $16)
         ON CONFLICT (company_id, discount_code) DO UPDATE
         SET name = EXCLUDED.name, percent_bp = EXCLUDED.percent_bp,
             amount_minor = EXCLUDED.amount_minor, currency = EXCLUDED.currency,
             classes = EXCLUDED.classes, routes = EXCLUDED.routes, weekdays = EXCLUDED.weekdays,
             channels = EXCLUDED.channels, days_ahead_min = EXCLUDED.days_ahead_min,
             days_ahead_max = EXCLUDED.days_ahead_max, valid_from = EXCLUDED.valid_from,
             valid_until = EXCLUDED.valid_until, combines = EXCLUDED.combines,
             active = EXCLUDED.active, version = d.version + 1
         RETURNING version",
        tx.company().0,
        d.code,
        d.name,
        percent_bp,
        amount_minor,
        currency,
        &classes,
        &d.routes,
        &weekdays,
        &channels,
        d.days_ahead_min,
        d.days_ahead_max,
        day_text(d.valid.from),
        day_text(d.valid.until),
        d.combines,
        kept.active
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::pricing) async fn delete(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM discount WHERE company_id = $1 AND discount_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
