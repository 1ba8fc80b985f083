//! Rows of passengers' names and their corrections.

use std::collections::BTreeMap;

use domain::codec::from_cbor;
use domain::ids::StopSeq;
use domain::trip::Trip;
use uuid::Uuid;

use crate::aftersale::rules::NameStanding;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A seat of a booking with its passenger.
#[derive(Debug, Clone)]
pub(in crate::aftersale) struct Named {
    pub(in crate::aftersale) reference: String,
    /// Of the booking's row.
    pub(in crate::aftersale) version: i32,
    pub(in crate::aftersale) route: String,
    pub(in crate::aftersale) passenger_sealed: Option<Vec<u8>>,
    pub(in crate::aftersale) standing: NameStanding,
}

/// The passenger of a coupon, with what a correction depends on. The booking is locked.
pub(in crate::aftersale) async fn named(
    tx: &mut TenantTx,
    (booking, coupon): (Uuid, i16),
) -> Result<Option<Named>, DbError> {
    let row = sqlx::query!(
        r#"SELECT b.reference, b.version, t.route_code, t.body, t.delay_ms, c.passenger_sealed,
                  lower(c.legs) AS "from!", c.state IN ('held', 'issued') AS "live!",
                  (SELECT count(*) FROM passenger_correction p WHERE p.company_id = c.company_id
                      AND p.booking_id = c.booking_id AND p.coupon_no = c.coupon_no)
                      AS "corrected!",
                  EXISTS (SELECT FROM scan s WHERE s.company_id = c.company_id
                      AND s.trip_id = c.trip_id AND s.ticket_id = c.ticket_id
                      AND s.answer IN ('valid', 'good_but_unlisted'))
                  OR EXISTS (SELECT FROM travel_mark m WHERE m.company_id = c.company_id
                      AND m.ticket_id = c.ticket_id AND m.mark = 'boarded') AS "boarded!"
           FROM coupon c
           JOIN booking b ON b.company_id = c.company_id AND b.booking_id = c.booking_id
           JOIN trip t ON t.company_id = c.company_id AND t.trip_id = c.trip_id
           WHERE c.company_id = $1 AND c.booking_id = $2 AND c.coupon_no = $3"#,
        tx.company().0,
        booking,
        coupon
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let damaged = || DbError::damaged(format!("coupon {coupon} of booking {}", r.reference));
        let run: Trip = from_cbor(&r.body).map_err(|_| damaged())?;
        let stop = u8::try_from(r.from).ok().and_then(|s| run.stop(StopSeq(s)));
        let departs = stop.map(|s| s.departs).ok_or_else(damaged)?;
        Ok(Named {
            standing: NameStanding {
                is_live: r.live,
                has_boarded: r.boarded,
                departs_ms: departs.plus_ms(r.delay_ms).0,
                corrected: r.corrected,
            },
            reference: r.reference,
            version: r.version,
            route: r.route_code,
            passenger_sealed: r.passenger_sealed,
        })
    })
    .transpose()
}

/// A correction to store.
#[derive(Debug, Clone)]
pub(in crate::aftersale) struct NewCorrection<'a> {
    pub(in crate::aftersale) id: Uuid,
    pub(in crate::aftersale) booking: Uuid,
    pub(in crate::aftersale) coupon: i16,
    pub(in crate::aftersale) before_sealed: Option<&'a [u8]>,
    pub(in crate::aftersale) passenger_sealed: &'a [u8],
    pub(in crate::aftersale) reason: &'a str,
    pub(in crate::aftersale) actor: (&'a str, Option<Uuid>),
    pub(in crate::aftersale) at_ms: i64,
}

/// Writes the name and what it was; gives the booking's version.
pub(in crate::aftersale) async fn correct(
    tx: &mut TenantTx,
    new: &NewCorrection<'_>,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "WITH noted AS (
             INSERT INTO passenger_correction (company_id, correction_id, booking_id, coupon_no,
                 before_sealed, reason, actor_kind, actor_id, at_ms)
             VALUES ($1, $2, $3, $4, $5, $7, $8, $9, $10)),
         named AS (
             UPDATE coupon SET passenger_sealed = $6
             WHERE company_id = $1 AND booking_id = $3 AND coupon_no = $4)
         UPDATE booking SET version = version + 1
         WHERE company_id = $1 AND booking_id = $3 RETURNING version",
        tx.company().0,
        new.id,
        new.booking,
        new.coupon,
        new.before_sealed,
        new.passenger_sealed,
        new.reason,
        new.actor.0,
        new.actor.1,
        new.at_ms
    );
    Ok(version.fetch_one(tx.conn()).await?)
}

/// The passengers of a booking's coupons that anything is known of.
pub(in crate::aftersale) async fn passengers(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<BTreeMap<i16, Vec<u8>>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT coupon_no, passenger_sealed AS "passenger_sealed!" FROM coupon
           WHERE company_id = $1 AND booking_id = $2 AND passenger_sealed IS NOT NULL"#,
        tx.company().0,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    let passenger = rows.into_iter().map(|r| (r.coupon_no, r.passenger_sealed));
    Ok(passenger.collect())
}

/// Lets corrections follow their passenger to the coupon that replaces another.
pub(in crate::aftersale) async fn move_corrections(
    tx: &mut TenantTx,
    booking: Uuid,
    (from, to): (i16, i16),
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE passenger_correction SET coupon_no = $4
         WHERE company_id = $1 AND booking_id = $2 AND coupon_no = $3",
        tx.company().0,
        booking,
        from,
        to
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
