//! What a company says of itself.

use domain::money::Currency;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db;
use super::records::OfficeError;
use super::rules;
use crate::audit::{self, Actor, Change};
use crate::csvio::Fault;
use crate::sync::bus::BusEvent;
use crate::tenant::TenantTx;

/// A company, as its documents and feeds name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"company": "018f0000-0000-4000-8000-000000000001",
    "name": "Mwimule Coaches", "zone": "Africa/Lusaka", "currency": "ZMW", "language": "en",
    "contact_email": "office@example.com", "contact_phone": "+260970000001",
    "address": "Dedan Kimathi Road, Lusaka", "website": "https://www.example.com"}))]
pub struct Settings {
    /// Its id.
    pub company: Uuid,
    /// Its name, unique on this hub.
    pub name: String,
    /// Whose dates its office counts in: an IANA name.
    pub zone: String,
    /// What it is paid in: ISO 4217.
    pub currency: String,
    /// What it prints and publishes in: BCP 47.
    pub language: String,
    /// For its passengers; may be empty.
    pub contact_email: String,
    /// With the country's code; may be empty.
    pub contact_phone: String,
    /// Of its office; may be empty.
    pub address: String,
    /// May be empty.
    pub website: String,
}

/// What to change; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"contact_phone": "+260970000002", "website": ""}))]
pub struct SettingsChange {
    /// Unique on this hub.
    #[schema(max_length = 120)]
    pub name: Option<String>,
    /// An IANA name.
    #[schema(max_length = 64)]
    pub zone: Option<String>,
    /// ISO 4217. Cannot be changed once fares, bookings or postings exist.
    #[schema(max_length = 3, min_length = 3)]
    pub currency: Option<String>,
    /// BCP 47.
    #[schema(max_length = 35)]
    pub language: Option<String>,
    /// Empty takes it away.
    #[schema(max_length = 254)]
    pub contact_email: Option<String>,
    /// Empty takes it away.
    #[schema(max_length = 40)]
    pub contact_phone: Option<String>,
    /// Empty takes it away.
    #[schema(max_length = 300)]
    pub address: Option<String>,
    /// Empty takes it away.
    #[schema(max_length = 200)]
    pub website: Option<String>,
}

/// The settings after a change, or what is wrong with it.
fn changed(now: &Settings, change: SettingsChange, has_money: bool) -> Result<Settings, Fault> {
    let mut after = now.clone();
    if let Some(name) = change.name {
        after.name = rules::name("name", &name, rules::NAME_CHARS_MAX)?;
    }
    if let Some(zone) = change.zone {
        after.zone = rules::zone("zone", &zone)?;
    }
    if let Some(code) = change.currency {
        let parsed = code.trim().parse::<Currency>().map_err(|_| {
            Fault::new(
                "currency",
                "it is no currency",
                "write three capitals like ZMW",
            )
        })?;
        parsed.as_str().clone_into(&mut after.currency);
        if after.currency != now.currency && has_money {
            let wrong = format!("fares, bookings or postings in {} exist", now.currency);
            let remedy = "leave it; to be paid in another currency, make another company";
            return Err(Fault::new("currency", wrong, remedy));
        }
    }
    if let Some(language) = change.language {
        after.language = rules::language("language", &language)?;
    }
    if let Some(email) = change.contact_email {
        after.contact_email = rules::email("contact_email", &email)?;
    }
    if let Some(phone) = change.contact_phone {
        after.contact_phone = rules::phone("contact_phone", &phone)?;
    }
    if let Some(address) = change.address {
        after.address = rules::text("address", &address, rules::ADDRESS_CHARS_MAX)?;
    }
    if let Some(website) = change.website {
        after.website = rules::website("website", &website)?;
    }
    Ok(after)
}

/// The company's settings and their version.
pub(crate) async fn load(tx: &mut TenantTx) -> Result<(i32, Settings), OfficeError> {
    Ok(db::settings::lock(tx).await?)
}

/// Changes locked settings; gives what they are then.
pub(crate) async fn change(
    tx: &mut TenantTx,
    (version, before): (i32, Settings),
    change: SettingsChange,
    by: Actor,
    now: Instant,
) -> Result<(i32, Settings), OfficeError> {
    let has_money = db::settings::has_money(tx).await?;
    let after = changed(&before, change, has_money)?;
    if after == before {
        return Ok((version, after));
    }
    let version = match db::settings::update(tx, &after).await {
        Err(error) if error.constraint() == Some("company_name_key") => {
            return Err(OfficeError::Exists {
                kind: "company",
                key: after.name,
            });
        }
        done => done?,
    };
    tx.tell(BusEvent::Company(tx.company()));
    let note = Change {
        action: "company.update",
        subject: &format!("company:{}", after.company),
        before: serde_json::to_value(&before).ok(),
        after: serde_json::to_value(&after).ok(),
    };
    audit::note(tx, by, note, now).await?;
    Ok((version, after))
}
