//! Bookings as they stand.

use domain::ids::{
    CompanyId, Kid, LayoutVersion, LeaseEpoch, LeaseNo, SaleOrdinal, SeatNo, TicketId, TripId,
};
use domain::money::Minor;
use domain::passenger::PassengerClass;
use domain::ticket::{SignedTicket, Suite, TicketClaim, TicketLease};
use domain::time::Instant;
use uuid::Uuid;

use super::CouponRow;
use crate::booking::state::State;
use crate::db::{Db, DbError};
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// A booking without its seats.
#[derive(Debug, Clone)]
pub(in crate::booking) struct Shown {
    pub(in crate::booking) id: Uuid,
    pub(in crate::booking) reference: String,
    pub(in crate::booking) state: State,
    pub(in crate::booking) trip: TripId,
    pub(in crate::booking) total_minor: i64,
    pub(in crate::booking) paid_minor: i64,
    pub(in crate::booking) currency: String,
    pub(in crate::booking) created_at: Instant,
    pub(in crate::booking) expires_at: Option<Instant>,
    pub(in crate::booking) person: Option<Uuid>,
    pub(in crate::booking) contact_sealed: Option<Vec<u8>>,
    pub(in crate::booking) phone_blind: Option<Vec<u8>>,
    pub(in crate::booking) name_blind: Option<Vec<u8>>,
    /// Name and phone of a row that was never sealed.
    pub(in crate::booking) plain: Option<(String, String)>,
    pub(in crate::booking) group_name: Option<String>,
    pub(in crate::booking) seats: i64,
    pub(in crate::booking) version: i32,
}

/// A seat of a booking, with its ticket where it has one.
#[derive(Debug, Clone)]
pub(in crate::booking) struct ShownSeat {
    pub(in crate::booking) coupon: CouponRow,
    pub(in crate::booking) state: String,
    pub(in crate::booking) passenger_sealed: Option<Vec<u8>>,
    pub(in crate::booking) ticket: Option<SignedTicket>,
    /// Of its trip's row.
    pub(in crate::booking) trip_version: i64,
}

/// The bookings with a reference: one, unless two companies gave out the same.
pub(in crate::booking) async fn of_reference(
    db: &Db,
    reference: &str,
) -> Result<Vec<(CompanyId, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", booking_id AS "booking!"
           FROM bookings_of_reference($1)"#,
        reference
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (CompanyId(r.company), r.booking))
        .collect())
}

/// A person's own bookings before a moment, the newest first.
pub(in crate::booking) async fn of_person(
    db: &Db,
    person: Uuid,
    (before_ms, before_id): (i64, Uuid),
    most: i64,
) -> Result<Vec<(CompanyId, Uuid)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", booking_id AS "booking!"
           FROM bookings_of_person($1, $2, $3, $4)"#,
        person,
        before_ms,
        before_id,
        most
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (CompanyId(r.company), r.booking))
        .collect())
}

/// Which bookings of a company.
#[derive(Debug, Clone, Default)]
pub(in crate::booking) struct Which {
    pub(in crate::booking) reference: Option<String>,
    pub(in crate::booking) state: Option<State>,
    pub(in crate::booking) trip: Option<TripId>,
    pub(in crate::booking) phone_blind: Option<Vec<u8>>,
    pub(in crate::booking) name_blind: Option<Vec<u8>>,
    pub(in crate::booking) from: Option<Instant>,
    pub(in crate::booking) until: Option<Instant>,
    /// Older than this one.
    pub(in crate::booking) before: Option<(i64, Uuid)>,
}

/// Some bookings of a company, the newest first.
pub(in crate::booking) async fn list(
    tx: &mut TenantTx,
    which: &Which,
    most: i64,
) -> Result<Vec<Shown>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT b.booking_id, b.reference, b.state, b.trip_id, b.total_minor, b.paid_minor,
                  b.currency, b.created_at_ms, b.expires_at_ms, b.person_id, b.contact_sealed,
                  b.phone_blind, b.name_blind, b.contact_name, b.contact_phone, b.group_name,
                  b.version,
                  (SELECT count(*) FROM coupon c WHERE c.company_id = b.company_id
                      AND c.booking_id = b.booking_id) AS "seats!"
           FROM booking b
           WHERE b.company_id = $1
             AND ($2::text IS NULL OR b.reference = $2)
             AND ($3::text IS NULL OR b.state = $3)
             AND ($4::bigint IS NULL OR EXISTS (
                 SELECT FROM coupon c WHERE c.company_id = $1 AND c.trip_id = $4
                     AND c.booking_id = b.booking_id))
             AND ($5::bytea IS NULL OR b.phone_blind = $5)
             AND ($6::bytea IS NULL OR b.name_blind = $6)
             AND b.created_at_ms >= $7 AND b.created_at_ms < $8
             AND (b.created_at_ms, b.booking_id) < ($9, $10)
           ORDER BY b.created_at_ms DESC, b.booking_id DESC LIMIT $11"#,
        tx.company().0,
        which.reference,
        which.state.map(State::as_str),
        which.trip.map(|t| t.0 as i64),
        which.phone_blind,
        which.name_blind,
        which.from.map_or(i64::MIN, |t| t.0),
        which.until.map_or(i64::MAX, |t| t.0),
        which.before.map_or(i64::MAX, |b| b.0),
        which.before.map_or(Uuid::max(), |b| b.1),
        most
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("booking {}", r.reference));
            Ok(Shown {
                state: State::of(&r.state).ok_or_else(damaged)?,
                id: r.booking_id,
                reference: r.reference,
                trip: TripId(r.trip_id as u64),
                total_minor: r.total_minor,
                paid_minor: r.paid_minor,
                currency: r.currency,
                created_at: Instant(r.created_at_ms),
                expires_at: r.expires_at_ms.map(Instant),
                person: r.person_id,
                contact_sealed: r.contact_sealed,
                phone_blind: r.phone_blind,
                name_blind: r.name_blind,
                plain: r
                    .contact_phone
                    .map(|p| (r.contact_name.unwrap_or_default(), p)),
                group_name: r.group_name,
                seats: r.seats,
                version: r.version,
            })
        })
        .collect()
}

