//! What a restored hub does until all is in.

use std::time::Duration;

use super::{db, thaw};
use crate::clock;
use crate::http::Api;
use crate::worker::{Job, JobError, Progress};

/// How often it is looked whether all devices have told.
const EVERY: Duration = Duration::from_secs(2);

pub(crate) fn jobs() -> Vec<Job> {
    vec![Job {
        name: "restore: hear devices and thaw trips",
        every: EVERY,
        run: |api| Box::pin(settle_all(api)),
    }]
}

async fn settle_all(api: Api) -> Result<Progress, JobError> {
    for company in db::waiting_companies(&api.db).await? {
        thaw::settle(&api.db, company, clock::now()).await?;
    }
    Ok(Progress::Idle)
}
