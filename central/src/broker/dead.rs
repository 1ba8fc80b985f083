//! What is done about dead letters, by command and over HTTP.

use uuid::Uuid;

use super::{Away, Broker, DeadLetter, Queue};

/// The most dead letters of a queue that are looked at.
pub const LISTED_MAX: usize = 1_000;

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeadError {
    /// The hub has no such queue.
    #[error("there is no queue {wanted:?}: choose among {choices}")]
    UnknownQueue {
        /// What was asked for.
        wanted: String,
        /// Those that there are.
        choices: String,
    },
    /// The broker.
    #[error(transparent)]
    Away(#[from] Away),
}

/// The named queue, or all.
fn chosen(broker: &dyn Broker, queue: Option<&str>) -> Result<Vec<Queue>, DeadError> {
    let all = broker.queues();
    let Some(wanted) = queue else {
        return Ok(all.to_vec());
    };
    let found: Vec<Queue> = all.iter().filter(|q| q.name == wanted).cloned().collect();
    if found.is_empty() {
        let names: Vec<&str> = all.iter().map(|q| q.name.as_str()).collect();
        return Err(DeadError::UnknownQueue {
            wanted: wanted.chars().take(80).collect(),
            choices: names.join(", "),
        });
    }
    Ok(found)
}

/// Dead letters with their queue's name, the oldest first; at most [`LISTED_MAX`] of a queue.
///
/// # Errors
/// When there is no such queue, or the broker does not answer.
pub async fn list(
    broker: &dyn Broker,
    queue: Option<&str>,
) -> Result<Vec<(String, DeadLetter)>, DeadError> {
    let mut found = vec![];
    for queue in chosen(broker, queue)? {
        for letter in broker.dead_letters(&queue, LISTED_MAX).await? {
            found.push((queue.name.clone(), letter));
        }
    }
    found.sort_by(|(a, x), (b, y)| place(a, x).cmp(&place(b, y)));
    Ok(found)
}

/// Where a letter stands in the list.
pub(super) fn place<'a>(queue: &'a str, letter: &DeadLetter) -> (i64, Uuid, &'a str) {
    (letter.dead_at_ms, letter.message.event, queue)
}

/// Puts dead letters into their queues again, as if never tried: those of one event, or all. How
/// many of each queue.
///
/// # Errors
/// When there is no such queue, or the broker does not answer; some may have been put back.
pub async fn replay(
    broker: &dyn Broker,
    queue: Option<&str>,
    event: Option<Uuid>,
) -> Result<Vec<(String, u64)>, DeadError> {
    let mut counts = vec![];
    for queue in chosen(broker, queue)? {
        let count = broker.replay(&queue, event).await?;
        counts.push((queue.name, count));
    }
    Ok(counts)
}
