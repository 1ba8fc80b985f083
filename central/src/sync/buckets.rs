//! Buckets: the change logs that nodes follow.
//!
//! A change number is taken under the bucket row's lock, which is held to the commit: whoever
//! reads `last_change` finds every change up to it.

use std::collections::BTreeMap;

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{CompanyId, LeaseNo, NodeId, SaleOrdinal, SeatNo, StopSeq, TicketId, TripId};
use domain::ingest::TicketState;
use domain::ticket::{KeyMaterial, KeyRecord};
use domain::trip::Legs;
use sync_protocol::frame::ListedTicket;
use sync_protocol::{BucketId, Item};

use crate::db::{Db, DbError};
use crate::tenant::TenantTx;
use crate::ticketing::short::{Sold, issuer_of};

/// The name a bucket is stored under; a node's own bucket carries the node.
pub fn bucket_name(node: NodeId, bucket: &BucketId) -> String {
    match bucket {
        BucketId::Node => node_bucket(node),
        BucketId::Company | BucketId::Trip(_) | BucketId::Station(_) => bucket.name(),
    }
}

/// The name of a node's own bucket.
pub fn node_bucket(node: NodeId) -> String {
    format!("node:{node}")
}

/// The name of a trip's bucket.
pub fn trip_bucket(trip: TripId) -> String {
    BucketId::Trip(trip).name()
}

/// The key under which a key record replaces an older one.
pub fn key_item_key(record: &KeyRecord) -> String {
    let kind = match record.material {
        KeyMaterial::Ed25519(_) => "ed25519",
        KeyMaterial::Hmac256(_) => "hmac256",
    };
    match record.trip {
        Some(trip) => format!("key:{kind}:{}:{trip}", record.issuer),
        None => format!("key:{kind}:{}", record.issuer),
    }
}

/// The key under which a grant is published; grants are never replaced by another one.
pub fn grant_item_key(trip: TripId, node: NodeId, no: LeaseNo) -> String {
    format!("grant:{trip}:{node}:{no}")
}

/// A fact to put into a bucket.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The bucket's name; see [`bucket_name`].
    pub bucket: String,
    /// What it replaces: an earlier fact of the same bucket and key.
    pub key: String,
    /// The fact.
    pub item: Item,
}

/// Takes `count` change numbers of each bucket and returns the last one taken of each.
///
/// Locks the buckets in the order of their names, until the end of the transaction.
pub async fn take_changes(
    tx: &mut TenantTx,
    counts: &BTreeMap<String, i64>,
) -> Result<BTreeMap<String, i64>, DbError> {
    if counts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let company = tx.company().0;
    let names: Vec<String> = counts.keys().cloned().collect();
    let steps: Vec<i64> = counts.values().copied().collect();
    let rows = sqlx::query!(
        "INSERT INTO bucket (company_id, name, last_change)
         SELECT $1, w.name, w.step FROM UNNEST($2::text[], $3::bigint[]) AS w(name, step)
         ON CONFLICT (company_id, name)
         DO UPDATE SET last_change = bucket.last_change + EXCLUDED.last_change
         RETURNING name, last_change",
        company,
        &names,
        &steps
    )
    .fetch_all(tx.conn())
    .await?;
    for name in counts.keys() {
        tx.bucket_changed(name);
    }
    Ok(rows.into_iter().map(|r| (r.name, r.last_change)).collect())
}

