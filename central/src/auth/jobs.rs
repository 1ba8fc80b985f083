//! What has ended goes.

use std::time::Duration;

use super::db::codes;
use crate::clock;
use crate::http::Api;
use crate::worker::{Job, JobError, Progress};

const EVERY: Duration = Duration::from_mins(5);
/// How long ended sessions and codes are kept, in milliseconds: a reuse is told from a token that
/// never was.
const KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// The jobs of this service.
pub fn jobs() -> Vec<Job> {
    vec![Job {
        name: "auth sweep",
        every: EVERY,
        run: |api| Box::pin(sweep(api)),
    }]
}

async fn sweep(api: Api) -> Result<Progress, JobError> {
    let gone = codes::sweep(&api.db, KEPT_MS, clock::now()).await?;
    Ok(if gone > 0 {
        Progress::More
    } else {
        Progress::Idle
    })
}
