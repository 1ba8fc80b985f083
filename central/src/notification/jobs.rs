//! What this service does by itself.

use std::time::Duration;

use super::send;
use crate::worker::Job;

/// How often somebody looks for what is due.
const LOOK: Duration = Duration::from_millis(250);

/// Every job of this service.
pub(crate) fn jobs() -> Vec<Job> {
    vec![Job {
        name: "messages",
        every: LOOK,
        run: |api| Box::pin(async move { Ok(send::turn(&api).await?) }),
    }]
}
