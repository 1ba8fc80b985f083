//! What a device tells that it holds.

use std::collections::BTreeSet;

use domain::event::ChainHead;
use domain::lease::{Grant, SignedGrant};
use domain::restore::{Adoption, decide_adoption};
use domain::time::Instant;
use sync_protocol::Item;
use sync_protocol::frame::LogHead;

use super::cover::{cover, trips_of};
use super::db;
use crate::db::{Backoff, Db, DbError};
use crate::keys::HubKeys;
use crate::nodes::NodeContext;
use crate::sync::buckets::{Publication, grant_item_key, node_bucket, publish_all, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::leases::issuer_facts;

/// Takes the grants that a device told: those that this hub signed and does not know become
/// leases again. Told twice is told once.
pub async fn take_grants(
    db: &Db,
    keys: &HubKeys,
    node: &NodeContext,
    logs: &[LogHead],
    told: &[SignedGrant],
    now: Instant,
) -> Result<(), DbError> {
    let verified = told.iter().filter_map(|signed| {
        let grant = signed.verify(&keys.verifying_key()).ok();
        if grant.is_none() {
            tracing::error!(node = %node.node, "a device told a grant that this hub never signed");
        }
        Some((grant?, signed.clone()))
    });
    let verified: Vec<(Grant, SignedGrant)> = verified.collect();
    let mut backoff = Backoff::new();
    loop {
        match take_once(db, keys, node, logs, &verified, now).await {
            Err(error) if backoff.again(&error).await => {}
            done => return done,
        }
    }
}

async fn take_once(
    db: &Db,
    keys: &HubKeys,
    node: &NodeContext,
    logs: &[LogHead],
    told: &[(Grant, SignedGrant)],
    now: Instant,
) -> Result<(), DbError> {
    let mut tx = db.tenant(node.company).await?;
    let Some(hub) = db::lock_untold(&mut tx, node.node).await? else {
        return Ok(());
    };
    let trips = trips_of(told.iter().map(|(grant, _)| grant));
    let there: BTreeSet<i64> = db::lock_trips(&mut tx, &trips).await?.into_iter().collect();
    let known = db::known_grants(&mut tx, node.node, &trips).await?;
    let mut adopted = vec![];
    for (grant, signed) in told {
        let before = known.get(&(grant.trip, grant.lease_no));
        match decide_adoption(before, grant, node.node) {
            Adoption::Known => {}
            Adoption::Adopt if there.contains(&(grant.trip.0 as i64)) => {
                adopted.push((grant.clone(), signed.clone()));
            }
            Adoption::Adopt | Adoption::Strange => {
                tracing::error!(
                    node = %node.node, trip = %grant.trip, lease = %grant.lease_no,
                    "a grant cannot be taken over: its trip or its number is another's"
                );
                db::keep_orphan(&mut tx, node.node, (grant, signed), now).await?;
            }
        }
    }
    db::adopt(&mut tx, hub, &adopted, now).await?;
    cover(&mut tx, &trips).await?;
    publish(&mut tx, keys, node, &adopted).await?;
    let heads: Vec<ChainHead> = logs.iter().map(|log| ChainHead::from(*log)).collect();
    db::set_told(&mut tx, node.node, &heads, adopted.len(), now).await?;
    tx.commit().await?;
    tracing::info!(
        node = %node.node, name = node.name, told = told.len(), adopted = adopted.len(),
        "a device has told what it holds"
    );
    Ok(())
}

/// As when they were granted: to the device itself and to the validators of the trips.
async fn publish(
    tx: &mut TenantTx,
    keys: &HubKeys,
    node: &NodeContext,
    adopted: &[(Grant, SignedGrant)],
) -> Result<(), DbError> {
    let ticket_key = db::ticket_key(tx, node.node).await?;
    let mut facts = vec![];
    for (grant, signed) in adopted {
        facts.extend(issuer_facts(
            keys,
            node.node,
            grant.trip,
            ticket_key.as_deref(),
        )?);
        for bucket in [node_bucket(node.node), trip_bucket(grant.trip)] {
            facts.push(Publication {
                bucket,
                key: grant_item_key(grant.trip, node.node, grant.lease_no),
                item: Item::Grant(signed.clone()),
            });
        }
    }
    publish_all(tx, facts).await
}
