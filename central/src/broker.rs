//! From the outbox to whoever listens: a topic exchange with queues, tries and dead letters.
//!
//! Two implementations keep the same promises, and one suite tests both: RabbitMQ where the hub
//! was told its address, and otherwise a bus in this process over rows of Postgres. An event is
//! marked in the outbox only once the broker has confirmed it, and acknowledged in its queue only
//! once its handler is done: whatever stops in between, it comes again. Handlers therefore know
//! an event by its id.
//!
//! A broker that is away fails nothing. Events wait in the outbox.

mod bus;
pub(crate) mod db;
pub mod dead;
pub mod http;
mod pattern;
mod publisher;
mod rabbit;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::ids::CompanyId;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::config::{BrokerConfig, Secret};

pub use bus::Bus;
pub(crate) use publisher::jobs;
pub use rabbit::{BadAddress, Rabbit};

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The event's id; a repetition has the same.
    pub event: Uuid,
    /// Whose.
    #[serde(with = "company_text")]
    pub company: CompanyId,
    /// Like `booking.confirmed`: what queues choose by.
    pub kind: String,
    /// Like `booking:7F3K-22QX`.
    pub subject: String,
    /// What a listener needs; no personal data.
    pub body: Value,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Message {
    /// When it happened.
    pub fn at(&self) -> Instant {
        Instant(self.at_ms)
    }
}

mod company_text {
    use domain::ids::CompanyId;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &CompanyId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<CompanyId, D::Error> {
        Uuid::deserialize(from).map(CompanyId)
    }
}

/// What a listener wants to hear, and how often it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name, the same in every process of a hub.
    pub name: String,
    /// Which kinds, as topic patterns: `*` is one word, `#` any number of them.
    pub patterns: Vec<String>,
    /// How long to wait after each failed try but the last, in milliseconds.
    pub retry_delays_ms: Vec<u32>,
}

impl Queue {
    /// How often a message is tried before it is a dead letter.
    pub fn tries_max(&self) -> u32 {
        self.retry_delays_ms.len() as u32 + 1
    }

    /// How long to wait after so many failed tries; `None`: it is a dead letter.
    fn delay_ms(&self, tries: u32) -> Option<u32> {
        let at = usize::try_from(tries)
            .unwrap_or(usize::MAX)
            .checked_sub(1)?;
        self.retry_delays_ms.get(at).copied()
    }

    /// Whether it wants messages of this kind.
    fn wants(&self, kind: &str) -> bool {
        self.patterns.iter().any(|p| pattern::matches(p, kind))
    }
}

/// The broker cannot be reached, or did not confirm. What was asked may have been done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message broker does not answer: {0}")]
pub struct Away(pub String);

/// Why a handler could not do its work; the message is tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// What something comes to, some time later.
pub type Reply<'a, T, E = Away> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Does the work of a queue. Two may handle one message at the same time.
pub trait Handler: Send + Sync {
    /// Handles one message; doing it again changes nothing.
    fn handle<'a>(&'a self, message: &'a Message) -> Reply<'a, (), Failed>;
}

/// A message that was tried as often as its queue tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub message: Message,
    /// How often it was tried.
    pub tries: u32,
    /// What was wrong at the last try.
    pub reason: String,
    /// When it was given up, in milliseconds since 1970.
    pub dead_at_ms: i64,
}

/// Takes messages over and brings them to handlers, each at least once.
pub trait Broker: fmt::Debug + Send + Sync {
    /// For people: `rabbitmq` or `in-process`.
    fn name(&self) -> &'static str;
    /// Its queues.
    fn queues(&self) -> &[Queue];
    /// Whether it answers; changes nothing there.
    fn look(&self) -> Reply<'_, ()>;
    /// Takes messages over for good. On an error any part of them may have been taken.
    fn publish<'a>(&'a self, messages: &'a [Message]) -> Reply<'a, ()>;
    /// Brings a queue's messages to a handler until told to stop, whatever goes away meanwhile.
    fn consume<'a>(
        &'a self,
        queue: &'a Queue,
        handler: Arc<dyn Handler>,
        stopping: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    /// Dead letters of a queue, the oldest first.
    fn dead_letters<'a>(&'a self, queue: &'a Queue, most: usize) -> Reply<'a, Vec<DeadLetter>>;
    /// Puts dead letters into their queue again, as if never tried: one of them or all. How many.
    fn replay<'a>(&'a self, queue: &'a Queue, only: Option<Uuid>) -> Reply<'a, u64>;
}

/// Every queue of the hub, with other waits between tries where they were said.
pub fn queues(retry_delays_ms: Option<&[u32]>) -> Vec<Queue> {
    let mut all = vec![crate::notification::queue()];
    if let Some(delays) = retry_delays_ms {
        for queue in &mut all {
            queue.retry_delays_ms = delays.to_vec();
        }
    }
    all
}

/// The broker of the settings, or the bus in this process. `url` wins over theirs.
///
/// # Errors
/// When the address is none.
pub fn open(
    config: &BrokerConfig,
    url: Option<&str>,
    db: &crate::db::Db,
) -> Result<Arc<dyn Broker>, BadAddress> {
    let queues = queues(config.retry_delays_ms.as_deref());
    let url = url.or_else(|| config.url.as_ref().map(Secret::reveal));
    Ok(match url {
        Some(url) => Arc::new(Rabbit::new(url, queues)?),
        None => Arc::new(Bus::new(db.clone(), queues)),
    })
}

/// Brings the queue's messages to their listener until the hub stops.
pub(crate) async fn consume(api: crate::http::Api, stopping: watch::Receiver<bool>) {
    let broker = Arc::clone(&api.broker);
    let listener = Arc::new(crate::notification::Listener::new(api));
    let notification = crate::notification::queue().name;
    if let Some(queue) = broker.queues().iter().find(|q| q.name == notification) {
        broker.consume(queue, listener, stopping).await;
    }
}
