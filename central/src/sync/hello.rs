//! The answer to a greeting: how the node's logs go on, and which buckets it will get.

use domain::event::ChainHead;
use domain::ids::{HubIncarnation, NodeIncarnation, Seq};
use sync_protocol::frame::{Hello, PROTOCOL_VERSION, TAKES_POSITIONS, Welcome};
use sync_protocol::resume::{KnownLog, decide_resume};

use crate::clock;
use crate::db::{Backoff, Db, DbError};
use crate::nodes::{NodeContext, subscriptions};
use crate::restore;
use crate::sync::ingest::hash_of;
use crate::tenant::TenantTx;

/// Logs that a hello may name; a node keeps one per restore.
const LOGS_MAX: usize = 64;

/// Why a node is not welcome.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// More logs than any node has.
    #[error("the device names more than {LOGS_MAX} logs: call the office")]
    TooManyLogs,
    /// The database failed.
    #[error("the hub cannot reach its database just now: it will be tried again")]
    Db(#[from] DbError),
}

/// Decides how the logs of a hello go on, and keeps what it promises before it answers.
pub async fn greet(db: &Db, node: &NodeContext, hello: &Hello) -> Result<Welcome, HelloError> {
    if hello.logs.len() > LOGS_MAX {
        return Err(HelloError::TooManyLogs);
    }
    let mut backoff = Backoff::new();
    loop {
        match greet_once(db, node, hello).await {
            Err(error) if backoff.again(&error).await => {}
            done => return Ok(done?),
        }
    }
}

async fn greet_once(db: &Db, node: &NodeContext, hello: &Hello) -> Result<Welcome, DbError> {
    let now = clock::now();
    let mut tx = db.tenant(node.company).await?;
    let mut known = Vec::with_capacity(hello.logs.len());
    for log in &hello.logs {
        known.push(known_log(&mut tx, node, &ChainHead::from(*log)).await?);
    }
    let row = sqlx::query!(
        "SELECT n.highest_incarnation, h.incarnation AS hub_incarnation FROM node n, hub h
         WHERE n.company_id = $1 AND n.node_id = $2 FOR UPDATE OF n",
        node.company.0,
        node.node.0
    )
    .fetch_one(tx.conn())
    .await?;
    let highest = NodeIncarnation(row.highest_incarnation as u32);
    if hello.hub().0 > row.hub_incarnation as u32 {
        tracing::error!(
            node = %node.node, met = %hello.hub(), is = row.hub_incarnation,
            "a device has met a later installation of the hub and refuses this one: stop this copy \
             of the hub, or, where it is the one to stay, run `mwimule-hub renew --after` with the \
             number that it has met"
        );
    }
    let hub = HubIncarnation(row.hub_incarnation as u32);
    let resume = decide_resume(hello, &known, highest, hub);
    let running = hello.logs.last();
    let begun = resume.begin.or(running.map(|l| l.incarnation));
    sqlx::query!(
        "UPDATE node SET highest_incarnation = GREATEST(highest_incarnation, $3),
             frozen = frozen OR $4, last_contact_ms = $5, told_last_seq = $6
         WHERE company_id = $1 AND node_id = $2",
        node.company.0,
        node.node.0,
        begun.map_or(0, |i| i.0 as i32),
        resume.forked,
        now.0,
        running.map_or(0, |l| l.seq.0 as i64)
    )
    .execute(tx.conn())
    .await?;
    let tell_grants =
        hub.is_restored() && restore::note_greeting(&mut tx, node.node, resume.doubtful).await?;
    let buckets = subscriptions(&mut tx, node, now).await?;
    tx.commit().await?;
    if resume.forked {
        tracing::error!(node = %node.node, "the device's log differs from what is stored of it");
    }
    Ok(Welcome {
        version: PROTOCOL_VERSION,
        hub_incarnation: hub,
        now,
        stored: resume.stored,
        begin: resume.begin,
        buckets,
        tell_grants,
        takes: Some(TAKES_POSITIONS),
    })
}

async fn known_log(
    tx: &mut TenantTx,
    node: &NodeContext,
    told: &ChainHead,
) -> Result<KnownLog, DbError> {
    let row = sqlx::query!(
        r#"SELECT l.stored_seq AS "stored_seq?", l.stored_hash AS "stored_hash?", e.hash AS "hash?",
                  EXISTS (SELECT FROM fork_event f
                          WHERE f.company_id = $1 AND f.node_id = $2 AND f.incarnation = $3
                            AND f.seq = $4 AND f.hash = $5) AS "fork_stored!"
           FROM (SELECT 1) AS one
           LEFT JOIN node_log l ON l.company_id = $1 AND l.node_id = $2 AND l.incarnation = $3
           LEFT JOIN event e ON e.company_id = $1 AND e.node_id = $2 AND e.incarnation = $3
                            AND e.seq = $4"#,
        node.company.0,
        node.node.0,
        told.incarnation.0 as i32,
        told.seq.0 as i64,
        &told.hash.0[..]
    )
    .fetch_one(tx.conn())
    .await?;
    let mut head = ChainHead::empty(told.incarnation);
    if let (Some(seq), Some(hash)) = (row.stored_seq, &row.stored_hash) {
        head.seq = Seq(seq as u64);
        head.hash = hash_of(hash)?;
    }
    Ok(KnownLog {
        head,
        hash_at_hello: row.hash.as_deref().map(hash_of).transpose()?,
        fork_stored: row.fork_stored,
    })
}
