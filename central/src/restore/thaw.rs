//! Letting the pools of trips sell again: when all devices have told, or at a person's risk.

use domain::ids::{CompanyId, TripId};
use domain::restore::WaitsFor;
use domain::time::Instant;
use serde_json::json;

use super::cover::cover;
use super::db;
use crate::audit::{self, Actor, Change};
use crate::db::{Backoff, Db, DbError};
use crate::outbox::{self, Happened};
use crate::sync::server::judge_stored;
use crate::tenant::TenantTx;

/// Why a trip was not thawed.
#[derive(Debug, thiserror::Error)]
pub enum NotThawed {
    /// No such trip.
    #[error("there is no trip {0} in this company")]
    Unknown(TripId),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A risk that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Which trip.
    pub trip: TripId,
    /// It was frozen until this moment.
    pub was_frozen: bool,
    /// The devices whose word was not waited for.
    pub unheard: Vec<String>,
}

impl Accepted {
    /// What the company takes on itself, in words.
    pub fn risk(&self) -> String {
        if self.unheard.is_empty() {
            return "every device has told what it holds: no seat is known to be at risk"
                .to_owned();
        }
        format!(
            "seats of trip {} that {} sold or may sell under leases of after the backup can be sold \
             a second time; so can seats that were sold online after it",
            self.trip,
            self.unheard.join(", ")
        )
    }
}

/// Judges what waited in a company that was restored, and thaws its trips once every device has
/// told and was heard to the end. Whether it thawed some.
pub async fn settle(db: &Db, company: CompanyId, now: Instant) -> Result<bool, DbError> {
    // Judging one device's log may be what another's waits for.
    while judge_stored(db, company).await? {}
    let mut backoff = Backoff::new();
    loop {
        match settle_once(db, company, now).await {
            Err(error) if backoff.again(&error).await => {}
            done => return done,
        }
    }
}

async fn settle_once(db: &Db, company: CompanyId, now: Instant) -> Result<bool, DbError> {
    let mut tx = db.tenant(company).await?;
    let devices = db::devices(&mut tx).await?;
    let mut waits = false;
    for device in &devices {
        let heard = device.awaited.is_drained(|head| device.standing(head));
        if heard && !device.drained {
            db::set_drained(&mut tx, device.node, now).await?;
            tracing::info!(node = %device.node, name = device.name, "a device was heard to the end");
        }
        waits |= device.waits_for().is_some();
    }
    let trips = if waits {
        vec![]
    } else {
        db::lock_frozen(&mut tx).await?
    };
    if !trips.is_empty() {
        cover(&mut tx, &trips).await?;
        db::unfreeze(&mut tx, &trips).await?;
        let after = json!({ "trips": trips.len(), "devices": devices.len() });
        let change = Change {
            action: "restore.thaw",
            subject: "restore",
            before: None,
            after: Some(after.clone()),
        };
        audit::note(&mut tx, Actor::System, change, now).await?;
        let happened = Happened {
            kind: "hub.thawed",
            subject: "restore",
            body: after,
        };
        outbox::put(&mut tx, happened, now).await?;
        tracing::info!(%company, trips = trips.len(), "every device has told: trips sell again");
    }
    tx.commit().await?;
    Ok(!trips.is_empty())
}

/// Thaws one trip although devices have not told what they hold. The caller commits.
pub async fn accept_risk(
    tx: &mut TenantTx,
    trip: TripId,
    (actor, reason): (Actor, &str),
    now: Instant,
) -> Result<Accepted, NotThawed> {
    let number = i64::try_from(trip.0).map_err(|_| NotThawed::Unknown(trip))?;
    if db::lock_trips(tx, &[number]).await?.is_empty() {
        return Err(NotThawed::Unknown(trip));
    }
    let was_frozen = db::refuse_frozen(tx, trip).await?;
    let devices = db::devices(tx).await?;
    let unheard = devices.iter().filter(|d| d.waits_for().is_some());
    let accepted = Accepted {
        trip,
        was_frozen,
        unheard: unheard.map(|d| d.name.clone()).collect(),
    };
    if !was_frozen {
        return Ok(accepted);
    }
    cover(tx, &[number]).await?;
    db::unfreeze(tx, &[number]).await?;
    let waits: Vec<_> = devices
        .iter()
        .filter_map(|d| Some((d, d.waits_for()?)))
        .map(|(d, why): (_, WaitsFor)| json!({ "device": d.name, "waits_for": why.as_str() }))
        .collect();
    let change = Change {
        action: "restore.accept_risk",
        subject: &format!("trip:{trip}"),
        before: Some(json!({ "frozen": true, "waits": waits })),
        after: Some(json!({ "frozen": false, "reason": reason, "risk": accepted.risk() })),
    };
    audit::note(tx, actor, change, now).await?;
    tracing::warn!(%trip, reason, "a trip was thawed at the company's risk");
    Ok(accepted)
}
