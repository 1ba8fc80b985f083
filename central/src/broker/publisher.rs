//! From the outbox to the broker.

use std::time::Duration;

use domain::ids::CompanyId;

use super::db;
use crate::http::Api;
use crate::worker::{Job, JobError, Progress};

/// How soon an event goes out at the latest.
const EVERY: Duration = Duration::from_millis(200);
/// Events in one go; the broker confirms them together.
const BATCH: i64 = 1_000;

/// The jobs of this service.
pub(crate) fn jobs() -> Vec<Job> {
    vec![Job {
        name: "publisher",
        every: EVERY,
        run: |api| Box::pin(async move { publish(&api).await }),
    }]
}

/// Publishes a batch of every company that has news. The rows stay locked until the broker has
/// confirmed them, so that two processes do not publish one event at the same time; a crash
/// before the mark publishes again.
pub(super) async fn publish(api: &Api) -> Result<Progress, JobError> {
    let mut more = false;
    for company in db::with_news(&api.db).await? {
        let company = CompanyId(company);
        let mut tx = api.db.tenant(company).await?;
        let fresh = db::fresh(&mut tx, BATCH).await?;
        if fresh.is_empty() {
            tx.rollback().await?;
            continue;
        }
        let (numbers, messages): (Vec<i64>, Vec<_>) = fresh.into_iter().unzip();
        if api.broker.publish(&messages).await.is_err() {
            // It tells the log once; the events wait here meanwhile.
            tx.rollback().await?;
            return Ok(Progress::Idle);
        }
        db::mark(&mut tx, &numbers).await?;
        tx.commit().await?;
        more |= numbers.len() as i64 == BATCH;
    }
    Ok(if more { Progress::More } else { Progress::Idle })
}
