//! `dead-letters`

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Settings;
use super::session::Session;
use crate::broker::{self, Broker, Queue};

/// The most dead letters of a queue that are listed.
const LISTED_MAX: usize = 1_000;

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

impl Which {
    fn queues(&self, broker: &dyn Broker) -> Result<Vec<Queue>> {
        let all = broker.queues().to_vec();
        let Some(wanted) = &self.queue else {
            return Ok(all);
        };
        let names: Vec<String> = all.iter().map(|q| q.name.clone()).collect();
        let found: Vec<Queue> = all.into_iter().filter(|q| q.name == *wanted).collect();
        if found.is_empty() {
            let names = names.join(", ");
            bail!("there is no queue {wanted:?}: choose among {names}");
        }
        Ok(found)
    }
}

pub(super) async fn run(settings: &Settings, command: DeadLettersCommand) -> Result<()> {
    let (which, replay) = match command {
        DeadLettersCommand::List(which) => (which, None),
        DeadLettersCommand::Replay { which, event } => (which, Some(event)),
    };
    let session = Session::open(settings).await?;
    let url = which.broker_url.as_deref();
    let broker = broker::open(&settings.config.broker, url, &session.db).context("--broker-url")?;
    let queues = which.queues(&*broker)?;
    let mut shown = vec![];
    for queue in &queues {
        if let Some(event) = replay {
            let count = broker.replay(queue, event).await?;
            shown.push(json!({ "queue": queue.name, "replayed": count }));
            if !settings.json {
                println!("{}: {count} put back", queue.name);
            }
            continue;
        }
        for letter in broker.dead_letters(queue, LISTED_MAX).await? {
            let message = &letter.message;
            let at = domain::time::Instant(letter.dead_at_ms);
            if !settings.json {
                println!(
                    "{at}  {}  {}  {}  {}  tried {} times: {}",
                    queue.name,
                    message.event,
                    message.kind,
                    message.subject,
                    letter.tries,
                    letter.reason
                );
            }
            shown.push(json!({ "queue": queue.name, "event": message.event,
                "company": message.company.0, "kind": message.kind, "subject": message.subject,
                "tries": letter.tries, "reason": letter.reason, "dead_at": at.to_string() }));
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
