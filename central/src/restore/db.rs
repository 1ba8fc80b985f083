//! What is waited for, in rows.

use std::collections::BTreeMap;

use domain::codec::to_cbor;
use domain::event::ChainHead;
use domain::ids::{
    CompanyId, EventHash, HubIncarnation, Issuer, LeaseNo, NodeId, NodeIncarnation, Seq, TicketId,
    TripId,
};
use domain::ingest::Unlisted;
use domain::lease::{Grant, SignedGrant};
use domain::restore::{Awaited, LogStanding, WaitsFor};
use domain::ticket::KeyRecord;
use domain::time::Instant;

use super::unknown;
use crate::db::DbError;
use crate::nodes::NodeContext;
use crate::sync::ingest::hash_of;
use crate::tenant::TenantTx;
use crate::ticketing::leases::public_key;

/// What a hub that was restored looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restoring {
    /// Nothing: it was never restored, or all is in.
    No,
    /// This device has not told its grants: what it sends is stored and judged later.
    NotTold,
    /// Others have not: a sale may stand against what they took back.
    OthersOpen,
}

impl Restoring {
    /// From whether a row is this device's and untold; null where no row is open.
    pub(crate) fn of(untold: Option<bool>) -> Self {
        match untold {
            None => Self::No,
            Some(true) => Self::NotTold,
            Some(false) => Self::OthersOpen,
        }
    }
}

/// Whether the device shall tell its grants; a doubtful disk is remembered.
pub(crate) async fn note_greeting(
    tx: &mut TenantTx,
    node: NodeId,
    doubtful: bool,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE restore_report SET doubtful = doubtful OR $3
         WHERE company_id = $1 AND node_id = $2 AND reported_at_ms IS NULL",
        tx.company().0,
        node.0,
        doubtful
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whether one of these tickets is of another device that has not been heard to the end, on a trip
/// that waits for it.
pub(crate) async fn may_be_taken_back(
    tx: &mut TenantTx,
    node: NodeId,
    tickets: &[TicketId],
) -> Result<bool, DbError> {
    let ids: Vec<uuid::Uuid> = tickets.iter().map(|t| t.0).collect();
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM ticket t
               JOIN trip r ON r.company_id = t.company_id AND r.trip_id = t.trip_id
                          AND r.frozen_by IS NOT NULL
               JOIN restore_report d ON d.company_id = t.company_id
                          AND d.node_id = t.issuer_node AND d.drained_at_ms IS NULL
                          AND d.given_up_at_ms IS NULL
               WHERE t.company_id = $1 AND t.ticket_id = ANY($2) AND t.issuer_node <> $3)
           AS "found!""#,
        tx.company().0,
        &ids,
        node.0
    );
    Ok(found.fetch_one(tx.conn()).await?)
}

/// Whether the pool of a trip is frozen; its row is locked by the caller.
pub(crate) async fn refuse_frozen(tx: &mut TenantTx, trip: TripId) -> Result<bool, DbError> {
    let frozen = sqlx::query_scalar!(
        r#"SELECT frozen_by IS NOT NULL AS "frozen!" FROM trip
           WHERE company_id = $1 AND trip_id = $2"#,
        tx.company().0,
        trip.0 as i64
    );
    Ok(frozen.fetch_optional(tx.conn()).await?.unwrap_or(false))
}

