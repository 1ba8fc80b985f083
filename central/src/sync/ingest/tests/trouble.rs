//! Forks, crashes between storing and judging, and a database that refuses.

use domain::ids::NodeIncarnation;

use tokio::sync::mpsc;

use super::super::{IngestEvent, spawn_ingest};
use super::*;
use crate::sync::server::judge_everything_stored;

#[tokio::test]
async fn a_fork_is_kept_its_money_suspended_and_the_node_frozen() {
    let mut c = Counter::new(4).await;
    let opened = c.open_shift();
    let mut copy = c.node.clone();
    let sold = c.sell((1, 0, 4));
    c.deliver(vec![opened.clone(), sold]).await;
    // The copy sells the same seat, to somebody else, and then another one.
    copy.at = copy.at.plus_ms(60_000);
    let forked = copy.sell(1, &c.grant, &[(1, 0, 4)]);
    let longer = copy.sell(1, &c.grant, &[(2, 0, 4)]);
    let longest = copy.sell(1, &c.grant, &[(3, 0, 4)]);
    let mut ingest = c.node.ingest(&c.test.db);
    assert_eq!(
        deliver(&mut ingest, vec![forked, longer]).await.unwrap(),
        None
    );
    deliver(&mut ingest, vec![longest]).await.unwrap();

    assert_eq!(c.number("SELECT count(*) FROM fork_event").await, 3);
    assert_eq!(
        c.number("SELECT count(*) FROM fork_event WHERE NOT judged")
            .await,
        0
    );
    assert_eq!(c.number("SELECT count(*) FROM node WHERE frozen").await, 1);
    assert_eq!(c.number(LIVE).await, 1);
    assert_eq!(c.balance("suspense").await, -3 * FARE.0);
    assert_eq!(c.balance("deferred_revenue").await, -FARE.0);
    c.ledger_sums_to_zero().await;
    let refused = c.company.lease(&mut c.node, c.trip.id, (0, 4), 1).await;
    assert!(refused.is_err(), "a frozen node gets no new rights");
    let after = c.sell((4, 0, 4));
    let seq = after.envelope.seq;
    assert_quarantined(&c.deliver(vec![after]).await, seq, QuarantineReason::Forked);
}

#[tokio::test]
async fn a_fork_is_suspended_once_however_often_it_is_sent() {
    let mut c = Counter::new(4).await;
    let opened = c.open_shift();
    let mut copy = c.node.clone();
    let sold = c.sell((1, 0, 4));
    c.deliver(vec![opened, sold]).await;
    copy.at = copy.at.plus_ms(60_000);
    let forked = copy.sell(1, &c.grant, &[(2, 0, 4)]);
    for _ in 0..3 {
        let mut ingest = c.node.ingest(&c.test.db);
        deliver(&mut ingest, vec![forked.clone()]).await.unwrap();
    }
    assert_eq!(c.balance("suspense").await, -FARE.0);
    assert_eq!(c.number("SELECT count(*) FROM conflict_case").await, 1);
}

#[tokio::test]
async fn what_a_crash_left_unjudged_is_judged_by_the_next_process() {
    let mut c = Counter::new(4).await;
    let events = vec![c.open_shift(), c.sell((1, 0, 4)), c.sell((2, 0, 4))];
    let mut ingest = c.node.ingest(&c.test.db);
    ingest
        .store(NodeIncarnation(1), vec![events])
        .await
        .unwrap();
    drop(ingest);
    assert_eq!(c.number(LIVE).await, 0);
    judge_everything_stored(&c.test.db).await.unwrap();
    assert_eq!(c.number(LIVE).await, 2);
    assert_eq!(
        c.number("SELECT stored_seq - judged_seq FROM node_log")
            .await,
        0
    );
    assert_eq!(c.balance("agent_cash").await, 2 * FARE.0);
}

#[tokio::test]
async fn a_new_connection_tells_what_was_judged_for_one_that_is_gone() {
    let mut c = Counter::new(4).await;
    let events = vec![c.open_shift(), c.sell((1, 0, 4)), c.sell((1, 0, 4))];
    let doubled = events[2].envelope.seq;
    // The node was gone before it heard of this.
    let judged = c.deliver(events).await;
    assert_quarantined(&judged, doubled, QuarantineReason::SeatTaken);
    // Nothing more comes, so that an ingest with nothing to tell ends.
    let (_, to_ingest) = mpsc::channel(1);
    let (tell, mut told) = mpsc::channel(1);
    let context = c.node.context.clone();
    spawn_ingest(c.test.db.clone(), context, to_ingest, tell);
    assert_eq!(told.recv().await, Some(IngestEvent::Judged(judged)));
}

#[tokio::test]
async fn what_the_database_refuses_is_quarantined_alone_and_keeps_its_money() {
    let mut c = Counter::new(4).await;
    let opened = c.open_shift();
    let (before, refused, after) = (c.sell((1, 0, 4)), c.sell((2, 0, 4)), c.sell((3, 0, 4)));
    // A rule of the schema that the rules of the hub know nothing of.
    let mut owner = c.test.owner().await.unwrap();
    sqlx::query("ALTER TABLE ticket ADD CONSTRAINT nobody_on_2 CHECK (seat <> 2 OR state <> 0)")
        .execute(&mut owner)
        .await
        .unwrap();
    let seq = refused.envelope.seq;
    let judged = c.deliver(vec![opened, before, refused, after]).await;
    assert_quarantined(&judged, seq, QuarantineReason::Backstop);
    assert_eq!(c.number(LIVE).await, 2);
    assert_eq!(
        c.number("SELECT count(*) FROM ticket WHERE state = 2")
            .await,
        1
    );
    assert_eq!(c.balance("suspense").await, -FARE.0);
    assert_eq!(c.balance("agent_cash").await, 3 * FARE.0);
    assert_eq!(c.number("SELECT judged_seq FROM node_log").await, 4);
    let reason = "SELECT count(*) FROM event_verdict WHERE reason = 'backstop'";
    assert_eq!(c.number(reason).await, 1);
    c.ledger_sums_to_zero().await;
}

#[tokio::test]
async fn a_batch_sent_again_behind_a_fresh_one_is_a_duplicate_and_no_fork() {
    let mut c = Counter::new(4).await;
    let opened = c.open_shift();
    let first = c.sell((1, 0, 4));
    c.deliver(vec![opened.clone(), first.clone()]).await;
    let fresh = c.sell((2, 0, 4));
    let mut ingest = c.node.ingest(&c.test.db);
    let batches = vec![vec![fresh], vec![opened, first]];
    let outcomes = ingest.store(NodeIncarnation(1), batches).await.unwrap();
    assert!(outcomes.iter().all(|o| *o != StoreOutcome::NotStored));
    ingest.judge_all(NodeIncarnation(1)).await.unwrap();
    assert_eq!(c.number("SELECT count(*) FROM fork_event").await, 0);
    assert_eq!(c.number("SELECT count(*) FROM node WHERE frozen").await, 0);
    assert_eq!(c.number(LIVE).await, 2);
}
