//! An SMS gateway that speaks Africa's Talking's documented HTTP, and a mail server that keeps
//! what it is given: for tests and demonstrations, with scripted faults.
//!
//! `POST /version1/messaging` takes a form with an `apiKey` header and answers `SMSMessageData`;
//! delivery reports follow at an address that the account names. `GET /_control/messages` lists
//! everything that arrived on phones and in mailboxes.

mod mail;
mod phone;

use std::path::PathBuf;

use anyhow::Result;
use axum::Router;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use sim_kit::Stored;

pub use mail::{MailSink, serve as serve_mail};
pub use phone::{Fault, Planned};

/// What `--help` says about magic numbers.
pub const SCRIPT: &str = "\
MAGIC PHONE NUMBERS (by their last digits)
  ...901  slow: answers after 3 s              ...904  sent, the request answers 500
  ...902  sent, the delivery report is lost    ...906  refused: 403 InvalidPhoneNumber
  ...903  sent, the report comes twice         ...907  sent, never answers the request
  ...905  sent, the report says Failed

CONTROL
  POST /_control/faults    {\"planned\": [{\"fault\": \"error_after_sending\", \"times\": 2}], \"slow_ms\": 500}
       faults: slow lost_report duplicate_report failed_report error_after_sending refusal timeout down
  GET  /_control/messages  ?to=+260970000001  what arrived, the first first: {\"messages\": [
       {\"channel\": \"sms\", \"id\", \"to\", \"from\", \"text\", \"key\", \"at_ms\"}, {\"channel\": \"email\", \"subject\", ...}]}
  GET  /_control/count     {\"sms\", \"sms_distinct\", \"email\", \"repeated\": requests whose Idempotency-Key was known}";

/// How it behaves.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// The account's name
    #[arg(long, default_value = "sandbox", value_name = "NAME")]
    pub username: String,
    /// Its key
    #[arg(long, default_value = "sim-sms-key", value_name = "KEY")]
    pub api_key: String,
    /// Where delivery reports go; without it there are none
    #[arg(long, value_name = "URL")]
    pub report_url: Option<String>,
    /// How long a message takes to its phone, in milliseconds
    #[arg(long, default_value_t = 150, value_name = "MS")]
    pub deliver_ms: u64,
    /// Heeds Idempotency-Key, as the documented gateway does not
    #[arg(long)]
    pub deduplicate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            username: "sandbox".to_owned(),
            api_key: "sim-sms-key".to_owned(),
            report_url: None,
            deliver_ms: 20,
            deduplicate: false,
        }
    }
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// `sms` or `email`.
    pub channel: String,
    /// What the gateway or the sender calls it.
    pub id: String,
    /// A number or address.
    pub to: String,
    /// Who it says it is from.
    pub from: String,
    /// Of an e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text.
    pub text: String,
    /// The sender's key for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// Everything it knows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Book {
    /// What arrived, the first first.
    pub messages: Vec<Arrived>,
    /// Which message a key stands for.
    pub keys: std::collections::BTreeMap<String, String>,
    /// Requests whose key was known.
    pub repeated: u64,
    /// What is to go wrong.
    pub faults: phone::Faults,
}

/// The gateway.
#[derive(Debug, Clone)]
pub struct Sms {
    settings: std::sync::Arc<Settings>,
    /// Everything it knows.
    pub book: Stored<Book>,
}

impl Sms {
    /// With what an earlier run left in the file, if one is named.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn open(settings: Settings, file: Option<PathBuf>) -> Result<Self> {
        Ok(Self {
            settings: std::sync::Arc::new(settings),
            book: Stored::open(file)?,
        })
    }

    /// All it answers to.
    pub fn router(self) -> Router {
        Router::new()
            .route("/version1/messaging", post(phone::send))
            .route(
                "/_control/faults",
                get(phone::faults).post(phone::set_faults),
            )
            .route("/_control/messages", get(phone::messages))
            .route("/_control/count", get(phone::count))
            .with_state(self)
    }
}
