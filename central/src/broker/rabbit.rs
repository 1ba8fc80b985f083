//! RabbitMQ: a topic exchange, and per queue a quorum queue, TTL queues to wait in between tries,
//! and a queue of dead letters.
//!
//! The connection is looked after here: whatever breaks is dropped whole and made anew. A failed
//! try is published into the queue that it waits in and acknowledged once that is confirmed, so
//! that tries are counted in the message and nothing is in between. What a dying process held
//! comes again without counting; a message that kills its process every time ends among the dead
//! letters by the quorum queue's own limit.

mod consume;
mod topology;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::{Away, Broker, DeadLetter, Handler, Message, Queue, Reply};
use crate::clock;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the broker may take to confirm what it was given.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed connection nobody tries again before.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A silent peer is given up after twice this.
const HEARTBEAT_S: u16 = 15;
/// How many times a message was tried before it came to where it is.
const TRIES: &str = "x-mwimule-tries";
/// What was wrong at the last try.
const REASON: &str = "x-mwimule-reason";
/// When it was given up.
const DEAD_AT: &str = "x-mwimule-dead-at-ms";
/// The longest reason that travels, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// An address that is no AMQP one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no broker's address: write amqp://user:password@host:5672/vhost, or amqps://…")]
pub struct BadAddress(String);

impl From<lapin::Error> for Away {
    fn from(error: lapin::Error) -> Self {
        Self(error.to_string())
    }
}

/// A connection with a channel that confirms.
struct Link {
    connection: Connection,
    channel: Channel,
}

#[derive(Default)]
struct Publishing {
    link: Option<Link>,
    failed_at: Option<Instant>,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Copy)]
enum Walk {
    Look,
    Move(Uuid),
    MoveAll,
}

/// RabbitMQ at an address.
pub struct Rabbit {
    uri: String,
    queues: Vec<Queue>,
    publishing: Mutex<Publishing>,
    /// Kept for the next look.
    looking: Mutex<Option<Link>>,
}

impl std::fmt::Debug for Rabbit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address holds a password.
        f.debug_struct("Rabbit").finish_non_exhaustive()
    }
}

impl Rabbit {
    /// Named by an address like `amqp://user:password@host:5672/vhost`; connects when needed.
    ///
    /// # Errors
    /// When that is no address.
    pub fn new(url: &str, queues: Vec<Queue>) -> Result<Self, BadAddress> {
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
        let known = ["amqp://", "amqps://"].iter().any(|s| url.starts_with(s));
        let parsed = url.parse::<lapin::uri::AMQPUri>();
        let (true, Ok(_)) = (known, parsed) else {
            return Err(BadAddress(shown.to_owned()));
        };
        let uri = if url.contains("heartbeat=") {
            url.to_owned()
        } else {
            let glue = if url.contains('?') { '&' } else { '?' };
            format!("{url}{glue}heartbeat={HEARTBEAT_S}")
        };
        Ok(Self {
            uri,
            queues,
            publishing: Mutex::default(),
            looking: Mutex::default(),
        })
    }

    async fn dial(&self, what: &str) -> Result<Link, lapin::Error> {
        let name = format!("mwimule-hub {what}");
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect(&self.uri, properties).await?;
        let channel = connection.create_channel().await?;
        Ok(Link {
            connection,
            channel,
        })
    }

    /// A connection on which everything is declared.
    async fn connect(&self, what: &str) -> Result<Link, Away> {
        in_time(async {
            let link = self.dial(what).await?;
            let confirm = ConfirmSelectOptions::default();
            link.channel.confirm_select(confirm).await?;
            topology::declare(&link.channel, &self.queues).await?;
            Ok(link)
        })
        .await
    }

    /// Asks for something that changes nothing, over a connection of its own.
    async fn answers(&self) -> Result<(), Away> {
        let mut looking = self.looking.lock().await;
        let usable = looking.take();
        let usable = usable.filter(|link| link.channel.status().connected());
        let link = in_time(async {
            let link = match usable {
                Some(link) => link,
                None => self.dial("health").await?,
            };
            let one = BasicQosOptions::default();
            link.channel.basic_qos(1, one).await?;
            Ok(link)
        });
        *looking = Some(link.await?);
        Ok(())
    }

