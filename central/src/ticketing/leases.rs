//! Granting leases. `domain::lease::decide_grant` decides; this stores and publishes.

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{CompanyId, Issuer, NodeId, TripId};
use domain::lease::{Grant, GrantRefusal, LeasePolicy, LeaseRequest, SignedGrant, decide_grant};
use domain::ticket::KeyRecord;
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;
use sync_protocol::Item;
use sync_protocol::frame::LeaseAnswer;

use super::inventory::load_inventory;
use crate::db::{Backoff, Db, DbError};
use crate::keys::HubKeys;
use crate::sync::buckets::{
    Publication, grant_item_key, key_item_key, node_bucket, publish_all, trip_bucket,
};
use crate::tenant::TenantTx;
use crate::waiting;

/// Decides a node's request and stores what was granted. A retry gets the same grant.
pub async fn grant_lease(
    db: &Db,
    keys: &HubKeys,
    company: CompanyId,
    node: NodeId,
    request: &LeaseRequest,
    now: Instant,
) -> Result<LeaseAnswer, DbError> {
    let mut backoff = Backoff::new();
    loop {
        match grant_once(db, keys, company, node, request, now).await {
            Err(error) if backoff.again(&error).await => {}
            answer => return answer,
        }
    }
}

async fn grant_once(
    db: &Db,
    keys: &HubKeys,
    company: CompanyId,
    node: NodeId,
    request: &LeaseRequest,
    now: Instant,
) -> Result<LeaseAnswer, DbError> {
    let mut tx = db.tenant(company).await?;
    let refused = |why| Ok(LeaseAnswer::Refused(why));
    // The lock makes a fork that is being noticed and a grant come one after the other.
    let standing = sqlx::query!(
        "SELECT frozen, revoked, ticket_key FROM node
         WHERE company_id = $1 AND node_id = $2 FOR SHARE",
        company.0,
        node.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(standing) = standing.filter(|s| !s.frozen && !s.revoked) else {
        return refused(GrantRefusal::Frozen);
    };
    let Some(mut inventory) = load_inventory(&mut tx, request.trip).await? else {
        return refused(GrantRefusal::UnknownTrip);
    };
    let for_sale = (&inventory.pool, &inventory.boarding_closes[..]);
    for (seat, legs) in waiting::set_aside(&mut tx, request.trip, for_sale, now).await? {
        inventory.pool.mark_taken(seat, legs);
    }
    if !is_to_come(&mut tx, request.trip).await? {
        return refused(GrantRefusal::BoardingClosed);
    }
    let grant = match decide_grant(&inventory, node, request, LeasePolicy::default(), now) {
        Ok(grant) => grant,
        Err(why) => return refused(why),
    };
    if inventory.leases.contains_key(&(node, grant.lease_no)) {
        let signed = stored_grant(&mut tx, node, &grant).await?;
        return Ok(LeaseAnswer::Granted(signed));
    }
    let signed = keys.sign_grant(&grant);
    store_grant(&mut tx, &grant, &signed, now).await?;
    let mut facts = issuer_facts(keys, node, grant.trip, standing.ticket_key.as_deref())?;
    for bucket in [node_bucket(node), trip_bucket(grant.trip)] {
        facts.push(Publication {
            bucket,
            key: grant_item_key(grant.trip, node, grant.lease_no),
            item: Item::Grant(signed.clone()),
        });
    }
    publish_all(&mut tx, facts).await?;
    tx.commit().await?;
    Ok(LeaseAnswer::Granted(signed))
}

/// Whether the trip has neither left nor been cancelled; its row is locked by the caller.
async fn is_to_come(tx: &mut TenantTx, trip: TripId) -> Result<bool, DbError> {
    let to_come = sqlx::query_scalar!(
        r#"SELECT state IN ('scheduled', 'boarding') AS "to_come!" FROM trip
           WHERE company_id = $1 AND trip_id = $2"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(to_come)
}

async fn stored_grant(
    tx: &mut TenantTx,
    node: NodeId,
    grant: &Grant,
) -> Result<SignedGrant, DbError> {
    let bytes = sqlx::query_scalar!(
        "SELECT signed FROM lease
         WHERE company_id = $1 AND trip_id = $2 AND node_id = $3 AND lease_no = $4",
        tx.company().0,
        grant.trip.0 as i64,
        node.0,
        i32::from(grant.lease_no.0)
    )
    .fetch_one(tx.conn())
    .await?;
    from_cbor(&bytes).map_err(|_| DbError::damaged("a signed grant"))
}

async fn store_grant(
    tx: &mut TenantTx,
    grant: &Grant,
    signed: &SignedGrant,
    now: Instant,
) -> Result<(), DbError> {
    let company = tx.company().0;
    let (trip, no) = (grant.trip.0 as i64, i32::from(grant.lease_no.0));
    sqlx::query!(
        "INSERT INTO lease (company_id, trip_id, node_id, lease_no, epoch, request_id, granted,
                            signed, granted_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        company,
        trip,
        grant.holder.0,
        no,
        i64::from(grant.epoch.0),
        grant.request.0,
        to_cbor(grant),
        to_cbor(signed),
        now.0
    )
    .execute(tx.conn())
    .await?;
    let seats: Vec<i32> = grant.claims.iter().map(|c| i32::from(c.seat.0)).collect();
    let from: Vec<i32> = grant
        .claims
        .iter()
        .map(|c| i32::from(c.legs.from().0))
        .collect();
    let to: Vec<i32> = grant
        .claims
        .iter()
        .map(|c| i32::from(c.legs.to().0))
        .collect();
    sqlx::query!(
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, node_id, lease_no)
         SELECT $1, $2, w.seat, int4range(w.a, w.b), 'lease', $3, $4
         FROM UNNEST($5::int[], $6::int[], $7::int[]) AS w(seat, a, b)",
        company,
        trip,
        grant.holder.0,
        no,
        &seats,
        &from,
        &to
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The keys that a new issuer on a trip brings: its own to itself, both to the validators.
pub(crate) fn issuer_facts(
    keys: &HubKeys,
    node: NodeId,
    trip: TripId,
    ticket_key: Option<&[u8]>,
) -> Result<Vec<Publication>, DbError> {
    let mac = keys.mac_record(trip, Issuer::Node(node));
    let key_fact = |bucket, record: &KeyRecord| Publication {
        bucket,
        key: key_item_key(record),
        item: Item::Key(record.clone()),
    };
    let mut facts = vec![
        key_fact(node_bucket(node), &mac),
        key_fact(trip_bucket(trip), &mac),
    ];
    if let Some(bytes) = ticket_key {
        let record = KeyRecord::signing(Issuer::Node(node), public_key(bytes)?);
        facts.push(key_fact(trip_bucket(trip), &record));
    }
    Ok(facts)
}

/// A stored Ed25519 public key.
pub(crate) fn public_key(bytes: &[u8]) -> Result<VerifyingKey, DbError> {
    <&[u8; 32]>::try_from(bytes)
        .ok()
        .and_then(|bytes| VerifyingKey::from_bytes(bytes).ok())
        .ok_or_else(|| DbError::damaged("a device's public key"))
}
