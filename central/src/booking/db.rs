//! The rows of bookings and of the answers given.

use std::collections::BTreeMap;

use domain::ids::{SeatNo, TripId};
use domain::time::{Instant, Zone};
use uuid::Uuid;

use super::idempotency::Answer;
use super::service::Booked;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// Takes a lock until the end of the transaction unless somebody has it.
pub(super) async fn try_lock(tx: &mut TenantTx, number: i64) -> Result<bool, DbError> {
    let taken = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock($1) AS "taken!""#,
        number
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(taken)
}

pub(super) async fn find_answer(
    tx: &mut TenantTx,
    key: &str,
) -> Result<Option<([u8; 32], Answer)>, DbError> {
    let row = sqlx::query!(
        "SELECT fingerprint, status, content_type, response FROM idempotency
         WHERE company_id = $1 AND key = $2",
        tx.company().0,
        key
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let fingerprint = r.fingerprint.try_into();
        let answer = Answer {
            status: r.status as u16,
            content_type: r.content_type,
            body: r.response,
        };
        Ok((
            fingerprint.map_err(|_| DbError::damaged("a request's fingerprint"))?,
            answer,
        ))
    })
    .transpose()
}

pub(super) async fn insert_answer(
    tx: &mut TenantTx,
    key: &str,
    fingerprint: &[u8; 32],
    answer: &Answer,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO idempotency (company_id, key, fingerprint, status, content_type, response,
                                  created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        key,
        &fingerprint[..],
        answer.status as i16,
        answer.content_type,
        answer.body,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

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

/// How often the hub itself has sold each seat of a trip.
pub(super) async fn hub_ordinals(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<BTreeMap<SeatNo, u16>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT seat, max(ordinal) AS "last!" FROM ticket
           WHERE company_id = $1 AND trip_id = $2 AND issuer_node IS NULL GROUP BY seat"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (SeatNo(r.seat as u16), r.last as u16))
        .collect())
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
