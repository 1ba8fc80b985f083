//! What this service does by itself.

use std::time::Duration;

use domain::ids::CompanyId;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::webhooks::{db as webhooks, deliver};
use super::{refunds, service};
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
    vec![
        Job {
            name: "payments",
            every: LOOK,
            run: |api| Box::pin(async move { Ok(payments_due(api).await?) }),
        },
        Job {
            name: "refunds",
            every: LOOK,
            run: |api| Box::pin(async move { Ok(refunds_due(api).await?) }),
        },
        Job {
            name: "webhooks",
            every: LOOK,
            run: |api| Box::pin(async move { Ok(deliveries_due(api).await?) }),
        },
    ]
}

/// Gives a payment its turn at once. The poller would find it too, should this not come to it.
pub(super) fn soon(api: &Api, company: CompanyId, payment: Uuid) {
    let api = api.clone();
    tokio::spawn(async move {
        if let Err(error) = service::drive(&api, company, payment).await {
            tracing::warn!(%payment, %error, "a payment's turn failed and comes again");
        }
    });
}

async fn payments_due(api: Api) -> Result<Progress, DbError> {
    let due = super::db::due(api.db.pool(), clock::now(), BATCH).await?;
    all(due, |company, payment| {
        let api = api.clone();
        async move { service::drive(&api, company, payment).await }
    })
    .await
}

async fn refunds_due(api: Api) -> Result<Progress, DbError> {
    let due = refunds::db::due(api.db.pool(), clock::now(), BATCH).await?;
    all(due, |company, refund| {
        let api = api.clone();
        async move { refunds::drive(&api, company, refund).await }
    })
    .await
}

async fn deliveries_due(api: Api) -> Result<Progress, DbError> {
    let more = deliver::fan_out(&api).await?;
    let due = webhooks::due(api.db.pool(), clock::now(), BATCH).await?;
    let done = all(due, |company, delivery| {
        let api = api.clone();
        async move { deliver::deliver(&api, company, delivery).await }
    })
    .await?;
    Ok(if more { Progress::More } else { done })
}

/// Does all of them at the same time; one that fails is tried again later.
async fn all<I, F, E>(
    due: Vec<(Uuid, I)>,
    work: impl Fn(CompanyId, I) -> F,
) -> Result<Progress, DbError>
where
    I: Copy + std::fmt::Display + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Display + Send + 'static,
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
