//! What tracking does by itself.

use std::time::Duration;

use domain::time::Instant;

use super::db;
use crate::clock;
use crate::http::Api;
use crate::views;
use crate::worker::{Job, JobError, Progress};

const DAY_MS: i64 = 24 * 3_600_000;

/// Every job of this service.
pub(crate) fn jobs() -> Vec<Job> {
    vec![Job {
        name: "days of positions",
        every: Duration::from_mins(30),
        run: |api| Box::pin(keep_days(api)),
    }]
}

/// Makes the days ahead and drops those that nobody wants to keep.
async fn keep_days(api: Api) -> Result<Progress, JobError> {
    tidy_days(&api.db, clock::now()).await?;
    Ok(Progress::Idle)
}

pub(super) async fn tidy_days(db: &crate::db::Db, now: Instant) -> Result<i32, crate::db::DbError> {
    let today = db::day_of(now);
    db::make_days(db, &[today, today + 1]).await?;
    let dropped = db::drop_days(db, today).await?;
    for company in views::all_companies(db).await? {
        let mut tx = db.tenant(company).await?;
        let (_, settings) = db::settings(&mut tx).await?;
        let before = now.plus_ms(-i64::from(settings.keep_days) * DAY_MS);
        db::delete_old(&mut tx, before).await?;
        tx.commit().await?;
    }
    Ok(dropped)
}
