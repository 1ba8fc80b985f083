//! The rows of bookings and of the answers given.

use domain::ids::TripId;
use domain::time::{Instant, Zone};
use uuid::Uuid;

mod money;

pub(super) use money::{
    BookingRow, CouponRow, Issued, confirm, coupons, end_unpaid, hub_ordinals, is_posted,
    lock_booking, set_expiry, trip_state,
};

use super::service::Booked;
use crate::db::DbError;
use crate::tenant::TenantTx;

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

pub(super) async fn insert_booking(
    tx: &mut TenantTx,
    booked: &Booked,
    name: &str,
    phone: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO booking (company_id, booking_id, reference, trip_id, contact_name,
                              contact_phone, total_minor, currency, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tx.company().0,
        booked.id,
        booked.reference,
        booked.trip.id.0 as i64,
        name,
        phone,
        booked.total_minor.0,
        booked.trip.currency.as_str(),
        booked.created_at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A booking's id and total, for who knows its reference and the phone number given.
pub(crate) async fn find_booking(
    tx: &mut TenantTx,
    reference: &str,
    phone: &str,
) -> Result<Option<(Uuid, TripId, i64, String, Instant)>, DbError> {
    let row = sqlx::query!(
        "SELECT booking_id, trip_id, total_minor, currency, created_at_ms FROM booking
         WHERE company_id = $1 AND reference = $2 AND contact_phone = $3",
        tx.company().0,
        reference,
        phone
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| {
        let trip = TripId(r.trip_id as u64);
        let created = Instant(r.created_at_ms);
        (r.booking_id, trip, r.total_minor, r.currency, created)
    }))
}
