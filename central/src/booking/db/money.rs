//! Rows of a booking on their way to tickets, or back to the pool.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{SeatNo, TripId};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use domain::trip::Legs;
use uuid::Uuid;

use crate::booking::state::State;
use crate::db::DbError;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// A booking, its row locked.
#[derive(Debug, Clone)]
pub(in crate::booking) struct BookingRow {
    pub(in crate::booking) id: Uuid,
    pub(in crate::booking) reference: String,
    pub(in crate::booking) state: State,
    pub(in crate::booking) total_minor: Minor,
    pub(in crate::booking) paid_minor: Minor,
    pub(in crate::booking) currency: Currency,
    pub(in crate::booking) expires_at: Option<Instant>,
    pub(in crate::booking) expires_last: Option<Instant>,
    pub(in crate::booking) secret_hash: Option<Vec<u8>>,
    pub(in crate::booking) paid_by: Option<Uuid>,
    pub(in crate::booking) created_at: Instant,
    pub(in crate::booking) version: i32,
}

/// A seat of a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::booking) struct CouponRow {
    pub(in crate::booking) no: i16,
    pub(in crate::booking) trip: TripId,
    pub(in crate::booking) seat: SeatNo,
    pub(in crate::booking) legs: Legs,
    pub(in crate::booking) class: PassengerClass,
    pub(in crate::booking) fare_minor: Minor,
    pub(in crate::booking) discount_minor: Minor,
}

impl CouponRow {
    /// What is paid for it.
    pub(in crate::booking) fn price(&self) -> Minor {
        Minor(self.fare_minor.0.saturating_sub(self.discount_minor.0))
    }
}

/// The booking with this number, locked to the end of the transaction.
pub(in crate::booking) async fn lock_booking(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Option<BookingRow>, DbError> {
    let row = sqlx::query!(
        "SELECT booking_id, reference, state, total_minor, paid_minor, currency, expires_at_ms,
                expires_last_ms, secret_hash, paid_by, created_at_ms, version
         FROM booking WHERE company_id = $1 AND booking_id = $2 FOR UPDATE",
        tx.company().0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let damaged = || DbError::damaged(format!("booking {}", r.reference));
        Ok(BookingRow {
            state: State::of(&r.state).ok_or_else(damaged)?,
            currency: r.currency.parse().map_err(|_| damaged())?,
            id: r.booking_id,
            reference: r.reference,
            total_minor: Minor(r.total_minor),
            paid_minor: Minor(r.paid_minor),
            expires_at: r.expires_at_ms.map(Instant),
            expires_last: r.expires_last_ms.map(Instant),
            secret_hash: r.secret_hash,
            paid_by: r.paid_by,
            created_at: Instant(r.created_at_ms),
            version: r.version,
        })
    })
    .transpose()
}

/// The seats of a booking that are, or were, waiting for money.
pub(in crate::booking) async fn coupons(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Vec<CouponRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT coupon_no, trip_id, seat, lower(legs) AS "from!", upper(legs) AS "to!", class,
                  fare_minor, discount_minor
           FROM coupon WHERE company_id = $1 AND booking_id = $2 ORDER BY coupon_no"#,
        tx.company().0,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let class = u8::try_from(r.class)
                .ok()
                .and_then(PassengerClass::from_code);
            Ok(CouponRow {
                no: r.coupon_no,
                trip: TripId(r.trip_id as u64),
                seat: SeatNo(r.seat as u16),
                legs: legs_of(r.from, r.to)?,
                class: class.ok_or_else(|| DbError::damaged("a coupon's passenger class"))?,
                fare_minor: Minor(r.fare_minor),
                discount_minor: Minor(r.discount_minor),
            })
        })
        .collect()
}

/// What became of a coupon's seat before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::booking) struct Before {
    /// How often the hub itself has sold it.
    pub(in crate::booking) last_ordinal: u16,
    /// A live ticket stands on it.
    pub(in crate::booking) is_sold: bool,
}

