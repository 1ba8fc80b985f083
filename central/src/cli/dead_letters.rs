//! `dead-letters`

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Settings;
use super::session::Session;
use crate::broker::{self, DeadLetter, dead};

/// Events that were tried as often as their queue tries
#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List them, the oldest first
    List(Which),
    /// Put them into their queues again, as if they had never been tried
    Replay {
        #[command(flatten)]
        which: Which,
        /// Only this event
        #[arg(long, value_name = "UUID")]
        event: Option<Uuid>,
    },
}

/// Which broker and queue.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The RabbitMQ of `serve --broker-url`, if it was told one
    #[arg(
        long,
        value_name = "URL",
        env = "MWIMULE_BROKER_URL",
        hide_env_values = true
    )]
    broker_url: Option<String>,
    /// Only this queue, like mwimule.notification
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

pub(super) async fn run(settings: &Settings, command: DeadLettersCommand) -> Result<()> {
    let (which, replay) = match command {
        DeadLettersCommand::List(which) => (which, None),
        DeadLettersCommand::Replay { which, event } => (which, Some(event)),
    };
    let session = Session::open(settings).await?;
    let url = which.broker_url.as_deref();
    let broker = broker::open(&settings.config.broker, url, &session.db).context("--broker-url")?;
    let queue = which.queue.as_deref();
    let mut shown = vec![];
    if let Some(event) = replay {
        for (queue, count) in dead::replay(&*broker, queue, event).await? {
            shown.push(json!({ "queue": queue, "replayed": count }));
            if !settings.json {
                println!("{queue}: {count} put back");
            }
        }
    } else {
        for (queue, letter) in dead::list(&*broker, queue).await? {
            shown.push(listed(settings, &queue, &letter));
        }
    }
    if settings.json {
        println!(
            "{}",
            json!({ "broker": broker.name(), "dead_letters": shown })
        );
    } else if shown.is_empty() {
        println!("no dead letters");
    }
    session.close().await
}

/// Shows one, and gives it as JSON.
fn listed(settings: &Settings, queue: &str, letter: &DeadLetter) -> serde_json::Value {
    let message = &letter.message;
    let at = domain::time::Instant(letter.dead_at_ms);
    if !settings.json {
        println!(
            "{at}  {queue}  {}  {}  {}  tried {} times: {}",
            message.event, message.kind, message.subject, letter.tries, letter.reason
        );
    }
    json!({ "queue": queue, "event": message.event, "company": message.company.0,
        "kind": message.kind, "subject": message.subject, "tries": letter.tries,
        "reason": letter.reason, "dead_at": at.to_string() })
}
