//! What has to be there before anything is published: otherwise it would be routed nowhere.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::broker::Queue;

/// The topic exchange of every event.
pub(super) const EXCHANGE: &str = "mwimule.events";
/// A message that was in the hands of so many processes that died is a dead letter. Well above
/// what restarts cause: nobody kills that many in a row over one message.
const HANDS_MAX: i64 = 100;
/// Looking at dead letters hands them out too, and must never drop one.
const LOOKS_MAX: i64 = 1_000_000_000;

/// The queue of dead letters.
pub(super) fn dead(queue: &str) -> String {
    format!("{queue}.dead")
}

/// The queue in which a message waits so long for its next try.
pub(super) fn waiting(queue: &str, delay_ms: u32) -> String {
    format!("{queue}.retry.{delay_ms}")
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A quorum queue whose own dead letters, where it makes any, go to `then` and are not lost on
/// the way.
fn quorum(limit: i64, then: Option<&str>) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
    if let Some(then) = then {
        table.insert("x-dead-letter-exchange".into(), text(""));
        table.insert("x-dead-letter-routing-key".into(), text(then));
        table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        table.insert("x-overflow".into(), text("reject-publish"));
    }
    table
}

/// Declares all of it; again changes nothing.
pub(super) async fn declare(channel: &Channel, queues: &[Queue]) -> Result<(), lapin::Error> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            EXCHANGE.into(),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        )
        .await?;
    let make = async |name: String, arguments: FieldTable| {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(name.into(), durable, arguments).await
    };
    for queue in queues {
        let name = queue.name.as_str();
        make(dead(name), quorum(LOOKS_MAX, None)).await?;
        make(name.to_owned(), quorum(HANDS_MAX, Some(&dead(name)))).await?;
        for delay_ms in &queue.retry_delays_ms {
            let mut arguments = quorum(LOOKS_MAX, Some(name));
            let ttl = AMQPValue::LongLongInt(i64::from(*delay_ms));
            arguments.insert("x-message-ttl".into(), ttl);
            make(waiting(name, *delay_ms), arguments).await?;
        }
        for pattern in &queue.patterns {
            channel
                .queue_bind(
                    name.into(),
                    EXCHANGE.into(),
                    pattern.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
    }
    Ok(())
}
