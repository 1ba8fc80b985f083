//! Vouchers and their uses.

use domain::money::Minor;
use domain::time::Instant;
use uuid::Uuid;

use super::{currency_of, day_text, off_columns, off_of, validity_of};
use crate::db::DbError;
use crate::pricing::Redeemer;
use crate::pricing::rules::Voucher;
use crate::tenant::TenantTx;
use crate::views::Cursor;

/// A voucher as the office keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptVoucher {
    /// What it does.
    pub voucher: Voucher,
    /// Of the row; 0 before the first.
    pub version: i32,
}

struct Columns {
    voucher_code: String,
    name: String,
    percent_bp: Option<i32>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    uses_max: Option<i32>,
    uses_per_person_max: Option<i32>,
    min_spend_minor: i64,
    used: i32,
    active: bool,
    version: i32,
}

impl Columns {
    fn read(self) -> Result<KeptVoucher, DbError> {
        let currency = self.currency.as_deref();
        Ok(KeptVoucher {
            voucher: Voucher {
                off: off_of(self.percent_bp, self.amount_minor, currency)?,
                currency: currency.map(currency_of).transpose()?,
                valid: validity_of(self.valid_from, self.valid_until)?,
                uses_max: self.uses_max,
                uses_per_person_max: self.uses_per_person_max,
                used: self.used,
                min_spend_minor: Minor(self.min_spend_minor),
                active: self.active,
                code: self.voucher_code,
                name: self.name,
            },
            version: self.version,
        })
    }
}

pub(in crate::pricing) async fn find(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<KeptVoucher>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        "SELECT voucher_code, name, percent_bp, amount_minor, currency, valid_from::text,
             valid_until::text, uses_max, uses_per_person_max, min_spend_minor, used, active,
             version
         FROM voucher WHERE company_id = $1 AND voucher_code = $2",
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

/// One, its row locked to the end of the transaction.
pub(in crate::pricing) async fn lock(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<KeptVoucher>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        "SELECT voucher_code, name, percent_bp, amount_minor, currency, valid_from::text,
             valid_until::text, uses_max, uses_per_person_max, min_spend_minor, used, active,
             version
         FROM voucher WHERE company_id = $1 AND voucher_code = $2 FOR UPDATE",
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

pub(in crate::pricing) async fn list(
    tx: &mut TenantTx,
    active: Option<bool>,
    after: &str,
    limit: i64,
) -> Result<Vec<KeptVoucher>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        "SELECT voucher_code, name, percent_bp, amount_minor, currency, valid_from::text,
             valid_until::text, uses_max, uses_per_person_max, min_spend_minor, used, active,
             version
         FROM voucher
         WHERE company_id = $1 AND voucher_code > $2 AND ($4::bool IS NULL OR active = $4)
         ORDER BY voucher_code LIMIT $3",
        tx.company().0,
        after,
        limit,
        active
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Columns::read).collect()
}

