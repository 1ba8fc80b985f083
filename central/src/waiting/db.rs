//! Rows of the waiting list. An entry changes under its trip's lock only.

use domain::ids::{CompanyId, TripId};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use domain::trip::Legs;
use uuid::Uuid;

use crate::db::{Db, DbError};
use crate::pricing::Channel;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// An entry to store.
#[derive(Debug, Clone)]
pub(super) struct NewEntry<'a> {
    pub(super) id: Uuid,
    pub(super) trip: TripId,
    pub(super) legs: Legs,
    pub(super) from_stop: &'a str,
    pub(super) to_stop: &'a str,
    pub(super) classes: &'a [PassengerClass],
    pub(super) secret_hash: &'a [u8],
    pub(super) contact_sealed: &'a [u8],
    pub(super) phone_blind: &'a [u8],
    pub(super) person: Option<Uuid>,
    pub(super) channel: Channel,
    pub(super) accept_until: Option<Instant>,
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    new: &NewEntry<'_>,
    now: Instant,
) -> Result<(), DbError> {
    let classes: Vec<i16> = new.classes.iter().map(|c| i16::from(c.code())).collect();
    sqlx::query!(
        "INSERT INTO waiting_entry (company_id, waiting_id, trip_id, legs, from_stop, to_stop,
             classes, secret_hash, contact_sealed, phone_blind, person_id, channel,
             accept_until_ms, created_at_ms)
         VALUES ($1, $2, $3, int4range($4, $5), $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        tx.company().0,
        new.id,
        new.trip.0 as i64,
        i32::from(new.legs.from().0),
        i32::from(new.legs.to().0),
        new.from_stop,
        new.to_stop,
        &classes,
        new.secret_hash,
        new.contact_sealed,
        new.phone_blind,
        new.person,
        new.channel.as_str(),
        new.accept_until.map(|t| t.0),
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How many wait already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// This contact, for this very journey.
    pub(super) same: bool,
    /// This contact, for anything.
    pub(super) of_contact: i64,
    /// Anybody, for this trip.
    pub(super) of_trip: i64,
}

pub(super) async fn waiting(
    tx: &mut TenantTx,
    (trip, legs): (TripId, Legs),
    phone_blind: &[u8],
) -> Result<Waiting, DbError> {
    let found = sqlx::query_as!(
        Waiting,
        r#"SELECT COALESCE(bool_or(phone_blind = $2 AND trip_id = $3
                      AND legs = int4range($4, $5)), false) AS "same!",
                  count(*) FILTER (WHERE phone_blind = $2) AS "of_contact!",
                  count(*) FILTER (WHERE trip_id = $3) AS "of_trip!"
           FROM waiting_entry
           WHERE company_id = $1 AND state IN ('waiting', 'offered')
             AND (phone_blind = $2 OR trip_id = $3)"#,
        tx.company().0,
        phone_blind,
        trip.0 as i64,
        i32::from(legs.from().0),
        i32::from(legs.to().0)
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(found)
}

/// A party in line.
#[derive(Debug, Clone)]
pub(super) struct InLine {
    pub(super) id: Uuid,
    pub(super) legs: Legs,
    pub(super) from_stop: String,
    pub(super) to_stop: String,
    pub(super) classes: Vec<PassengerClass>,
    pub(super) secret_hash: [u8; 32],
    pub(super) person: Option<Uuid>,
    pub(super) channel: Channel,
    pub(super) accept_until: Option<Instant>,
}

fn classes_of(id: Uuid, codes: &[i16]) -> Result<Vec<PassengerClass>, DbError> {
    let class = |code: &i16| u8::try_from(*code).ok().and_then(PassengerClass::from_code);
    let classes: Option<Vec<_>> = codes.iter().map(class).collect();
    classes.ok_or_else(|| DbError::damaged(format!("the passengers of waiting entry {id}")))
}

/// Who waits for a trip, in order of arrival.
pub(super) async fn line(tx: &mut TenantTx, trip: TripId) -> Result<Vec<InLine>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT waiting_id, lower(legs) AS "from!", upper(legs) AS "to!", from_stop, to_stop,
                  classes, secret_hash, person_id, channel, accept_until_ms
           FROM waiting_entry WHERE company_id = $1 AND trip_id = $2 AND state = 'waiting'
           ORDER BY arrival_no"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("waiting entry {}", r.waiting_id));
            Ok(InLine {
                id: r.waiting_id,
                legs: legs_of(r.from, r.to)?,
                classes: classes_of(r.waiting_id, &r.classes)?,
                secret_hash: r.secret_hash.try_into().map_err(|_| damaged())?,
                channel: r.channel.parse().map_err(|_| damaged())?,
                from_stop: r.from_stop,
                to_stop: r.to_stop,
                person: r.person_id,
                accept_until: r.accept_until_ms.map(Instant),
            })
        })
        .collect()
}

