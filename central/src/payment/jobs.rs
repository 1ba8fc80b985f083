//! What this service does by itself.

use std::time::Duration;

use domain::ids::CompanyId;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::refunds;
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::worker::{Job, Progress};

/// How many are worked on at once.
const BATCH: i32 = 32;
/// How often somebody looks for what is due.
const LOOK: Duration = Duration::from_millis(250);

/// Every job of this service.
pub fn jobs() -> Vec<Job> {
    vec![Job {
        name: "refunds",
        every: LOOK,
        run: |api| Box::pin(async move { Ok(refunds_due(api).await?) }),
    }]
}

async fn refunds_due(api: Api) -> Result<Progress, DbError> {
    let due = refunds::db::due(api.db.pool(), clock::now(), BATCH).await?;
    all(due, |company, refund| {
        let api = api.clone();
        async move { refunds::drive(&api, company, refund).await }
    })
    .await
}

/// Does all of them at the same time; one that fails is tried again later.
async fn all<F>(
    due: Vec<(Uuid, Uuid)>,
    work: impl Fn(CompanyId, Uuid) -> F,
) -> Result<Progress, DbError>
where
    F: Future<Output = Result<(), DbError>> + Send + 'static,
{
    if due.is_empty() {
        return Ok(Progress::Idle);
    }
    let mut working = JoinSet::new();
    for (company, id) in due {
        let done = work(CompanyId(company), id);
        working.spawn(async move { (id, done.await) });
    }
    let mut failed = false;
    for (id, done) in working.join_all().await {
        if let Err(error) = done {
            failed = true;
            tracing::warn!(%id, %error, "a piece of work failed and is tried again");
        }
    }
    // After a failure a rest, so that a database that is away is not asked without end.
    Ok(if failed {
        Progress::Idle
    } else {
        Progress::More
    })
}
