//! From a queue to its handler, with a supervisor that makes the connection anew.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Link, Rabbit, TRIES, headers, number, put, topology};
use crate::broker::{Away, Failed, Handler, Message, Queue};

/// Messages in hand at once, each in a task of its own.
const AT_ONCE: u16 = 32;
/// From the first failure on, doubled up to the last.
const AGAIN_FIRST: Duration = Duration::from_millis(200);
const AGAIN_LAST: Duration = Duration::from_secs(5);
/// What is in hand gets so long when the hub stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// Consumes until told to stop.
pub(super) async fn supervise(
    rabbit: &Rabbit,
    queue: &Queue,
    handler: Arc<dyn Handler>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pause = AGAIN_FIRST;
    while !*stopping.borrow() {
        let link = tokio::select! {
            link = rabbit.connect(&queue.name) => link,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let ended = match link {
            Ok(link) => {
                if pause > AGAIN_FIRST {
                    tracing::info!(queue = queue.name, "listening to the message broker again");
                }
                pause = AGAIN_FIRST;
                consume(&link, queue, &handler, &mut stopping).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        if pause == AGAIN_FIRST {
            tracing::warn!(%error, queue = queue.name, "not listening to the message broker");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        pause = (pause * 2).min(AGAIN_LAST);
    }
}

/// Until told to stop, which is no error.
async fn consume(
    link: &Link,
    queue: &Queue,
    handler: &Arc<dyn Handler>,
    stopping: &mut watch::Receiver<bool>,
) -> Result<(), Away> {
    let taking = link.connection.create_channel().await?;
    taking
        .basic_qos(AT_ONCE, BasicQosOptions::default())
        .await?;
    let mut consumer = taking
        .basic_consume(
            queue.name.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let queue = Arc::new(queue.clone());
    let mut working = JoinSet::new();
    let ended = loop {
        let delivery = tokio::select! {
            delivery = next(&mut consumer) => delivery,
            Some(done) = working.join_next() => match done {
                Ok(Err(error)) => break Err(error),
                // A handler that panicked has told the log; its message goes back with the channel.
                Ok(Ok(())) => continue,
                Err(_) => break Err(Away("a handler panicked".to_owned())),
            },
            _ = stopping.wait_for(|stop| *stop) => break Ok(()),
        };
        match delivery {
            Some(Ok(delivery)) => {
                let (handler, queue) = (Arc::clone(handler), Arc::clone(&queue));
                let giving = link.channel.clone();
                working.spawn(async move { one(delivery, &queue, &*handler, &giving).await });
            }
            Some(Err(error)) => break Err(error.into()),
            None => break Err(Away("it ended the subscription".to_owned())),
        }
    };
    let finish = async { while working.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE, finish).await;
    if ended.is_ok() {
        let close = link.connection.close(200, "the hub stops".into());
        let _ = tokio::time::timeout(GOODBYE, close).await;
    }
    ended
}

async fn next(consumer: &mut Consumer) -> Option<Result<Delivery, lapin::Error>> {
    poll_fn(|cx| Pin::new(&mut *consumer).poll_next(cx)).await
}

/// Handles one message and says so.
async fn one(
    delivery: Delivery,
    queue: &Queue,
    handler: &dyn Handler,
    giving: &Channel,
) -> Result<(), Away> {
    let tries = number(&delivery.properties, TRIES).unwrap_or_default();
    let tries = u32::try_from(tries).unwrap_or_default().saturating_add(1);
    let handled = match serde_json::from_slice::<Message>(&delivery.data) {
        Ok(message) => handler.handle(&message).await,
        Err(error) => Err(Failed(format!("it cannot be read: {error}"))),
    };
    if let Err(Failed(why)) = handled {
        tracing::warn!(queue = queue.name, tries, why, "a message failed");
        let to = match queue.delay_ms(tries) {
            Some(delay_ms) => topology::waiting(&queue.name, delay_ms),
            None => topology::dead(&queue.name),
        };
        put(giving, &to, &delivery.data, headers(tries, Some(&why))).await?;
    }
    delivery.acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}
