//! Cases, shifts and settlements on a real database.

mod routes;

use domain::event::{EventBody, ScanRecord, ShiftClosed};
use domain::ids::{NodeId, ShiftNo, TicketId};
use domain::money::Minor;
use domain::time::Instant;

use super::cases::{self, CaseError, Decision};
use super::rules::Consequence;
use super::settlements::{self, SettlementError, Wish};
use super::shifts;
use crate::access::{Identity, Staff};
use crate::http::Api;
use crate::ledger::fiscal::{self, SignedLines};
use crate::ledger::tests::Till;
use crate::testing::{DEPARTS, FARE, TestNode};
use crate::vault::Vault;

const CLOSED: Instant = Instant(1_790_000_100_000);

impl Till {
    fn close_shift(&mut self, declared: i64) -> domain::event::SignedEvent {
        self.node.log(&EventBody::ShiftClosed(ShiftClosed {
            shift: ShiftNo(1),
            declared_minor: Minor(declared),
            expected_minor: Minor(0),
        }))
    }

    async fn reports(&self) -> Vec<shifts::NumberedReport> {
        let mut tx = self.tx().await;
        let node = self.node.id();
        let reports = shifts::numbered(&mut tx, node, ShiftNo(1), CLOSED)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        reports
    }

    /// The same seat sold twice by one counter; gives both tickets and the case.
    async fn double_sale(&mut self) -> (TicketId, TicketId, i64) {
        let first = self.sell(1).await;
        let second = self.sell(1).await;
        let number = "SELECT max(case_id) FROM conflict_case";
        (first, second, self.test.number(number).await.unwrap())
    }

