//! The rows of swaps, and of what they move.

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{HubIncarnation, LayoutVersion, SeatNo, TicketId, TripId};
use domain::layout::SeatLayout;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use domain::trip::{Legs, Trip};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::DbError;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// Whose seats a swap moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) bookings: Vec<Uuid>,
    pub(super) leases: Vec<(Uuid, i32)>,
}

/// Locks whoever could change a seat of the trip beside its row: bookings, the logs of nodes with
/// leases, the leases; in this order.
pub(super) async fn lock_rights(tx: &mut TenantTx, trip: TripId) -> Result<(), DbError> {
    let (company, trip) = (tx.company().0, trip.0 as i64);
    sqlx::query!(
        "SELECT booking_id FROM booking
         WHERE company_id = $1 AND booking_id IN (
             SELECT booking_id FROM coupon WHERE company_id = $1 AND trip_id = $2
                 AND state IN ('held', 'issued'))
         ORDER BY booking_id FOR UPDATE",
        company,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query!(
        "SELECT node_id FROM node_log
         WHERE company_id = $1 AND node_id IN (
             SELECT node_id FROM lease WHERE company_id = $1 AND trip_id = $2)
         ORDER BY node_id, incarnation FOR UPDATE",
        company,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query!(
        "SELECT lease_no FROM lease WHERE company_id = $1 AND trip_id = $2
         ORDER BY node_id, lease_no FOR UPDATE",
        company,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(())
}

/// Who they are at this moment.
pub(super) async fn rights(tx: &mut TenantTx, trip: TripId) -> Result<Named, DbError> {
    let (company, trip) = (tx.company().0, trip.0 as i64);
    let bookings = sqlx::query_scalar!(
        "SELECT DISTINCT booking_id FROM coupon
         WHERE company_id = $1 AND trip_id = $2 AND state IN ('held', 'issued')
         ORDER BY booking_id",
        company,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    let leases = sqlx::query!(
        "SELECT node_id, lease_no FROM lease WHERE company_id = $1 AND trip_id = $2
         ORDER BY node_id, lease_no",
        company,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Named {
        bookings,
        leases: leases
            .into_iter()
            .map(|l| (l.node_id, l.lease_no))
            .collect(),
    })
}

/// A ticket of the trip, in whatever state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sold {
    pub(super) id: TicketId,
    /// As numbered today; 0 where it has no place.
    pub(super) seat: SeatNo,
    /// As it says itself.
    pub(super) printed: SeatNo,
    pub(super) numbering: LayoutVersion,
    pub(super) legs: Legs,
    pub(super) class: PassengerClass,
    /// 0 live, 1 void, 2 disputed.
    pub(super) state: i16,
    pub(super) booking: Option<Uuid>,
    pub(super) reference: Option<String>,
    pub(super) issuer: Option<Uuid>,
    /// The grant that it was sold under.
    pub(super) lease_no: Option<i32>,
    pub(super) issued_at_ms: i64,
    pub(super) fare_minor: Minor,
    pub(super) currency: Currency,
    pub(super) boarded: bool,
    /// An earlier swap left it without a place, and its passenger has nothing else yet.
    pub(super) displaced: bool,
}

/// Every ticket of a trip.
pub(super) async fn tickets(tx: &mut TenantTx, trip: TripId) -> Result<Vec<Sold>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, k.seat, COALESCE(k.printed_seat, k.seat) AS "printed!",
                  k.layout_version, lower(k.legs) AS "from!", upper(k.legs) AS "to!", k.class,
                  k.state, k.booking_id, b.reference AS "reference?", k.issuer_node, k.lease_no,
                  k.issued_at_ms, k.fare_minor, k.currency,
                  EXISTS (SELECT FROM scan s WHERE s.company_id = k.company_id
                      AND s.trip_id = k.trip_id AND s.ticket_id = k.ticket_id
                      AND s.answer IN ('valid', 'good_but_unlisted'))
                  OR EXISTS (SELECT FROM travel_mark m WHERE m.company_id = k.company_id
                      AND m.ticket_id = k.ticket_id AND m.mark = 'boarded') AS "boarded!",
                  k.state = 2 AND d.ticket_id IS NOT NULL AS "displaced!"
           FROM ticket k
           LEFT JOIN booking b ON b.company_id = k.company_id AND b.booking_id = k.booking_id
           LEFT JOIN ticket_displaced d ON d.company_id = k.company_id
               AND d.ticket_id = k.ticket_id
           WHERE k.company_id = $1 AND k.trip_id = $2
           ORDER BY k.ticket_id"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("ticket {}", r.ticket_id));
            let class = u8::try_from(r.class).ok();
            Ok(Sold {
                id: TicketId(r.ticket_id),
                seat: SeatNo(r.seat as u16),
                printed: SeatNo(r.printed as u16),
                numbering: LayoutVersion(r.layout_version as u32),
                legs: legs_of(r.from, r.to)?,
                class: class
                    .and_then(PassengerClass::from_code)
                    .ok_or_else(damaged)?,
                state: r.state,
                booking: r.booking_id,
                reference: r.reference,
                issuer: r.issuer_node,
                lease_no: r.lease_no,
                issued_at_ms: r.issued_at_ms,
                fare_minor: Minor(r.fare_minor),
                currency: r.currency.parse().map_err(|_| damaged())?,
                boarded: r.boarded,
                displaced: r.displaced,
            })
        })
        .collect()
}

