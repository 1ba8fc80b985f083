//! Wake-ups between processes that share a database: what one changed, the others hear of.
//! Losing one costs time, never data.
//!
//! They are Postgres notifications, sent in a statement of their own some milliseconds after the
//! change was committed: a transaction that notifies waits at its commit for every other one that
//! does, and a sale waits for nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::ids::{CompanyId, NodeId, TripId};
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use uuid::Uuid;

use crate::auth::Auth;
use crate::db::{Db, DbError};
use crate::sync::bus::{Bus, BusEvent};

const CHANNEL: &str = "mwimule_wake";
/// How long to wait before trying again after the database went away.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What is said within this time goes out together.
const GATHER: Duration = Duration::from_millis(10);

fn to_text(event: &BusEvent) -> String {
    match event {
        BusEvent::Bucket { company, name } => format!("bucket {company} {name}"),
        BusEvent::Assigned { node, trip } => format!("assigned {node} {trip}"),
        BusEvent::Revoked(node) => format!("revoked {node}"),
        BusEvent::Came(node) => format!("came {node}"),
        BusEvent::Company(company) => format!("company {company}"),
        BusEvent::Standings => "standings".to_owned(),
        BusEvent::TokenKeys => "token-keys".to_owned(),
        BusEvent::Everything => "everything".to_owned(),
    }
}

fn from_text(text: &str) -> Option<BusEvent> {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    match kind {
        "bucket" => Some(BusEvent::Bucket {
            company: first.parse::<CompanyId>().ok()?,
            name: second.into(),
        }),
        "assigned" => Some(BusEvent::Assigned {
            node: first.parse::<NodeId>().ok()?,
            trip: second.parse::<TripId>().ok()?,
        }),
        "revoked" => first.parse::<NodeId>().ok().map(BusEvent::Revoked),
        "came" => first.parse::<NodeId>().ok().map(BusEvent::Came),
        "company" => first.parse::<CompanyId>().ok().map(BusEvent::Company),
        "standings" => Some(BusEvent::Standings),
        "token-keys" => Some(BusEvent::TokenKeys),
        "everything" => Some(BusEvent::Everything),
        _ => None,
    }
}

/// Takes what has been said and not been heard yet.
fn gather(heard: &mut broadcast::Receiver<BusEvent>, texts: &mut BTreeSet<String>) {
    loop {
        match heard.try_recv() {
            Ok(event) => drop(texts.insert(to_text(&event))),
            Err(TryRecvError::Lagged(_)) => drop(texts.insert(to_text(&BusEvent::Everything))),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn notify(db: &Db, texts: &BTreeSet<String>) -> Result<(), DbError> {
    let own = db.bus().id();
    let signed: Vec<String> = texts.iter().map(|t| format!("from {own} {t}")).collect();
    sqlx::query!(
        "SELECT pg_notify($1, w.text) FROM UNNEST($2::text[]) AS w(text)",
        CHANNEL,
        &signed
    )
    .fetch_all(db.pool())
    .await?;
    Ok(())
}

/// Passes on what this process told its own bus and nobody has passed on yet.
pub async fn pass_on(db: &Db, own: &mut broadcast::Receiver<BusEvent>) -> Result<(), DbError> {
    let mut texts = BTreeSet::new();
    gather(own, &mut texts);
    notify(db, &texts).await
}

/// Passes on whatever this process tells its own bus, for as long as it is polled.
pub async fn relay(db: &Db) {
    let mut own = db.bus().listen_own();
    loop {
        let first = match own.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => BusEvent::Everything,
            Err(RecvError::Closed) => return,
        };
        tokio::time::sleep(GATHER).await;
        let mut texts = BTreeSet::from([to_text(&first)]);
        gather(&mut own, &mut texts);
        while let Err(error) = notify(db, &texts).await {
            tracing::warn!(%error, "other processes were not woken; trying again");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Tells the bus of this process what others pass on, for as long as it is polled.
pub async fn listen(url: &str, bus: &Bus) {
    loop {
        if let Err(error) = listen_once(url, bus).await {
            tracing::warn!(%error, "not listening to other processes; trying again");
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn listen_once(url: &str, bus: &Bus) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    // Whatever was said before is not repeated.
    bus.heard(BusEvent::Everything);
    loop {
        let Some(notification) = listener.try_recv().await? else {
            // The connection was lost, and is there again.
            bus.heard(BusEvent::Everything);
            continue;
        };
        hear(notification.payload(), bus);
    }
}

fn hear(payload: &str, bus: &Bus) {
    let signed = payload
        .strip_prefix("from ")
        .and_then(|p| p.split_once(' '));
    let sender = signed.and_then(|(sender, _)| sender.parse::<Uuid>().ok());
    if sender == Some(bus.id()) {
        return;
    }
    if let Some(event) = signed.and_then(|(_, text)| from_text(text)) {
        bus.heard(event);
    } else {
        tracing::warn!(payload, "a wake-up of another version");
    }
}

/// Lets this process forget what others have changed, for as long as it is polled.
pub async fn obey(db: &Db, auth: &Auth) {
    let mut heard = db.bus().listen();
    loop {
        match heard.recv().await {
            Ok(BusEvent::Standings) => auth.clear_standings(),
            Ok(BusEvent::TokenKeys) => auth.forget_keys(),
            Ok(BusEvent::Company(company)) => db.catalog().forget_company(company),
            Ok(BusEvent::Everything) | Err(RecvError::Lagged(_)) => {
                auth.clear_standings();
                auth.forget_keys();
                db.catalog().forget_companies();
            }
            Ok(
                BusEvent::Bucket { .. }
                | BusEvent::Assigned { .. }
                | BusEvent::Revoked(_)
                | BusEvent::Came(_),
            ) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests;
