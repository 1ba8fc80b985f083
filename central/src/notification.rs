//! Tells people what happened: by SMS, by e-mail, and in an inbox of their account.
//!
//! An event becomes one message per person in one transaction, whatever is redelivered: a message
//! is unique by event and person. Its ways out are rows, committed before a gateway is called, so
//! that what happened in between can be seen and is never lost; where a crash leaves open whether
//! a message went out, it goes out again under the same key, and a gateway that knows keys sends
//! it once. One that does not may send it twice: rather twice than not at all.

mod db;
mod facts;
pub mod http;
mod jobs;
mod keep;
mod kind;
mod outlet;
mod plan;
mod rules;
mod send;
mod settings;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::broker::{Failed, Handler, Message, Queue, Reply};
use crate::clock;
use crate::http::Api;

pub(crate) use jobs::jobs;
pub use kind::Kind;
pub use outlet::{BadOutlet, Outlets};
pub use settings::Settings;

/// How long an event waits between tries, in milliseconds; after the last it is a dead letter.
const RETRY_DELAYS_MS: [u32; 5] = [1_000, 5_000, 30_000, 120_000, 600_000];

/// What this service listens to.
pub fn queue() -> Queue {
    let patterns = Kind::ALL.iter().flat_map(|kind| kind.events());
    Queue {
        name: "mwimule.notification".to_owned(),
        patterns: patterns.map(|&word| word.to_owned()).collect(),
        retry_delays_ms: RETRY_DELAYS_MS.to_vec(),
    }
}

/// Makes messages out of events.
pub(crate) struct Listener {
    api: Api,
}

impl Listener {
    pub(crate) fn new(api: Api) -> Self {
        Self { api }
    }
}

impl Handler for Listener {
    fn handle<'a>(&'a self, message: &'a Message) -> Reply<'a, (), Failed> {
        Box::pin(async move {
            let done = plan::plan(&self.api, message, clock::now()).await;
            done.map_err(|error| Failed(error.to_string()))
        })
    }
}

/// The text of a message, as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Text {
    /// One line.
    pub(crate) title: String,
    /// For a phone.
    pub(crate) short: String,
    /// For a mailbox.
    pub(crate) long: String,
}

/// Kept by every handler.
pub(crate) type SharedOutlets = Arc<Outlets>;
