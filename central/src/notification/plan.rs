//! From an event to messages: who is told, in which words, over which ways, and when.

use domain::time::Instant;
use uuid::Uuid;

use super::db::{self, Company, NewNotice, Preference, Way};
use super::facts::{self, About, Recipient};
use super::rules::send_at;
use super::{Kind, Text, template};
use crate::broker::Message;
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::http::Api;
use crate::tenant::TenantTx;
use crate::vault::{Place, VaultError};

/// Why an event could not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// Its body lacks something, or names what is not there.
    #[error("the event cannot be told: {0}")]
    Unreadable(String),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A sealed contact.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Where a message's text is sealed for.
pub(super) fn text_place(company: domain::ids::CompanyId, notice: &Uuid) -> Place<'_> {
    Place {
        company,
        table: "notice",
        row: notice.as_bytes(),
        column: "text",
    }
}

/// The bytes of a way out's row.
pub(super) fn way_row(notice: Uuid, channel: &str) -> Vec<u8> {
    let mut row = notice.as_bytes().to_vec();
    row.extend_from_slice(channel.as_bytes());
    row
}

/// Where an address is sealed for.
pub(super) fn address_place(company: domain::ids::CompanyId, row: &[u8]) -> Place<'_> {
    Place {
        company,
        table: "notice_delivery",
        row,
        column: "address",
    }
}

/// Writes the messages about an event; again changes nothing.
pub(super) async fn plan(api: &Api, message: &Message, now: Instant) -> Result<(), PlanError> {
    let Some(kind) = Kind::of_event(&message.kind, &message.body) else {
        return Ok(());
    };
    let mut tx = api.db.tenant(message.company).await?;
    let (_, settings) = db::settings(&mut tx).await?;
    if Instant(message.at_ms) < settings.kept_since(now) {
        // Nobody knows any longer whom it was told: a dead letter that is replayed after years.
        tracing::info!(event = %message.event, kind = message.kind, "an old event is not told");
        return Ok(());
    }
    let company = db::company(&mut tx).await?;
    let about = facts::gather(api, &mut tx, &company, (kind, message)).await?;
    for recipient in &about.recipients {
        tell(
            api,
            &mut tx,
            &company,
            (kind, message, &about),
            recipient,
            now,
        )
        .await?;
    }
    Ok(tx.commit().await?)
}

async fn tell(
    api: &Api,
    tx: &mut TenantTx,
    company: &Company,
    (kind, message, about): (Kind, &Message, &About),
    to: &Recipient,
    now: Instant,
) -> Result<(), PlanError> {
    let Some(key) = to.key() else { return Ok(()) };
    let preference = match to.person {
        Some(person) => db::preference(tx, person).await?,
        None => Preference::default(),
    };
    let language = preference.language.unwrap_or(company.language);
    let mut said = about.facts.clone();
    said.extend(to.facts.iter().map(|(name, value)| (*name, value.clone())));
    let text: Text = template::render(kind, language, &said);
    let id = fresh_uuid(now).map_err(|_| VaultError::NoEntropy)?;
    let sealed = serde_json::to_vec(&text).unwrap_or_default();
    let sealed = api.vault.seal(text_place(message.company, &id), &sealed)?;
    let wanted = !preference.muted.iter().any(|muted| muted == kind.as_str());
    let when = (kind.urgency(), about.matters_by);
    let at = send_at(now, &company.zone, preference.quiet, when);
    let mut ways = vec![];
    for (channel, address, on) in [
        ("sms", &to.phone, preference.sms),
        ("email", &to.email, preference.email),
    ] {
        let Some(address) = address else { continue };
        let row = way_row(id, channel);
        let place = address_place(message.company, &row);
        ways.push(Way {
            channel,
            address_sealed: api.vault.seal(place, address.as_bytes())?,
            at: (on && wanted).then_some(at),
        });
    }
    let blind = api.vault.blind(message.company, "recipient", &key)?;
    let new = NewNotice {
        id,
        event: message.event,
        recipient_blind: &blind,
        person: to.person,
        kind: kind.as_str(),
        subject: &message.subject,
        language: language.as_str(),
        text_sealed: &sealed,
        ways: &ways,
    };
    db::insert(tx, &new, now).await?;
    Ok(())
}
