//! Ways out of the hub: SMTP, an SMS gateway, and a folder where neither was named.

mod folder;
mod gateway;
mod smtp;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::rules::Outcome;
use crate::config::{Config, Secret};
pub use folder::Folder;
pub use gateway::Gateway;
pub use smtp::Smtp;

/// One message to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The same at every try: what a gateway that knows keys goes by.
    pub key: String,
    /// A number in E.164, or an e-mail address.
    pub to: String,
    /// One line; an SMS has none.
    pub title: String,
    /// The text.
    pub text: String,
}

/// Carries messages out. Every call ends: sent, refused for good, or nobody knows.
pub trait Outlet: fmt::Debug + Send + Sync {
    /// Sends one message.
    fn send<'a>(&'a self, letter: &'a Letter)
    -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{section}: {what}")]
pub struct BadOutlet {
    section: &'static str,
    what: String,
}

/// The ways out of a hub.
#[derive(Debug)]
pub struct Outlets {
    /// To phones.
    pub(super) sms: Arc<dyn Outlet>,
    /// To mailboxes.
    pub(super) email: Arc<dyn Outlet>,
    /// Stands in the address that delivery reports come to.
    pub(super) report_secret: Option<Secret>,
    /// A message in hand for so long was left behind by a process that died, in milliseconds.
    pub(super) lease_ms: i64,
}

impl Outlets {
    /// From the hub's settings; what is not named goes to files in a folder.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(config: &Config, folder: &Path) -> Result<Self, BadOutlet> {
        let bad = |section, what: String| BadOutlet { section, what };
        let files = || Arc::new(Folder::new(folder)) as Arc<dyn Outlet>;
        let sms = config.sms.as_ref();
        let mail = config.mail.as_ref();
        let slowest = sms.map_or(0, |c| c.answer_within_s);
        let slowest = slowest.max(mail.map_or(0, |c| c.answer_within_s));
        Ok(Self {
            sms: match sms {
                Some(c) => Arc::new(Gateway::new(c).map_err(|e| bad("[sms]", e))?),
                None => files(),
            },
            email: match mail {
                Some(c) => Arc::new(Smtp::new(c).map_err(|e| bad("[mail]", e))?),
                None => files(),
            },
            report_secret: sms.and_then(|c| c.report_secret.clone()),
            lease_ms: i64::from(slowest) * 2_000 + 5_000,
        })
    }
}
