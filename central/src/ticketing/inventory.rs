//! One trip's inventory, as the grantor and the hub's own sales see it.

use std::collections::BTreeMap;

use domain::codec::from_cbor;
use domain::ids::{HubIncarnation, LeaseNo, NodeId, SeatNo, TripId};
use domain::lease::{Grant, LeaseStanding, LeaseStatus, TripInventory};
use domain::seatmap::SeatMap;
use domain::time::Instant;
use domain::trip::Trip;
use domain::weaken::{Weakness, weakened};

use crate::db::DbError;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// The trip, with its row locked to the end of the transaction; `None` where nobody knows it.
pub async fn lock_trip(tx: &mut TenantTx, trip: TripId) -> Result<Option<Trip>, DbError> {
    let company = tx.company().0;
    let id = trip.0 as i64;
    let body = if weakened(Weakness::NoBookingLock) {
        sqlx::query_scalar!(
            "SELECT body FROM trip WHERE company_id = $1 AND trip_id = $2",
            company,
            id
        )
        .fetch_optional(tx.conn())
        .await?
    } else {
        sqlx::query_scalar!(
            "SELECT body FROM trip WHERE company_id = $1 AND trip_id = $2 FOR UPDATE",
            company,
            id
        )
        .fetch_optional(tx.conn())
        .await?
    };
    body.map(|bytes| from_cbor(&bytes).map_err(|_| DbError::damaged(format!("trip {trip}"))))
        .transpose()
}

/// Everything the grantor decides over, the trip's row locked; `None` where nobody knows it.
pub async fn load_inventory(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Option<TripInventory>, DbError> {
    let Some(run) = lock_trip(tx, trip).await? else {
        return Ok(None);
    };
    let company = tx.company().0;
    let id = trip.0 as i64;
    let row = sqlx::query!(
        r#"SELECT t.seat_count, t.leg_count, t.boarding_closes_ms,
                  t.frozen_by IS NOT NULL AS "frozen!", h.incarnation AS hub
           FROM trip t, hub h WHERE t.company_id = $1 AND t.trip_id = $2"#,
        company,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    let mut pool = SeatMap::whole(row.seat_count as u16);
    // One statement, one snapshot: a lease that is closing is seen with its claims or with its
    // tickets, never with neither.
    let taken = sqlx::query!(
        r#"SELECT seat AS "seat!", lower(legs) AS "from!", upper(legs) AS "to!" FROM claim
           WHERE company_id = $1 AND trip_id = $2
           UNION ALL
           SELECT seat, lower(legs), upper(legs) FROM ticket
           WHERE company_id = $1 AND trip_id = $2 AND state = 0"#,
        company,
        id
    )
    .fetch_all(tx.conn())
    .await?;
    for t in taken {
        pool.mark_taken(SeatNo(t.seat as u16), legs_of(t.from, t.to)?);
    }
    Ok(Some(TripInventory {
        trip,
        leg_count: row.leg_count as u8,
        layout_version: run.numbering(),
        boarding_closes: row.boarding_closes_ms.into_iter().map(Instant).collect(),
        pool,
        leases: load_leases(tx, trip).await?,
        hub: HubIncarnation(row.hub as u32),
        frozen: row.frozen,
    }))
}

async fn load_leases(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<BTreeMap<(NodeId, LeaseNo), LeaseStanding>, DbError> {
    let rows = sqlx::query!(
        "SELECT node_id, lease_no, status, granted FROM lease
         WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let standing = lease_standing(&r.granted, r.status)?;
            Ok(((NodeId(r.node_id), LeaseNo(r.lease_no as u16)), standing))
        })
        .collect()
}

/// A stored lease.
pub(crate) fn lease_standing(granted: &[u8], status: i16) -> Result<LeaseStanding, DbError> {
    let grant: Grant = from_cbor(granted).map_err(|_| DbError::damaged("a grant"))?;
    Ok(LeaseStanding {
        status: status_of(status)?,
        grant,
    })
}

/// The status of a stored lease.
pub(crate) fn status_of(code: i16) -> Result<LeaseStatus, DbError> {
    match code {
        0 => Ok(LeaseStatus::Offered),
        1 => Ok(LeaseStatus::Accepted),
        2 => Ok(LeaseStatus::Closed),
        _ => Err(DbError::damaged(format!("the lease status {code}"))),
    }
}
