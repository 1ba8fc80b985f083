//! Rows of holds and bookings being made.

use domain::ids::TripId;
use domain::time::{Instant, Zone};
use uuid::Uuid;

use crate::booking::catalog::TripFacts;
use crate::booking::contact::Sealed;
use crate::booking::load::facts_of;
use crate::booking::state::{Deadline, State};
use crate::db::DbError;
use crate::tenant::TenantTx;

use super::CouponRow;

/// A trip's row at this moment.
pub(in crate::booking) struct SaleRow {
    pub(in crate::booking) version: i64,
    pub(in crate::booking) state: String,
    pub(in crate::booking) zone: Zone,
    pub(in crate::booking) price_version: i64,
    /// Packed: see the function in the schema.
    pub(in crate::booking) taken: Vec<i32>,
    /// Somebody waits for seats of it.
    pub(in crate::booking) waited_for: bool,
}

pub(in crate::booking) async fn trip_for_sale(
    tx: &mut TenantTx,
    trip: TripId,
    lock: bool,
) -> Result<Option<SaleRow>, DbError> {
    let Ok(number) = i64::try_from(trip.0) else {
        return Ok(None);
    };
    let row = sqlx::query!(
        "SELECT row_version, trip_state, zone, price_version, taken, waited_for
         FROM trip_for_sale($1, $2, $3)",
        tx.company().0,
        number,
        lock
    )
    .fetch_one(tx.conn())
    .await?;
    let Some((version, state)) = row.row_version.zip(row.trip_state) else {
        return Ok(None);
    };
    let zone = row.zone.unwrap_or_default();
    Ok(Some(SaleRow {
        version,
        state,
        zone: zone
            .parse()
            .map_err(|_| DbError::damaged(format!("the time zone {zone}")))?,
        price_version: row.price_version.unwrap_or(0),
        taken: row.taken.unwrap_or_default(),
        waited_for: row.waited_for.unwrap_or(false),
    }))
}

/// A trip as it stands; `None` where this company runs no such trip.
pub(in crate::booking) async fn trip_facts(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Option<TripFacts>, DbError> {
    let row = sqlx::query!(
        "SELECT body, route_code, boarding_closes_ms FROM trip
         WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| facts_of(trip.0 as i64, &r.body, r.route_code, r.boarding_closes_ms))
        .transpose()
}

/// A booking to store.
#[derive(Debug, Clone)]
pub(in crate::booking) struct NewRow<'a> {
    pub(in crate::booking) id: Uuid,
    pub(in crate::booking) reference: &'a str,
    pub(in crate::booking) state: State,
    pub(in crate::booking) currency: &'a str,
    pub(in crate::booking) total_minor: i64,
    pub(in crate::booking) secret_hash: Option<&'a [u8]>,
    pub(in crate::booking) deadline: Deadline,
    pub(in crate::booking) person: Option<Uuid>,
    pub(in crate::booking) seller_kind: &'a str,
    pub(in crate::booking) seller: Option<Uuid>,
    pub(in crate::booking) contact: Option<&'a Sealed>,
    pub(in crate::booking) group_name: Option<&'a str>,
    pub(in crate::booking) created_at: Instant,
    /// Whether its seats are claimed; not where tickets follow in the same transaction.
    pub(in crate::booking) claims: bool,
}

/// Stores a booking, its coupons and their claims in one statement. Claims go in the order of
/// trips and seats, as everywhere, so that no two wishes wait for each other.
pub(in crate::booking) async fn insert(
    tx: &mut TenantTx,
    new: &NewRow<'_>,
    coupons: &[CouponRow],
    passengers: &[Option<Vec<u8>>],
) -> Result<(), DbError> {
    fn column<T>(rows: &[CouponRow], pick: impl Fn(&CouponRow) -> T) -> Vec<T> {
        rows.iter().map(pick).collect()
    }
    let trips = column(coupons, |c| c.trip.0 as i64);
    sqlx::query!(
        "WITH w AS (
             SELECT * FROM UNNEST($3::smallint[], $4::bigint[], $5::int[], $6::int[], $7::int[],
                 $8::smallint[], $9::bigint[], $10::bigint[], $11::bytea[])
             AS w(no, trip, seat, a, b, class, fare, discount, passenger)),
         b AS (
             INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor,
                 currency, created_at_ms, state, secret_hash, expires_at_ms, expires_last_ms,
                 person_id, seller_kind, seller_id, contact_sealed, phone_blind, name_blind,
                 group_name)
             VALUES ($1, $2, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
                 $25, $26, $27)),
         k AS (
             INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id)
             SELECT $1, w.trip, w.seat, int4range(w.a, w.b), 'hold', $2 FROM w WHERE $28
             ORDER BY w.trip, w.seat)
         INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
             fare_minor, discount_minor, passenger_sealed)
         SELECT $1, $2, w.no, w.trip, w.seat, int4range(w.a, w.b), w.class, w.fare, w.discount,
             w.passenger
         FROM w",
        tx.company().0,
        new.id,
        &column(coupons, |c| c.no),
        &trips,
        &column(coupons, |c| i32::from(c.seat.0)),
        &column(coupons, |c| i32::from(c.legs.from().0)),
        &column(coupons, |c| i32::from(c.legs.to().0)),
        &column(coupons, |c| i16::from(c.class.code())),
        &column(coupons, |c| c.fare_minor.0),
        &column(coupons, |c| c.discount_minor.0),
        passengers as &[Option<Vec<u8>>],
        new.reference,
        trips.first().copied().unwrap_or(0),
        new.total_minor,
        new.currency,
        new.created_at.0,
        new.state.as_str(),
        new.secret_hash,
        new.deadline.expires_at.0,
        new.deadline.last.0,
        new.person,
        new.seller_kind,
        new.seller,
        new.contact.map(|c| c.contact.as_slice()),
        new.contact.map(|c| c.phone_blind.as_slice()),
        new.contact.map(|c| c.name_blind.as_slice()),
        new.group_name,
        new.claims,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Who a held booking is for.