/// The hub's ticket key where it was restored, and those of some shown tickets that are its own
/// and known.
pub(crate) async fn unlisted_among(
    tx: &mut TenantTx,
    shown: &[TicketId],
) -> Result<(Vec<KeyRecord>, Vec<TicketId>), DbError> {
    let key = sqlx::query_scalar!("SELECT ticket_key FROM hub")
        .fetch_one(tx.conn())
        .await?;
    let Some(key) = key else {
        return Ok((vec![], vec![]));
    };
    let key = KeyRecord::signing(Issuer::Hub, public_key(&key)?);
    let ids: Vec<uuid::Uuid> = shown.iter().map(|t| t.0).collect();
    let known = sqlx::query_scalar!(
        r#"SELECT ticket_id AS "ticket_id!" FROM ticket
           WHERE company_id = $1 AND ticket_id = ANY($2) AND issuer_node IS NULL
           UNION
           SELECT ticket_id FROM unlisted_ticket WHERE company_id = $1 AND ticket_id = ANY($2)"#,
        tx.company().0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok((vec![key], known.into_iter().map(TicketId).collect()))
}

/// Keeps lost tickets that were seen, each with a case for the office.
pub(super) async fn insert_unlisted(
    tx: &mut TenantTx,
    node: &NodeContext,
    (incarnation, seq): (u32, Seq),
    lost: &Unlisted,
    seen_at: Instant,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO unlisted_ticket (company_id, ticket_id, trip_id, seat, legs, code, seen_by,
             seen_at_ms)
         VALUES ($1, $2, $3, $4, int4range($5, $6), $7, $8, $9) ON CONFLICT DO NOTHING",
        node.company.0,
        lost.ticket.0,
        lost.trip.0 as i64,
        i32::from(lost.seat.0),
        i32::from(lost.legs.from().0),
        i32::from(lost.legs.to().0),
        lost.code,
        node.node.0,
        seen_at.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "INSERT INTO conflict_case (company_id, node_id, incarnation, seq, reason, tickets, against,
             opened_at_ms)
         VALUES ($1, $2, $3, $4, 'ticket_unknown', '{}', ARRAY[$5::uuid], $6)",
        node.company.0,
        node.node.0,
        incarnation as i32,
        seq.0 as i64,
        lost.ticket.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether the device is waited for; its row is locked. `None` where it is not, or has told.
pub(super) async fn lock_untold(
    tx: &mut TenantTx,
    node: NodeId,
) -> Result<Option<HubIncarnation>, DbError> {
    let hub = sqlx::query_scalar!(
        "SELECT hub_incarnation FROM restore_report
         WHERE company_id = $1 AND node_id = $2 AND reported_at_ms IS NULL FOR UPDATE",
        tx.company().0,
        node.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(hub.map(|hub| HubIncarnation(hub as u32)))
}

/// Which of these trips there are, their rows locked in order.
pub(super) async fn lock_trips(tx: &mut TenantTx, trips: &[i64]) -> Result<Vec<i64>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT trip_id FROM trip WHERE company_id = $1 AND trip_id = ANY($2)
         ORDER BY trip_id FOR UPDATE",
        tx.company().0,
        trips
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// The grants on some trips, by trip, holder and number.
pub(super) async fn known_grants(
    tx: &mut TenantTx,
    trips: &[i64],
) -> Result<BTreeMap<(TripId, NodeId, LeaseNo), Grant>, DbError> {
    let rows = sqlx::query!(
        "SELECT trip_id, node_id, lease_no, granted FROM lease
         WHERE company_id = $1 AND trip_id = ANY($2)",
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let no = LeaseNo(row.lease_no as u16);
            let key = (TripId(row.trip_id as u64), NodeId(row.node_id), no);
            let grant = domain::codec::from_cbor(&row.granted);
            Ok((key, grant.map_err(|_| DbError::damaged("a grant"))?))
        })
        .collect()
}

/// Stores grants that devices told, as leases of an earlier installation.
pub(super) async fn adopt(
    tx: &mut TenantTx,
    hub: HubIncarnation,
    grants: &[(Grant, SignedGrant)],
    now: Instant,
) -> Result<(), DbError> {
    let of = |f: fn(&Grant) -> i64| grants.iter().map(|(g, _)| f(g)).collect::<Vec<i64>>();
    let trips = of(|g| g.trip.0 as i64);
    let numbers: Vec<i32> = grants.iter().map(|(g, _)| g.lease_no.0.into()).collect();
    let epochs = of(|g| g.epoch.0.into());
    let holders: Vec<uuid::Uuid> = grants.iter().map(|(g, _)| g.holder.0).collect();
    let requests: Vec<uuid::Uuid> = grants.iter().map(|(g, _)| g.request.0).collect();
    let granted: Vec<Vec<u8>> = grants.iter().map(|(g, _)| to_cbor(g)).collect();
    let signed: Vec<Vec<u8>> = grants.iter().map(|(_, s)| to_cbor(s)).collect();
    sqlx::query!(
        "INSERT INTO lease (company_id, trip_id, node_id, lease_no, epoch, request_id, granted,
             signed, granted_at_ms, adopted_by)
         SELECT $1, w.trip, w.holder, w.no, w.epoch, w.request, w.granted, w.signed, $9, $10
         FROM UNNEST($2::bigint[], $3::uuid[], $4::int[], $5::bigint[], $6::uuid[], $7::bytea[],
             $8::bytea[]) AS w(trip, holder, no, epoch, request, granted, signed)",
        tx.company().0,
        &trips,
        &holders,
        &numbers,
        &epochs,
        &requests,
        &granted,
        &signed,
        now.0,
        hub.0 as i32
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps a grant that cannot be taken over, for a person to see.
pub(super) async fn keep_orphan(
    tx: &mut TenantTx,
    (grant, signed): (&Grant, &SignedGrant),
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO restore_orphan (company_id, node_id, trip_id, lease_no, epoch, signed,
             told_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        tx.company().0,
        grant.holder.0,
        grant.trip.0 as i64,
        i32::from(grant.lease_no.0),
        i64::from(grant.epoch.0),
        to_cbor(signed),
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that a device has told all, and how far its logs went.
pub(super) async fn set_told(
    tx: &mut TenantTx,
    node: NodeId,
    logs: &[ChainHead],
    adopted: usize,
    now: Instant,
) -> Result<(), DbError> {
    let incarnations: Vec<i32> = logs.iter().map(|l| l.incarnation.0 as i32).collect();
    let seqs: Vec<i64> = logs.iter().map(|l| l.seq.0 as i64).collect();
    let hashes: Vec<Vec<u8>> = logs.iter().map(|l| l.hash.0.to_vec()).collect();
    sqlx::query!(
        "INSERT INTO restore_told (company_id, node_id, incarnation, seq, hash)
         SELECT $1, $2, w.* FROM UNNEST($3::int[], $4::bigint[], $5::bytea[]) AS w
         ON CONFLICT DO NOTHING",
        tx.company().0,
        node.0,
        &incarnations,
        &seqs,
        &hashes
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE restore_report SET reported_at_ms = $3, adopted = $4
         WHERE company_id = $1 AND node_id = $2",
        tx.company().0,
        node.0,
        now.0,
        i32::try_from(adopted).unwrap_or(i32::MAX)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A device that is or was waited for.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub node: NodeId,
    pub name: String,
    pub last_contact_ms: Option<i64>,
    pub adopted: i32,
    pub drained: bool,
    pub awaited: Awaited,
    /// Of each log that it told.
    pub standings: BTreeMap<NodeIncarnation, LogStanding>,
    /// Who says that there is such a device, where the hub does not know it.
    pub hearsay: Option<Hearsay>,
}

/// How the hub has heard of a device that is not enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hearsay {
    /// The device that named it first.
    pub told_by: Option<String>,
    /// Its ticket key is the one that the other device knows it by; none before both are here.
    pub keys_agree: Option<bool>,
    /// The hub signed a grant to it.
    pub proven: bool,
}

impl Device {
    pub(super) fn standing(&self, head: &ChainHead) -> LogStanding {
        let none = LogStanding {
            judged: Seq(0),
            fork_judged: false,
        };
        self.standings
            .get(&head.incarnation)
            .copied()
            .unwrap_or(none)
    }

    /// Whether it has told all, and its log is here.
    pub(super) fn is_heard(&self) -> bool {
        self.awaited.is_drained(|head| self.standing(head)) && self.waits_for().is_none()
    }

    /// What is still waited for.
    pub(super) fn waits_for(&self) -> Option<WaitsFor> {
        self.awaited.waits_for(|head| self.standing(head))
    }
}

/// Every device that is or was waited for since the restore, those that are not enrolled too.
pub(super) async fn devices(tx: &mut TenantTx) -> Result<Vec<Device>, DbError> {
    let company = tx.company().0;
    let rows = sqlx::query!(
        "SELECT r.node_id, n.name, n.last_contact_ms, r.doubtful, r.reported_at_ms, r.adopted,
                r.drained_at_ms, r.given_up_at_ms
         FROM restore_report r JOIN node n USING (company_id, node_id)
         WHERE r.company_id = $1 ORDER BY n.name, r.node_id",
        company
    )
    .fetch_all(tx.conn())
    .await?;
    let told = sqlx::query!(
        r#"SELECT t.node_id, t.incarnation, t.seq, t.hash,
                  coalesce(l.judged_seq, 0) AS "judged!",
                  EXISTS (SELECT FROM fork_event f
                          WHERE f.company_id = t.company_id AND f.node_id = t.node_id
                            AND f.incarnation = t.incarnation AND f.seq = t.seq
                            AND f.hash = t.hash AND f.judged) AS "fork_judged!"
           FROM restore_told t
           LEFT JOIN node_log l ON l.company_id = t.company_id AND l.node_id = t.node_id
                               AND l.incarnation = t.incarnation
           WHERE t.company_id = $1"#,
        company
    )
    .fetch_all(tx.conn())
    .await?;
    let mut devices = Vec::with_capacity(rows.len());
    for row in rows {
        let mut standings = BTreeMap::new();
        let mut logs = vec![];
        for t in told.iter().filter(|t| t.node_id == row.node_id) {
            let incarnation = NodeIncarnation(t.incarnation as u32);
            let hash: EventHash = hash_of(&t.hash)?;
            let seq = Seq(t.seq as u64);
            logs.push(ChainHead {
                incarnation,
                seq,
                hash,
            });
            let judged = Seq(t.judged as u64);
            let fork_judged = t.fork_judged;
            standings.insert(
                incarnation,
                LogStanding {
                    judged,
                    fork_judged,
                },
            );
        }
        devices.push(Device {
            node: NodeId(row.node_id),
            name: row.name,
            last_contact_ms: row.last_contact_ms,
            adopted: row.adopted,
            drained: row.drained_at_ms.is_some(),
            awaited: Awaited {
                given_up: row.given_up_at_ms.is_some(),
                told: row.reported_at_ms.map(|_| logs),
                doubtful: row.doubtful,
                ..Awaited::default()
            },
            standings,
            hearsay: None,
        });
    }
    devices.extend(unknown::db::strangers(tx).await?);
    Ok(devices)
}

/// Notes that a device's log has been heard to where it said that it ends.
pub(super) async fn set_drained(
    tx: &mut TenantTx,
    node: NodeId,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE restore_report SET drained_at_ms = $3 WHERE company_id = $1 AND node_id = $2",
        tx.company().0,
        node.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A frozen trip.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    pub trip: TripId,
    pub route: String,
    pub headsign: String,
    pub departs_at_ms: i64,
}

/// Frozen trips after a number, by number.
pub(super) async fn frozen(
    tx: &mut TenantTx,
    after: i64,
    limit: i64,
) -> Result<Vec<Frozen>, DbError> {
    let rows = sqlx::query!(
        "SELECT trip_id, route_code, headsign, departs_at_ms FROM trip
         WHERE company_id = $1 AND frozen_by IS NOT NULL AND trip_id > $2
         ORDER BY trip_id LIMIT $3",
        tx.company().0,
        after,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let frozen = rows.into_iter().map(|row| Frozen {
        trip: TripId(row.trip_id as u64),
        route: row.route_code,
        headsign: row.headsign,
        departs_at_ms: row.departs_at_ms,
    });
    Ok(frozen.collect())
}

/// How many trips are frozen.
pub(super) async fn count_frozen(tx: &mut TenantTx) -> Result<i64, DbError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM trip
           WHERE company_id = $1 AND frozen_by IS NOT NULL"#,
        tx.company().0
    );
    Ok(count.fetch_one(tx.conn()).await?)
}

/// The frozen trips, their rows locked in order.
pub(super) async fn lock_frozen(tx: &mut TenantTx) -> Result<Vec<i64>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT trip_id FROM trip WHERE company_id = $1 AND frozen_by IS NOT NULL
         ORDER BY trip_id FOR UPDATE",
        tx.company().0
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// Lets the pools of trips sell again.
pub(super) async fn unfreeze(tx: &mut TenantTx, trips: &[i64]) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE trip SET frozen_by = NULL WHERE company_id = $1 AND trip_id = ANY($2)",
        tx.company().0,
        trips
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// When the hub was restored, and to which moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Installation {
    pub hub: HubIncarnation,
    pub restored_at_ms: Option<i64>,
    pub restore_point_ms: Option<i64>,
}

/// Which installation this hub is.
pub(super) async fn installation(tx: &mut TenantTx) -> Result<Installation, DbError> {
    let row = sqlx::query!("SELECT incarnation, restored_at_ms, restore_point_ms FROM hub")
        .fetch_one(tx.conn())
        .await?;
    Ok(Installation {
        hub: HubIncarnation(row.incarnation as u32),
        restored_at_ms: row.restored_at_ms,
        restore_point_ms: row.restore_point_ms,
    })
}

/// The companies that wait for something.
pub(super) async fn waiting_companies(db: &crate::db::Db) -> Result<Vec<CompanyId>, DbError> {
    if !unknown::hears_strangers(db).await? {
        return Ok(vec![]);
    }
    let all = sqlx::query_scalar!(r#"SELECT all_companies() AS "id!""#)
        .fetch_all(db.pool())
        .await?;
    let mut waiting = vec![];
    for company in all.into_iter().map(CompanyId) {
        let mut tx = db.tenant(company).await?;
        let open = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM trip WHERE company_id = $1 AND frozen_by IS NOT NULL)
                   OR EXISTS (SELECT FROM restore_report
                              WHERE company_id = $1 AND drained_at_ms IS NULL) AS "open!""#,
            company.0
        )
        .fetch_one(tx.conn())
        .await?;
        if open {
            waiting.push(company);
        }
    }
    Ok(waiting)
}

/// The grants that a device holds, as they were signed.
pub(super) async fn grants_of(
    tx: &mut TenantTx,
    node: NodeId,
) -> Result<Vec<(Grant, SignedGrant)>, DbError> {
    let rows = sqlx::query!(
        "SELECT granted, signed FROM lease WHERE company_id = $1 AND node_id = $2
         ORDER BY trip_id, lease_no",
        tx.company().0,
        node.0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let grant = domain::codec::from_cbor(&row.granted);
            let signed = domain::codec::from_cbor(&row.signed);
            let damaged = |_| DbError::damaged("a grant");
            Ok((grant.map_err(damaged)?, signed.map_err(damaged)?))
        })
        .collect()
}

/// What a device signs its tickets with.
pub(super) async fn ticket_key(
    tx: &mut TenantTx,
    node: NodeId,
) -> Result<Option<Vec<u8>>, DbError> {
    let key = sqlx::query_scalar!(
        "SELECT ticket_key FROM node WHERE company_id = $1 AND node_id = $2",
        tx.company().0,
        node.0
    );
    Ok(key.fetch_optional(tx.conn()).await?.flatten())
}
