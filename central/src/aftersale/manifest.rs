//! Who travels on a trip, who came, and who did not.

use domain::ids::{CompanyId, TripId};
use domain::layout::SeatLayout;
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, ManifestRow};
use super::offer::{AftersaleError, Refused};
use crate::access::Identity;
use crate::audit::{self, Change};
use crate::clock;
use crate::company::layout_of;
use crate::db::DbError;
use crate::http::Api;
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;

/// A trip's manifest.
pub(super) struct Manifest {
    pub(super) trip: Trip,
    pub(super) layout: Option<SeatLayout>,
    pub(super) rows: Vec<ManifestRow>,
}

pub(super) async fn load(tx: &mut TenantTx, trip: TripId) -> Result<Manifest, AftersaleError> {
    let run = lock_trip(tx, trip).await?.ok_or(Refused::Unknown("trip"))?;
    Ok(Manifest {
        layout: layout_of(tx, &run).await?,
        rows: db::manifest(tx, trip).await?,
        trip: run,
    })
}

/// Marks passengers as boarded or absent.
pub(super) async fn mark(
    tx: &mut TenantTx,
    trip: TripId,
    (tickets, word): (&[Uuid], &str),
    identity: Identity,
    now: Instant,
) -> Result<Vec<Uuid>, AftersaleError> {
    let run = lock_trip(tx, trip).await?.ok_or(Refused::Unknown("trip"))?;
    let leaves = run.stops.first().map(|s| s.departs);
    if word == "no_show" && leaves.is_some_and(|at| now < at) {
        return Err(Refused::Changed("nobody is late before the trip departs: it has not").into());
    }
    let marked = db::mark(tx, trip, tickets, word, identity.kind(), now).await?;
    let change = Change {
        action: "manifest.mark",
        subject: &format!("trip:{trip}"),
        before: None,
        after: Some(json!({ "mark": word, "tickets": marked })),
    };
    audit::note(tx, identity, change, now).await?;
    Ok(marked)
}

/// Trips looked at in one turn.
const TRIPS_AT_ONCE: i64 = 20;

/// Marks the passengers of arrived trips by what the validator on board has told.
pub(super) async fn mark_from_scans(api: &Api, company: CompanyId) -> Result<bool, DbError> {
    let mut tx = api.db.tenant(company).await?;
    let trips = db::departed_without_marks(&mut tx, TRIPS_AT_ONCE).await?;
    for trip in &trips {
        let all = db::boarded_by_scan(&mut tx, *trip).await?;
        let (came, absent): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, came)| *came);
        let now = clock::now();
        for (tickets, word) in [(came, "boarded"), (absent, "no_show")] {
            let ids: Vec<Uuid> = tickets.into_iter().map(|t| t.0).collect();
            db::mark(&mut tx, *trip, &ids, word, "system", now).await?;
        }
    }
    tx.commit().await?;
    Ok(trips.len() as i64 == TRIPS_AT_ONCE)
}
