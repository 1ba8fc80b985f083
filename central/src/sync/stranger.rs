//! A device with a certificate of this hub's that the hub does not know: heard once, and sent away.

use std::time::Duration;

use sync_protocol::{EdgeFrame, HubFrame};
use sync_transport::{CloseCode, Connection, SyncArrival};

use crate::clock;
use crate::db::{Db, DbError};
use crate::restore::{hear_stranger, hears_strangers};

/// How long it may take to say who it is.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// How long it may take to hear why it is sent away.
const LAST_WORD: Duration = Duration::from_secs(5);
const NOT_KNOWN: &str = "this hub does not know this device";
const AWAY: &str = "the hub's database is away: try again";

/// Refuses a device that is not enrolled. A hub that was restored hears first who it is: it may
/// have been enrolled after the backup.
pub(super) async fn turn_away(db: &Db, arrival: SyncArrival) {
    let node = arrival.node();
    match hears_strangers(db).await {
        Ok(true) => {}
        Ok(false) => return arrival.refuse(CloseCode::UnknownNode, NOT_KNOWN),
        Err(error) => {
            tracing::error!(%node, %error, "a stranger could not be looked up");
            return arrival.refuse(CloseCode::Busy, AWAY);
        }
    }
    let connection = match arrival.admit().await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::info!(%node, %error, "a stranger did not open its channels");
            return;
        }
    };
    let heard = tokio::time::timeout(FIRST_WORD, hear(db, &connection)).await;
    match heard {
        Ok(Some(Ok(why))) => {
            let refused = HubFrame::Refused(why);
            let said = connection.send(refused.channel(), refused.to_bytes()).await;
            if said.is_ok() {
                // The device closes once it has read that.
                let _ = tokio::time::timeout(LAST_WORD, connection.closed()).await;
            }
            connection.close(CloseCode::UnknownNode, NOT_KNOWN);
        }
        Ok(Some(Err(error))) => {
            tracing::error!(%node, %error, "a stranger was not noted");
            connection.close(CloseCode::Busy, AWAY);
        }
        Ok(None) | Err(_) => connection.close(CloseCode::UnknownNode, NOT_KNOWN),
    }
}

/// What a stranger is told for its hello; `None` where it says something else.
async fn hear(db: &Db, connection: &Connection) -> Option<Result<String, DbError>> {
    let node = connection.node()?;
    let (_, bytes) = connection.recv().await.ok()?;
    match EdgeFrame::from_bytes(&bytes) {
        Ok(EdgeFrame::Hello(hello)) => Some(hear_stranger(db, node, hello.me, clock::now()).await),
        Ok(_) | Err(_) => None,
    }
}