/// Publishes facts; of two with one bucket and key the later one stays.
pub async fn publish_all(tx: &mut TenantTx, publications: Vec<Publication>) -> Result<(), DbError> {
    let mut facts: BTreeMap<(String, String), Item> = BTreeMap::new();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for p in publications {
        if facts.insert((p.bucket.clone(), p.key), p.item).is_none() {
            *counts.entry(p.bucket).or_default() += 1;
        }
    }
    if facts.is_empty() {
        return Ok(());
    }
    let mut next = take_changes(tx, &counts).await?;
    for (name, last) in &mut next {
        *last -= counts.get(name).copied().unwrap_or(0);
    }
    let (mut buckets, mut keys, mut changes, mut items) = (vec![], vec![], vec![], vec![]);
    for ((bucket, key), item) in facts {
        let change = next.entry(bucket.clone()).or_default();
        *change += 1;
        changes.push(*change);
        buckets.push(bucket);
        keys.push(key);
        items.push(to_cbor(&item));
    }
    sqlx::query!(
        "INSERT INTO bucket_item (company_id, bucket, item_key, change_no, item)
         SELECT $1, w.* FROM UNNEST($2::text[], $3::text[], $4::bigint[], $5::bytea[]) AS w
         ON CONFLICT (company_id, bucket, item_key)
         DO UPDATE SET change_no = EXCLUDED.change_no, item = EXCLUDED.item",
        tx.company().0,
        &buckets,
        &keys,
        &changes,
        &items
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Publishes one fact.
pub async fn publish(
    tx: &mut TenantTx,
    bucket: &str,
    item_key: &str,
    item: Item,
) -> Result<(), DbError> {
    let one = Publication {
        bucket: bucket.to_owned(),
        key: item_key.to_owned(),
        item,
    };
    publish_all(tx, vec![one]).await
}

/// What a bucket holds after a change: its newest change, and the facts up to that.
pub async fn load_bucket(
    tx: &mut TenantTx,
    node: NodeId,
    bucket: &BucketId,
    after: u64,
) -> Result<(u64, Vec<Item>), DbError> {
    let company = tx.company().0;
    let name = bucket_name(node, bucket);
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let checkpoint = sqlx::query_scalar!(
        "SELECT last_change FROM bucket WHERE company_id = $1 AND name = $2",
        company,
        name
    )
    .fetch_optional(tx.conn())
    .await?
    .unwrap_or(0);
    let rows = sqlx::query_scalar!(
        "SELECT item FROM bucket_item
         WHERE company_id = $1 AND bucket = $2 AND change_no > $3 AND change_no <= $4
         ORDER BY change_no",
        company,
        name,
        after,
        checkpoint
    )
    .fetch_all(tx.conn())
    .await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let item = from_cbor(&row).map_err(|_| DbError::damaged(format!("a fact of {name}")))?;
        items.push(item);
    }
    if let BucketId::Trip(trip) = bucket {
        items.extend(listed_tickets(tx, *trip, after, checkpoint).await?);
    }
    Ok((checkpoint as u64, items))
}

async fn listed_tickets(
    tx: &mut TenantTx,
    trip: TripId,
    after: i64,
    checkpoint: i64,
) -> Result<Vec<Item>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT ticket_id, seat, COALESCE(printed_seat, seat) AS "printed!",
                  lower(legs) AS "from!", upper(legs) AS "to!", issuer_node, lease_no, epoch,
                  layout_version, ordinal, test, state
           FROM ticket
           WHERE company_id = $1 AND trip_id = $2 AND change_no > $3 AND change_no <= $4
           ORDER BY change_no"#,
        tx.company().0,
        trip.0 as i64,
        after,
        checkpoint
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let sold = Sold {
                trip,
                seat: r.printed,
                legs: (r.from, r.to),
                ordinal: r.ordinal,
                issuer: r.issuer_node,
                lease: r.lease_no.zip(r.epoch),
                layout_version: r.layout_version,
                test: r.test,
            };
            Ok(Item::Ticket(ListedTicket {
                id: TicketId(r.ticket_id),
                trip,
                seat: SeatNo(r.seat as u16),
                legs: legs_of(r.from, r.to)?,
                issuer: issuer_of(r.issuer_node),
                lease_no: r.lease_no.map(|no| LeaseNo(no as u16)),
                ordinal: SaleOrdinal(r.ordinal as u16),
                state: state_of(r.state)?,
                code: sold.code()?,
            }))
        })
        .collect()
}

/// The legs of a stored range.
pub(crate) fn legs_of(from: i32, to: i32) -> Result<Legs, DbError> {
    u8::try_from(from)
        .ok()
        .zip(u8::try_from(to).ok())
        .and_then(|(from, to)| Legs::new(StopSeq(from), StopSeq(to)))
        .ok_or_else(|| DbError::damaged(format!("the legs {from} to {to}")))
}

/// The state of a stored ticket.
pub(crate) fn state_of(code: i16) -> Result<TicketState, DbError> {
    match code {
        0 => Ok(TicketState::Live),
        1 => Ok(TicketState::Void),
        2 => Ok(TicketState::Disputed),
        _ => Err(DbError::damaged(format!("the ticket state {code}"))),
    }
}

/// The number a ticket's state is stored under.
pub(crate) const fn state_code(state: TicketState) -> i16 {
    match state {
        TicketState::Live => 0,
        TicketState::Void => 1,
        TicketState::Disputed => 2,
    }
}

/// Records how far a node has applied a bucket. The trip's own validator frees the seats that
/// waited for it.
pub async fn on_bucket_ack(
    db: &Db,
    company: CompanyId,
    node: NodeId,
    bucket: &BucketId,
    change: u64,
) -> Result<(), DbError> {
    let mut tx = db.tenant(company).await?;
    let change = i64::try_from(change).unwrap_or(i64::MAX);
    let mut onboard = false;
    if let BucketId::Trip(trip) = bucket {
        // The lock makes this wait for a closing lease that is looking at what was acknowledged.
        onboard = sqlx::query_scalar!(
            "SELECT onboard_node FROM trip WHERE company_id = $1 AND trip_id = $2 FOR UPDATE",
            company.0,
            trip.0 as i64
        )
        .fetch_optional(tx.conn())
        .await?
        .flatten()
            == Some(node.0);
    }
    sqlx::query!(
        "INSERT INTO bucket_ack (company_id, node_id, bucket, change_no) VALUES ($1, $2, $3, $4)
         ON CONFLICT (company_id, node_id, bucket)
         DO UPDATE SET change_no = GREATEST(bucket_ack.change_no, EXCLUDED.change_no)",
        company.0,
        node.0,
        bucket_name(node, bucket),
        change
    )
    .execute(tx.conn())
    .await?;
    if let (true, BucketId::Trip(trip)) = (onboard, bucket) {
        sqlx::query!(
            "DELETE FROM claim
             WHERE company_id = $1 AND trip_id = $2 AND kind = 'block' AND waits_for_change <= $3",
            company.0,
            trip.0 as i64,
            change
        )
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await
}