    async fn decide(
        &self,
        case: i64,
        winner: Option<TicketId>,
        consequence: Consequence,
    ) -> Result<(), CaseError> {
        let mut tx = self.tx().await;
        let decision = Decision {
            winner,
            consequence,
            trip: None,
            reason: "seen on the camera".to_owned(),
        };
        let keys = self.company.keys.clone();
        let api = Api::new(self.test.db.clone(), keys, Vault::from_bytes([9; 32]));
        cases::decide(&mut tx, &api, self.staff(), case, &decision, CLOSED).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn live(&self) -> Vec<uuid::Uuid> {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query_scalar("SELECT ticket_id FROM ticket WHERE state = 0 ORDER BY ticket_id")
            .fetch_all(&mut owner)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_closed_shift_has_one_z_report_and_an_addendum_for_what_comes_late() {
    let mut till = Till::new().await;
    till.sell(1).await;
    let closed = till.close_shift(5_000 + FARE.0 - 100);
    till.deliver(vec![closed]).await;
    let z = till.reports().await;
    assert_eq!(z.len(), 1, "{z:?}");
    assert_eq!((z[0].z_no, z[0].addendum), (1, 0));
    let report = &z[0].report;
    assert_eq!((report.sold.tickets, report.sold.amount_minor), (1, FARE.0));
    assert_eq!(report.over_short_minor, Some(-100));
    assert_eq!(report.tenders[0].tender, "cash");
    assert_eq!(report.tenders[0].amount_minor, FARE.0);
    assert_eq!(
        till.reports().await.len(),
        1,
        "looking again makes no addendum"
    );
    till.sell(2).await;
    let z = till.reports().await;
    assert_eq!(z.len(), 2, "{z:?}");
    assert_eq!((z[1].z_no, z[1].addendum), (1, 1));
    assert_eq!(z[1].report.disputed.tickets, 1);
    assert_eq!(
        z[0].report.disputed.tickets, 0,
        "the Z report stays as it was"
    );
    let told = "SELECT count(*) FROM outbox WHERE kind = 'shift.anomaly'
        AND body ->> 'difference_minor' = '-100'";
    assert_eq!(till.test.number(told).await.unwrap(), 1, "once, with the Z");
}

#[tokio::test]
async fn a_shift_whose_drawer_is_right_is_told_to_nobody() {
    let mut till = Till::new().await;
    till.sell(1).await;
    let closed = till.close_shift(5_000 + FARE.0);
    till.deliver(vec![closed]).await;
    assert_eq!(till.reports().await.len(), 1);
    let told = "SELECT count(*) FROM outbox WHERE kind = 'shift.anomaly'";
    assert_eq!(till.test.number(told).await.unwrap(), 0);
}

#[tokio::test]
async fn a_double_sale_is_decided_and_its_money_leaves_suspense() {
    let mut till = Till::new().await;
    let (first, second, case) = till.double_sale().await;
    assert_eq!(till.balance("suspense").await, -FARE.0);
    let mut tx = till.tx().await;
    let view = cases::show(&mut tx, case).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(view.proposed_winner, Some(first.0), "{view:?}");
    assert_eq!(view.evidence.len(), 2);
    assert!(view.evidence.iter().all(|e| e.seq.is_some()), "{view:?}");
    till.decide(case, Some(first), Consequence::Refund)
        .await
        .unwrap();
    assert_eq!(till.balance("suspense").await, 0);
    assert_eq!(till.balance("refunds_payable").await, -FARE.0);
    assert_eq!(till.balance("deferred_revenue").await, -FARE.0);
    assert_eq!(till.live().await, [first.0]);
    let again = till.decide(case, Some(second), Consequence::Refund).await;
    assert!(matches!(again.unwrap_err(), CaseError::Closed(_)));
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn whoever_boarded_is_proposed_and_may_take_the_seat_from_the_first() {
    let mut till = Till::new().await;
    let (first, second, case) = till.double_sale().await;
    let seen = till.node.log(&EventBody::Scan(ScanRecord {
        trip: till.trip.id,
        ticket: Some(second),
        answer: domain::scan::ScanAnswer::Valid,
        text: None,
    }));
    till.deliver(vec![seen]).await;
    let mut tx = till.tx().await;
    let view = cases::show(&mut tx, case).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(view.proposed_winner, Some(second.0), "{view:?}");
    till.decide(case, Some(second), Consequence::Rebook)
        .await
        .unwrap();
    assert_eq!(till.live().await, [second.0]);
    assert_eq!(till.balance("suspense").await, 0);
    assert_eq!(till.balance("refunds_payable").await, -FARE.0);
    assert_eq!(till.balance("deferred_revenue").await, -FARE.0);
    let void = "SELECT count(*) FROM ticket WHERE state = 1";
    assert_eq!(till.test.number(void).await.unwrap(), 1);
    assert_ne!(first, second);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn who_was_carried_all_the_same_pays_and_after_the_departure_it_is_revenue() {
    let mut till = Till::new().await;
    let (first, _, case) = till.double_sale().await;
    till.recognise(DEPARTS).await;
    till.decide(case, Some(first), Consequence::Carried)
        .await
        .unwrap();
    assert_eq!(till.balance("suspense").await, 0);
    assert_eq!(till.balance("deferred_revenue").await, 0);
    assert_eq!(till.balance("revenue").await, -2 * FARE.0);
    let (stranger, none) = (TicketId(uuid::Uuid::from_u128(5)), 999);
    let unknown = till.decide(none, Some(stranger), Consequence::Refund).await;
    assert!(matches!(unknown.unwrap_err(), CaseError::NoSuchCase(999)));
    let (_, _, other) = till.double_sale_on(3).await;
    let wrong = till
        .decide(other, Some(stranger), Consequence::Refund)
        .await;
    assert!(matches!(wrong.unwrap_err(), CaseError::NotOfTheCase));
    till.every_entry_sums_to_zero().await;
}

impl Till {
    async fn double_sale_on(&mut self, seat: u16) -> (TicketId, TicketId, i64) {
        let (first, second) = (self.sell(seat).await, self.sell(seat).await);
        let number = "SELECT max(case_id) FROM conflict_case";
        (first, second, self.test.number(number).await.unwrap())
    }
}

#[tokio::test]
async fn a_scan_of_a_ticket_that_nobody_sold_opens_a_case_until_the_sale_comes() {
    let mut till = Till::new().await;
    let sold = till.node.sell(1, &till.grant, &[(1, 0, 4)]);
    let ticket = TestNode::ticket_of(&sold, till.trip.id, 1);
    let mut bus = till.company.onboard(1).await.unwrap();
    let seen = bus.log(&EventBody::Scan(ScanRecord {
        trip: till.trip.id,
        ticket: Some(ticket),
        answer: domain::scan::ScanAnswer::GoodButUnlisted,
        text: None,
    }));
    let mut ingest = bus.ingest(&till.test.db);
    crate::testing::deliver(&mut ingest, vec![seen])
        .await
        .unwrap();
    let watch = async |till: &Till, before: Instant| {
        let mut tx = till.tx().await;
        let opened = super::case_rows::watch_scans(&mut tx, before, CLOSED)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        opened
    };
    assert_eq!(
        watch(&till, Instant(0)).await,
        0,
        "it may still be on its way"
    );
    assert_eq!(watch(&till, Instant(i64::MAX)).await, 1);
    assert_eq!(watch(&till, Instant(i64::MAX)).await, 0);
    let open = "SELECT count(*) FROM conflict_case WHERE state = 'open'";
    assert_eq!(till.test.number(open).await.unwrap(), 1);
    till.deliver(vec![sold]).await;
    watch(&till, Instant(i64::MAX)).await;
    assert_eq!(till.test.number(open).await.unwrap(), 0);
    assert_ne!(bus.id(), NodeId(uuid::Uuid::nil()));
}

impl Till {
    async fn watch_typed(&self) {
        let mut tx = self.tx().await;
        crate::ticketing::short::settle_typed(&mut tx)
            .await
            .unwrap();
        super::case_rows::watch_scans(&mut tx, Instant(i64::MAX), CLOSED)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_typed_code_is_the_scan_of_its_ticket_whichever_comes_first() {
    let mut till = Till::new().await;
    let mut bus = till.company.onboard(1).await.unwrap();
    let mut ingest = bus.ingest(&till.test.db);
    let sales = [1, 2].map(|seat| till.node.sell(1, &till.grant, &[(seat, 0, 4)]));
    let trip = till.trip.id;
    let mut tickets = vec![];
    for (n, sold) in sales.into_iter().enumerate() {
        let seat = n as u16 + 1;
        let ticket = TestNode::ticket_of(&sold, trip, seat);
        let EventBody::Sale(sale) = domain::codec::from_cbor(&sold.envelope.body).unwrap() else {
            panic!("not a sale");
        };
        let claim = sale.ticket(&sold.envelope, 0).unwrap().claim;
        let issuer = domain::ids::Issuer::Node(till.node.id());
        let record = domain::ticket::KeyRecord::mac(issuer, trip, &[5; 32]);
        let code = domain::ticket::ShortCode::of(&claim, &record).unwrap();
        let stand_in = code.claim.stand_in(trip);
        let seen = bus.log(&EventBody::Scan(ScanRecord {
            trip,
            ticket: Some(stand_in),
            answer: domain::scan::ScanAnswer::GoodButUnlisted,
            text: Some(code.to_string().to_lowercase()),
        }));
        if n == 0 {
            // The sale came first: the hub knows at once whose scan it is.
            till.deliver(vec![sold]).await;
            crate::testing::deliver(&mut ingest, vec![seen])
                .await
                .unwrap();
        } else {
            crate::testing::deliver(&mut ingest, vec![seen])
                .await
                .unwrap();
            till.watch_typed().await;
            let open = "SELECT count(*) FROM conflict_case WHERE state = 'open'";
            assert_eq!(till.test.number(open).await.unwrap(), 1);
            till.deliver(vec![sold]).await;
            till.watch_typed().await;
            assert_eq!(till.test.number(open).await.unwrap(), 0, "its sale came");
        }
        tickets.push(ticket);
    }
    let mut owner = till.test.owner().await.unwrap();
    let scanned: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT ticket_id FROM scan ORDER BY seq")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert_eq!(scanned, tickets.iter().map(|t| t.0).collect::<Vec<_>>());
}

impl Till {
    /// Everybody earns five percent.
    async fn pay_commission(&self) {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query(
            "INSERT INTO commission_rate (company_id, rate_id, seller_kind, seller, percent_bp)
             VALUES ($1, gen_random_uuid(), 'company', '', 500)",
        )
        .bind(self.company.id.0)
        .execute(&mut owner)
        .await
        .unwrap();
    }

    fn wish(party: Option<domain::ids::PartyId>) -> Wish {
        Wish {
            party,
            span: ("2026-01-01".parse().unwrap(), "2096-12-31".parse().unwrap()),
            currency: domain::money::Currency::ZMW,
        }
    }
}

/// Long after every departure.
const LATER: Instant = Instant(DEPARTS.0 + 200 * 86_400_000);

#[tokio::test]
async fn a_settlement_is_the_ledgers_sum_and_needs_two_people() {
    let mut till = Till::new().await;
    till.pay_commission().await;
    till.sell(1).await;
    till.sell(2).await;
    till.recognise(DEPARTS).await;
    let agent = crate::ledger::commission::agent_party(till.company.id, "mutinta");
    let (first, wish) = (till.staff(), Till::wish(Some(agent)));
    let second = Staff {
        identity: Identity::Person(uuid::Uuid::from_u128(8)),
        ..first
    };
    let mut tx = till.tx().await;
    let view = settlements::draft(&mut tx, first, &wish, LATER)
        .await
        .unwrap();
    assert_eq!(view.net_minor, -till.balance("commission_payable").await);
    assert_eq!(view.net_minor, FARE.0 / 10);
    let view = settlements::propose(&mut tx, first, &view, LATER)
        .await
        .unwrap();
    let same = settlements::sign_off(&mut tx, first, &view, false, LATER).await;
    assert!(matches!(same.unwrap_err(), SettlementError::SamePerson));
    let view = settlements::sign_off(&mut tx, second, &view, false, LATER)
        .await
        .unwrap();
    let view = settlements::pay(&mut tx, first, &view, "TRF-1", LATER)
        .await
        .unwrap();
    assert_eq!(view.state, "paid");
    let again = settlements::pay(&mut tx, first, &view, "TRF-1", LATER).await;
    assert!(matches!(
        again.unwrap_err(),
        SettlementError::WrongState(..)
    ));
    tx.commit().await.unwrap();
    assert_eq!(till.balance("commission_payable").await, 0);
    assert_eq!(till.balance("bank").await, -FARE.0 / 10);
    let mut tx = till.tx().await;
    let nothing = settlements::draft(&mut tx, first, &wish, LATER).await;
    assert!(matches!(nothing.unwrap_err(), SettlementError::Nothing));
    tx.rollback().await.unwrap();
    let mut tx = till.tx().await;
    let own = settlements::draft(&mut tx, first, &Till::wish(None), LATER)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let earned = till.balance("revenue").await + till.balance("commission_expense").await;
    assert_eq!(own.net_minor, -earned);
    till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn a_settlement_says_whose_log_is_missing_and_is_not_signed_by_mistake() {
    let mut till = Till::new().await;
    till.sell(1).await;
    till.recognise(DEPARTS).await;
    let mut owner = till.test.owner().await.unwrap();
    sqlx::query("UPDATE node SET told_last_seq = 12")
        .execute(&mut owner)
        .await
        .unwrap();
    let first = till.staff();
    let second = Staff {
        identity: Identity::Person(uuid::Uuid::from_u128(8)),
        ..first
    };
    let mut tx = till.tx().await;
    let wish = Till::wish(None);
    let view = settlements::draft(&mut tx, first, &wish, LATER)
        .await
        .unwrap();
    assert!(view.provisional);
    // Two events are stored, one of them a sale: the ten that are missing are like them.
    assert_eq!(
        (view.missing[0].events, view.missing_minor),
        (10, 5 * FARE.0)
    );
    let view = settlements::propose(&mut tx, first, &view, LATER)
        .await
        .unwrap();
    let early = settlements::sign_off(&mut tx, second, &view, false, LATER).await;
    assert!(matches!(
        early.unwrap_err(),
        SettlementError::Provisional(10)
    ));
    let view = settlements::sign_off(&mut tx, second, &view, true, LATER)
        .await
        .unwrap();
    assert_eq!(view.state, "signed_off");
}

#[tokio::test]
async fn the_fiscal_export_of_a_span_holds_every_entry_and_verifies() {
    let mut till = Till::new().await;
    till.sell(1).await;
    till.sell(2).await;
    till.recognise(DEPARTS).await;
    let mut file = vec![];
    let mut lines = SignedLines::new(&mut file, till.company.keys.signing_key().clone());
    let mut tx = till.tx().await;
    let span = Till::wish(None).span;
    assert_eq!(fiscal::export(&mut tx, span, &mut lines).await.unwrap(), 3);
    drop(lines);
    let key = till.company.keys.verifying_key();
    assert_eq!(fiscal::verify(&file[..], &key).unwrap(), 3);
}
