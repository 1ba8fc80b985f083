//! What the hub's page shows of one company.

use domain::codec::from_cbor;
use domain::time::{Instant, Zone};
use domain::trip::Trip;

use super::db::nodes;
use super::page::{Cursor, ROWS_MAX};
use super::rows::NodeView;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A company today.
#[derive(Debug, Clone)]
pub struct CompanyHome {
    /// Its name.
    pub name: String,
    /// The date in its zone.
    pub today: String,
    /// Its devices.
    pub nodes: Vec<NodeView>,
    /// Its trips of today, by departure.
    pub trips: Vec<TripHome>,
}

/// A trip of today.
#[derive(Debug, Clone)]
pub struct TripHome {
    /// Its number.
    pub trip: i64,
    /// When it leaves its first stop, in that stop's local time.
    pub leaves: String,
    /// The route's short name.
    pub route: String,
    /// Where the bus says it goes.
    pub headsign: String,
    /// How many seats.
    pub seat_count: i32,
    /// Live tickets.
    pub sold: i64,
    /// Seats of which a node leases some legs.
    pub leased: i64,
    /// The name of its onboard node.
    pub validator: Option<String>,
}

/// Gathers it.
pub async fn home(tx: &mut TenantTx, now: Instant) -> Result<CompanyHome, DbError> {
    let company = sqlx::query!(
        "SELECT name, zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    let zone: Zone = company
        .zone
        .parse()
        .map_err(|_| DbError::damaged(format!("the time zone {}", company.zone)))?;
    let today = now
        .local_date(&zone)
        .map(|d| d.to_string())
        .unwrap_or_default();
    let rows = sqlx::query!(
        r#"SELECT t.trip_id, t.body, t.seat_count, n.name AS "validator?",
                  (SELECT count(*) FROM ticket k WHERE k.company_id = t.company_id
                     AND k.trip_id = t.trip_id AND k.state = 0) AS "sold!",
                  (SELECT count(DISTINCT c.seat) FROM claim c WHERE c.company_id = t.company_id
                     AND c.trip_id = t.trip_id AND c.kind = 'lease') AS "leased!"
           FROM trip t
           LEFT JOIN node n ON n.company_id = t.company_id AND n.node_id = t.onboard_node
           WHERE t.company_id = $1 AND t.service_date = $2::text::date
           ORDER BY t.departs_at_ms, t.trip_id LIMIT $3"#,
        tx.company().0,
        today,
        ROWS_MAX as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let mut trips = Vec::with_capacity(rows.len());
    for r in rows {
        let trip: Trip =
            from_cbor(&r.body).map_err(|_| DbError::damaged(format!("trip {}", r.trip_id)))?;
        trips.push(TripHome {
            trip: r.trip_id,
            leaves: trip
                .stops
                .first()
                .map(|s| s.departs.local_minute(&s.zone))
                .unwrap_or_default(),
            route: trip.route,
            headsign: trip.headsign,
            seat_count: r.seat_count,
            sold: r.sold,
            leased: r.leased,
            validator: r.validator,
        });
    }
    let all = Cursor::new(None, Some(ROWS_MAX)).unwrap_or_default();
    Ok(CompanyHome {
        name: company.name,
        today,
        nodes: nodes(tx, now, &all).await?,
        trips,
    })
}
