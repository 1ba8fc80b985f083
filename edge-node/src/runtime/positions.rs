//! Where this node is: a ring on disk of what the hub has not taken, and word of each fix to the
//! link. The writer thread, which sells, has no part in it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use domain::time::Instant;
use domain::tracking::Fix;
use sync_protocol::session::Budget;
use tokio::sync::watch;

use crate::store::{Ring, StoreError};

/// What is younger goes live, and is looked for later only, in ms.
const LIVE_MS: i64 = 15_000;

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Opened at the first fix: most nodes stand still.
    ring: Mutex<Option<Ring>>,
    budget: Mutex<Budget>,
    latest: watch::Sender<Option<Fix>>,
}

/// A way to the node's positions.
#[derive(Debug, Clone)]
pub struct Positions(Arc<Inner>);

impl Positions {
    /// In a file, which is made at the first fix.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner {
            path,
            ring: Mutex::new(None),
            budget: Mutex::new(Budget::default()),
            latest: watch::Sender::new(None),
        }))
    }

    /// How many bytes positions may cost a day; 0 on a metered link.
    pub fn set_budget(&self, day_bytes: u64) {
        self.put_budget(Budget::of_day(day_bytes));
    }

    pub(super) fn budget(&self) -> Budget {
        *self.0.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put_budget(&self, budget: Budget) {
        *self.0.budget.lock().unwrap_or_else(PoisonError::into_inner) = budget;
    }

    async fn with<T: Send + 'static>(
        &self,
        make: bool,
        work: impl FnOnce(&mut Ring) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let mut ring = inner.ring.lock().unwrap_or_else(PoisonError::into_inner);
            if ring.is_none() && (make || inner.path.exists()) {
                *ring = Some(Ring::open(&inner.path)?);
            }
            ring.as_mut().map(work).transpose()
        });
        // It panics or is cancelled only while the program ends.
        done.await.unwrap_or(Ok(None))
    }

    /// Keeps a fix under a number of its own and tells the link. Its `seq` does not matter.
    pub async fn record(&self, fix: Fix) -> Result<(), StoreError> {
        let kept = self.with(true, move |ring| ring.add(fix)).await?;
        if kept.is_some() {
            self.0.latest.send_replace(kept);
        }
        Ok(())
    }

    /// The newest fix; wakes its reader at each.
    pub fn latest(&self) -> watch::Receiver<Option<Fix>> {
        self.0.latest.subscribe()
    }

    /// How many fixes the hub has not taken.
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        Ok(self.with(false, |ring| ring.count()).await?.unwrap_or(0))
    }

    pub(super) async fn load(&self, most: usize, now: Instant) -> Result<Vec<Fix>, StoreError> {
        let before = now.plus_ms(-LIVE_MS);
        let waiting = self
            .with(false, move |ring| ring.waiting(before, most))
            .await?;
        Ok(waiting.unwrap_or_default())
    }

    pub(super) async fn forget(&self, numbers: Vec<u64>) -> Result<(), StoreError> {
        self.with(false, move |ring| ring.forget(&numbers))
            .await
            .map(drop)
    }
}
