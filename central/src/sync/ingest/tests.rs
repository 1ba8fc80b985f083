//! Ingest on a real database: what is stored, what follows, what is kept for a person.

mod rights;
mod trouble;

use domain::event::{
    EventBody, LeaseSurrendered, ShiftClosed, ShiftOpened, SignedEvent, VoidReason, VoidRecord,
};
use domain::ids::{Seq, ShiftNo, TicketId};
use domain::ingest::{QuarantineReason, Verdict};
use domain::lease::Grant;
use domain::money::{Currency, Minor};
use sync_protocol::frame::{SeqVerdict, StoredMark};

use super::{Judged, StoreOutcome};
use crate::testing::{FARE, TestCompany, TestDb, TestNode, deliver};

/// A company with a trip of ten seats and four legs, and a station that holds some of them.
struct Counter {
    test: TestDb,
    company: TestCompany,
    trip: domain::trip::Trip,
    node: TestNode,
    grant: Grant,
}

impl Counter {
    async fn new(seats: u16) -> Self {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let trip = company.trip("1", 4, 10).await.unwrap();
        let mut node = company.station(0).await.unwrap();
        let grant = company
            .lease(&mut node, trip.id, (0, 4), seats)
            .await
            .unwrap();
        Self {
            test,
            company,
            trip,
            node,
            grant,
        }
    }

    fn open_shift(&mut self) -> SignedEvent {
        self.node.log(&EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(1),
            agent: "Mutinta".to_owned(),
            float_minor: Minor(5_000),
            currency: Currency::ZMW,
        }))
    }

    fn sell(&mut self, journey: crate::testing::Journey) -> SignedEvent {
        self.node.sell(1, &self.grant, &[journey])
    }

    fn void(&mut self, ticket: TicketId) -> SignedEvent {
        self.node.log(&EventBody::Void(VoidRecord {
            shift: ShiftNo(1),
            ticket,
            reason: VoidReason::PassengerRequest,
        }))
    }

    fn surrender(&mut self) -> SignedEvent {
        let last_seq = self.node.head.seq;
        self.node
            .log(&EventBody::LeaseSurrendered(LeaseSurrendered {
                trip: self.grant.trip,
                lease_no: self.grant.lease_no,
                epoch: self.grant.epoch,
                last_seq,
            }))
    }

    fn close_shift(&mut self, declared: i64) -> SignedEvent {
        self.node.log(&EventBody::ShiftClosed(ShiftClosed {
            shift: ShiftNo(1),
            declared_minor: Minor(declared),
            expected_minor: Minor(0),
        }))
    }

    async fn deliver(&self, events: Vec<SignedEvent>) -> Judged {
        let mut ingest = self.node.ingest(&self.test.db);
        deliver(&mut ingest, events).await.unwrap().unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.test.number(sql).await.unwrap()
    }

    /// What one kind of account holds, in ngwee.
    async fn balance(&self, kind: &str) -> i64 {
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

    async fn ledger_sums_to_zero(&self) {
        let sum = "SELECT coalesce(sum(amount_minor), 0)::bigint FROM ledger_posting";
        assert_eq!(self.number(sum).await, 0);
    }
}

const LIVE: &str = "SELECT count(*) FROM ticket WHERE state = 0";

#[track_caller]
fn assert_quarantined(judged: &Judged, seq: Seq, reason: QuarantineReason) {
    let verdict = Verdict::Quarantined(reason);
    assert_eq!(judged.exceptions, [SeqVerdict { seq, verdict }]);
}

#[tokio::test]
async fn a_sale_becomes_tickets_and_money_and_a_change_of_the_manifest() {
    let mut c = Counter::new(4).await;
    let opened = c.open_shift();
    let party = c.node.sell(1, &c.grant, &[(1, 0, 4), (2, 0, 2)]);
    let mark = StoredMark {
        incarnation: party.envelope.incarnation,
        through: Seq(2),
    };
    let judged = c.deliver(vec![opened, party]).await;
    assert_eq!((judged.mark, judged.exceptions.len()), (mark, 0));
    assert_eq!(c.number(LIVE).await, 2);
    assert_eq!(c.balance("agent_cash").await, 2 * FARE.0);
    assert_eq!(c.balance("deferred_revenue").await, -2 * FARE.0);
    assert_eq!(c.number("SELECT cash_minor FROM shift").await, 2 * FARE.0);
    // One grant, two keys, two tickets.
    assert_eq!(
        c.number("SELECT last_change FROM bucket WHERE name LIKE 'trip:%'")
            .await,
        5
    );
    c.ledger_sums_to_zero().await;
}

