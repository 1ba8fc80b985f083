//! Which providers this hub has, by its settings.

use std::sync::Arc;

use super::kind::ProviderKind;
use super::provider::{Card, Momo, Provider, client};
use crate::config::{Config, Secret, WebhooksConfig};

/// The providers of a hub and what belongs to them.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    momo: Option<Arc<Momo>>,
    card: Option<Arc<Card>>,
    /// How long a payer has, in milliseconds.
    pay_within_ms: [i64; 2],
    /// How MoMo reaches this hub.
    pub(super) callback_url: Option<String>,
    /// What the card provider signs its events with.
    pub(super) card_webhook_secrets: Vec<Secret>,
    /// Webhooks to companies.
    pub(super) webhooks: WebhooksConfig,
}

impl Providers {
    /// From the hub's settings.
    ///
    /// # Errors
    /// When the TLS roots cannot be loaded.
    pub fn new(config: &Config) -> Result<Self, reqwest::Error> {
        let momo = config.momo.as_ref();
        let card = config.card.as_ref();
        let within = |seconds: Option<u32>| i64::from(seconds.unwrap_or(300)) * 1_000;
        Ok(Self {
            momo: match momo {
                Some(c) => Some(Arc::new(Momo::new(client(c.answer_within_s)?, c))),
                None => None,
            },
            card: match card {
                Some(c) => Some(Arc::new(Card::new(client(c.answer_within_s)?, c))),
                None => None,
            },
            pay_within_ms: [
                within(momo.map(|c| c.pay_within_s)),
                within(card.map(|c| c.pay_within_s)),
            ],
            callback_url: momo.and_then(|c| c.callback_url.clone()),
            card_webhook_secrets: card.map(|c| c.webhook_secrets.clone()).unwrap_or_default(),
            webhooks: config.webhooks.clone(),
        })
    }

    /// The program that moves money this way, where there is one.
    pub fn of(&self, kind: ProviderKind) -> Option<&dyn Provider> {
        match kind {
            ProviderKind::Momo => self.momo.as_deref().map(|p| p as &dyn Provider),
            ProviderKind::Card => self.card.as_deref().map(|p| p as &dyn Provider),
            ProviderKind::Cash | ProviderKind::ByHand => None,
        }
    }

    /// How long a payer has, in milliseconds.
    pub(super) fn pay_within_ms(&self, kind: ProviderKind) -> i64 {
        match kind {
            ProviderKind::Momo => self.pay_within_ms[0],
            ProviderKind::Card => self.pay_within_ms[1],
            ProviderKind::Cash | ProviderKind::ByHand => 0,
        }
    }
}
