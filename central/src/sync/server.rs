//! The hub's sync server: lets nodes in, one connection each, and devices enrol.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::{CompanyId, NodeId, NodeIncarnation};
use sync_transport::{Arrival, CloseCode, EnrolmentArrival, HubEndpoint, HubIdentity, SyncArrival};
use tokio::sync::oneshot;

use super::bus::BusEvent;
use super::connection;
use super::ingest::Ingest;
use super::stranger;
use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::nodes::enrolment::Desk;
use crate::nodes::load_node;
use crate::tracking::Tracker;

/// How long peers get to hear that the hub is going, in ms.
const GOODBYE_MS: u64 = 500;

/// What every connection works with.
#[derive(Debug)]
pub struct Hub {
    /// The truth.
    pub db: Db,
    /// What it signs with.
    pub keys: HubKeys,
    /// Its certificate authority.
    pub identity: HubIdentity,
    /// Where buses are.
    pub tracking: Tracker,
    /// The running connection of each node, with its number.
    running: Mutex<HashMap<NodeId, (u64, oneshot::Sender<()>)>>,
}

impl Hub {
    /// A hub without connections.
    pub fn new(db: Db, keys: HubKeys, identity: HubIdentity) -> Arc<Self> {
        let tracking = Tracker::new(db.clone());
        Self::tracked(db, keys, identity, tracking)
    }

    /// The same, whose nodes' positions go where the API shows them from.
    pub fn tracked(db: Db, keys: HubKeys, identity: HubIdentity, tracking: Tracker) -> Arc<Self> {
        Arc::new(Self {
            db,
            keys,
            identity,
            tracking,
            running: Mutex::new(HashMap::new()),
        })
    }

    /// The nodes that are connected to this process.
    pub fn connected(&self) -> Vec<NodeId> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.keys().copied().collect()
    }
}

/// Serves until `stop` resolves; then tells the peers that it goes.
pub async fn serve(hub: Arc<Hub>, endpoint: HubEndpoint, stop: impl Future<Output = ()>) {
    let desk = Arc::new(Desk::new(Arc::clone(&hub)));
    let backlog = tokio::spawn(judge_backlog(Arc::clone(&hub)));
    tokio::pin!(stop);
    let mut number = 0;
    loop {
        let arrival = tokio::select! {
            () = &mut stop => break,
            arrival = endpoint.accept() => arrival,
        };
        match arrival {
            Some(Arrival::Sync(arrival)) => {
                number += 1;
                tokio::spawn(let_in(Arc::clone(&hub), arrival, number));
            }
            Some(Arrival::Enrolment(arrival)) => {
                tokio::spawn(enrol(Arc::clone(&desk), arrival));
            }
            None => break,
        }
    }
    backlog.abort();
    endpoint.shut_down(Duration::from_millis(GOODBYE_MS)).await;
}

async fn enrol(desk: Arc<Desk>, arrival: EnrolmentArrival) {
    let from = arrival.remote_address();
    if let Err(error) = arrival.serve(&*desk).await {
        tracing::warn!(%from, %error, "an enrolment was not finished");
    }
}

async fn let_in(hub: Arc<Hub>, arrival: SyncArrival, number: u64) {
    let id = arrival.node();
    let node = match load_node(&hub.db, id).await {
        Ok(Some(node)) if node.revoked => {
            return arrival.refuse(
                CloseCode::Revoked,
                "this device was revoked: call the office",
            );
        }
        Ok(Some(node)) if node.event_key.is_some() => node,
        Ok(_) => return stranger::turn_away(&hub.db, arrival).await,
        Err(error) => {
            tracing::error!(node = %id, %error, "a device could not be looked up");
            return arrival.refuse(CloseCode::Busy, "the hub's database is away: try again");
        }
    };
    let connection = match arrival.admit().await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::info!(node = %id, %error, "a device did not open its channels");
            return;
        }
    };
    tracing::info!(node = %id, name = node.name, "a device has come");
    let (supersede, superseded) = oneshot::channel();
    // A node that comes again has lost its first connection, whether or not that knows it yet.
    let earlier = {
        let mut running = hub.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(id, (number, supersede))
    };
    // It may have lost a connection to another process too.
    hub.db.bus().tell_others(BusEvent::Came(id));
    let _counted = hub.db.metrics().session();
    if let Some((_, earlier)) = earlier {
        // An error says that it has ended by itself.
        let _ = earlier.send(());
    }
    connection::run(Arc::clone(&hub), node, connection, superseded).await;
    let mut running = hub.running.lock().unwrap_or_else(PoisonError::into_inner);
    if running
        .get(&id)
        .is_some_and(|(latest, _)| *latest == number)
    {
        running.remove(&id);
    }
}

async fn judge_backlog(hub: Arc<Hub>) {
    if let Err(error) = judge_everything_stored(&hub.db).await {
        tracing::error!(%error, "what was stored and not judged waits for its device to come");
    }
}

/// Judges what a crash left stored and unjudged, of every company.
pub async fn judge_everything_stored(db: &Db) -> Result<(), DbError> {
    let companies = sqlx::query_scalar!(r#"SELECT all_companies() AS "id!""#)
        .fetch_all(db.pool())
        .await?;
    for company in companies.into_iter().map(CompanyId) {
        judge_stored(db, company).await?;
    }
    Ok(())
}

/// Judges what is stored and unjudged of one company; whether any log came further.
pub(crate) async fn judge_stored(db: &Db, company: CompanyId) -> Result<bool, DbError> {
    let mut further = false;
    for (node, incarnation) in unjudged_logs(db, company).await? {
        if let Some(context) = load_node(db, node).await? {
            let mut ingest = Ingest::new(db.clone(), context);
            further |= ingest.judge_all(incarnation).await?.is_some();
        }
    }
    Ok(further)
}

async fn unjudged_logs(
    db: &Db,
    company: CompanyId,
) -> Result<Vec<(NodeId, NodeIncarnation)>, DbError> {
    let mut tx = db.tenant(company).await?;
    let rows = sqlx::query!(
        "SELECT node_id, incarnation FROM node_log l
         WHERE company_id = $1
           AND (judged_seq < stored_seq
                OR EXISTS (SELECT FROM fork_event f
                           WHERE f.company_id = l.company_id AND f.node_id = l.node_id
                             AND f.incarnation = l.incarnation AND NOT f.judged))",
        company.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (NodeId(r.node_id), NodeIncarnation(r.incarnation as u32)))
        .collect())
}
