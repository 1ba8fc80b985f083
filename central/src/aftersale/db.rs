//! The rows of what happens after the sale.

use domain::codec::from_cbor;
use domain::ids::{NodeId, SeatNo, TicketId, TripId};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use domain::trip::{Legs, Trip};
use serde_json::Value;
use uuid::Uuid;

use super::offer::{Kind, Offer};
use super::rules::{Reason, Rules, Standing, Tier};
use crate::db::{Db, DbError};
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

mod extras;
mod manifest;
mod names;
mod paying;
mod rules;

pub(super) use extras::{
    ExtraRow, SoldExtra, carrier, end_extras, extras, insert_extra, lock_extra, move_extras,
    save_extra,
};
pub(super) use manifest::{ManifestRow, boarded_by_scan, departed_without_marks, manifest, mark};
pub(super) use names::{NewCorrection, correct, move_corrections, named, passengers};
pub(super) use paying::{
    back_to_savepoint, hold_for, keep_offer, keep_savepoint, lapse_one, let_go, let_go_of_ended,
    note_payment, offer_of_payment, savepoint,
};
pub(super) use rules::{RuleRow, save_rules, tiers};

/// A ticket that is live, with what its refund depends on.
#[derive(Debug, Clone)]
pub(super) struct Sold {
    pub(super) id: TicketId,
    pub(super) booking: Option<Uuid>,
    pub(super) coupon_no: Option<i16>,
    pub(super) trip: TripId,
    pub(super) route: String,
    pub(super) seat: SeatNo,
    pub(super) legs: Legs,
    pub(super) class: PassengerClass,
    /// With its extras.
    pub(super) price_minor: Minor,
    pub(super) currency: Currency,
    /// Codes of the stops.
    pub(super) from_stop: String,
    pub(super) to_stop: String,
    pub(super) departs: Instant,
    pub(super) delay_ms: i64,
    pub(super) is_cancelled: bool,
    pub(super) has_boarded: bool,
    /// Of a node's sale: the node, and whether its shift's close was applied.
    pub(super) issuer: Option<(NodeId, bool)>,
    pub(super) onboard: bool,
    /// A swap of the bus left it without a place: what of its price stands in suspense.
    pub(super) displaced: Option<Minor>,
}

impl Sold {
    /// What rules ask.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            price_minor: self.price_minor.0,
            departs_ms: self.departs.0,
            delay_ms: self.delay_ms,
            is_cancelled: self.is_cancelled,
            has_boarded: self.has_boarded,
        }
    }
}

/// Which live tickets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    Booking(Uuid),
    Ticket(Uuid),
    Trip(TripId),
}

