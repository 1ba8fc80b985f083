//! Devices that were enrolled after the backup: who names them, and how they are taken in again.
//!
//! Hearsay makes the hub wait and nothing more, and a person can end the waiting. The device itself
//! is known by its certificate: this hub's authority signed it, and it names the device's number.
//! It names neither company nor keys; those the device says itself, over the connection that the
//! certificate opened, as it did when it was enrolled. Which stop it sells at, and whether the
//! company still wants it, is in no certificate: so a person takes it in.

pub(super) mod db;

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::NodeId;
use domain::restore::unheard_of;
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;
use serde_json::json;
use sync_protocol::frame::{Introduction, Known};

use super::report;
use crate::audit::{self, Actor, Change};
use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::nodes::enrolment::{publish_keys, refuse_unknown_stop};
use crate::nodes::{NodeError, NodeKind};
use crate::tenant::TenantTx;
use crate::ticketing::leases::public_key;

/// Why a device was not taken in, or not given up.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Nobody has told of it.
    #[error("no device {0} is waited for in this company: see `waits` of `GET /restore`")]
    Unknown(NodeId),
    /// It has not come.
    #[error(
        "device {0} has not come since the hub was restored: switch it on where it reaches the hub, \
         and take it in once `waits_for` says `approval`"
    )]
    NotCome(NodeId),
    /// It was revoked.
    #[error("device {0} was revoked: it is not taken in again; enrol it anew under another number")]
    Revoked(NodeId),
    /// The stop is not there.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Which nodes among some the hub has in a company: whether each is enrolled.
pub(super) type Enrolled = BTreeMap<NodeId, bool>;

/// Notes the nodes that a device told of and that the hub has no enrolment of; `proven` are holders
/// of grants with the hub's own signature.
pub(super) async fn note_told(
    tx: &mut TenantTx,
    by: NodeId,
    known: &Known,
    proven: &BTreeSet<NodeId>,
    now: Instant,
) -> Result<(), DbError> {
    let told: BTreeMap<NodeId, [u8; 32]> = known
        .issuers
        .iter()
        .map(|i| (i.node, i.ticket_key))
        .collect();
    let named: BTreeSet<NodeId> = told.keys().chain(proven).copied().collect();
    let enrolled = db::enrolled(tx, &named).await?;
    let has = |node| enrolled.get(&node).copied().unwrap_or(false);
    let unknown = unheard_of(told.keys().copied(), by, has);
    let proven: BTreeSet<NodeId> = proven.iter().copied().filter(|n| !has(*n)).collect();
    for node in unknown.union(&proven) {
        let is_proven = proven.contains(node);
        db::note_told(tx, *node, by, (told.get(node), is_proven), now).await?;
        tracing::warn!(device = %node, told_by = %by, is_proven, "a device is not known here");
    }
    Ok(())
}

/// Hears a device that came with a certificate of this hub's and is not enrolled here; gives what
/// it is told.
pub(crate) async fn hear_stranger(
    db: &Db,
    node: NodeId,
    me: Option<Introduction>,
    now: Instant,
) -> Result<String, DbError> {
    let Some(me) = me else {
        return Ok(
            "this hub was restored from a backup and does not know this device: update the \
             device's program, or have the office enrol it anew"
                .to_owned(),
        );
    };
    let keys = (public_key(&me.event_key), public_key(&me.ticket_key));
    let usable = |key: &VerifyingKey| !key.is_weak();
    let sound = matches!(&keys, (Ok(event), Ok(ticket)) if usable(event) && usable(ticket));
    if !sound || !db::may_ask(db, me.company, node).await? {
        tracing::warn!(device = %node, company = %me.company, "a stranger was turned away");
        return Ok("this hub does not know this device: have the office enrol it anew".to_owned());
    }
    let mut tx = db.tenant(me.company).await?;
    db::note_asked(&mut tx, node, &me, now).await?;
    tx.commit().await?;
    tracing::warn!(device = %node, company = %me.company, "a device asks to be taken in");
    Ok(format!(
        "this hub was restored from a backup of before this device was enrolled: have the office \
         take device {node} in (`POST /restore/devices/{node}/admit`); it goes on selling what it \
         holds, and tells the hub everything after that"
    ))
}

/// Takes a device in again that came and asked. The caller commits.
pub(crate) async fn admit(
    tx: &mut TenantTx,
    keys: &HubKeys,
    node: NodeId,
    (name, kind): (&str, &NodeKind),
    actor: Actor,
    now: Instant,
) -> Result<(), NotTaken> {
    let row = db::lock(tx, node).await?.ok_or(NotTaken::Unknown(node))?;
    let (Some(event_key), Some(ticket_key)) = (&row.event_key, &row.ticket_key) else {
        return Err(NotTaken::NotCome(node));
    };
    if db::is_revoked(tx, node).await? {
        return Err(NotTaken::Revoked(node));
    }
    refuse_unknown_stop(tx, kind).await?;
    if !db::enrol_again(tx, node, (name, kind), (event_key, ticket_key), now).await? {
        return Err(NotTaken::Unknown(node));
    }
    publish_keys(tx, keys, node, public_key(ticket_key)?).await?;
    report::publish_again(tx, keys, node).await?;
    let change = Change {
        action: "restore.admit",
        subject: &format!("node:{node}"),
        before: Some(json!({ "told_by": row.told_by, "keys_agree": row.keys_agree() })),
        after: Some(json!({ "name": name, "kind": kind.as_str(),
            "stop": kind.stop().map(|stop| &stop.0) })),
    };
    audit::note(tx, actor, change, now).await?;
    Ok(())
}

/// Stops waiting for a device, on every trip. The caller commits. Gives its name.
pub(super) async fn give_up(
    tx: &mut TenantTx,
    node: NodeId,
    (actor, reason): (Actor, &str),
    now: Instant,
) -> Result<String, NotTaken> {
    let devices = super::db::devices(tx).await?;
    let device = devices.into_iter().find(|device| device.node == node);
    let device = device.ok_or(NotTaken::Unknown(node))?;
    db::set_given_up(tx, node, now).await?;
    let waits_for = device.waits_for().map(domain::restore::WaitsFor::as_str);
    let change = Change {
        action: "restore.give_up",
        subject: &format!("node:{node}"),
        before: Some(json!({ "device": device.name, "waits_for": waits_for })),
        after: Some(json!({ "reason": reason, "risk": risk_of(&device.name) })),
    };
    audit::note(tx, actor, change, now).await?;
    tracing::warn!(device = %node, reason, "a device is not waited for any further");
    Ok(device.name)
}

/// What a company takes on itself when it gives a device up.
pub(super) fn risk_of(name: &str) -> String {
    format!(
        "seats that {name} sold or may sell under leases of after the backup can be sold a second \
         time, on every trip where no other device has told of those leases"
    )
}

/// The company and keys that a device says of itself, as they are kept.
#[derive(Debug, Clone)]
pub(super) struct Stranger {
    pub told_by: Option<uuid::Uuid>,
    pub told_key: Option<Vec<u8>>,
    pub event_key: Option<Vec<u8>>,
    pub ticket_key: Option<Vec<u8>>,
}

impl Stranger {
    /// Whether its ticket key is the one that another device knows it by; `None` where one of them
    /// is not there.
    pub fn keys_agree(&self) -> Option<bool> {
        let (told, own) = (self.told_key.as_ref()?, self.ticket_key.as_ref()?);
        Some(told == own)
    }
}

/// Whether the hub was restored; only then it hears strangers.
pub(crate) async fn hears_strangers(db: &Db) -> Result<bool, DbError> {
    db::is_restored(db).await
}