    async fn publish_all(&self, messages: &[Message]) -> Result<(), Away> {
        let mut publishing = self.publishing.lock().await;
        let usable = publishing.link.take();
        let usable = usable.filter(|link| link.channel.status().connected());
        let link = if let Some(link) = usable {
            link
        } else {
            if let Some(at) = publishing.failed_at
                && at.elapsed() < AGAIN_AFTER
            {
                return Err(Away("it could not be reached a moment ago".to_owned()));
            }
            match self.connect("publisher").await {
                Ok(link) => link,
                Err(error) => {
                    if publishing.failed_at.is_none() {
                        tracing::warn!(%error, "events wait in the outbox");
                    }
                    publishing.failed_at = Some(Instant::now());
                    return Err(error);
                }
            }
        };
        let sent = tokio::time::timeout(CONFIRM_TIMEOUT, send(&link.channel, messages)).await;
        let sent = sent.map_err(|_| Away("no confirmation in time".to_owned()));
        match sent.and_then(|sent| sent) {
            Ok(()) => {
                if publishing.failed_at.take().is_some() {
                    tracing::info!("events go out again");
                }
                publishing.link = Some(link);
                Ok(())
            }
            Err(error) => {
                if publishing.failed_at.is_none() {
                    tracing::warn!(%error, "events wait in the outbox");
                }
                publishing.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Looks through the dead letters that are there; what `keep` does not take stays.
    async fn through_dead(
        &self,
        queue: &Queue,
        most: usize,
        what: Walk,
    ) -> Result<(Vec<DeadLetter>, u64), Away> {
        let link = self.connect("dead letters").await?;
        let from = topology::dead(&queue.name);
        let (mut seen, mut moved) = (vec![], 0);
        let mut left = usize::MAX;
        while seen.len() < most && left > 0 {
            let got = link
                .channel
                .basic_get(from.clone().into(), BasicGetOptions::default())
                .await?;
            let Some(got) = got else { break };
            // What comes in meanwhile, or is moved and dies again, is for the next command.
            left = left.min(got.message_count as usize + 1) - 1;
            let letter = dead_letter(&got.delivery.properties, &got.delivery.data);
            let wanted = match what {
                Walk::Look => false,
                Walk::MoveAll => true,
                Walk::Move(event) => letter.as_ref().is_some_and(|l| l.message.event == event),
            };
            if wanted {
                let data = &got.delivery.data;
                put(&link.channel, &queue.name, data, headers(0, None)).await?;
                got.delivery.acker.ack(BasicAckOptions::default()).await?;
                moved += 1;
            }
            seen.extend(letter);
        }
        // What was looked at and not moved goes back with the channel.
        let _ = link.connection.close(200, "done".into()).await;
        Ok((seen, moved))
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, Away> {
    let done = tokio::time::timeout(CONNECT_TIMEOUT, work).await;
    Ok(done.map_err(|_| Away("no answer in time".to_owned()))??)
}

/// Publishes without waiting in between, then waits for every confirmation.
async fn send(channel: &Channel, messages: &[Message]) -> Result<(), Away> {
    let mut confirms = Vec::with_capacity(messages.len());
    for message in messages {
        let data = serde_json::to_vec(message).map_err(|e| Away(e.to_string()))?;
        let properties =
            properties(headers(0, None)).with_message_id(message.event.to_string().into());
        let confirm = channel
            .basic_publish(
                topology::EXCHANGE.into(),
                message.kind.as_str().into(),
                BasicPublishOptions::default(),
                &data,
                properties,
            )
            .await?;
        confirms.push(confirm);
    }
    for confirm in confirms {
        if !confirm.await?.is_ack() {
            return Err(Away("it refused a message".to_owned()));
        }
    }
    Ok(())
}

/// Puts a message into one queue, and waits for the confirmation.
async fn put(channel: &Channel, queue: &str, data: &[u8], headers: FieldTable) -> Result<(), Away> {
    let confirm = channel
        .basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            data,
            properties(headers),
        )
        .await?;
    let confirmed = tokio::time::timeout(CONFIRM_TIMEOUT, confirm).await;
    let confirmed = confirmed.map_err(|_| Away("no confirmation in time".to_owned()))??;
    if confirmed.is_ack() {
        Ok(())
    } else {
        Err(Away("it refused a message".to_owned()))
    }
}

fn properties(headers: FieldTable) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}

fn headers(tries: u32, reason: Option<&str>) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(TRIES.into(), AMQPValue::LongLongInt(i64::from(tries)));
    if let Some(reason) = reason {
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        table.insert(REASON.into(), AMQPValue::LongString(reason[..end].into()));
        table.insert(DEAD_AT.into(), AMQPValue::LongLongInt(clock::now().0));
    }
    table
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
    if let Some(AMQPValue::LongLongInt(number)) = header(properties, name) {
        return Some(*number);
    }
    None
}

fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    if let Some(AMQPValue::LongString(text)) = header(properties, name) {
        return Some(String::from_utf8_lossy(text.as_bytes()).into_owned());
    }
    None
}

/// `None` where the message is none of ours.
fn dead_letter(properties: &BasicProperties, data: &[u8]) -> Option<DeadLetter> {
    let message = serde_json::from_slice(data).ok()?;
    let killed = "it ended its process again and again".to_owned();
    Some(DeadLetter {
        message,
        tries: number(properties, TRIES).unwrap_or_default() as u32,
        reason: text(properties, REASON).unwrap_or(killed),
        dead_at_ms: number(properties, DEAD_AT).unwrap_or_default(),
    })
}

impl Broker for Rabbit {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn queues(&self) -> &[Queue] {
        &self.queues
    }

    fn look(&self) -> Reply<'_, ()> {
        Box::pin(self.answers())
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> Reply<'a, ()> {
        Box::pin(self.publish_all(messages))
    }

    fn consume<'a>(
        &'a self,
        queue: &'a Queue,
        handler: Arc<dyn Handler>,
        stopping: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(consume::supervise(self, queue, handler, stopping))
    }

    fn dead_letters<'a>(&'a self, queue: &'a Queue, most: usize) -> Reply<'a, Vec<DeadLetter>> {
        Box::pin(async move { Ok(self.through_dead(queue, most, Walk::Look).await?.0) })
    }

    fn replay<'a>(&'a self, queue: &'a Queue, only: Option<Uuid>) -> Reply<'a, u64> {
        Box::pin(async move {
            let what = only.map_or(Walk::MoveAll, Walk::Move);
            let done = self.through_dead(queue, usize::MAX, what).await?;
            Ok(done.1)
        })
    }
}
