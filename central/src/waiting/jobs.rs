//! What the waiting list needs done by itself.

use std::time::Duration;

use domain::ids::CompanyId;
use domain::time::Instant;

use super::db;
use super::decide::OFFER_MIN_MS;
use super::serve::serve;
use crate::booking::BookingError;
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::worker::{Job, Progress};

/// How soon seats that came free are offered at the latest.
const EVERY: Duration = Duration::from_secs(3);
/// Trips of a company at a time.
const TRIPS_AT_ONCE: i64 = 50;

/// The jobs of this service.
pub(crate) fn jobs() -> Vec<Job> {
    vec![Job {
        name: "waiting list",
        every: EVERY,
        run: |api| Box::pin(async move { Ok(turn(&api, clock::now()).await?) }),
    }]
}

/// Serves every line that something can be done for.
pub(super) async fn turn(api: &Api, now: Instant) -> Result<Progress, BookingError> {
    let mut more = false;
    for company in db::companies(&api.db).await? {
        more |= turn_of(api, company, now).await?;
    }
    Ok(if more { Progress::More } else { Progress::Idle })
}

async fn turn_of(api: &Api, company: CompanyId, now: Instant) -> Result<bool, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    let trips = db::to_serve(&mut tx, now, (OFFER_MIN_MS, TRIPS_AT_ONCE)).await?;
    tx.rollback().await?;
    let mut more = trips.len() as i64 == TRIPS_AT_ONCE;
    for trip in trips {
        // One trip a transaction: one lock at a time, and a line that fails stops no other.
        let mut tx = api.db.tenant(company).await?;
        match serve(&mut tx, api, trip, now).await {
            Ok(unfinished) => {
                more |= unfinished;
                tx.commit().await?;
            }
            Err(BookingError::Db(error @ (DbError::TryAgain(_) | DbError::Constraint { .. }))) => {
                tracing::warn!(%error, %trip, "a waiting list is served at the next turn");
                more = false;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(more)
}