#[tokio::test]
async fn what_is_sent_twice_counts_once() {
    let mut c = Counter::new(4).await;
    let events = vec![c.open_shift(), c.sell((1, 0, 4)), c.sell((2, 0, 4))];
    c.deliver(events[..2].to_vec()).await;
    c.deliver(events.clone()).await;
    let mut ingest = c.node.ingest(&c.test.db);
    assert_eq!(deliver(&mut ingest, events).await.unwrap(), None);
    assert_eq!(c.number(LIVE).await, 2);
    assert_eq!(c.number("SELECT count(*) FROM event").await, 3);
    assert_eq!(c.number("SELECT count(*) FROM ledger_entry").await, 2);
}

#[tokio::test]
async fn a_batch_after_a_gap_is_not_stored_and_the_cursor_stands() {
    let mut c = Counter::new(4).await;
    let (opened, missing) = (c.open_shift(), c.sell((1, 0, 4)));
    let later = c.sell((2, 0, 4));
    c.deliver(vec![opened.clone()]).await;
    let mut ingest = c.node.ingest(&c.test.db);
    let incarnation = opened.envelope.incarnation;
    let outcomes = ingest
        .store(incarnation, vec![vec![later.clone()]])
        .await
        .unwrap();
    assert_eq!(outcomes, [StoreOutcome::NotStored]);
    assert_eq!(c.number("SELECT stored_seq FROM node_log").await, 1);
    c.deliver(vec![missing, later]).await;
    assert_eq!(c.number(LIVE).await, 2);
}

#[tokio::test]
async fn an_installation_the_hub_never_began_is_not_stored() {
    let mut c = Counter::new(4).await;
    c.node.head.incarnation = domain::ids::NodeIncarnation(7);
    let opened = c.open_shift();
    let mut ingest = c.node.ingest(&c.test.db);
    let outcomes = ingest
        .store(c.node.head.incarnation, vec![vec![opened]])
        .await
        .unwrap();
    assert_eq!(outcomes, [StoreOutcome::NotStored]);
}

#[tokio::test]
async fn a_closed_shift_empties_its_drawer_and_names_what_is_missing() {
    let mut c = Counter::new(4).await;
    let opened = c.open_shift();
    let sold = c.sell((1, 0, 4));
    c.deliver(vec![opened, sold]).await;
    // The float of 50.00 and the fare should be there; 2.00 are not.
    let closed = c.close_shift(5_000 + FARE.0 - 200);
    c.deliver(vec![closed]).await;
    assert_eq!(c.balance("agent_cash").await, 0);
    assert_eq!(c.balance("vault").await, FARE.0 - 200);
    assert_eq!(c.balance("cash_over_short").await, 200);
    assert_eq!(
        c.number("SELECT expected_minor FROM shift").await,
        5_000 + FARE.0
    );
    c.ledger_sums_to_zero().await;
    let late = c.sell((2, 0, 4));
    let seq = late.envelope.seq;
    assert_quarantined(
        &c.deliver(vec![late]).await,
        seq,
        QuarantineReason::ShiftNotOpen,
    );
    assert_eq!(c.balance("suspense").await, -FARE.0);
}

#[test]
fn what_waits_in_memory_is_bounded_and_what_follows_a_gap_begins_anew() {
    let event = |seq: usize| SignedEvent {
        envelope: domain::event::Envelope {
            node: domain::ids::NodeId(uuid::Uuid::nil()),
            incarnation: domain::ids::NodeIncarnation(1),
            seq: Seq(seq as u64),
            prev: domain::ids::EventHash::GENESIS,
            at: domain::time::Instant(0),
            personal: None,
            body: vec![],
        },
        hash: domain::ids::EventHash::GENESIS,
        signature: [0; 64],
        personal: None,
    };
    let mut queue = std::collections::VecDeque::new();
    for seq in 1..=super::PENDING_MAX + 10 {
        super::append(&mut queue, event(seq));
    }
    assert_eq!(queue.len(), super::PENDING_MAX);
    queue.pop_front();
    super::append(&mut queue, event(super::PENDING_MAX + 11));
    let left: Vec<u64> = queue.iter().map(|e| e.envelope.seq.0).collect();
    assert_eq!(left, [super::PENDING_MAX as u64 + 11]);
}
