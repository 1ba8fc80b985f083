//! The rows of pricing.

pub(super) mod commissions;
pub(super) mod discounts;
pub(super) mod fares;
pub(super) mod vouchers;

use domain::codec::from_cbor;
use domain::ids::TripId;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::{ServiceDate, Zone};
use domain::trip::Trip;

use super::rules::{Off, Validity};
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A stored day.
pub(super) fn day_of(text: Option<String>) -> Result<Option<ServiceDate>, DbError> {
    text.map(|day| day.parse())
        .transpose()
        .map_err(|_| DbError::damaged("a date"))
}

/// Stored days.
pub(super) fn validity_of(
    from: Option<String>,
    until: Option<String>,
) -> Result<Validity, DbError> {
    Ok(Validity {
        from: day_of(from)?,
        until: day_of(until)?,
    })
}

/// A stored currency.
pub(super) fn currency_of(text: &str) -> Result<Currency, DbError> {
    text.parse()
        .map_err(|_| DbError::damaged(format!("the currency {text}")))
}

/// A stored class.
pub(super) fn class_of(code: i16) -> Result<PassengerClass, DbError> {
    u8::try_from(code)
        .ok()
        .and_then(PassengerClass::from_code)
        .ok_or_else(|| DbError::damaged(format!("the passenger class {code}")))
}

/// A stored part of an amount.
pub(super) fn off_of(
    percent_bp: Option<i32>,
    amount_minor: Option<i64>,
    currency: Option<&str>,
) -> Result<Off, DbError> {
    match (percent_bp, amount_minor, currency) {
        (Some(bp), None, _) => u16::try_from(bp)
            .map(Off::PercentBp)
            .map_err(|_| DbError::damaged("a percentage")),
        (None, Some(amount), Some(currency)) => {
            Ok(Off::Amount(Minor(amount), currency_of(currency)?))
        }
        _ => Err(DbError::damaged("an amount or percentage")),
    }
}

/// A part of an amount in the columns `percent_bp`, `amount_minor`, `currency`.
pub(super) fn off_columns(off: &Off) -> (Option<i32>, Option<i64>, Option<String>) {
    match off {
        Off::PercentBp(bp) => (Some(i32::from(*bp)), None, None),
        Off::Amount(amount, currency) => (None, Some(amount.0), Some(currency.to_string())),
    }
}

/// A day in the form a date column takes.
pub(super) fn day_text(day: Option<ServiceDate>) -> Option<String> {
    day.map(|day| day.to_string())
}

/// Whose days the company's sales fall on.
pub(super) async fn company_zone(tx: &mut TenantTx) -> Result<Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone.parse()
        .map_err(|_| DbError::damaged(format!("the time zone {zone}")))
}

/// A trip as everybody knows it.
pub(super) async fn trip(tx: &mut TenantTx, id: TripId) -> Result<Option<Trip>, DbError> {
    let Ok(number) = i64::try_from(id.0) else {
        return Ok(None);
    };
    let body = sqlx::query_scalar!(
        "SELECT body FROM trip WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        number
    )
    .fetch_optional(tx.conn())
    .await?;
    body.map(|b| from_cbor(&b).map_err(|_| DbError::damaged(format!("trip {id}"))))
        .transpose()
}