/// The live tickets of a booking or trip, or one ticket.
pub(super) async fn sold(tx: &mut TenantTx, whose: Whose) -> Result<Vec<Sold>, DbError> {
    let (booking, ticket, trip) = match whose {
        Whose::Booking(id) => (Some(id), None, None),
        Whose::Ticket(id) => (None, Some(id), None),
        Whose::Trip(id) => (None, None, Some(id.0 as i64)),
    };
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, k.booking_id, k.trip_id, k.seat, lower(k.legs) AS "from!",
                  upper(k.legs) AS "to!", k.class, k.currency, k.issuer_node,
                  (k.fare_minor + COALESCE((SELECT sum(x.price_minor) FROM booking_extra x
                      WHERE x.company_id = k.company_id AND x.booking_id = k.booking_id
                        AND x.coupon_no = c.coupon_no AND NOT x.refunded), 0))::bigint AS "price!",
                  d.ticket_id IS NOT NULL AS "displaced!", k.fare_minor,
                  c.coupon_no AS "coupon_no?", t.body, t.route_code,
                  t.delay_ms, t.state AS trip_state, t.onboard_node IS NOT NULL AS "onboard!",
                  EXISTS (SELECT FROM scan s WHERE s.company_id = k.company_id
                      AND s.trip_id = k.trip_id AND s.ticket_id = k.ticket_id
                      AND s.answer IN ('valid', 'good_but_unlisted'))
                  OR EXISTS (SELECT FROM travel_mark m WHERE m.company_id = k.company_id
                      AND m.ticket_id = k.ticket_id AND m.mark = 'boarded') AS "boarded!",
                  EXISTS (SELECT FROM shift h WHERE h.company_id = k.company_id
                      AND h.node_id = k.issuer_node AND h.shift = k.shift
                      AND h.closed_at_ms IS NOT NULL) AS "shift_closed!"
           FROM ticket k
           JOIN trip t ON t.company_id = k.company_id AND t.trip_id = k.trip_id
           LEFT JOIN coupon c ON c.company_id = k.company_id AND c.ticket_id = k.ticket_id
           LEFT JOIN ticket_displaced d ON d.company_id = k.company_id
               AND d.ticket_id = k.ticket_id AND k.state = 2
           WHERE k.company_id = $1 AND (k.state = 0 OR d.ticket_id IS NOT NULL)
             AND ($2::uuid IS NULL OR k.booking_id = $2)
             AND ($3::uuid IS NULL OR k.ticket_id = $3)
             AND ($4::bigint IS NULL OR k.trip_id = $4)
           ORDER BY k.trip_id, k.seat, k.ticket_id"#,
        tx.company().0,
        booking,
        ticket,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("ticket {}", r.ticket_id));
            let run: Trip = from_cbor(&r.body).map_err(|_| damaged())?;
            let legs = legs_of(r.from, r.to)?;
            let (from, to) = (run.stop(legs.from()), run.stop(legs.to()));
            let class = u8::try_from(r.class).ok();
            Ok(Sold {
                id: TicketId(r.ticket_id),
                booking: r.booking_id,
                coupon_no: r.coupon_no,
                trip: TripId(r.trip_id as u64),
                route: r.route_code,
                seat: SeatNo(r.seat as u16),
                legs,
                class: class
                    .and_then(PassengerClass::from_code)
                    .ok_or_else(damaged)?,
                price_minor: Minor(r.price),
                currency: r.currency.parse().map_err(|_| damaged())?,
                from_stop: from.map(|s| s.code.0.clone()).ok_or_else(damaged)?,
                to_stop: to.map(|s| s.code.0.clone()).ok_or_else(damaged)?,
                departs: from.map(|s| s.departs).ok_or_else(damaged)?,
                delay_ms: r.delay_ms,
                is_cancelled: r.trip_state == "cancelled" || r.displaced,
                has_boarded: r.boarded,
                issuer: r.issuer_node.map(|n| (NodeId(n), r.shift_closed)),
                onboard: r.onboard,
                displaced: r.displaced.then_some(Minor(r.fare_minor)),
            })
        })
        .collect()
}

/// A company's rules, with the steps of one route.
pub(super) async fn load_rules(tx: &mut TenantTx, route: &str) -> Result<Rules, DbError> {
    let mut rules = Rules::default();
    if let Some(row) = rules::rule(tx).await? {
        rules.exchange_fee_minor = row.exchange_fee_minor;
        rules.exchange_until_min = row.exchange_until_min;
        rules.delay_limit_min = row.delay_limit_min;
        rules.no_show_keep_percent = row.no_show_keep_percent;
        rules.self_service = row.self_service;
        rules.correction_max = row.correction_max;
        rules.correction_until_min = row.correction_until_min;
        let all = tiers(tx).await?;
        let of = |wanted: &str| -> Vec<Tier> {
            let mine = all.iter().filter(|t| t.0 == wanted);
            mine.map(|t| t.1).collect()
        };
        let own = of(route);
        rules.tiers = if own.is_empty() { of("") } else { own };
    }
    Ok(rules)
}

pub(super) use rules::rule;

/// A booking, its row locked.
#[derive(Debug, Clone)]
pub(super) struct Booking {
    pub(super) reference: String,
}

pub(super) async fn lock_booking(
    tx: &mut TenantTx,
    booking: Uuid,
) -> Result<Option<Booking>, DbError> {
    let row = sqlx::query_as!(
        Booking,
        "SELECT reference FROM booking
         WHERE company_id = $1 AND booking_id = $2 FOR UPDATE",
        tx.company().0,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row)
}