/// A claim on a seat of the trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: i64,
    pub(super) seat: SeatNo,
    pub(super) legs: Legs,
    pub(super) kind: String,
    pub(super) node: Option<Uuid>,
    pub(super) lease_no: Option<i32>,
    pub(super) booking: Option<Uuid>,
    pub(super) offer: Option<Uuid>,
    /// Of a block: freed once the onboard node applied this change.
    pub(super) waits_for: Option<i64>,
}

/// Every claim of a trip.
pub(super) async fn claims(tx: &mut TenantTx, trip: TripId) -> Result<Vec<Claim>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT claim_id, seat, lower(legs) AS "from!", upper(legs) AS "to!", kind, node_id,
                  lease_no, booking_id, offer_id, waits_for_change
           FROM claim WHERE company_id = $1 AND trip_id = $2 ORDER BY seat, legs"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Claim {
                id: r.claim_id,
                seat: SeatNo(r.seat as u16),
                legs: legs_of(r.from, r.to)?,
                kind: r.kind,
                node: r.node_id,
                lease_no: r.lease_no,
                booking: r.booking_id,
                offer: r.offer_id,
                waits_for: r.waits_for_change,
            })
        })
        .collect()
}

fn layout_of(body: Option<Vec<u8>>) -> Result<Option<SeatLayout>, DbError> {
    body.map(|b| from_cbor(&b).map_err(|_| DbError::damaged("a seat layout")))
        .transpose()
}

/// The newest version of a layout.
pub(super) async fn newest_layout(
    tx: &mut TenantTx,
    id: &str,
) -> Result<Option<SeatLayout>, DbError> {
    let body = sqlx::query_scalar!(
        "SELECT body FROM seat_layout WHERE company_id = $1 AND layout_id = $2
         ORDER BY version DESC LIMIT 1",
        tx.company().0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    layout_of(body)
}

/// The layout of a bus.
pub(super) async fn layout_of_bus(
    tx: &mut TenantTx,
    registration: &str,
) -> Result<Option<String>, DbError> {
    let layout = sqlx::query_scalar!(
        "SELECT layout_id FROM bus WHERE company_id = $1 AND registration = $2",
        tx.company().0,
        registration
    );
    Ok(layout.fetch_optional(tx.conn()).await?)
}

/// Writes the trip with its other bus.
pub(super) async fn put_trip(tx: &mut TenantTx, trip: &Trip) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE trip SET body = $3, seat_count = $4, layout_version = $5, swaps = $6,
             version = version + 1
         WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.id.0 as i64,
        to_cbor(trip),
        i32::from(trip.seat_count),
        trip.layout_version.0 as i32,
        trip.swaps.iter().count() as i16
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Where a ticket goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) id: TicketId,
    pub(super) old: SeatNo,
    pub(super) new: SeatNo,
    pub(super) state: i16,
    /// In the trip's bucket.
    pub(super) change: i64,
}

