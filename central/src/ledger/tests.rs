//! The ledger on a real database.

use domain::event::{EventBody, ShiftOpened};
use domain::ids::ShiftNo;
use domain::money::{Currency, Minor};
use domain::time::Instant;

use super::books::{AccountName, Adjustment, BooksError};
use super::*;
use crate::access::{Identity, Staff};
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

#[tokio::test]
async fn whoever_sold_earns_its_commission_at_the_departure() {
    let mut till = Till::new().await;
    let mut owner = till.test.owner().await.unwrap();
    sqlx::query(
        "INSERT INTO commission_rate (company_id, rate_id, seller_kind, seller, percent_bp)
         VALUES ($1, gen_random_uuid(), 'company', '', 500)",
    )
    .bind(till.company.id.0)
    .execute(&mut owner)
    .await
    .unwrap();
    till.sell(1).await;
    till.sell(2).await;
    let done = till.recognise(DEPARTS).await;
    assert_eq!(done.commission_minor, FARE.0 / 10);
    assert_eq!(till.balance("commission_expense").await, FARE.0 / 10);
    assert_eq!(till.balance("commission_payable").await, -FARE.0 / 10);
    let named =
        "SELECT count(*) FROM ledger_account a JOIN ledger_party p USING (company_id, party_id)
                 WHERE a.kind = 'commission_payable' AND p.kind = 'agent' AND p.name = 'Mutinta'";
    assert_eq!(till.test.number(named).await.unwrap(), 1);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn commission_follows_what_is_sold_and_given_back_after_the_departure() {
    let mut till = Till::new().await;
    let mut owner = till.test.owner().await.unwrap();
    sqlx::query(
        "INSERT INTO commission_rate (company_id, rate_id, seller_kind, seller, percent_bp)
         VALUES ($1, gen_random_uuid(), 'company', '', 500)",
    )
    .bind(till.company.id.0)
    .execute(&mut owner)
    .await
    .unwrap();
    let one = FARE.0 / 20;
    let first = till.sell(1).await;
    till.recognise(DEPARTS).await;
    assert_eq!(till.balance("commission_payable").await, -one);
    till.sell(2).await;
    till.sell(3).await;
    assert_eq!(till.balance("commission_payable").await, -3 * one);
    let void = till.node.log(&EventBody::Void(domain::event::VoidRecord {
        shift: ShiftNo(1),
        ticket: first,
        reason: domain::event::VoidReason::PassengerRequest,
    }));
    till.deliver(vec![void]).await;
    assert_eq!(till.balance("commission_payable").await, -2 * one);
    assert_eq!(till.balance("commission_expense").await, 2 * one);
    let taken = "SELECT count(*) FROM ledger_entry WHERE kind = 'reversal'";
    assert_eq!(till.test.number(taken).await.unwrap(), 1);
    till.recognise(DEPARTS).await;
    assert_eq!(till.balance("commission_expense").await, 2 * one);
    till.every_entry_sums_to_zero().await;
}

impl Till {
    pub(crate) fn staff(&self) -> Staff {
        Staff {
            company: self.company.id,
            identity: Identity::Person(Uuid::from_u128(7)),
        }
    }

    async fn adjust(&self, lines: &[(&str, i64)]) -> Result<Uuid, BooksError> {
        let mut tx = self.tx().await;
        let wish = Adjustment {
            currency: Currency::ZMW,
            business_date: "2026-09-20".parse().unwrap(),
            reason: "counted again".to_owned(),
            lines: lines
                .iter()
                .map(|(kind, amount)| (AccountName::Shared((*kind).to_owned()), *amount))
                .collect(),
        };
        let made = books::adjust(&mut tx, self.staff(), &wish, DEPARTS).await?;
        tx.commit().await?;
        Ok(made)
    }

    async fn reverse(&self, entry: Uuid) -> Result<Uuid, BooksError> {
        let mut tx = self.tx().await;
        let day = "2026-09-20".parse().unwrap();
        let made = books::reverse(&mut tx, self.staff(), entry, "wrong", day, DEPARTS).await?;
        tx.commit().await?;
        Ok(made)
    }

    pub(crate) async fn lock(&self, from: &str, to: &str) -> Result<i64, BooksError> {
        let span = (from.parse().unwrap(), to.parse().unwrap());
        let staff = self.staff();
        books::lock_period(&self.test.db, staff, span, "closed", DEPARTS).await
    }
}

#[tokio::test]
async fn an_entry_by_hand_is_taken_back_once_and_nothing_is_changed() {
    let till = Till::new().await;
    let made = till.adjust(&[("bank", 700), ("office_cash", -700)]).await;
    let made = made.unwrap();
    assert_eq!(till.balance("bank").await, 700);
    let back = till.reverse(made).await.unwrap();
    assert_eq!(till.balance("bank").await, 0);
    let again = till.reverse(made).await.unwrap_err();
    assert!(matches!(again, BooksError::AlreadyReversed(id) if id == made));
    till.reverse(back).await.unwrap();
    assert_eq!(till.balance("bank").await, 700);
    let crooked = till.adjust(&[("bank", 700), ("office_cash", -600)]).await;
    assert!(matches!(crooked.unwrap_err(), BooksError::Unbalanced(100)));
    let unknown = till.adjust(&[("bank", 700), ("pocket", -700)]).await;
    assert!(matches!(unknown.unwrap_err(), BooksError::NoSuchAccount(_)));
    let noted = "SELECT count(*) FROM audit_log WHERE action LIKE 'ledger.%'";
    assert_eq!(till.test.number(noted).await.unwrap(), 3);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn a_late_sale_of_a_locked_day_posts_in_the_first_open_one() {
    let mut till = Till::new().await;
    till.sell(1).await;
    // The counter's clock stands at 2026-09-21; DEPARTS is long after.
    till.lock("2026-09-01", "2026-09-30").await.unwrap();
    let again = till.lock("2026-09-30", "2026-10-01").await.unwrap_err();
    assert!(matches!(again, BooksError::LockedAlready));
    let future = till.lock("2096-10-01", "2096-12-31").await.unwrap_err();
    assert!(matches!(future, BooksError::NotOver(_)));
    till.sell(2).await;
    let kept = "SELECT count(*) FROM ledger_entry WHERE business_date < '2026-10-01'";
    assert_eq!(till.test.number(kept).await.unwrap(), 2);
    let moved = "SELECT count(*) FROM ledger_entry
                 WHERE business_date < '2026-10-01' AND posting_date >= '2026-10-01'";
    assert_eq!(till.test.number(moved).await.unwrap(), 1);
}

#[tokio::test]
async fn a_period_is_not_locked_while_an_entry_of_it_is_under_way() {
    let mut till = Till::new().await;
    let mut tx = till.tx().await;
    let wish = Adjustment {
        currency: Currency::ZMW,
        business_date: "2026-09-20".parse().unwrap(),
        reason: "under way".to_owned(),
        lines: vec![
            (AccountName::Shared("bank".to_owned()), 1),
            (AccountName::Shared("suspense".to_owned()), -1),
        ],
    };
    books::adjust(&mut tx, till.staff(), &wish, DEPARTS)
        .await
        .unwrap();
    let refused = till.lock("2026-09-01", "2026-09-30").await.unwrap_err();
    assert!(matches!(refused, BooksError::Busy), "{refused}");
    tx.commit().await.unwrap();
    till.lock("2026-09-01", "2026-09-30").await.unwrap();
    till.sell(1).await;
}
