//! What happens to seats: sold outside a lease, voided, surrendered, blocked, freed.

use domain::lease::GrantRefusal;
use sync_protocol::BucketId;

use super::*;
use crate::nodes::assignment::assign_onboard;
use crate::sync::buckets::on_bucket_ack;

#[tokio::test]
async fn a_sale_outside_the_lease_is_disputed_and_its_money_stands_in_suspense() {
    let mut c = Counter::new(2).await;
    let opened = c.open_shift();
    let outside = c.sell((9, 0, 4));
    let seq = outside.envelope.seq;
    let judged = c.deliver(vec![opened, outside]).await;
    assert_quarantined(&judged, seq, QuarantineReason::OutsideLease);
    assert_eq!(c.number(LIVE).await, 0);
    assert_eq!(
        c.number("SELECT count(*) FROM ticket WHERE state = 2")
            .await,
        1
    );
    assert_eq!(c.number("SELECT count(*) FROM conflict_case").await, 1);
    assert_eq!(c.balance("suspense").await, -FARE.0);
    c.ledger_sums_to_zero().await;
}

#[tokio::test]
async fn a_seat_sold_twice_by_its_holder_has_one_live_ticket_and_a_case_against_it() {
    let mut c = Counter::new(2).await;
    let events = vec![c.open_shift(), c.sell((1, 0, 2))];
    c.deliver(events).await;
    let twice = c.sell((1, 0, 4));
    let seq = twice.envelope.seq;
    assert_quarantined(
        &c.deliver(vec![twice]).await,
        seq,
        QuarantineReason::SeatTaken,
    );
    let against = "SELECT count(*) FROM conflict_case WHERE cardinality(against) = 1";
    assert_eq!(c.number(against).await, 1);
}

#[tokio::test]
async fn a_surrendered_lease_returns_what_was_not_sold() {
    let mut c = Counter::new(10).await;
    let events = vec![c.open_shift(), c.sell((1, 0, 2)), c.surrender()];
    c.deliver(events).await;
    assert_eq!(c.number("SELECT count(*) FROM claim").await, 0);
    let mut other = c.company.station(2).await.unwrap();
    let grant = c
        .company
        .lease(&mut other, c.trip.id, (2, 4), 10)
        .await
        .unwrap();
    assert_eq!(
        grant.claims.len(),
        10,
        "the tail of the sold seat is free too"
    );
    let mut third = c.company.station(1).await.unwrap();
    let refused = c
        .company
        .lease(&mut third, c.trip.id, (0, 2), 10)
        .await
        .unwrap();
    assert_eq!(refused.claims.len(), 9, "the sold legs are not");
}

#[tokio::test]
async fn a_voided_seat_waits_for_the_validator_before_another_node_gets_it() {
    let mut c = Counter::new(10).await;
    let bus = c.company.onboard(1).await.unwrap();
    let (db, company) = (c.test.db.clone(), c.company.id);
    assign_onboard(&db, &c.company.keys, company, c.trip.id, bus.id())
        .await
        .unwrap();
    let sold = c.sell_first().await;
    let ticket = TestNode::ticket_of(&sold, c.trip.id, 1);
    let events = vec![c.void(ticket), c.surrender()];
    c.deliver(events).await;
    let mut other = c.company.station(1).await.unwrap();
    let grant = c
        .company
        .lease(&mut other, c.trip.id, (0, 4), 10)
        .await
        .unwrap();
    assert_eq!(grant.claims.len(), 9);
    let bucket = BucketId::Trip(c.trip.id);
    let change = c
        .number("SELECT max(change_no) FROM ticket WHERE state = 1")
        .await as u64;
    on_bucket_ack(&db, company, bus.id(), &bucket, change - 1)
        .await
        .unwrap();
    let dry = c
        .company
        .lease(&mut other, c.trip.id, (0, 4), 1)
        .await
        .unwrap_err();
    assert_eq!(dry.downcast_ref(), Some(&GrantRefusal::SoldOut));
    on_bucket_ack(&db, company, other.id(), &bucket, change)
        .await
        .unwrap();
    assert!(
        c.company
            .lease(&mut other, c.trip.id, (0, 4), 1)
            .await
            .is_err()
    );
    on_bucket_ack(&db, company, bus.id(), &bucket, change)
        .await
        .unwrap();
    let freed = c
        .company
        .lease(&mut other, c.trip.id, (0, 4), 1)
        .await
        .unwrap();
    assert_eq!(freed.claims[0].seat.0, 1);
}

#[tokio::test]
async fn a_void_the_validator_has_heard_of_blocks_nothing() {
    let mut c = Counter::new(10).await;
    let bus = c.company.onboard(1).await.unwrap();
    let (db, company) = (c.test.db.clone(), c.company.id);
    assign_onboard(&db, &c.company.keys, company, c.trip.id, bus.id())
        .await
        .unwrap();
    let sold = c.sell_first().await;
    let void = c.void(TestNode::ticket_of(&sold, c.trip.id, 1));
    c.deliver(vec![void]).await;
    let bucket = BucketId::Trip(c.trip.id);
    on_bucket_ack(&db, company, bus.id(), &bucket, 1_000)
        .await
        .unwrap();
    let surrender = c.surrender();
    c.deliver(vec![surrender]).await;
    assert_eq!(c.number("SELECT count(*) FROM claim").await, 0);
}

#[tokio::test]
async fn a_void_after_the_surrender_blocks_the_seat_too() {
    let mut c = Counter::new(10).await;
    let sold = c.sell_first().await;
    let surrender = c.surrender();
    c.deliver(vec![surrender]).await;
    assert_eq!(c.number("SELECT count(*) FROM claim").await, 0);
    let void = c.void(TestNode::ticket_of(&sold, c.trip.id, 1));
    c.deliver(vec![void]).await;
    assert_eq!(
        c.number("SELECT count(*) FROM claim WHERE kind = 'block'")
            .await,
        1
    );
    assert_eq!(c.balance("agent_cash").await, 0);
    c.ledger_sums_to_zero().await;
}

#[tokio::test]
async fn a_seat_sold_voided_and_sold_again_in_one_batch_has_its_last_passenger() {
    let mut c = Counter::new(2).await;
    let opened = c.open_shift();
    let first = c.sell((1, 0, 4));
    let void = c.void(TestNode::ticket_of(&first, c.trip.id, 1));
    let second = c.sell((1, 0, 4));
    let judged = c.deliver(vec![opened, first, void, second]).await;
    assert_eq!(judged.exceptions, []);
    assert_eq!(c.number(LIVE).await, 1);
    assert_eq!(c.number("SELECT count(*) FROM ticket").await, 2);
    assert_eq!(c.balance("agent_cash").await, FARE.0);
}

impl Counter {
    /// Opens the shift and sells seat 1 for the whole way.
    async fn sell_first(&mut self) -> SignedEvent {
        let (opened, sold) = (self.open_shift(), self.sell((1, 0, 4)));
        self.deliver(vec![opened, sold.clone()]).await;
        sold
    }
}
