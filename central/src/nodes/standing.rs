//! What the hub knows of a node.

use domain::codec::from_cbor;
use domain::ids::{CompanyId, NodeId, StopCode, TripId};
use domain::time::{Instant, Zone};
use domain::trip::Trip;
use ed25519_dalek::VerifyingKey;
use sync_protocol::BucketId;

use crate::clock;
use crate::db::{Db, DbError};
use crate::sync::bus::BusEvent;
use crate::tenant::TenantTx;
use crate::ticketing::leases::public_key;

/// How long after its arrival a trip is still told to its validator, in ms.
const AFTER_ARRIVAL_MS: i64 = 12 * 3_600_000;
/// No trip runs longer than this, in ms.
const TRIP_LASTS_MAX_MS: i64 = 7 * 24 * 3_600_000;

/// What a node is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// Sells at a stop.
    Station(StopCode),
    /// Validates on a bus.
    Onboard,
}

impl NodeKind {
    /// The word it is stored under.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Station(_) => "station",
            Self::Onboard => "onboard",
        }
    }

    /// A station's stop.
    pub const fn stop(&self) -> Option<&StopCode> {
        match self {
            Self::Station(stop) => Some(stop),
            Self::Onboard => None,
        }
    }
}

/// A node as a session and its ingest know it.
#[derive(Debug, Clone)]
pub struct NodeContext {
    /// Whose.
    pub company: CompanyId,
    /// Which.
    pub node: NodeId,
    /// What people call it.
    pub name: String,
    /// What for.
    pub kind: NodeKind,
    /// What its log is checked with; `None` until it has enrolled.
    pub event_key: Option<VerifyingKey>,
    /// The local time of its business dates.
    pub zone: Zone,
    /// It may not connect.
    pub revoked: bool,
}

/// A change of a node that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No such node.
    #[error("there is no device {0} in this company")]
    Unknown(NodeId),
    /// No such trip.
    #[error("there is no trip {0} in this company")]
    UnknownTrip(TripId),
    /// No such stop.
    #[error("there is no stop {0} in this company: import the timetable first")]
    UnknownStop(StopCode),
    /// A station was named as a trip's validator.
    #[error("device {0} is a station: only an onboard device validates a trip")]
    NotOnboard(NodeId),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A node by its id alone, as a connection names it.
pub async fn load_node(db: &Db, node: NodeId) -> Result<Option<NodeContext>, DbError> {
    let company = sqlx::query_scalar!("SELECT company_of_node($1)", node.0)
        .fetch_one(db.pool())
        .await?;
    let Some(company) = company.map(CompanyId) else {
        return Ok(None);
    };
    let mut tx = db.tenant(company).await?;
    let row = sqlx::query!(
        r#"SELECT n.name, n.kind, n.stop_code, n.event_key, n.revoked,
                  coalesce(s.zone, c.zone) AS "zone!"
           FROM node n
           JOIN company c ON c.company_id = n.company_id
           LEFT JOIN stop s ON s.company_id = n.company_id AND s.stop_code = n.stop_code
           WHERE n.company_id = $1 AND n.node_id = $2"#,
        company.0,
        node.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let damaged = || DbError::damaged(format!("device {node}"));
    let kind = match (row.kind.as_str(), row.stop_code) {
        ("onboard", _) => NodeKind::Onboard,
        (_, Some(stop)) => NodeKind::Station(stop.parse().map_err(|_| damaged())?),
        (_, None) => return Err(damaged()),
    };
    Ok(Some(NodeContext {
        company,
        node,
        name: row.name,
        kind,
        event_key: row.event_key.as_deref().map(public_key).transpose()?,
        zone: row.zone.parse().map_err(|_| damaged())?,
        revoked: row.revoked,
    }))
}

/// The buckets that a node follows.
pub async fn subscriptions(
    tx: &mut TenantTx,
    node: &NodeContext,
    now: Instant,
) -> Result<Vec<BucketId>, DbError> {
    let mut buckets = vec![BucketId::Node, BucketId::Company];
    match &node.kind {
        NodeKind::Station(stop) => buckets.push(BucketId::Station(stop.clone())),
        NodeKind::Onboard => {
            let bodies = sqlx::query_scalar!(
                "SELECT body FROM trip
                 WHERE company_id = $1 AND onboard_node = $2 AND departs_at_ms > $3
                 ORDER BY departs_at_ms",
                node.company.0,
                node.node.0,
                now.plus_ms(-TRIP_LASTS_MAX_MS).0
            )
            .fetch_all(tx.conn())
            .await?;
            for body in bodies {
                let trip: Trip = from_cbor(&body).map_err(|_| DbError::damaged("a trip"))?;
                let over = trip
                    .stops
                    .last()
                    .map(|s| s.arrives.plus_ms(AFTER_ARRIVAL_MS));
                if over.is_some_and(|over| over > now) {
                    buckets.push(BucketId::Trip(trip.id));
                }
            }
        }
    }
    Ok(buckets)
}

/// Notes that a node was heard of.
pub async fn touch_contact(db: &Db, node: &NodeContext) -> Result<(), DbError> {
    let mut tx = db.tenant(node.company).await?;
    sqlx::query!(
        "UPDATE node SET last_contact_ms = $3 WHERE company_id = $1 AND node_id = $2",
        node.company.0,
        node.node.0,
        clock::now().0
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// Stops a node from getting rights; what it has sold and sells is disputed.
pub async fn freeze(db: &Db, company: CompanyId, node: NodeId) -> Result<(), NodeError> {
    let mut tx = db.tenant(company).await?;
    let done = sqlx::query!(
        "UPDATE node SET frozen = true WHERE company_id = $1 AND node_id = $2",
        company.0,
        node.0
    )
    .execute(tx.conn())
    .await
    .map_err(DbError::from)?;
    if done.rows_affected() == 0 {
        return Err(NodeError::Unknown(node));
    }
    Ok(tx.commit().await?)
}

/// Shuts a node out, and cuts its connection.
pub async fn revoke(db: &Db, company: CompanyId, node: NodeId) -> Result<(), NodeError> {
    let mut tx = db.tenant(company).await?;
    let done = sqlx::query!(
        "UPDATE node SET revoked = true, frozen = true WHERE company_id = $1 AND node_id = $2",
        company.0,
        node.0
    )
    .execute(tx.conn())
    .await
    .map_err(DbError::from)?;
    if done.rows_affected() == 0 {
        return Err(NodeError::Unknown(node));
    }
    tx.tell(BusEvent::Revoked(node));
    Ok(tx.commit().await?)
}