/// An offer that came to its end.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    pub(super) id: Uuid,
    pub(super) state: String,
    pub(super) booking: Option<Uuid>,
}

/// Ends the offers of a trip whose booking was paid for, or is over; `gone` where the trip is.
pub(super) async fn settle(
    tx: &mut TenantTx,
    (trip, gone): (TripId, bool),
    now: Instant,
) -> Result<Vec<Settled>, DbError> {
    let settled = sqlx::query_as!(
        Settled,
        "UPDATE waiting_entry w
         SET state = CASE WHEN b.confirmed_at_ms IS NOT NULL THEN 'taken'
                          WHEN $4 THEN 'closed' ELSE 'lapsed' END,
             reason = CASE WHEN b.confirmed_at_ms IS NULL AND $4 THEN 'trip-not-running' END,
             ended_at_ms = $3
         FROM booking b
         WHERE w.company_id = $1 AND w.trip_id = $2 AND w.state = 'offered'
           AND b.company_id = w.company_id AND b.booking_id = w.booking_id
           AND (b.confirmed_at_ms IS NOT NULL OR b.state NOT IN ('held', 'awaiting_payment'))
         RETURNING w.waiting_id AS id, w.state, w.booking_id AS booking",
        tx.company().0,
        trip.0 as i64,
        now.0,
        gone
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(settled)
}

/// Notes the hold that an entry is offered.
pub(super) async fn offer(
    tx: &mut TenantTx,
    id: Uuid,
    booking: Uuid,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE waiting_entry SET state = 'offered', booking_id = $3, offered_at_ms = $4
         WHERE company_id = $1 AND waiting_id = $2 AND state = 'waiting'",
        tx.company().0,
        id,
        booking,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends an entry that still waits.
pub(super) async fn end(
    tx: &mut TenantTx,
    id: Uuid,
    (state, reason): (&str, &str),
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE waiting_entry SET state = $3, reason = $4, ended_at_ms = $5
         WHERE company_id = $1 AND waiting_id = $2 AND state = 'waiting'",
        tx.company().0,
        id,
        state,
        reason,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes an entry off the line, unless it changed since it was seen so.
pub(super) async fn leave(
    tx: &mut TenantTx,
    id: Uuid,
    booking: Option<Uuid>,
    now: Instant,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE waiting_entry SET state = 'left', ended_at_ms = $4
         WHERE company_id = $1 AND waiting_id = $2 AND state IN ('waiting', 'offered')
           AND booking_id IS NOT DISTINCT FROM $3",
        tx.company().0,
        id,
        booking,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An entry as it stands, with its offer.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) id: Uuid,
    pub(super) arrival_no: i64,
    /// As its booking says where the line has not been told yet.
    pub(super) state: String,
    /// While it waits: from 1, among those who want some of the same legs.
    pub(super) place: Option<i64>,
    pub(super) trip: TripId,
    pub(super) from_stop: String,
    pub(super) to_stop: String,
    pub(super) classes: Vec<PassengerClass>,
    pub(super) contact_sealed: Vec<u8>,
    pub(super) accept_until: Option<Instant>,
    pub(super) reason: Option<String>,
    pub(super) created_at: Instant,
    pub(super) offered_at: Option<Instant>,
    pub(super) ended_at: Option<Instant>,
    pub(super) booking: Option<Uuid>,
    /// Of its booking.
    pub(super) reference: Option<String>,
    pub(super) booking_state: Option<String>,
    pub(super) expires_at: Option<Instant>,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub(super) struct Which<'a> {
    pub(super) id: Option<Uuid>,
    pub(super) secret_hash: Option<&'a [u8]>,
    pub(super) trip: Option<TripId>,
    pub(super) state: Option<&'a str>,
    /// Behind this one.
    pub(super) after: i64,
}

/// Some entries, in order of arrival.
pub(super) async fn shown(
    tx: &mut TenantTx,
    which: &Which<'_>,
    most: i64,
) -> Result<Vec<Shown>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT e.waiting_id, e.arrival_no, e.state AS "state!", e.trip_id, e.from_stop,
                  e.to_stop, e.classes, e.contact_sealed, e.accept_until_ms, e.reason,
                  e.created_at_ms, e.offered_at_ms, e.ended_at_ms, e.booking_id,
                  e.reference AS "reference?", e.booking_state AS "booking_state?",
                  e.expires_at_ms AS "expires_at_ms?",
                  CASE WHEN e.state = 'waiting' THEN (
                      SELECT count(*) FROM waiting_entry o
                      WHERE o.company_id = $1 AND o.trip_id = e.trip_id AND o.state = 'waiting'
                        AND o.legs && e.legs AND o.arrival_no <= e.arrival_no) END AS place
           FROM (
               SELECT w.waiting_id, w.arrival_no, w.trip_id, w.legs, w.from_stop, w.to_stop,
                      w.classes, w.contact_sealed, w.accept_until_ms, w.reason, w.created_at_ms,
                      w.offered_at_ms, w.ended_at_ms, w.booking_id, b.reference,
                      b.state AS booking_state, b.expires_at_ms,
                      CASE WHEN w.state <> 'offered' THEN w.state
                           WHEN b.confirmed_at_ms IS NOT NULL THEN 'taken'
                           WHEN b.state IN ('held', 'awaiting_payment') THEN 'offered'
                           ELSE 'lapsed' END AS state
               FROM waiting_entry w
               LEFT JOIN booking b
                   ON b.company_id = w.company_id AND b.booking_id = w.booking_id
               WHERE w.company_id = $1
                 AND ($2::uuid IS NULL OR w.waiting_id = $2)
                 AND ($3::bytea IS NULL OR w.secret_hash = $3)
                 AND ($4::bigint IS NULL OR w.trip_id = $4)
                 AND w.arrival_no > $6
           ) e
           WHERE $5::text IS NULL OR e.state = $5
           ORDER BY e.arrival_no LIMIT $7"#,
        tx.company().0,
        which.id,
        which.secret_hash,
        which.trip.map(|t| t.0 as i64),
        which.state,
        which.after,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Shown {
                classes: classes_of(r.waiting_id, &r.classes)?,
                id: r.waiting_id,
                arrival_no: r.arrival_no,
                state: r.state,
                place: r.place,
                trip: TripId(r.trip_id as u64),
                from_stop: r.from_stop,
                to_stop: r.to_stop,
                contact_sealed: r.contact_sealed,
                accept_until: r.accept_until_ms.map(Instant),
                reason: r.reason,
                created_at: Instant(r.created_at_ms),
                offered_at: r.offered_at_ms.map(Instant),
                ended_at: r.ended_at_ms.map(Instant),
                booking: r.booking_id,
                reference: r.reference,
                booking_state: r.booking_state,
                expires_at: r.expires_at_ms.map(Instant),
            })
        })
        .collect()
}

