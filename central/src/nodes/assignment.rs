//! Which node validates a trip.

use domain::codec::from_cbor;
use domain::ids::{CompanyId, Issuer, LeaseNo, NodeId, TripId};
use domain::lease::SignedGrant;
use sync_protocol::Item;

use super::NodeError;
use crate::db::{Backoff, Db, DbError};
use crate::keys::HubKeys;
use crate::sync::buckets::{
    Publication, grant_item_key, key_item_key, node_bucket, publish_all, trip_bucket,
};
use crate::sync::bus::BusEvent;
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;
use crate::ticketing::leases::issuer_facts;

/// Names the validator of a trip, and publishes what it needs into the trip's bucket: the trip,
/// the hub's key, every issuer's keys and every grant.
pub async fn assign_onboard(
    db: &Db,
    keys: &HubKeys,
    company: CompanyId,
    trip: TripId,
    node: NodeId,
) -> Result<(), NodeError> {
    let mut backoff = Backoff::new();
    loop {
        match assign_once(db, keys, company, trip, node).await {
            Err(NodeError::Db(error)) if backoff.again(&error).await => {}
            done => return done,
        }
    }
}

async fn assign_once(
    db: &Db,
    keys: &HubKeys,
    company: CompanyId,
    trip: TripId,
    node: NodeId,
) -> Result<(), NodeError> {
    let mut tx = db.tenant(company).await?;
    let kind = sqlx::query_scalar!(
        "SELECT kind FROM node WHERE company_id = $1 AND node_id = $2",
        company.0,
        node.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DbError::from)?;
    match kind.as_deref() {
        None => return Err(NodeError::Unknown(node)),
        Some("onboard") => {}
        Some(_) => return Err(NodeError::NotOnboard(node)),
    }
    let Some(body) = lock_trip(&mut tx, trip).await? else {
        return Err(NodeError::UnknownTrip(trip));
    };
    sqlx::query!(
        "UPDATE trip SET onboard_node = $3 WHERE company_id = $1 AND trip_id = $2",
        company.0,
        trip.0 as i64,
        node.0
    )
    .execute(tx.conn())
    .await
    .map_err(DbError::from)?;
    let mut facts = issuers_and_grants(&mut tx, keys, trip).await?;
    // The one for QR codes, the other for short codes.
    for hub in [keys.record(), keys.mac_record(trip, Issuer::Hub)] {
        facts.push(Publication {
            bucket: trip_bucket(trip),
            key: key_item_key(&hub),
            item: Item::Key(hub),
        });
    }
    facts.push(Publication {
        bucket: trip_bucket(trip),
        key: format!("trip:{trip}"),
        item: Item::Trip(body),
    });
    publish_all(&mut tx, facts).await?;
    tx.tell(BusEvent::Assigned { node, trip });
    Ok(tx.commit().await?)
}

async fn issuers_and_grants(
    tx: &mut TenantTx,
    keys: &HubKeys,
    trip: TripId,
) -> Result<Vec<Publication>, DbError> {
    let rows = sqlx::query!(
        "SELECT l.node_id, l.lease_no, l.signed, n.ticket_key
         FROM lease l JOIN node n ON n.company_id = l.company_id AND n.node_id = l.node_id
         WHERE l.company_id = $1 AND l.trip_id = $2",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let mut facts = vec![];
    for row in rows {
        let holder = NodeId(row.node_id);
        let signed: SignedGrant =
            from_cbor(&row.signed).map_err(|_| DbError::damaged("a signed grant"))?;
        facts.extend(issuer_facts(keys, holder, trip, row.ticket_key.as_deref())?);
        // The holder has its own key already.
        facts.retain(|f| f.bucket != node_bucket(holder));
        facts.push(Publication {
            bucket: trip_bucket(trip),
            key: grant_item_key(trip, holder, LeaseNo(row.lease_no as u16)),
            item: Item::Grant(signed),
        });
    }
    Ok(facts)
}
