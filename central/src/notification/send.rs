//! From rows to gateways.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ids::CompanyId;
use domain::time::Instant;
use tokio::task::JoinSet;

use super::db::{self, Outgoing, WayId};
use super::outlet::{Letter, Outlet, Outlets};
use super::plan::{address_place, text_place, way_row};
use super::rules::{After, Outcome, after};
use super::{SharedOutlets, Text};
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::vault::VaultError;
use crate::worker::Progress;

/// Messages in hand at once.
const BATCH: i32 = 64;

/// Sends what is due: takes it in a transaction of its own, calls, and records what came of it.
pub(super) async fn turn(api: &Api) -> Result<Progress, DbError> {
    let Some(outlets) = api.outlets.clone() else {
        return Ok(Progress::Idle);
    };
    let now = clock::now();
    let due = db::due(&api.db, now, BATCH).await?;
    let more = due.len() == BATCH as usize;
    let mut by_company: BTreeMap<CompanyId, Vec<WayId>> = BTreeMap::new();
    for (company, way) in due {
        by_company.entry(company).or_default().push(way);
    }
    let mut sending = JoinSet::new();
    for (company, ways) in by_company {
        let mut tx = api.db.tenant(company).await?;
        let until = now.plus_ms(outlets.lease_ms);
        let taken = db::take(&mut tx, &ways, (now, until)).await?;
        tx.commit().await?;
        for outgoing in taken {
            let (api, outlets) = (api.clone(), Arc::clone(&outlets));
            sending.spawn(async move {
                let outcome = send(&api, &outlets, company, &outgoing).await;
                (company, outgoing, outcome)
            });
        }
    }
    let mut ended: BTreeMap<CompanyId, Vec<(WayId, After)>> = BTreeMap::new();
    while let Some(done) = sending.join_next().await {
        // One that panicked has told the log, and goes again once its time in hand is over.
        let Ok((company, outgoing, outcome)) = done else {
            continue;
        };
        let what = after(outcome, outgoing.tries, clock::now());
        if what.state == "failed" {
            let WayId { notice, channel } = &outgoing.way;
            tracing::warn!(%notice, channel, why = what.error, "a message was given up");
        }
        ended.entry(company).or_default().push((outgoing.way, what));
    }
    for (company, ended) in ended {
        let mut tx = api.db.tenant(company).await?;
        db::ended(&mut tx, &ended, clock::now()).await?;
        tx.commit().await?;
    }
    Ok(if more { Progress::More } else { Progress::Idle })
}

async fn send(
    api: &Api,
    outlets: &SharedOutlets,
    company: CompanyId,
    outgoing: &Outgoing,
) -> Outcome {
    match letter(api, company, outgoing) {
        Ok(letter) => outlet(outlets, &outgoing.way.channel).send(&letter).await,
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

fn outlet<'a>(outlets: &'a Outlets, channel: &str) -> &'a dyn Outlet {
    if channel == "sms" {
        &*outlets.sms
    } else {
        &*outlets.email
    }
}

fn letter(api: &Api, company: CompanyId, outgoing: &Outgoing) -> Result<Letter, VaultError> {
    let WayId { notice, channel } = &outgoing.way;
    let row = way_row(*notice, channel);
    let place = address_place(company, &row);
    let to = api.vault.open(place, &outgoing.address_sealed)?;
    let to = String::from_utf8(to).map_err(|_| VaultError::Unopenable)?;
    let text = open_text(api, company, notice, &outgoing.text_sealed)?;
    Ok(Letter {
        key: format!("{notice}-{channel}"),
        to,
        title: text.title,
        text: if channel == "sms" {
            text.short
        } else {
            text.long
        },
    })
}

/// A message's text.
pub(super) fn open_text(
    api: &Api,
    company: CompanyId,
    notice: &uuid::Uuid,
    sealed: &[u8],
) -> Result<Text, VaultError> {
    let text = api.vault.open(text_place(company, notice), sealed)?;
    serde_json::from_slice(&text).map_err(|_| VaultError::Unopenable)
}

/// What a gateway said of a message later. Whether it is one of ours.
pub(super) async fn report(
    api: &Api,
    gateway_id: &str,
    (status, why): (&str, Option<&str>),
    now: Instant,
) -> Result<bool, DbError> {
    let Some((company, way)) = db::of_gateway(&api.db, gateway_id).await? else {
        return Ok(false);
    };
    if let Some(state) = super::rules::reported(status) {
        let mut tx = api.db.tenant(company).await?;
        let why = why.filter(|_| state == "failed");
        db::reported(&mut tx, &way, (state, why), now).await?;
        tx.commit().await?;
    }
    Ok(true)
}