/// What became of the seats of some coupons before, by coupon number.
pub(in crate::booking) async fn before(
    tx: &mut TenantTx,
    coupons: &[CouponRow],
) -> Result<BTreeMap<i16, Before>, DbError> {
    fn column<T>(rows: &[CouponRow], pick: impl Fn(&CouponRow) -> T) -> Vec<T> {
        rows.iter().map(pick).collect()
    }
    let rows = sqlx::query!(
        r#"SELECT w.no AS "no!",
                  COALESCE(max(k.ordinal) FILTER (WHERE k.issuer_node IS NULL), 0) AS "last!",
                  bool_or(k.state = 0 AND k.legs && int4range(w.a, w.b)) AS "is_sold!"
           FROM UNNEST($2::smallint[], $3::bigint[], $4::int[], $5::int[], $6::int[])
               AS w(no, trip, seat, a, b)
           JOIN ticket k ON k.company_id = $1 AND k.trip_id = w.trip AND k.seat = w.seat
           GROUP BY w.no"#,
        tx.company().0,
        &column(coupons, |c| c.no),
        &column(coupons, |c| c.trip.0 as i64),
        &column(coupons, |c| i32::from(c.seat.0)),
        &column(coupons, |c| i32::from(c.legs.from().0)),
        &column(coupons, |c| i32::from(c.legs.to().0))
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let before = Before {
                last_ordinal: r.last as u16,
                is_sold: r.is_sold,
            };
            (r.no, before)
        })
        .collect())
}

/// Moves the moment at which unpaid seats go back.
pub(in crate::booking) async fn set_expiry(
    tx: &mut TenantTx,
    booking: Uuid,
    expires_at: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE booking SET expires_at_ms = $3, version = version + 1
         WHERE company_id = $1 AND booking_id = $2",
        tx.company().0,
        booking,
        expires_at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives the seats of an unpaid booking back to the pool, and their trips' numbers.
pub(in crate::booking) async fn end_unpaid(
    tx: &mut TenantTx,
    booking: Uuid,
    to: State,
) -> Result<Vec<i64>, DbError> {
    let trips = sqlx::query_scalar!(
        "WITH freed AS (
             DELETE FROM claim WHERE company_id = $1 AND booking_id = $2 AND kind = 'hold'),
         ended AS (
             UPDATE booking SET state = $3, secret_hash = NULL, version = version + 1
             WHERE company_id = $1 AND booking_id = $2)
         UPDATE coupon SET state = 'released'
         WHERE company_id = $1 AND booking_id = $2 AND state = 'held' RETURNING trip_id",
        tx.company().0,
        booking,
        to.as_str()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(trips
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect())
}

/// A coupon and the ticket that it became.
#[derive(Debug, Clone, Copy)]
pub(in crate::booking) struct Issued {
    pub(in crate::booking) coupon_no: i16,
    pub(in crate::booking) ticket: Uuid,
}

/// Marks a booking paid: its holds end, each coupon names its ticket.
pub(in crate::booking) async fn confirm(
    tx: &mut TenantTx,
    booking: Uuid,
    issued: &[Issued],
    payment: Uuid,
    paid_minor: Minor,
    now: Instant,
) -> Result<(), DbError> {
    let numbers: Vec<i16> = issued.iter().map(|i| i.coupon_no).collect();
    let tickets: Vec<Uuid> = issued.iter().map(|i| i.ticket).collect();
    sqlx::query!(
        "WITH freed AS (
             DELETE FROM claim WHERE company_id = $1 AND booking_id = $2 AND kind = 'hold'),
         named AS (
             UPDATE coupon c SET state = 'issued', ticket_id = w.ticket
             FROM UNNEST($3::smallint[], $4::uuid[]) AS w(no, ticket)
             WHERE c.company_id = $1 AND c.booking_id = $2 AND c.coupon_no = w.no)
         UPDATE booking
         SET state = 'confirmed', paid_by = $5, paid_minor = paid_minor + $6,
             confirmed_at_ms = $7, secret_hash = NULL, expires_at_ms = NULL,
             version = version + 1
         WHERE company_id = $1 AND booking_id = $2",
        tx.company().0,
        booking,
        &numbers,
        &tickets,
        payment,
        paid_minor.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether this entry is in the books.
pub(in crate::booking) async fn is_posted(tx: &mut TenantTx, entry: Uuid) -> Result<bool, DbError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger_entry WHERE company_id = $1 AND entry_id = $2)
           AS "known!""#,
        tx.company().0,
        entry
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(known)
}
