//! What reconciliation does by itself.

use std::time::Duration;

use super::{case_rows, shifts};
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::ticketing::short::settle_typed;
use crate::views;
use crate::worker::{Job, Progress};

/// How long the sale of a scanned ticket may be on its way before somebody looks, in ms.
const SCAN_WAITS_MS: i64 = 2 * 3_600_000;

/// Every job of this service.
pub fn jobs() -> Vec<Job> {
    vec![
        Job {
            name: "shift reports",
            every: Duration::from_secs(15),
            run: |api| Box::pin(async move { Ok(report_shifts(&api).await?) }),
        },
        Job {
            name: "scans without sales",
            every: Duration::from_mins(5),
            run: |api| Box::pin(async move { Ok(watch_scans(&api).await?) }),
        },
    ]
}

async fn report_shifts(api: &Api) -> Result<Progress, DbError> {
    let mut progress = Progress::Idle;
    for company in views::all_companies(&api.db).await? {
        let mut tx = api.db.tenant(company).await?;
        if shifts::make_due(&mut tx, clock::now()).await? {
            progress = Progress::More;
        }
        tx.commit().await?;
    }
    Ok(progress)
}

async fn watch_scans(api: &Api) -> Result<Progress, DbError> {
    for company in views::all_companies(&api.db).await? {
        let now = clock::now();
        let mut tx = api.db.tenant(company).await?;
        settle_typed(&mut tx).await?;
        case_rows::watch_scans(&mut tx, now.plus_ms(-SCAN_WAITS_MS), now).await?;
        tx.commit().await?;
    }
    Ok(Progress::Idle)
}
