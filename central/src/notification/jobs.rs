//! What this service does by itself.

use std::time::Duration;

use super::{keep, send};
use crate::clock;
use crate::worker::Job;

/// How often somebody looks for what is due.
const LOOK: Duration = Duration::from_millis(250);
/// How often what is not kept any longer goes.
const PRUNE_EVERY: Duration = Duration::from_mins(30);

/// Every job of this service.
pub(crate) fn jobs() -> Vec<Job> {
    vec![
        Job {
            name: "messages",
            every: LOOK,
            run: |api| Box::pin(async move { Ok(send::turn(&api).await?) }),
        },
        Job {
            name: "what was told long ago",
            every: PRUNE_EVERY,
            run: |api| Box::pin(async move { Ok(keep::prune(&api.db, clock::now()).await?) }),
        },
    ]
}
