//! The writer thread: it alone owns the engine, and does one job at a time.

use std::thread::JoinHandle;

use domain::event::ChainHead;
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{Engine, EngineError};

/// Jobs that may wait for the engine; more callers wait for a place.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Engine) + Send>;

/// What the sync loop and waiting callers look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// The head of the running log.
    pub head: ChainHead,
    /// Lease requests without an answer.
    pub waiting_requests: usize,
}

/// The engine is gone: the program is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node is shutting down: try again when it runs")]
pub struct Stopped;

/// A way to the engine; the writer thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    jobs: mpsc::Sender<Job>,
    news: watch::Receiver<News>,
}

fn news_of(engine: &Engine) -> News {
    News {
        head: engine.head(),
        waiting_requests: engine.open_wishes().len(),
    }
}

/// Waits until the node is told to stop, or nobody is left to tell it.
pub(super) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Gives the engine a thread of its own.
pub fn spawn(mut engine: Engine) -> std::io::Result<(EngineHandle, JoinHandle<()>)> {
    let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
    let (tell, news) = watch::channel(news_of(&engine));
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut engine);
                let latest = news_of(&engine);
                tell.send_if_modified(|old| {
                    let changed = *old != latest;
                    *old = latest;
                    changed
                });
            }
            if let Err(error) = engine.flush_marks() {
                tracing::warn!(%error, "how far the hub has come was not written down");
            }
        })?;
    Ok((EngineHandle { jobs, news }, thread))
}

impl EngineHandle {
    /// Does a job on the writer thread and waits for it. A job that was taken is done even when
    /// the caller goes away.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |engine| {
            let _ = answer.send(work(engine));
        });
        self.jobs.send(job).await.map_err(|_| Stopped)?;
        result.await.map_err(|_| Stopped)
    }

    /// What has changed last; wakes its reader at each change.
    pub fn news(&self) -> watch::Receiver<News> {
        self.news.clone()
    }

    /// Writes down how far the hub has come.
    pub async fn flush_marks(&self) -> Result<Result<(), EngineError>, Stopped> {
        self.call(Engine::flush_marks).await
    }
}