/// Marks tickets void, each with its number in the trip's bucket, and their coupons.
pub(super) async fn void(
    tx: &mut TenantTx,
    tickets: &[Uuid],
    changes: &[i64],
    coupon_state: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "WITH w AS (SELECT * FROM UNNEST($2::uuid[], $3::bigint[]) AS w(id, change_no)),
         c AS (
             UPDATE coupon c SET state = $4 FROM w
             WHERE c.company_id = $1 AND c.ticket_id = w.id)
         UPDATE ticket t SET state = 1, change_no = w.change_no FROM w
         WHERE t.company_id = $1 AND t.ticket_id = w.id",
        tx.company().0,
        tickets,
        changes,
        coupon_state
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends the coupons of some tickets.
pub(super) async fn end_coupons(
    tx: &mut TenantTx,
    tickets: &[Uuid],
    state: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE coupon SET state = $3 WHERE company_id = $1 AND ticket_id = ANY($2)",
        tx.company().0,
        tickets,
        state
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A seat that waits until its trip's validator has heard of a void.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) trip: TripId,
    pub(super) seat: SeatNo,
    pub(super) legs: Legs,
    pub(super) change: i64,
}

/// Blocks seats; where a lease still owns one it stays the lease's, and its closing sees to it.
pub(super) async fn block(tx: &mut TenantTx, blocks: &[Block]) -> Result<(), DbError> {
    if blocks.is_empty() {
        return Ok(());
    }
    let trips: Vec<i64> = blocks.iter().map(|b| b.trip.0 as i64).collect();
    let seats: Vec<i32> = blocks.iter().map(|b| i32::from(b.seat.0)).collect();
    let from: Vec<i32> = blocks.iter().map(|b| i32::from(b.legs.from().0)).collect();
    let to: Vec<i32> = blocks.iter().map(|b| i32::from(b.legs.to().0)).collect();
    let changes: Vec<i64> = blocks.iter().map(|b| b.change).collect();
    sqlx::query!(
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, waits_for_change)
         SELECT $1, w.trip, w.seat, int4range(w.a, w.b), 'block', w.change_no
         FROM UNNEST($2::bigint[], $3::int[], $4::int[], $5::int[], $6::bigint[])
             AS w(trip, seat, a, b, change_no)
         WHERE NOT EXISTS (SELECT FROM claim c WHERE c.company_id = $1 AND c.trip_id = w.trip
             AND c.seat = w.seat AND c.legs && int4range(w.a, w.b))",
        tx.company().0,
        &trips,
        &seats,
        &from,
        &to,
        &changes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A coupon for a ticket that replaces another.
#[derive(Debug, Clone)]
pub(super) struct NewCoupon {
    pub(super) booking: Uuid,
    pub(super) no: i16,
    pub(super) trip: TripId,
    pub(super) seat: SeatNo,
    pub(super) legs: Legs,
    pub(super) class: PassengerClass,
    pub(super) fare_minor: Minor,
    pub(super) discount_minor: Minor,
    pub(super) passenger_sealed: Option<Vec<u8>>,
    pub(super) ticket: Uuid,
}

pub(super) async fn last_coupon(tx: &mut TenantTx, booking: Uuid) -> Result<i16, DbError> {
    let last = sqlx::query_scalar!(
        r#"SELECT COALESCE(max(coupon_no), 0::smallint) AS "last!" FROM coupon
           WHERE company_id = $1 AND booking_id = $2"#,
        tx.company().0,
        booking
    );
    Ok(last.fetch_one(tx.conn()).await?)
}

pub(super) async fn insert_coupon(tx: &mut TenantTx, new: &NewCoupon) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
             fare_minor, discount_minor, passenger_sealed, ticket_id, state)
         VALUES ($1, $2, $3, $4, $5, int4range($6, $7), $8, $9, $10, $11, $12, 'issued')",
        tx.company().0,
        new.booking,
        new.no,
        new.trip.0 as i64,
        i32::from(new.seat.0),
        i32::from(new.legs.from().0),
        i32::from(new.legs.to().0),
        i16::from(new.class.code()),
        new.fare_minor.0,
        new.discount_minor.0,
        new.passenger_sealed,
        new.ticket
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The highest sale ordinal of a seat among the hub's tickets.
pub(super) async fn last_ordinal(
    tx: &mut TenantTx,
    trip: TripId,
    seat: SeatNo,
) -> Result<u16, DbError> {
    let last = sqlx::query_scalar!(
        r#"SELECT COALESCE(max(ordinal), 0) AS "last!" FROM ticket
           WHERE company_id = $1 AND trip_id = $2 AND seat = $3 AND issuer_node IS NULL"#,
        tx.company().0,
        trip.0 as i64,
        i32::from(seat.0)
    );
    Ok(last.fetch_one(tx.conn()).await? as u16)
}

/// What a booking is worth after a change; cancelled once no ticket is left.
pub(super) async fn settle_booking(
    tx: &mut TenantTx,
    booking: Uuid,
    total_more: Minor,
    paid_more: Minor,
) -> Result<bool, DbError> {
    let state = sqlx::query_scalar!(
        "UPDATE booking b SET total_minor = total_minor + $3, paid_minor = paid_minor + $4,
             version = version + 1,
             state = CASE WHEN EXISTS (SELECT FROM ticket k WHERE k.company_id = $1
                 AND k.booking_id = $2 AND (k.state = 0 OR k.state = 2 AND EXISTS (
                     SELECT FROM ticket_displaced d WHERE d.company_id = $1
                         AND d.ticket_id = k.ticket_id))) THEN state ELSE 'cancelled' END
         WHERE company_id = $1 AND booking_id = $2 RETURNING state",
        tx.company().0,
        booking,
        total_more.0,
        paid_more.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(state == "cancelled")
}

pub(super) async fn trip_state(tx: &mut TenantTx, trip: TripId) -> Result<String, DbError> {
    let state = sqlx::query_scalar!(
        "SELECT state FROM trip WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.0 as i64
    );
    Ok(state.fetch_one(tx.conn()).await?)
}

pub(super) async fn insert_offer(tx: &mut TenantTx, offer: &Offer) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "INSERT INTO aftersale_offer (company_id, offer_id, kind, booking_id, trip_id, reason,
             actor_kind, actor_id, refund_minor, fee_minor, due_minor, currency, body,
             valid_until_ms, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT DO NOTHING",
        tx.company().0,
        offer.id,
        offer.kind.as_str(),
        offer.booking,
        offer.cancelled_trip.map(|t| t.0 as i64),
        offer.reason.as_str(),
        offer.actor_kind,
        offer.actor,
        offer.refund_minor.0,
        offer.fee_minor.0,
        offer.due_minor.0,
        offer.currency.as_str(),
        offer.plan_json(),
        offer.valid_until.0,
        offer.created_at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The company of an offer, before anything else of it is known.
pub(super) async fn company_of_offer(db: &Db, offer: Uuid) -> Result<Option<Uuid>, DbError> {
    let company = sqlx::query_scalar!("SELECT company_of_offer($1)", offer);
    Ok(company.fetch_one(db.pool()).await?)
}

struct OfferRow {
    offer_id: Uuid,
    kind: String,
    booking_id: Option<Uuid>,
    trip_id: Option<i64>,
    reason: String,
    actor_kind: String,
    actor_id: Option<Uuid>,
    state: String,
    refund_minor: i64,
    fee_minor: i64,
    due_minor: i64,
    currency: String,
    body: Value,
    valid_until_ms: i64,
    created_at_ms: i64,
}

fn offer_of(r: OfferRow) -> Result<Offer, DbError> {
    let damaged = || DbError::damaged(format!("offer {}", r.offer_id));
    Ok(Offer {
        kind: Kind::of(&r.kind).ok_or_else(damaged)?,
        reason: Reason::of(&r.reason).ok_or_else(damaged)?,
        currency: r.currency.parse().map_err(|_| damaged())?,
        plan: serde_json::from_value(r.body.clone()).map_err(|_| damaged())?,
        id: r.offer_id,
        booking: r.booking_id,
        cancelled_trip: r.trip_id.map(|t| TripId(t as u64)),
        actor_kind: r.actor_kind,
        actor: r.actor_id,
        state: r.state,
        refund_minor: Minor(r.refund_minor),
        fee_minor: Minor(r.fee_minor),
        due_minor: Minor(r.due_minor),
        valid_until: Instant(r.valid_until_ms),
        created_at: Instant(r.created_at_ms),
    })
}

/// An offer as it stands; not locked, for its booking's row is.
pub(super) async fn offer(tx: &mut TenantTx, offer: Uuid) -> Result<Option<Offer>, DbError> {
    let row = sqlx::query_as!(
        OfferRow,
        "SELECT offer_id, kind, booking_id, trip_id, reason, actor_kind, actor_id, state,
             refund_minor, fee_minor, due_minor, currency, body, valid_until_ms, created_at_ms
         FROM aftersale_offer WHERE company_id = $1 AND offer_id = $2",
        tx.company().0,
        offer
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(offer_of).transpose()
}

/// The offers of a booking, the newest first.
pub(super) async fn offers(tx: &mut TenantTx, booking: Uuid) -> Result<Vec<Offer>, DbError> {
    let rows = sqlx::query_as!(
        OfferRow,
        "SELECT offer_id, kind, booking_id, trip_id, reason, actor_kind, actor_id, state,
             refund_minor, fee_minor, due_minor, currency, body, valid_until_ms, created_at_ms
         FROM aftersale_offer WHERE company_id = $1 AND booking_id = $2
         ORDER BY created_at_ms DESC, offer_id DESC LIMIT 100",
        tx.company().0,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(offer_of).collect()
}

/// Ends an offer that was open; whether it was.
pub(super) async fn end_offer(
    tx: &mut TenantTx,
    offer: Uuid,
    state: &str,
    now: Instant,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE aftersale_offer SET state = $3, ended_at_ms = $4
         WHERE company_id = $1 AND offer_id = $2 AND state = 'open'",
        tx.company().0,
        offer,
        state,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the open rebookings of a trip for bookings of some tickets.
pub(super) async fn lapse_rebookings(
    tx: &mut TenantTx,
    trip: TripId,
    tickets: &[Uuid],
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE aftersale_offer o SET state = 'lapsed', ended_at_ms = $4
         WHERE o.company_id = $1 AND o.trip_id = $2 AND o.kind = 'rebook' AND o.state = 'open'
           AND o.booking_id IN (SELECT booking_id FROM ticket
               WHERE company_id = $1 AND ticket_id = ANY($3))",
        tx.company().0,
        trip.0 as i64,
        tickets,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Rebookings whose time to choose is over, the oldest first.
pub(super) async fn overdue(
    tx: &mut TenantTx,
    now: Instant,
    most: i64,
) -> Result<Vec<Uuid>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT offer_id FROM aftersale_offer
         WHERE company_id = $1 AND state = 'open' AND kind = 'rebook' AND valid_until_ms < $2
         ORDER BY valid_until_ms LIMIT $3",
        tx.company().0,
        now.0,
        most
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// Ends other offers that ran out.
pub(super) async fn lapse(tx: &mut TenantTx, now: Instant) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "UPDATE aftersale_offer SET state = 'lapsed', ended_at_ms = $2
         WHERE company_id = $1 AND state = 'open' AND kind <> 'rebook' AND valid_until_ms < $2",
        tx.company().0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Unpaid bookings with seats on a trip, locked; those somebody works on are left to them.
pub(super) async fn unpaid_on(tx: &mut TenantTx, trip: TripId) -> Result<Vec<Uuid>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT b.booking_id FROM booking b
         WHERE b.company_id = $1 AND b.state IN ('held', 'awaiting_payment')
           AND EXISTS (SELECT FROM claim c WHERE c.company_id = $1 AND c.trip_id = $2
               AND c.booking_id = b.booking_id)
         ORDER BY b.booking_id FOR UPDATE OF b SKIP LOCKED",
        tx.company().0,
        trip.0 as i64
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// Trips that leave soon after a moment, the first first: where passengers may be rebooked to.
pub(super) async fn later_trips(
    tx: &mut TenantTx,
    not: TripId,
    after: Instant,
    until: Instant,
) -> Result<Vec<Trip>, DbError> {
    let rows = sqlx::query!(
        "SELECT trip_id, body FROM trip
         WHERE company_id = $1 AND trip_id <> $2 AND departs_at_ms BETWEEN $3 AND $4
           AND state IN ('scheduled', 'boarding')
         ORDER BY departs_at_ms, trip_id LIMIT 500",
        tx.company().0,
        not.0 as i64,
        after.0,
        until.0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| from_cbor(&r.body).map_err(|_| DbError::damaged(format!("trip {}", r.trip_id))))
        .collect()
}

/// How many seats of a trip nobody has for these legs, without a lock.
pub(super) async fn free_seats(
    tx: &mut TenantTx,
    trip: TripId,
    legs: Legs,
) -> Result<i64, DbError> {
    let free = sqlx::query_scalar!(
        r#"SELECT t.seat_count - (SELECT count(DISTINCT w.seat) FROM (
               SELECT c.seat FROM claim c WHERE c.company_id = $1 AND c.trip_id = $2
                   AND c.legs && int4range($3, $4)
               UNION ALL
               SELECT k.seat FROM ticket k WHERE k.company_id = $1 AND k.trip_id = $2
                   AND k.state = 0 AND k.legs && int4range($3, $4)) w) AS "free!"
           FROM trip t WHERE t.company_id = $1 AND t.trip_id = $2"#,
        tx.company().0,
        trip.0 as i64,
        i32::from(legs.from().0),
        i32::from(legs.to().0)
    );
    Ok(free.fetch_one(tx.conn()).await?)
}

pub(super) async fn company_zone(tx: &mut TenantTx) -> Result<domain::time::Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone.parse()
        .map_err(|_| DbError::damaged(format!("the time zone {zone}")))
}
