//! Devices that are not enrolled, in rows.

use std::collections::BTreeSet;

use domain::ids::{CompanyId, NodeId};
use domain::restore::{Awaited, Membership};
use domain::time::Instant;
use sync_protocol::frame::Introduction;

use super::{Enrolled, Stranger};
use crate::db::{Db, DbError};
use crate::nodes::NodeKind;
use crate::restore::db::{Device, Hearsay};
use crate::tenant::TenantTx;

/// Which of some nodes are there, and whether each is enrolled. A revoked one counts: it is known.
pub(in crate::restore) async fn enrolled(
    tx: &mut TenantTx,
    nodes: &BTreeSet<NodeId>,
) -> Result<Enrolled, DbError> {
    let ids: Vec<uuid::Uuid> = nodes.iter().map(|node| node.0).collect();
    let rows = sqlx::query!(
        r#"SELECT node_id, (event_key IS NOT NULL OR revoked) AS "enrolled!" FROM node
           WHERE company_id = $1 AND node_id = ANY($2)"#,
        tx.company().0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|r| (NodeId(r.node_id), r.enrolled)).collect())
}

/// Gives the holder of a grant that the hub signed a row, which the grant needs. Nobody can connect
/// as it before it is taken in. Whether it is this company's.
pub(in crate::restore) async fn add_holder(
    tx: &mut TenantTx,
    node: NodeId,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "INSERT INTO node (company_id, node_id, name, kind) VALUES ($1, $2, $3, 'onboard')
         ON CONFLICT (node_id) DO NOTHING",
        tx.company().0,
        node.0,
        name_of(node)
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a device is called that nobody has named.
fn name_of(node: NodeId) -> String {
    format!("unknown device {node}")
}

/// Notes that a device told of another.
pub(super) async fn note_told(
    tx: &mut TenantTx,
    node: NodeId,
    by: NodeId,
    (key, proven): (Option<&[u8; 32]>, bool),
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO restore_unknown AS u (company_id, node_id, heard_at_ms, told_by, told_key,
             proven)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (company_id, node_id) DO UPDATE
         SET proven = u.proven OR EXCLUDED.proven,
             told_by = coalesce(u.told_by, EXCLUDED.told_by),
             told_key = coalesce(u.told_key, EXCLUDED.told_key)",
        tx.company().0,
        node.0,
        now.0,
        by.0,
        key.map(|key| &key[..]),
        proven
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a device that is not enrolled may ask to be taken in by a company: the company is there,
/// and no other one has a device of that number.
pub(super) async fn may_ask(db: &Db, company: CompanyId, node: NodeId) -> Result<bool, DbError> {
    let may = sqlx::query_scalar!(
        r#"SELECT ($1 IN (SELECT all_companies())
                   AND coalesce(company_of_node($2) = $1, true)) AS "may!""#,
        company.0,
        node.0
    );
    Ok(may.fetch_one(db.pool()).await?)
}

/// Notes what a device said of itself; what it said first stays.
pub(super) async fn note_asked(
    tx: &mut TenantTx,
    node: NodeId,
    me: &Introduction,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO restore_unknown AS u (company_id, node_id, heard_at_ms, event_key, ticket_key,
             asked_at_ms)
         VALUES ($1, $2, $3, $4, $5, $3)
         ON CONFLICT (company_id, node_id) DO UPDATE
         SET event_key = coalesce(u.event_key, EXCLUDED.event_key),
             ticket_key = coalesce(u.ticket_key, EXCLUDED.ticket_key),
             asked_at_ms = EXCLUDED.asked_at_ms",
        tx.company().0,
        node.0,
        now.0,
        &me.event_key[..],
        &me.ticket_key[..]
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A device that is not enrolled, its row locked.
pub(super) async fn lock(tx: &mut TenantTx, node: NodeId) -> Result<Option<Stranger>, DbError> {
    let row = sqlx::query_as!(
        Stranger,
        "SELECT told_by, told_key, event_key, ticket_key FROM restore_unknown
         WHERE company_id = $1 AND node_id = $2 FOR UPDATE",
        tx.company().0,
        node.0
    );
    Ok(row.fetch_optional(tx.conn()).await?)
}

/// Whether a device was revoked.
pub(super) async fn is_revoked(tx: &mut TenantTx, node: NodeId) -> Result<bool, DbError> {
    let revoked = sqlx::query_scalar!(
        "SELECT revoked FROM node WHERE company_id = $1 AND node_id = $2",
        tx.company().0,
        node.0
    );
    Ok(revoked.fetch_optional(tx.conn()).await?.unwrap_or(false))
}

/// Makes a device of the company's own of one that asked, which is waited for like the others from
/// here on. `false` where another company has one of its number.
pub(super) async fn enrol_again(
    tx: &mut TenantTx,
    node: NodeId,
    (name, kind): (&str, &NodeKind),
    (event_key, ticket_key): (&[u8], &[u8]),
    now: Instant,
) -> Result<bool, DbError> {
    let company = tx.company().0;
    let done = sqlx::query!(
        "INSERT INTO node AS n (company_id, node_id, name, kind, stop_code, event_key, ticket_key,
             enrolled_at_ms)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8
         WHERE coalesce(company_of_node($2) = $1, true)
         ON CONFLICT (company_id, node_id) DO UPDATE
         SET name = EXCLUDED.name, kind = EXCLUDED.kind, stop_code = EXCLUDED.stop_code,
             event_key = EXCLUDED.event_key, ticket_key = EXCLUDED.ticket_key,
             enrolled_at_ms = EXCLUDED.enrolled_at_ms
         WHERE n.event_key IS NULL AND NOT n.revoked",
        company,
        node.0,
        name,
        kind.as_str(),
        kind.stop().map(|stop| stop.0.as_str()),
        event_key,
        ticket_key,
        now.0
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "INSERT INTO restore_report (company_id, node_id, hub_incarnation)
         SELECT $1, $2, incarnation FROM hub ON CONFLICT DO NOTHING",
        company,
        node.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "DELETE FROM restore_unknown WHERE company_id = $1 AND node_id = $2",
        company,
        node.0
    )
    .execute(tx.conn())
    .await?;
    Ok(true)
}

/// Notes that a device is not waited for any further.
pub(super) async fn set_given_up(
    tx: &mut TenantTx,
    node: NodeId,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "WITH told AS (
             UPDATE restore_report SET given_up_at_ms = coalesce(given_up_at_ms, $3)
             WHERE company_id = $1 AND node_id = $2)
         UPDATE restore_unknown SET given_up_at_ms = coalesce(given_up_at_ms, $3)
         WHERE company_id = $1 AND node_id = $2",
        tx.company().0,
        node.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Every device that is not enrolled and was heard of.
pub(in crate::restore) async fn strangers(tx: &mut TenantTx) -> Result<Vec<Device>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT u.node_id, u.told_by, t.name AS "told_by_name?", u.told_key, u.event_key,
                  u.ticket_key, u.proven, u.asked_at_ms, u.given_up_at_ms, n.name AS "name?"
           FROM restore_unknown u
           LEFT JOIN node n ON n.company_id = u.company_id AND n.node_id = u.node_id
           LEFT JOIN node t ON t.company_id = u.company_id AND t.node_id = u.told_by
           WHERE u.company_id = $1 ORDER BY u.heard_at_ms, u.node_id"#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let device = rows.into_iter().map(|row| {
        let node = NodeId(row.node_id);
        let stranger = Stranger {
            told_by: row.told_by,
            told_key: row.told_key,
            event_key: row.event_key,
            ticket_key: row.ticket_key,
        };
        let membership = if stranger.event_key.is_some() {
            Membership::Asks
        } else {
            Membership::Unknown
        };
        Device {
            node,
            name: row.name.unwrap_or_else(|| name_of(node)),
            last_contact_ms: row.asked_at_ms,
            adopted: 0,
            drained: false,
            awaited: Awaited {
                membership,
                given_up: row.given_up_at_ms.is_some(),
                ..Awaited::default()
            },
            standings: std::collections::BTreeMap::new(),
            hearsay: Some(Hearsay {
                told_by: row.told_by_name,
                keys_agree: stranger.keys_agree(),
                proven: row.proven,
            }),
        }
    });
    Ok(device.collect())
}

/// Whether the hub was ever restored.
pub(super) async fn is_restored(db: &Db) -> Result<bool, DbError> {
    let restored = sqlx::query_scalar!(r#"SELECT restored_at_ms IS NOT NULL AS "is!" FROM hub"#);
    Ok(restored.fetch_one(db.pool()).await?)
}