#[derive(Debug, Clone)]
pub(in crate::booking) struct Named<'a> {
    pub(in crate::booking) contact: &'a Sealed,
    pub(in crate::booking) person: Option<Uuid>,
    pub(in crate::booking) seller_kind: &'a str,
    pub(in crate::booking) seller: Option<Uuid>,
    pub(in crate::booking) group_name: Option<&'a str>,
    pub(in crate::booking) expires_at: Instant,
}

/// Gives a held booking a name: it waits for payment from then on.
pub(in crate::booking) async fn name(
    tx: &mut TenantTx,
    booking: Uuid,
    named: &Named<'_>,
    passengers: &[(i16, Option<Vec<u8>>)],
) -> Result<(), DbError> {
    let numbers: Vec<i16> = passengers.iter().map(|p| p.0).collect();
    let sealed: Vec<Option<&[u8]>> = passengers.iter().map(|p| p.1.as_deref()).collect();
    sqlx::query!(
        "WITH known AS (
             UPDATE coupon c SET passenger_sealed = w.passenger
             FROM UNNEST($3::smallint[], $4::bytea[]) AS w(no, passenger)
             WHERE c.company_id = $1 AND c.booking_id = $2 AND c.coupon_no = w.no
                 AND w.passenger IS NOT NULL)
         UPDATE booking
         SET state = 'awaiting_payment', contact_sealed = $5, phone_blind = $6, name_blind = $7,
             person_id = COALESCE($8, person_id), seller_kind = $9, seller_id = $10,
             group_name = $11, expires_at_ms = $12, secret_hash = NULL, version = version + 1
         WHERE company_id = $1 AND booking_id = $2",
        tx.company().0,
        booking,
        &numbers,
        &sealed as _,
        named.contact.contact,
        named.contact.phone_blind,
        named.contact.name_blind,
        named.person,
        named.seller_kind,
        named.seller,
        named.group_name,
        named.expires_at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Unpaid bookings of a trip whose time is over, locked; those that somebody works on are left.
pub(in crate::booking) async fn run_out(
    tx: &mut TenantTx,
    trip: Option<TripId>,
    now: Instant,
    most: i64,
) -> Result<Vec<Uuid>, DbError> {
    let ids = sqlx::query_scalar!(
        "SELECT booking_id FROM booking b
         WHERE company_id = $1 AND state IN ('held', 'awaiting_payment') AND expires_at_ms <= $2
           AND ($3::bigint IS NULL OR EXISTS (
               SELECT FROM claim c WHERE c.company_id = $1 AND c.trip_id = $3
                   AND c.booking_id = b.booking_id))
         ORDER BY expires_at_ms LIMIT $4 FOR UPDATE SKIP LOCKED",
        tx.company().0,
        now.0,
        trip.map(|t| t.0 as i64),
        most
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids)
}

/// A booking from before contacts were sealed.
pub(in crate::booking) struct Plain {
    pub(in crate::booking) booking: Uuid,
    pub(in crate::booking) name: String,
    pub(in crate::booking) phone: String,
    pub(in crate::booking) currency: String,
}

/// Some bookings whose contact stands there to read, locked.
pub(in crate::booking) async fn plain_contacts(
    tx: &mut TenantTx,
    most: i64,
) -> Result<Vec<Plain>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT booking_id, COALESCE(contact_name, '') AS "name!", contact_phone AS "phone!",
                  currency
           FROM booking WHERE company_id = $1 AND contact_phone IS NOT NULL
           LIMIT $2 FOR UPDATE SKIP LOCKED"#,
        tx.company().0,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Plain {
            booking: r.booking_id,
            name: r.name,
            phone: r.phone,
            currency: r.currency,
        })
        .collect())
}

/// Puts a sealed contact in the place of a plain one.
pub(in crate::booking) async fn seal_contact(
    tx: &mut TenantTx,
    booking: Uuid,
    sealed: &Sealed,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE booking
         SET contact_sealed = $3, phone_blind = $4, name_blind = $5, contact_name = NULL,
             contact_phone = NULL
         WHERE company_id = $1 AND booking_id = $2",
        tx.company().0,
        booking,
        sealed.contact,
        sealed.phone_blind,
        sealed.name_blind
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
