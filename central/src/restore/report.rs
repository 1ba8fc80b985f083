//! What a device tells that it holds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::event::ChainHead;
use domain::ids::{LeaseNo, NodeId, TripId};
use domain::lease::{Grant, SignedGrant};
use domain::restore::{Adoption, decide_adoption};
use domain::time::Instant;
use sync_protocol::Item;
use sync_protocol::frame::{Known, LogHead};

use super::cover::{cover, trips_of};
use super::{db, unknown};
use crate::db::{Backoff, Db, DbError};
use crate::keys::HubKeys;
use crate::nodes::NodeContext;
use crate::sync::buckets::{Publication, grant_item_key, node_bucket, publish_all, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::leases::issuer_facts;

/// Takes what a device told. Grants that this hub signed and does not know become leases again,
/// the device's own and those of others: the signature is the proof, whoever brings it. Devices
/// that the hub does not know are waited for. Told twice is told once.
pub async fn take_grants(
    db: &Db,
    keys: &HubKeys,
    node: &NodeContext,
    logs: &[LogHead],
    told: &Known,
    now: Instant,
) -> Result<(), DbError> {
    let verified = told.grants.iter().chain(&told.others).filter_map(|signed| {
        let grant = signed.verify(&keys.verifying_key()).ok();
        if grant.is_none() {
            tracing::error!(node = %node.node, "a device told a grant that this hub never signed");
        }
        Some((grant?, signed.clone()))
    });
    let verified: Vec<(Grant, SignedGrant)> = verified.collect();
    let mut backoff = Backoff::new();
    loop {
        match take_once(db, keys, node, logs, (told, &verified), now).await {
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
    (told, verified): (&Known, &[(Grant, SignedGrant)]),
    now: Instant,
) -> Result<(), DbError> {
    let mut tx = db.tenant(node.company).await?;
    let Some(hub) = db::lock_untold(&mut tx, node.node).await? else {
        return Ok(());
    };
    let trips = trips_of(verified.iter().map(|(grant, _)| grant));
    let there = db::lock_trips(&mut tx, &trips).await?;
    let adopted = sort_out(&mut tx, node, &there, verified, now).await?;
    db::adopt(&mut tx, hub, &adopted, now).await?;
    cover(&mut tx, &trips).await?;
    publish(&mut tx, keys, &adopted).await?;
    let proven = verified.iter().map(|(grant, _)| grant.holder).collect();
    unknown::note_told(&mut tx, node.node, told, &proven, now).await?;
    let heads: Vec<ChainHead> = logs.iter().map(|log| ChainHead::from(*log)).collect();
    db::set_told(&mut tx, node.node, &heads, adopted.len(), now).await?;
    tx.commit().await?;
    tracing::info!(
        node = %node.node, name = node.name, told = verified.len(), adopted = adopted.len(),
        "a device has told what it holds"
    );
    Ok(())
}

/// Which of the grants that were told become leases again; what cannot is kept for a person. Their
/// trips are locked.
async fn sort_out(
    tx: &mut TenantTx,
    node: &NodeContext,
    there: &[i64],
    told: &[(Grant, SignedGrant)],
    now: Instant,
) -> Result<Vec<(Grant, SignedGrant)>, DbError> {
    let there: BTreeSet<i64> = there.iter().copied().collect();
    let trips: Vec<i64> = there.iter().copied().collect();
    let known = db::known_grants(tx, &trips).await?;
    let holders: BTreeSet<NodeId> = told.iter().map(|(grant, _)| grant.holder).collect();
    let enrolled = unknown::db::enrolled(tx, &holders).await?;
    let mut ours: BTreeSet<NodeId> = enrolled.into_keys().collect();
    let mut adopted: BTreeMap<(TripId, NodeId, LeaseNo), (Grant, SignedGrant)> = BTreeMap::new();
    for (grant, signed) in told {
        let key = (grant.trip, grant.holder, grant.lease_no);
        let before = known
            .get(&key)
            .or(adopted.get(&key).map(|(grant, _)| grant));
        let mut adopts = match decide_adoption(before, grant) {
            Adoption::Known => continue,
            Adoption::Adopt => there.contains(&(grant.trip.0 as i64)),
            Adoption::Strange => false,
        };
        if adopts && !ours.contains(&grant.holder) {
            adopts = unknown::db::add_holder(tx, grant.holder).await?;
            ours.extend(adopts.then_some(grant.holder));
        }
        if adopts {
            adopted.insert(key, (grant.clone(), signed.clone()));
        } else {
            tracing::error!(
                told_by = %node.node, holder = %grant.holder, trip = %grant.trip,
                lease = %grant.lease_no,
                "a grant cannot be taken over: its trip or its number is another's"
            );
            db::keep_orphan(tx, (grant, signed), now).await?;
        }
    }
    Ok(adopted.into_values().collect())
}

/// Says the grants of a device again, with its key: it was taken in.
pub(super) async fn publish_again(
    tx: &mut TenantTx,
    keys: &HubKeys,
    node: NodeId,
) -> Result<(), DbError> {
    let grants = db::grants_of(tx, node).await?;
    publish(tx, keys, &grants).await
}

/// As when they were granted: to the holders themselves and to the validators of the trips.
async fn publish(
    tx: &mut TenantTx,
    keys: &HubKeys,
    adopted: &[(Grant, SignedGrant)],
) -> Result<(), DbError> {
    let mut facts = vec![];
    let mut ticket_keys: BTreeMap<NodeId, Option<Vec<u8>>> = BTreeMap::new();
    for (grant, signed) in adopted {
        let ticket_key = match ticket_keys.entry(grant.holder) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unread) => unread.insert(db::ticket_key(tx, grant.holder).await?),
        };
        facts.extend(issuer_facts(
            keys,
            grant.holder,
            grant.trip,
            ticket_key.as_deref(),
        )?);
        for bucket in [node_bucket(grant.holder), trip_bucket(grant.trip)] {
            facts.push(Publication {
                bucket,
                key: grant_item_key(grant.trip, grant.holder, grant.lease_no),
                item: Item::Grant(signed.clone()),
            });
        }
    }
    publish_all(tx, facts).await
}
