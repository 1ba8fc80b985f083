//! What operations do by themselves.

use std::time::Duration;

use super::{expand, trips};
use crate::audit::Actor;
use crate::clock;
use crate::http::Api;
use crate::views;
use crate::worker::{Job, JobError, Progress};

/// Every job of this service.
pub fn jobs() -> Vec<Job> {
    vec![
        Job {
            name: "trips that left",
            every: Duration::from_secs(30),
            run: |api| {
                Box::pin(async move {
                    trips::depart_overdue(&api.db, clock::now()).await?;
                    Ok(Progress::Idle)
                })
            },
        },
        Job {
            name: "schedules to trips",
            every: Duration::from_mins(10),
            run: |api| Box::pin(expand_all(api)),
        },
    ]
}

/// Expands every company's schedules as far ahead as it is set to.
async fn expand_all(api: Api) -> Result<Progress, JobError> {
    for company in views::all_companies(&api.db).await? {
        expand::expand(&api.db, company, None, None, Actor::System, clock::now()).await?;
    }
    Ok(Progress::Idle)
}
