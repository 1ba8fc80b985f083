//! What the ledger does by itself.

use std::time::Duration;

use super::{recognise, straggling_trips};
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::views;
use crate::worker::{Job, Progress};

/// Every job of this service.
pub fn jobs() -> Vec<Job> {
    vec![Job {
        name: "ledger stragglers",
        every: Duration::from_secs(30),
        run: |api| Box::pin(async move { Ok(earn_stragglers(&api).await?) }),
    }]
}

/// Earns what was sold while its trip was being recognised.
async fn earn_stragglers(api: &Api) -> Result<Progress, DbError> {
    for company in views::all_companies(&api.db).await? {
        let now = clock::now();
        let mut tx = api.db.tenant(company).await?;
        let trips = straggling_trips(&mut tx, now).await?;
        for trip in &trips {
            recognise(&mut tx, *trip, now).await?;
        }
        if !trips.is_empty() {
            tx.commit().await?;
        }
    }
    Ok(Progress::Idle)
}
