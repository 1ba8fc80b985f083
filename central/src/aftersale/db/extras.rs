//! Luggage and whatever else is sold beside a seat.

use domain::ids::TripId;
use domain::money::Currency;
use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// A line of the price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aftersale) struct ExtraRow {
    pub(in crate::aftersale) code: String,
    pub(in crate::aftersale) name: String,
    pub(in crate::aftersale) price_minor: i64,
    pub(in crate::aftersale) per: String,
    pub(in crate::aftersale) max_count: i32,
    pub(in crate::aftersale) active: bool,
    pub(in crate::aftersale) version: i32,
}

pub(in crate::aftersale) async fn extras(tx: &mut TenantTx) -> Result<Vec<ExtraRow>, DbError> {
    let rows = sqlx::query_as!(
        ExtraRow,
        "SELECT extra_code AS code, name, price_minor, per, max_count, active, version
         FROM extra WHERE company_id = $1 ORDER BY extra_code LIMIT 500",
        tx.company().0
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// One line, its row locked.
pub(in crate::aftersale) async fn lock_extra(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<ExtraRow>, DbError> {
    let row = sqlx::query_as!(
        ExtraRow,
        "SELECT extra_code AS code, name, price_minor, per, max_count, active, version
         FROM extra WHERE company_id = $1 AND extra_code = $2 FOR UPDATE",
        tx.company().0,
        code
    );
    Ok(row.fetch_optional(tx.conn()).await?)
}

/// Writes a line; gives its version. One that appeared meanwhile counts one version more than
/// the caller saw.
pub(in crate::aftersale) async fn save_extra(
    tx: &mut TenantTx,
    row: &ExtraRow,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "INSERT INTO extra AS e (company_id, extra_code, name, price_minor, per, max_count, active)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (company_id, extra_code) DO UPDATE SET name = $3, price_minor = $4, per = $5,
             max_count = $6, active = $7, version = e.version + 1
         RETURNING version",
        tx.company().0,
        row.code,
        row.name,
        row.price_minor,
        row.per,
        row.max_count,
        row.active
    );
    Ok(version.fetch_one(tx.conn()).await?)
}

/// A coupon that extras may be sold with.
#[derive(Debug, Clone)]
pub(in crate::aftersale) struct Carrier {
    pub(in crate::aftersale) ticket: Uuid,
    pub(in crate::aftersale) trip: TripId,
    pub(in crate::aftersale) currency: Currency,
    /// Of this extra, sold before.
    pub(in crate::aftersale) count: i64,
}

pub(in crate::aftersale) async fn carrier(
    tx: &mut TenantTx,
    booking: Uuid,
    coupon: i16,
    code: &str,
) -> Result<Option<Carrier>, DbError> {
    let row = sqlx::query!(
        r#"SELECT k.ticket_id, k.trip_id, k.currency,
                  COALESCE((SELECT sum(x.count) FROM booking_extra x
                      WHERE x.company_id = $1 AND x.booking_id = $2 AND x.coupon_no = $3
                        AND x.extra_code = $4 AND NOT x.refunded), 0)::bigint AS "count!"
           FROM coupon c JOIN ticket k ON k.company_id = c.company_id AND k.ticket_id = c.ticket_id
           WHERE c.company_id = $1 AND c.booking_id = $2 AND c.coupon_no = $3 AND k.state = 0"#,
        tx.company().0,
        booking,
        coupon,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let damaged = |_| DbError::damaged(format!("ticket {}", r.ticket_id));
        Ok(Carrier {
            currency: r.currency.parse().map_err(damaged)?,
            ticket: r.ticket_id,
            trip: TripId(r.trip_id as u64),
            count: r.count,
        })
    })
    .transpose()
}

/// An extra that was sold.
#[derive(Debug, Clone, Copy)]
pub(in crate::aftersale) struct SoldExtra<'a> {
    pub(in crate::aftersale) booking: Uuid,
    pub(in crate::aftersale) coupon: i16,
    pub(in crate::aftersale) extra: &'a ExtraRow,
    pub(in crate::aftersale) count: i32,
    pub(in crate::aftersale) price_minor: i64,
    pub(in crate::aftersale) currency: Currency,
}

/// Stores an extra that was sold and paid, and what the booking is worth now.
pub(in crate::aftersale) async fn insert_extra(
    tx: &mut TenantTx,
    sold: SoldExtra<'_>,
    now: Instant,
) -> Result<i64, DbError> {
    let no = sqlx::query_scalar!(
        r#"WITH worth AS (
               UPDATE booking SET total_minor = total_minor + $7, paid_minor = paid_minor + $7,
                   version = version + 1
               WHERE company_id = $1 AND booking_id = $2)
           INSERT INTO booking_extra (company_id, booking_id, coupon_no, extra_code, name, count,
               price_minor, currency, sold_at_ms)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING extra_no"#,
        tx.company().0,
        sold.booking,
        sold.coupon,
        sold.extra.code,
        sold.extra.name,
        sold.count,
        sold.price_minor,
        sold.currency.as_str(),
        now.0
    );
    Ok(no.fetch_one(tx.conn()).await?)
}

/// The extras of tickets that were taken back: their price was part of what went back.
pub(in crate::aftersale) async fn end_extras(
    tx: &mut TenantTx,
    tickets: &[Uuid],
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE booking_extra x SET refunded = true FROM coupon c
         WHERE x.company_id = $1 AND c.company_id = $1 AND c.ticket_id = ANY($2)
           AND x.booking_id = c.booking_id AND x.coupon_no = c.coupon_no",
        tx.company().0,
        tickets
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Extras go with their passenger to another ticket, whose price holds theirs from now on.
pub(in crate::aftersale) async fn move_extras(
    tx: &mut TenantTx,
    from: Uuid,
    to: Uuid,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE booking_extra x SET coupon_no = n.coupon_no, price_minor = 0
         FROM coupon o, coupon n
         WHERE x.company_id = $1 AND o.company_id = $1 AND n.company_id = $1
           AND o.ticket_id = $2 AND n.ticket_id = $3
           AND x.booking_id = o.booking_id AND x.coupon_no = o.coupon_no AND NOT x.refunded",
        tx.company().0,
        from,
        to
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