/// Moves tickets and their coupons. Seats change places, so all go where no seat is first: no
/// moment has two on one.
pub(super) async fn move_tickets(tx: &mut TenantTx, moves: &[Move]) -> Result<(), DbError> {
    if moves.is_empty() {
        return Ok(());
    }
    let company = tx.company().0;
    let ids: Vec<Uuid> = moves.iter().map(|m| m.id.0).collect();
    let old: Vec<i32> = moves.iter().map(|m| super::stored(m.old)).collect();
    let new: Vec<i32> = moves.iter().map(|m| super::stored(m.new)).collect();
    let states: Vec<i16> = moves.iter().map(|m| m.state).collect();
    let changes: Vec<i64> = moves.iter().map(|m| m.change).collect();
    sqlx::query!(
        "UPDATE ticket t SET seat = -1 - w.old, state = GREATEST(t.state, w.state)
         FROM UNNEST($2::uuid[], $3::int[], $4::smallint[]) AS w(id, old, state)
         WHERE t.company_id = $1 AND t.ticket_id = w.id",
        company,
        &ids,
        &old,
        &states
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "WITH w AS (
             SELECT * FROM UNNEST($2::uuid[], $3::int[], $4::int[], $5::smallint[], $6::bigint[])
                 AS w(id, old, new, state, change_no)),
         c AS (
             UPDATE coupon c SET seat = w.new FROM w
             WHERE c.company_id = $1 AND c.ticket_id = w.id)
         UPDATE ticket t SET seat = w.new, state = w.state, change_no = w.change_no,
             printed_seat = NULLIF(COALESCE(t.printed_seat, w.old), w.new)
         FROM w WHERE t.company_id = $1 AND t.ticket_id = w.id",
        company,
        &ids,
        &old,
        &new,
        &states,
        &changes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves claims, by number, in the same two steps.
pub(super) async fn move_claims(tx: &mut TenantTx, moves: &[(i64, SeatNo)]) -> Result<(), DbError> {
    if moves.is_empty() {
        return Ok(());
    }
    let company = tx.company().0;
    let ids: Vec<i64> = moves.iter().map(|m| m.0).collect();
    let new: Vec<i32> = moves.iter().map(|m| super::stored(m.1)).collect();
    sqlx::query!(
        "UPDATE claim SET seat = -1 - seat WHERE company_id = $1 AND claim_id = ANY($2)",
        company,
        &ids
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE claim c SET seat = w.new FROM UNNEST($2::bigint[], $3::int[]) AS w(id, new)
         WHERE c.company_id = $1 AND c.claim_id = w.id",
        company,
        &ids,
        &new
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The coupons of unpaid bookings follow their holds.
pub(super) async fn move_held(
    tx: &mut TenantTx,
    trip: TripId,
    pairs: &[(SeatNo, SeatNo)],
) -> Result<(), DbError> {
    let old: Vec<i32> = pairs.iter().map(|p| super::stored(p.0)).collect();
    let new: Vec<i32> = pairs.iter().map(|p| super::stored(p.1)).collect();
    sqlx::query!(
        "UPDATE coupon c SET seat = w.new FROM UNNEST($3::int[], $4::int[]) AS w(old, new)
         WHERE c.company_id = $1 AND c.trip_id = $2 AND c.state = 'held' AND c.seat = w.old",
        tx.company().0,
        trip.0 as i64,
        &old,
        &new
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes claims away whose seat is not there.
pub(super) async fn drop_claims(tx: &mut TenantTx, ids: &[i64]) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM claim WHERE company_id = $1 AND claim_id = ANY($2)",
        tx.company().0,
        ids
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A right or block whose seat had no place, as it is kept for the undoing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LostClaim {
    /// Of a right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<Uuid>,
    /// Of a right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<i32>,
    pub(super) seat: u16,
    pub(super) from: u8,
    pub(super) to: u8,
    /// Of a block that waits for the onboard node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waits_for: Option<i64>,
}

/// Gives rights their seats again, where the lease is still open, and blocks theirs.
pub(super) async fn restore_claims(
    tx: &mut TenantTx,
    trip: TripId,
    lost: &[LostClaim],
) -> Result<(), DbError> {
    if lost.is_empty() {
        return Ok(());
    }
    let nodes: Vec<Option<Uuid>> = lost.iter().map(|l| l.node).collect();
    let leases: Vec<Option<i32>> = lost.iter().map(|l| l.lease).collect();
    let waits: Vec<Option<i64>> = lost.iter().map(|l| l.waits_for).collect();
    let seats: Vec<i32> = lost.iter().map(|l| i32::from(l.seat)).collect();
    let from: Vec<i32> = lost.iter().map(|l| i32::from(l.from)).collect();
    let to: Vec<i32> = lost.iter().map(|l| i32::from(l.to)).collect();
    sqlx::query!(
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, node_id, lease_no,
             waits_for_change)
         SELECT $1, $2, w.seat, int4range(w.a, w.b),
                CASE WHEN w.node IS NULL THEN 'block' ELSE 'lease' END, w.node, w.no, w.change_no
         FROM UNNEST($3::uuid[], $4::int[], $5::int[], $6::int[], $7::int[], $8::bigint[])
             AS w(node, no, seat, a, b, change_no)
         WHERE w.node IS NULL OR EXISTS (
             SELECT FROM lease l WHERE l.company_id = $1 AND l.trip_id = $2
                 AND l.node_id = w.node AND l.lease_no = w.no AND l.status < 2)",
        tx.company().0,
        trip.0 as i64,
        &nodes as _,
        &leases as _,
        &seats,
        &from,
        &to,
        &waits as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes tickets that have no place, or have one again.
pub(super) async fn displace(
    tx: &mut TenantTx,
    trip: TripId,
    tickets: &[(TicketId, &str)],
) -> Result<(), DbError> {
    let ids: Vec<Uuid> = tickets.iter().map(|t| t.0.0).collect();
    let reasons: Vec<String> = tickets.iter().map(|t| t.1.to_owned()).collect();
    sqlx::query!(
        "INSERT INTO ticket_displaced (company_id, ticket_id, trip_id, reason)
         SELECT $1, w.id, $2, w.reason FROM UNNEST($3::uuid[], $4::text[]) AS w(id, reason)
         ON CONFLICT (company_id, ticket_id) DO UPDATE SET reason = EXCLUDED.reason",
        tx.company().0,
        trip.0 as i64,
        &ids,
        &reasons
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Tickets that have a place again.
pub(super) async fn replace(tx: &mut TenantTx, tickets: &[Uuid]) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM ticket_displaced WHERE company_id = $1 AND ticket_id = ANY($2)",
        tx.company().0,
        tickets
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A swap as it is stored.
#[derive(Debug, Clone)]
pub(super) struct SwapRow {
    pub(super) no: i16,
    pub(super) numbering: i32,
    pub(super) old_layout: (String, i32),
    pub(super) new_layout: (String, i32),
    pub(super) old_bus: Option<String>,
    pub(super) new_bus: Option<String>,
    pub(super) undoes: Option<i16>,
    pub(super) undone_by: Option<i16>,
    pub(super) lost: Vec<LostClaim>,
    pub(super) at: Instant,
}

impl SwapRow {
    /// How many leased seats it left without a place.
    pub(super) fn rights_lost(&self) -> usize {
        self.lost.iter().filter(|lost| lost.node.is_some()).count()
    }
}

/// Where one ticket went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MovedRow {
    pub(super) swap: i16,
    pub(super) ticket: Uuid,
    pub(super) booking: Option<String>,
    pub(super) old_seat: i32,
    pub(super) new_seat: i32,
    pub(super) old_label: String,
    pub(super) new_label: String,
    pub(super) reason: Option<String>,
    pub(super) told: bool,
}

/// Which installation of the hub this is.
pub(super) async fn installation(tx: &mut TenantTx) -> Result<HubIncarnation, DbError> {
    let hub = sqlx::query_scalar!("SELECT incarnation FROM hub")
        .fetch_one(tx.conn())
        .await?;
    Ok(HubIncarnation(hub as u32))
}

/// Writes a swap and where its tickets went.
pub(super) async fn insert_swap(
    tx: &mut TenantTx,
    trip: TripId,
    swap: &SwapRow,
    moved: &[MovedRow],
    actor: (&str, Option<Uuid>),
) -> Result<(), DbError> {
    let company = tx.company().0;
    let id = trip.0 as i64;
    sqlx::query!(
        "INSERT INTO trip_swap (company_id, trip_id, swap_no, numbering, old_layout_id,
             old_layout_version, new_layout_id, new_layout_version, old_bus, new_bus, undoes,
             lost_claims, actor_kind, actor_id, at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        company,
        id,
        swap.no,
        swap.numbering,
        swap.old_layout.0,
        swap.old_layout.1,
        swap.new_layout.0,
        swap.new_layout.1,
        swap.old_bus,
        swap.new_bus,
        swap.undoes,
        serde_json::to_value(&swap.lost).unwrap_or_default(),
        actor.0,
        actor.1,
        swap.at.0
    )
    .execute(tx.conn())
    .await?;
    if let Some(undone) = swap.undoes {
        sqlx::query!(
            "UPDATE trip_swap SET undone_by = $4
             WHERE company_id = $1 AND trip_id = $2 AND swap_no = $3",
            company,
            id,
            undone,
            swap.no
        )
        .execute(tx.conn())
        .await?;
    }
    fn column<T>(rows: &[MovedRow], pick: impl Fn(&MovedRow) -> T) -> Vec<T> {
        rows.iter().map(pick).collect()
    }
    sqlx::query!(
        "INSERT INTO trip_swap_ticket (company_id, trip_id, swap_no, ticket_id, old_seat, new_seat,
             old_label, new_label, reason, told)
         SELECT $1, $2, $3, w.*
         FROM UNNEST($4::uuid[], $5::int[], $6::int[], $7::text[], $8::text[], $9::text[],
             $10::boolean[]) AS w",
        company,
        id,
        swap.no,
        &column(moved, |m| m.ticket),
        &column(moved, |m| m.old_seat),
        &column(moved, |m| m.new_seat),
        &column(moved, |m| m.old_label.clone()),
        &column(moved, |m| m.new_label.clone()),
        &column(moved, |m| m.reason.clone()) as _,
        &column(moved, |m| m.told)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The swaps of a trip, in order.
pub(super) async fn swaps(tx: &mut TenantTx, trip: TripId) -> Result<Vec<SwapRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT swap_no, numbering, old_layout_id, old_layout_version, new_layout_id,
             new_layout_version, old_bus, new_bus, undoes, undone_by, lost_claims, at_ms
         FROM trip_swap WHERE company_id = $1 AND trip_id = $2 ORDER BY swap_no",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = |_| DbError::damaged(format!("swap {} of trip {trip}", r.swap_no));
            Ok(SwapRow {
                no: r.swap_no,
                numbering: r.numbering,
                old_layout: (r.old_layout_id, r.old_layout_version),
                new_layout: (r.new_layout_id, r.new_layout_version),
                old_bus: r.old_bus,
                new_bus: r.new_bus,
                undoes: r.undoes,
                undone_by: r.undone_by,
                lost: serde_json::from_value(r.lost_claims).map_err(damaged)?,
                at: Instant(r.at_ms),
            })
        })
        .collect()
}

/// Where the tickets of a trip's swaps went, in the order of the former seats.
pub(super) async fn moved(tx: &mut TenantTx, trip: TripId) -> Result<Vec<MovedRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT m.swap_no, m.ticket_id, b.reference AS "reference?", m.old_seat, m.new_seat,
                  m.old_label, m.new_label, m.reason, m.told
           FROM trip_swap_ticket m
           LEFT JOIN ticket k ON k.company_id = m.company_id AND k.ticket_id = m.ticket_id
           LEFT JOIN booking b ON b.company_id = k.company_id AND b.booking_id = k.booking_id
           WHERE m.company_id = $1 AND m.trip_id = $2
           ORDER BY m.swap_no, m.old_seat, m.ticket_id"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| MovedRow {
            swap: r.swap_no,
            ticket: r.ticket_id,
            booking: r.reference,
            old_seat: r.old_seat,
            new_seat: r.new_seat,
            old_label: r.old_label,
            new_label: r.new_label,
            reason: r.reason,
            told: r.told,
        })
        .collect())
}