/// One booking of the company.
pub(in crate::booking) async fn find(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Option<Shown>, DbError> {
    let row = sqlx::query!(
        "SELECT reference, state, trip_id, total_minor, paid_minor, currency, created_at_ms,
                expires_at_ms, person_id, contact_sealed, phone_blind, name_blind, contact_name,
                contact_phone, group_name, version
         FROM booking WHERE company_id = $1 AND booking_id = $2",
        tx.company().0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        let damaged = || DbError::damaged(format!("booking {}", r.reference));
        Ok(Shown {
            state: State::of(&r.state).ok_or_else(damaged)?,
            id: booking,
            reference: r.reference,
            trip: TripId(r.trip_id as u64),
            total_minor: r.total_minor,
            paid_minor: r.paid_minor,
            currency: r.currency,
            created_at: Instant(r.created_at_ms),
            expires_at: r.expires_at_ms.map(Instant),
            person: r.person_id,
            contact_sealed: r.contact_sealed,
            phone_blind: r.phone_blind,
            name_blind: r.name_blind,
            plain: r
                .contact_phone
                .map(|p| (r.contact_name.unwrap_or_default(), p)),
            group_name: r.group_name,
            seats: 0,
            version: r.version,
        })
    })
    .transpose()
}

/// The seats of a booking.
pub(in crate::booking) async fn show(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Vec<ShownSeat>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT c.coupon_no, c.trip_id, c.seat, lower(c.legs) AS "from!", upper(c.legs) AS "to!",
                  c.class, c.fare_minor, c.discount_minor, c.state, c.passenger_sealed,
                  k.ticket_id AS "ticket_id?", k.ordinal AS "ordinal?", k.lease_no, k.epoch,
                  k.layout_version AS "layout_version?", k.issued_at_ms AS "issued_at_ms?",
                  k.kid AS "kid?", k.suite AS "suite?", k.tag AS "tag?", k.test AS "test?",
                  COALESCE(k.printed_seat, k.seat) AS printed_seat,
                  t.xmin::text::bigint AS "trip_version!"
           FROM coupon c
           JOIN trip t ON t.company_id = c.company_id AND t.trip_id = c.trip_id
           LEFT JOIN ticket k ON k.company_id = c.company_id AND k.ticket_id = c.ticket_id
           WHERE c.company_id = $1 AND c.booking_id = $2 ORDER BY c.coupon_no"#,
        tx.company().0,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("a coupon of booking {booking}"));
            let class = u8::try_from(r.class)
                .ok()
                .and_then(PassengerClass::from_code);
            let coupon = CouponRow {
                no: r.coupon_no,
                trip: TripId(r.trip_id as u64),
                seat: SeatNo(r.seat as u16),
                legs: legs_of(r.from, r.to)?,
                class: class.ok_or_else(damaged)?,
                fare_minor: Minor(r.fare_minor),
                discount_minor: Minor(r.discount_minor),
            };
            let lease = r.lease_no.zip(r.epoch).map(|(no, epoch)| TicketLease {
                no: LeaseNo(no as u16),
                epoch: LeaseEpoch(epoch as u32),
            });
            let signed = r.ticket_id.map(|id| {
                let claim = TicketClaim {
                    id: TicketId(id),
                    trip: coupon.trip,
                    seat: r.printed_seat.map_or(coupon.seat, |s| SeatNo(s as u16)),
                    from: coupon.legs.from(),
                    to: coupon.legs.to(),
                    class: coupon.class,
                    ordinal: SaleOrdinal(r.ordinal.unwrap_or(0) as u16),
                    issued_at: Instant(r.issued_at_ms.unwrap_or(0)),
                    lease,
                    layout_version: LayoutVersion(r.layout_version.unwrap_or(0) as u32),
                    test: r.test.unwrap_or(false),
                };
                let kid = r.kid.as_deref().and_then(|k| <[u8; 4]>::try_from(k).ok());
                let suite = if r.suite == Some(0) {
                    Suite::Ed25519
                } else {
                    Suite::Hmac256
                };
                let tag = r.tag.as_deref().unwrap_or_default();
                SignedTicket::from_parts(claim, Kid(kid.ok_or_else(damaged)?), suite, tag)
                    .map_err(|_| damaged())
            });
            Ok(ShownSeat {
                coupon,
                state: r.state,
                passenger_sealed: r.passenger_sealed,
                ticket: signed.transpose()?,
                trip_version: r.trip_version,
            })
        })
        .collect()
}