/// Makes one that is not there, under version 0: [`put`] writes the rest.
pub(in crate::pricing) async fn insert(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO voucher (company_id, voucher_code, name, percent_bp, version)
         VALUES ($1, $2, '', 1, 0)",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes one, new or changed, but for how often it was used; a change steps its version.
pub(in crate::pricing) async fn put(tx: &mut TenantTx, v: &Voucher) -> Result<i32, DbError> {
    let (percent_bp, amount_minor, _) = off_columns(&v.off);
    let version = sqlx::query_scalar!(
        "INSERT INTO voucher AS v (company_id, voucher_code, name, percent_bp, amount_minor,
             currency, valid_from, valid_until, uses_max, uses_per_person_max, min_spend_minor,
             active)
         VALUES ($1, $2, $3, $4, $5, $6, $7::text::date, $8::text::date, $9, $10, $11, $12)
         ON CONFLICT (company_id, voucher_code) DO UPDATE
         SET name = EXCLUDED.name, percent_bp = EXCLUDED.percent_bp,
             amount_minor = EXCLUDED.amount_minor, currency = EXCLUDED.currency,
             valid_from = EXCLUDED.valid_from, valid_until = EXCLUDED.valid_until,
             uses_max = EXCLUDED.uses_max, uses_per_person_max = EXCLUDED.uses_per_person_max,
             min_spend_minor = EXCLUDED.min_spend_minor, active = EXCLUDED.active,
             version = v.version + 1
         RETURNING version",
        tx.company().0,
        v.code,
        v.name,
        percent_bp,
        amount_minor,
        v.currency.map(|c| c.to_string()),
        day_text(v.valid.from),
        day_text(v.valid.until),
        v.uses_max,
        v.uses_per_person_max,
        v.min_spend_minor.0,
        v.active
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// A voucher in a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoucherUse {
    /// The booking.
    pub booking: Uuid,
    /// Its code.
    pub code: String,
    /// What it took off.
    pub amount_minor: Minor,
    /// When.
    pub used_at: Instant,
    /// When it was given back.
    pub returned_at: Option<Instant>,
}

/// The use of a booking, its row locked.
pub(in crate::pricing) async fn lock_use(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Option<VoucherUse>, DbError> {
    let row = sqlx::query!(
        "SELECT voucher_code, amount_minor, used_at_ms, returned_at_ms FROM voucher_use
         WHERE company_id = $1 AND booking_id = $2 FOR UPDATE",
        tx.company().0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| VoucherUse {
        booking,
        code: r.voucher_code,
        amount_minor: Minor(r.amount_minor),
        used_at: Instant(r.used_at_ms),
        returned_at: r.returned_at_ms.map(Instant),
    }))
}

/// How often somebody used a voucher, this booking left out.
pub(in crate::pricing) async fn uses_by(
    tx: &mut TenantTx,
    code: &str,
    who: &Redeemer,
    but: Uuid,
) -> Result<i64, DbError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM voucher_use
           WHERE company_id = $1 AND voucher_code = $2 AND returned_at_ms IS NULL
               AND booking_id <> $5 AND (person_id = $3 OR phone_blind = $4)"#,
        tx.company().0,
        code,
        who.person,
        who.phone_blind.as_deref(),
        but
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

pub(in crate::pricing) async fn put_use(
    tx: &mut TenantTx,
    entry: &VoucherUse,
    who: &Redeemer,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO voucher_use AS u (company_id, booking_id, voucher_code, person_id,
             phone_blind, amount_minor, used_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (company_id, booking_id) DO UPDATE
         SET voucher_code = EXCLUDED.voucher_code,
             person_id = coalesce(EXCLUDED.person_id, u.person_id),
             phone_blind = coalesce(EXCLUDED.phone_blind, u.phone_blind),
             amount_minor = EXCLUDED.amount_minor, returned_at_ms = NULL",
        tx.company().0,
        entry.booking,
        entry.code,
        who.person,
        who.phone_blind.as_deref(),
        entry.amount_minor.0,
        entry.used_at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts a use more or less; the row is locked by the caller.
pub(in crate::pricing) async fn count_use(
    tx: &mut TenantTx,
    code: &str,
    by: i32,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE voucher SET used = used + $3 WHERE company_id = $1 AND voucher_code = $2",
        tx.company().0,
        code,
        by
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::pricing) async fn mark_returned(
    tx: &mut TenantTx,
    booking: Uuid,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE voucher_use SET returned_at_ms = $3 WHERE company_id = $1 AND booking_id = $2",
        tx.company().0,
        booking,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The uses of a voucher by booking, with the bookings' references.
pub(in crate::pricing) async fn uses(
    tx: &mut TenantTx,
    code: &str,
    cursor: &Cursor,
) -> Result<Vec<(VoucherUse, String)>, DbError> {
    let rows = sqlx::query!(
        "SELECT u.booking_id, u.voucher_code, u.amount_minor, u.used_at_ms, u.returned_at_ms,
             b.reference
         FROM voucher_use u JOIN booking b USING (company_id, booking_id)
         WHERE u.company_id = $1 AND u.voucher_code = $2 AND u.booking_id > $3
         ORDER BY u.booking_id LIMIT $4",
        tx.company().0,
        code,
        cursor.part(0, Uuid::nil()),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let entry = VoucherUse {
                booking: r.booking_id,
                code: r.voucher_code,
                amount_minor: Minor(r.amount_minor),
                used_at: Instant(r.used_at_ms),
                returned_at: r.returned_at_ms.map(Instant),
            };
            (entry, r.reference)
        })
        .collect())
}

/// How many bookings ever used it.
pub(in crate::pricing) async fn ever_used(
    tx: &mut TenantTx,
    code: &str,
) -> Result<(i64, Vec<String>), DbError> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!",
               coalesce((array_agg(b.reference ORDER BY u.used_at_ms))[1:5], '{}') AS "some!"
           FROM voucher_use u JOIN booking b USING (company_id, booking_id)
           WHERE u.company_id = $1 AND u.voucher_code = $2"#,
        tx.company().0,
        code
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.count, row.some))
}

pub(in crate::pricing) async fn delete(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM voucher WHERE company_id = $1 AND voucher_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The voucher that a booking uses, unless it was given back.
pub(in crate::pricing) async fn use_of(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Option<String>, DbError> {
    let code = sqlx::query_scalar!(
        "SELECT voucher_code FROM voucher_use
         WHERE company_id = $1 AND booking_id = $2 AND returned_at_ms IS NULL",
        tx.company().0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(code)
}