/// Whether this company runs a trip.
pub(super) async fn runs(tx: &mut TenantTx, trip: TripId) -> Result<bool, DbError> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM trip WHERE company_id = $1 AND trip_id = $2) AS "found!""#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(found)
}

/// The companies that somebody waits for.
pub(super) async fn companies(db: &Db) -> Result<Vec<CompanyId>, DbError> {
    let found = sqlx::query_scalar!(r#"SELECT companies_waited_for() AS "company!""#)
        .fetch_all(db.pool())
        .await?;
    Ok(found.into_iter().map(CompanyId).collect())
}

/// Trips whose line has something to be done: seats for somebody, an offer or a wait that is over.
/// Nothing is locked; what it says may have changed.
pub(super) async fn to_serve(
    tx: &mut TenantTx,
    now: Instant,
    (offer_min_ms, most): (i64, i64),
) -> Result<Vec<TripId>, DbError> {
    let trips = sqlx::query_scalar!(
        r#"SELECT DISTINCT w.trip_id
           FROM waiting_entry w
           JOIN trip t ON t.company_id = w.company_id AND t.trip_id = w.trip_id
           LEFT JOIN booking b ON b.company_id = w.company_id AND b.booking_id = w.booking_id
           WHERE w.company_id = $1 AND w.state IN ('waiting', 'offered')
             AND CASE WHEN w.state = 'offered' THEN
                     b.confirmed_at_ms IS NOT NULL OR b.expires_at_ms <= $2
                     OR b.state NOT IN ('held', 'awaiting_payment')
                 ELSE
                     t.state IN ('cancelled', 'arrived')
                     OR COALESCE(t.boarding_closes_ms[lower(w.legs) + 1], 0) < $2
                     OR w.accept_until_ms <= $2
                     -- Enough seats that nobody has on these legs, and time to book them.
                     OR (LEAST(t.boarding_closes_ms[lower(w.legs) + 1], w.accept_until_ms)
                             >= $2 + $3
                         AND cardinality(w.classes) <= t.seat_count - (
                             SELECT count(DISTINCT x.seat) FROM (
                                 SELECT c.seat FROM claim c
                                 WHERE c.company_id = $1 AND c.trip_id = w.trip_id
                                   AND c.legs && w.legs
                                 UNION ALL
                                 SELECT k.seat FROM ticket k
                                 WHERE k.company_id = $1 AND k.trip_id = w.trip_id
                                   AND k.state = 0 AND k.legs && w.legs
                             ) x))
                 END
           ORDER BY w.trip_id LIMIT $4"#,
        tx.company().0,
        now.0,
        offer_min_ms,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(trips.into_iter().map(|t| TripId(t as u64)).collect())
}
