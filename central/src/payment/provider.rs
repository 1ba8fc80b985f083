//! Whoever moves the money: one trait over mobile money and cards.
//!
//! Every call ends in one of three certainties: yes, no, or unknown. Unknown is asked about until
//! it is one of the others; nothing is ever charged or returned again because an answer was lost.

mod card;
mod momo;
pub(crate) mod wire;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use domain::money::{Currency, Minor};
use uuid::Uuid;

use super::rules::Heard;
pub use card::{Card, subject_of};
pub use momo::Momo;
pub use wire::client;

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How certain it is.
    pub heard: Heard,
    /// What the provider calls the charge or refund, once it said so.
    pub provider_id: Option<String>,
    /// Why not, as one word of the provider.
    pub reason: Option<String>,
    /// Where the payer has to go first.
    pub action_url: Option<String>,
    /// For the log: what came over the wire, without personal data.
    pub detail: String,
}

impl Said {
    /// With nothing but its certainty.
    pub fn new(heard: Heard, detail: impl Into<String>) -> Self {
        Self {
            heard,
            provider_id: None,
            reason: None,
            action_url: None,
            detail: detail.into(),
        }
    }

    /// A certain no.
    pub fn no(reason: &str, detail: impl Into<String>) -> Self {
        Self {
            reason: Some(word(reason)),
            ..Self::new(Heard::No, detail)
        }
    }

    /// With the provider's name for it.
    #[must_use]
    pub fn called(mut self, id: Option<&str>) -> Self {
        self.provider_id = id.map(|id| id.chars().take(200).collect());
        self
    }

    /// `yes`, `no` or `unknown`.
    pub fn answer(&self) -> &'static str {
        match self.heard {
            Heard::Yes => "yes",
            Heard::No => "no",
            Heard::Waiting | Heard::NeverHeard | Heard::NoWord => "unknown",
        }
    }
}

/// A provider's reason as it is kept: lower case, bounded.
fn word(reason: &str) -> String {
    let kept = reason.chars().filter(|c| !c.is_control()).take(100);
    kept.collect::<String>().to_ascii_lowercase()
}

/// Money to be taken.
#[derive(Debug, Clone)]
pub struct Charge {
    /// The payment.
    pub payment: Uuid,
    /// Ours, stored before the first call.
    pub reference: Uuid,
    /// Theirs, where they said it.
    pub provider_id: Option<String>,
    /// How much.
    pub amount_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// A phone number in E.164, or a card token.
    pub payer: String,
    /// What the payer is shown: the booking's reference.
    pub note: String,
    /// Where the provider may call back, where it takes an address per charge.
    pub callback: Option<String>,
}

/// Money to be given back.
#[derive(Debug, Clone)]
pub struct Return {
    /// The refund.
    pub refund: Uuid,
    /// Ours, stored before the first call.
    pub reference: Uuid,
    /// Theirs, where they said it.
    pub provider_id: Option<String>,
    /// How much.
    pub amount_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// Our reference of the charge.
    pub charge_reference: Uuid,
    /// Their name for the charge.
    pub charge_provider_id: Option<String>,
    /// What the payer is shown.
    pub note: String,
}

/// What a call comes to, some time later.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

/// Takes money and gives it back. Calls with one reference are one charge, however often made.
pub trait Provider: fmt::Debug + Send + Sync {
    /// Asks the payer for money.
    fn start<'a>(&'a self, charge: &'a Charge) -> Reply<'a>;
    /// What became of a charge.
    fn ask<'a>(&'a self, charge: &'a Charge) -> Reply<'a>;
    /// Ends a charge where the provider can do that; the last question before it expires.
    fn close<'a>(&'a self, charge: &'a Charge) -> Reply<'a> {
        self.ask(charge)
    }
    /// Gives money back.
    fn refund<'a>(&'a self, back: &'a Return) -> Reply<'a>;
    /// What became of a refund.
    fn ask_refund<'a>(&'a self, back: &'a Return) -> Reply<'a>;
}
