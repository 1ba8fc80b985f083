//! Rows of exchanges that wait for money.

use domain::ids::{SeatNo, TripId};
use domain::time::Instant;
use domain::trip::Legs;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// Claims seats for an exchange. The trip is locked, and the seats are free.
pub(in crate::aftersale) async fn hold_for(
    tx: &mut TenantTx,
    offer: Uuid,
    (trip, legs, seats): (TripId, Legs, &[SeatNo]),
) -> Result<(), DbError> {
    let seats: Vec<i32> = seats.iter().map(|s| i32::from(s.0)).collect();
    sqlx::query!(
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, offer_id)
         SELECT $1, $3, w.seat, int4range($4, $5), 'hold', $2 FROM UNNEST($6::int[]) AS w(seat)",
        tx.company().0,
        offer,
        trip.0 as i64,
        i32::from(legs.from().0),
        i32::from(legs.to().0),
        &seats
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that a payment is for an exchange.
pub(in crate::aftersale) async fn note_payment(
    tx: &mut TenantTx,
    offer: Uuid,
    payment: Uuid,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO offer_payment (company_id, payment_id, offer_id) VALUES ($1, $2, $3)",
        tx.company().0,
        payment,
        offer
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The exchange that a payment is for.
pub(in crate::aftersale) async fn offer_of_payment(
    tx: &mut TenantTx,
    payment: Uuid,
) -> Result<Option<Uuid>, DbError> {
    let found = sqlx::query_scalar!(
        "SELECT offer_id FROM offer_payment WHERE company_id = $1 AND payment_id = $2",
        tx.company().0,
        payment
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// Frees the seats of an exchange.
pub(in crate::aftersale) async fn let_go(tx: &mut TenantTx, offer: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM claim WHERE company_id = $1 AND offer_id = $2",
        tx.company().0,
        offer
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Frees the seats of exchanges that are over, should any be left.
pub(in crate::aftersale) async fn let_go_of_ended(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM claim c USING aftersale_offer o
         WHERE c.company_id = $1 AND c.offer_id IS NOT NULL
           AND o.company_id = c.company_id AND o.offer_id = c.offer_id AND o.state <> 'open'",
        tx.company().0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps an offer open until then, at least.
pub(in crate::aftersale) async fn keep_offer(
    tx: &mut TenantTx,
    offer: Uuid,
    until: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE aftersale_offer SET valid_until_ms = GREATEST(valid_until_ms, $3)
         WHERE company_id = $1 AND offer_id = $2 AND state = 'open'",
        tx.company().0,
        offer,
        until.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends an offer that is still open.
pub(in crate::aftersale) async fn lapse_one(
    tx: &mut TenantTx,
    offer: Uuid,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE aftersale_offer SET state = 'lapsed', ended_at_ms = $3
         WHERE company_id = $1 AND offer_id = $2 AND state = 'open'",
        tx.company().0,
        offer,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What follows may be taken back by itself.
pub(in crate::aftersale) async fn savepoint(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query("SAVEPOINT exchange").execute(tx.conn()).await?;
    Ok(())
}

/// What followed the savepoint stays.
pub(in crate::aftersale) async fn keep_savepoint(tx: &mut TenantTx) -> Result<(), DbError> {
    sqlx::query("RELEASE SAVEPOINT exchange")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What followed the savepoint is taken back.
pub(in crate::aftersale) async fn back_to_savepoint(tx: &mut TenantTx) -> Result<(), DbError> {
    tx.forget_accounts();
    sqlx::query("ROLLBACK TO SAVEPOINT exchange")
        .execute(tx.conn())
        .await?;
    Ok(())
}
