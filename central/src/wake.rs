//! Wake-ups between processes that share a database: what a command changed, a running hub
//! hears of. Losing one costs time, never data.

use std::time::Duration;

use domain::ids::{CompanyId, NodeId, TripId};
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::db::{Db, DbError};
use crate::sync::bus::{Bus, BusEvent};

const CHANNEL: &str = "mwimule_wake";
/// How long to wait before listening again after the database went away.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

fn to_text(event: &BusEvent) -> String {
    match event {
        BusEvent::Bucket { company, name } => format!("bucket {company} {name}"),
        BusEvent::Assigned { node, trip } => format!("assigned {node} {trip}"),
        BusEvent::Revoked(node) => format!("revoked {node}"),
    }
}

fn from_text(text: &str) -> Option<BusEvent> {
    let (kind, rest) = text.split_once(' ')?;
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
        _ => None,
    }
}

/// Passes on what this process told its own bus.
pub async fn pass_on(db: &Db, heard: &mut broadcast::Receiver<BusEvent>) -> Result<(), DbError> {
    let mut texts = vec![];
    loop {
        match heard.try_recv() {
            Ok(event) => texts.push(to_text(&event)),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    sqlx::query!(
        "SELECT pg_notify($1, w.text) FROM UNNEST($2::text[]) AS w(text)",
        CHANNEL,
        &texts
    )
    .fetch_all(db.pool())
    .await?;
    Ok(())
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
    loop {
        let notification = listener.recv().await?;
        if let Some(event) = from_text(notification.payload()) {
            bus.tell(event);
        } else {
            let payload = notification.payload();
            tracing::warn!(payload, "a wake-up of a later version");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::testing::TestDb;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_command_tells_its_own_bus_a_running_hub_hears() {
        let test = TestDb::new().await.unwrap();
        let hub_bus = Bus::new();
        let mut hub_hears = hub_bus.listen();
        let url = test.url.clone();
        let listening = tokio::spawn(async move { listen(&url, &hub_bus).await });
        let mut command_hears = test.db.bus().listen();
        let event = BusEvent::Revoked(NodeId(Uuid::from_u128(4)));
        let deadline = Instant::now() + Duration::from_secs(20);
        // Told again until the hub has begun to listen.
        let heard = loop {
            test.db.bus().tell(event.clone());
            pass_on(&test.db, &mut command_hears).await.unwrap();
            let soon = Duration::from_millis(100);
            if let Ok(heard) = tokio::time::timeout(soon, hub_hears.recv()).await {
                break heard.unwrap();
            }
            assert!(Instant::now() < deadline, "the hub hears nothing");
        };
        assert_eq!(heard, event);
        listening.abort();
    }

    #[test]
    fn every_wake_up_survives_the_way() {
        let events = [
            BusEvent::Bucket {
                company: CompanyId(Uuid::from_u128(1)),
                name: "station:STOP WITH BLANK".into(),
            },
            BusEvent::Assigned {
                node: NodeId(Uuid::from_u128(2)),
                trip: TripId(3),
            },
            BusEvent::Revoked(NodeId(Uuid::from_u128(4))),
        ];
        for event in events {
            assert_eq!(from_text(&to_text(&event)), Some(event));
        }
        assert_eq!(from_text("party now"), None);
    }
}
