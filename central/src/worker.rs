//! What the hub does by itself, again and again: sweeping, polling, delivering.
//!
//! A job's `run` does one bounded piece of work and says whether there is more. Jobs are written
//! so that two processes running one at the same time do no harm (row locks with SKIP LOCKED, or
//! writes that change nothing the second time).

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::Instrument as _;

use crate::http::Api;

/// What one piece of work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left for now.
    Idle,
    /// There is more: run again at once.
    More,
}

/// Why a piece of work failed; it is tried again at the next turn.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

type Work = Pin<Box<dyn Future<Output = Result<Progress, JobError>> + Send>>;

/// Something to do again and again.
pub struct Job {
    /// For the log.
    pub name: &'static str,
    /// How long to rest when nothing was left.
    pub every: Duration,
    /// One bounded piece of work.
    pub run: fn(Api) -> Work,
}

/// Every job of the hub.
fn jobs() -> Vec<Job> {
    let mut jobs = vec![];
    jobs.extend(crate::auth::jobs::jobs());
    jobs.extend(crate::booking::jobs());
    jobs.extend(crate::ledger::jobs::jobs());
    jobs.extend(crate::reconciliation::jobs::jobs());
    jobs.extend(crate::pricing::jobs());
    jobs.extend(crate::vault::reseal::jobs());
    jobs.extend(crate::aftersale::jobs());
    jobs.extend(crate::waiting::jobs());
    jobs.extend(crate::payment::jobs());
    jobs.extend(crate::operations::jobs::jobs());
    jobs.extend(crate::nodes::silence::jobs());
    jobs.extend(crate::broker::jobs());
    jobs.extend(crate::notification::jobs());
    jobs.extend(crate::restore::jobs());
    jobs.extend(crate::tracking::jobs());
    jobs
}

/// Runs every job until the hub stops.
pub async fn work(api: Api, stopping: watch::Receiver<bool>) {
    let mut running: Vec<_> = jobs()
        .into_iter()
        .map(|job| tokio::spawn(repeat(job, api.clone(), stopping.clone())))
        .collect();
    running.push(tokio::spawn(crate::broker::consume(api, stopping)));
    for job in running {
        // A job that panicked has told the log; the others go on.
        let _ = job.await;
    }
}

async fn repeat(job: Job, api: Api, mut stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        let began = Instant::now();
        let span = tracing::info_span!("job", name = job.name);
        let done = (job.run)(api.clone()).instrument(span).await;
        let metrics = api.db.metrics();
        metrics.job(job.name, done.is_ok(), began.elapsed());
        match done {
            Ok(Progress::More) => continue,
            Ok(Progress::Idle) => {}
            Err(error) => tracing::warn!(job = job.name, %error, "a job failed and tries again"),
        }
        tokio::select! {
            () = tokio::time::sleep(job.every) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}
