//! The ledger on a real database.

use domain::event::{EventBody, ShiftOpened};
use domain::ids::ShiftNo;
use domain::money::{Currency, Minor};
use domain::time::Instant;

use super::*;
use crate::testing::{DEPARTS, FARE, TestCompany, TestDb, TestNode, deliver};

/// A counter with an open shift and some seats.
pub(crate) struct Till {
    pub test: TestDb,
    pub company: TestCompany,
    pub trip: domain::trip::Trip,
    pub node: TestNode,
    pub grant: domain::lease::Grant,
}

impl Till {
    pub(crate) async fn new() -> Self {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let trip = company.trip("1", 4, 10).await.unwrap();
        let mut node = company.station(0).await.unwrap();
        let grant = company.lease(&mut node, trip.id, (0, 4), 8).await.unwrap();
        let mut till = Self {
            test,
            company,
            trip,
            node,
            grant,
        };
        let opened = till.node.log(&EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(1),
            agent: "Mutinta".to_owned(),
            float_minor: Minor(5_000),
            currency: Currency::ZMW,
        }));
        till.deliver(vec![opened]).await;
        till
    }

    pub(crate) async fn deliver(&self, events: Vec<domain::event::SignedEvent>) {
        let mut ingest = self.node.ingest(&self.test.db);
        deliver(&mut ingest, events).await.unwrap();
    }

    /// Sells a seat for the whole way and delivers it.
    pub(crate) async fn sell(&mut self, seat: u16) -> domain::ids::TicketId {
        let sold = self.node.sell(1, &self.grant, &[(seat, 0, 4)]);
        let ticket = TestNode::ticket_of(&sold, self.trip.id, seat);
        self.deliver(vec![sold]).await;
        ticket
    }

    pub(crate) async fn tx(&self) -> TenantTx {
        self.test.db.tenant(self.company.id).await.unwrap()
    }

    pub(crate) async fn recognise(&self, now: Instant) -> Recognised {
        let mut tx = self.tx().await;
        let done = recognise(&mut tx, self.trip.id, now).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    pub(crate) async fn balance(&self, kind: &str) -> i64 {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query_scalar(
            "SELECT coalesce(sum(amount_minor), 0)::bigint FROM ledger_posting
             JOIN ledger_account USING (company_id, account_id)
             WHERE ledger_account.kind = $1",
        )
        .bind(kind)
        .fetch_one(&mut owner)
        .await
        .unwrap()
    }

    pub(crate) async fn every_entry_sums_to_zero(&self) {
        let crooked = "SELECT count(*) FROM (SELECT 1 FROM ledger_posting
                       GROUP BY company_id, entry_id HAVING sum(amount_minor) <> 0) AS x";
        assert_eq!(self.test.number(crooked).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_is_owed_is_earned_once_when_the_trip_departs() {
    let mut till = Till::new().await;
    till.sell(1).await;
    till.sell(2).await;
    let first = till.recognise(DEPARTS).await;
    assert_eq!(
        (first.tickets, first.revenue_minor),
        (2, 2 * FARE.0),
        "{first:?}"
    );
    assert_eq!(till.recognise(DEPARTS).await, Recognised::default());
    assert_eq!(till.balance("deferred_revenue").await, 0);
    assert_eq!(till.balance("revenue").await, -2 * FARE.0);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn what_is_sold_and_voided_after_the_departure_is_revenue_at_once() {
    let mut till = Till::new().await;
    till.sell(1).await;
    till.recognise(DEPARTS).await;
    let late = till.sell(2).await;
    assert_eq!(till.balance("deferred_revenue").await, 0);
    assert_eq!(till.balance("revenue").await, -2 * FARE.0);
    let void = till.node.log(&EventBody::Void(domain::event::VoidRecord {
        shift: ShiftNo(1),
        ticket: late,
        reason: domain::event::VoidReason::PassengerRequest,
    }));
    till.deliver(vec![void]).await;
    assert_eq!(till.balance("revenue").await, -FARE.0);
    assert_eq!(till.balance("deferred_revenue").await, 0);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn a_sale_that_raced_with_the_departure_is_earned_by_the_next_run() {
    let mut till = Till::new().await;
    till.recognise(DEPARTS).await;
    // As if the sale had been judged before it could see the departure.
    let mut owner = till.test.owner().await.unwrap();
    let hide = "UPDATE ledger_recognition SET trip_id = -trip_id";
    sqlx::query(hide).execute(&mut owner).await.unwrap();
    till.sell(1).await;
    sqlx::query(hide).execute(&mut owner).await.unwrap();
    let mut tx = till.tx().await;
    assert_eq!(
        straggling_trips(&mut tx, DEPARTS).await.unwrap(),
        [till.trip.id]
    );
    tx.rollback().await.unwrap();
    assert_eq!(till.recognise(DEPARTS).await.tickets, 1);
    let mut tx = till.tx().await;
    assert!(straggling_trips(&mut tx, DEPARTS).await.unwrap().is_empty());
    assert_eq!(till.balance("revenue").await, -FARE.0);
}
