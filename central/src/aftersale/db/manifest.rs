//! Who travels on a trip, and who came.

use domain::ids::TripId;
use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;

/// A seat of a trip's manifest.
#[derive(Debug, Clone)]
pub(in crate::aftersale) struct ManifestRow {
    pub(in crate::aftersale) ticket: Uuid,
    pub(in crate::aftersale) seat: i32,
    pub(in crate::aftersale) from: i32,
    pub(in crate::aftersale) to: i32,
    pub(in crate::aftersale) class: i16,
    pub(in crate::aftersale) state: i16,
    pub(in crate::aftersale) booking: Option<Uuid>,
    pub(in crate::aftersale) reference: Option<String>,
    pub(in crate::aftersale) group_name: Option<String>,
    pub(in crate::aftersale) coupon_no: Option<i16>,
    pub(in crate::aftersale) passenger_sealed: Option<Vec<u8>>,
    pub(in crate::aftersale) issuer: Option<String>,
    pub(in crate::aftersale) mark: Option<String>,
    pub(in crate::aftersale) scanned: bool,
    pub(in crate::aftersale) luggage: i64,
}

/// The live and disputed tickets of a trip, by seat.
pub(in crate::aftersale) async fn manifest(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Vec<ManifestRow>, DbError> {
    let rows = sqlx::query_as!(
        ManifestRow,
        r#"SELECT k.ticket_id AS ticket, k.seat, lower(k.legs) AS "from!", upper(k.legs) AS "to!",
                  k.class, k.state, k.booking_id AS booking, b.reference AS "reference?",
                  b.group_name AS "group_name?", c.coupon_no AS "coupon_no?", c.passenger_sealed,
                  n.name AS "issuer?", m.mark AS "mark?",
                  EXISTS (SELECT FROM scan s WHERE s.company_id = k.company_id
                      AND s.trip_id = k.trip_id AND s.ticket_id = k.ticket_id
                      AND s.answer IN ('valid', 'good_but_unlisted')) AS "scanned!",
                  COALESCE((SELECT sum(x.count) FROM booking_extra x
                      WHERE x.company_id = k.company_id AND x.booking_id = k.booking_id
                        AND x.coupon_no = c.coupon_no AND NOT x.refunded), 0)::bigint AS "luggage!"
           FROM ticket k
           LEFT JOIN booking b ON b.company_id = k.company_id AND b.booking_id = k.booking_id
           LEFT JOIN coupon c ON c.company_id = k.company_id AND c.ticket_id = k.ticket_id
           LEFT JOIN node n ON n.company_id = k.company_id AND n.node_id = k.issuer_node
           LEFT JOIN travel_mark m ON m.company_id = k.company_id AND m.ticket_id = k.ticket_id
           WHERE k.company_id = $1 AND k.trip_id = $2 AND k.state <> 1
           ORDER BY k.seat, lower(k.legs), k.ticket_id"#,
        tx.company().0,
        trip.0 as i64
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// Marks tickets of a trip; gives those that are on it.
pub(in crate::aftersale) async fn mark(
    tx: &mut TenantTx,
    trip: TripId,
    tickets: &[Uuid],
    mark: &str,
    actor_kind: &str,
    now: Instant,
) -> Result<Vec<Uuid>, DbError> {
    let rows = sqlx::query_scalar!(
        "WITH marked AS (
             INSERT INTO travel_mark AS m (company_id, ticket_id, trip_id, mark, at_ms, actor_kind)
             SELECT $1, k.ticket_id, k.trip_id, $4, $6, $5 FROM ticket k
             WHERE k.company_id = $1 AND k.trip_id = $2 AND k.ticket_id = ANY($3) AND k.state <> 1
             ON CONFLICT (company_id, ticket_id)
             DO UPDATE SET mark = $4, at_ms = $6, actor_kind = $5
             RETURNING ticket_id),
         coupons AS (
             UPDATE coupon c SET state = CASE WHEN $4 = 'no_show' THEN 'no_show' ELSE 'issued' END
             FROM marked m WHERE c.company_id = $1 AND c.ticket_id = m.ticket_id
               AND c.state IN ('issued', 'no_show'))
         SELECT ticket_id FROM marked ORDER BY ticket_id",
        tx.company().0,
        trip.0 as i64,
        tickets,
        mark,
        actor_kind,
        now.0
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// Trips that have arrived, whose own validator has synced scans, with tickets nobody marked.
pub(in crate::aftersale) async fn departed_without_marks(
    tx: &mut TenantTx,
    most: i64,
) -> Result<Vec<TripId>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT t.trip_id FROM trip t
         WHERE t.company_id = $1 AND t.state = 'arrived'
           AND EXISTS (SELECT FROM scan s WHERE s.company_id = $1 AND s.trip_id = t.trip_id
               AND s.node_id = t.onboard_node)
           AND EXISTS (SELECT FROM ticket k WHERE k.company_id = $1 AND k.trip_id = t.trip_id
               AND k.state = 0 AND NOT EXISTS (SELECT FROM travel_mark m
                   WHERE m.company_id = $1 AND m.ticket_id = k.ticket_id))
         ORDER BY t.trip_id LIMIT $2",
        tx.company().0,
        most
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|t| TripId(t as u64)).collect())
}

/// The unmarked live tickets of a trip, and whether each was let on.
pub(in crate::aftersale) async fn boarded_by_scan(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Vec<(Uuid, bool)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, EXISTS (SELECT FROM scan s WHERE s.company_id = k.company_id
               AND s.trip_id = k.trip_id AND s.ticket_id = k.ticket_id
               AND s.answer IN ('valid', 'good_but_unlisted')) AS "boarded!"
           FROM ticket k
           WHERE k.company_id = $1 AND k.trip_id = $2 AND k.state = 0
             AND NOT EXISTS (SELECT FROM travel_mark m
                 WHERE m.company_id = k.company_id AND m.ticket_id = k.ticket_id)"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| (r.ticket_id, r.boarded)).collect())
}
