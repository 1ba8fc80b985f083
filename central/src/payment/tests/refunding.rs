use domain::money::Minor;
use serde_json::{Value, json};
use sim_kit::{Fault, Faults, Planned};
use uuid::Uuid;

use super::scene::{Scene, TOTAL, card, momo};
use crate::audit::Actor;
use crate::booking::{State, release};
use crate::clock;
use crate::payment::refunds::{RefundError, request};

impl Scene {
    /// Takes tickets back in the books, as the service that does so would, and asks for the money.
    async fn send_back(&self, seat: i16, amount: i64) -> Result<Vec<Uuid>, RefundError> {
        let mut tx = self.tx().await;
        let booking = Uuid::from_u128(seat as u128);
        let now = clock::now();
        let done = request(&mut tx, booking, Minor(amount), "asked", Actor::System, now).await;
        if done.is_ok() {
            tx.commit().await.unwrap();
        }
        done
    }

    async fn refund_ended(&self, refund: &str) -> Value {
        self.until(&format!("/refunds/{refund}"), |row| {
            matches!(row["state"].as_str(), Some("done" | "failed"))
        })
        .await
    }

    fn plan_refund(&self, fault: Fault) {
        let planned = Planned {
            fault,
            times: 1,
            refunds: true,
        };
        let faults = Faults {
            planned: [planned].into(),
            ..Faults::default()
        };
        self.momo.book.change(|b| b.faults = faults.clone());
        self.card.book.change(|b| b.faults = faults);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once_whatever_the_operator_does_wrong() {
    let scene = Scene::new().await;
    let faults = [None, Some(Fault::ErrorAfterCharging), Some(Fault::Timeout)];
    for (index, fault) in faults.into_iter().enumerate() {
        for (wish, first) in [(momo("+260961234567"), 1), (card("pm_card_visa"), 11)] {
            let seat = first + i16::try_from(index).unwrap();
            let reference = scene.awaiting(seat).await;
            scene.paid_by(&reference, &wish).await;
            if let Some(fault) = fault {
                scene.plan_refund(fault);
            }
            let refunds = scene.send_back(seat, 10_000).await.unwrap();
            let row = scene.refund_ended(&refunds[0].to_string()).await;
            assert_eq!(row["state"], "done", "{fault:?} {row}");
        }
    }
    assert_eq!(scene.momo.book.look(|b| b.ledger.count("refund")), 3);
    assert_eq!(scene.card.book.look(|b| b.ledger.count("refund")), 3);
    let clearing = scene.stands_on("mobile_money_clearing").await;
    assert_eq!(clearing, 3 * TOTAL - 30_000);
    assert_eq!(scene.stands_on("refunds_payable").await, 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_was_paid_is_never_sent_back() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    assert!(scene.send_back(1, 1).await.is_err(), "nothing was paid");
    scene.paid_by(&reference, &momo("+260961234567")).await;
    scene.send_back(1, TOTAL - 1).await.unwrap();
    let refused = scene.send_back(1, 2).await;
    assert!(
        matches!(&refused, Err(RefundError::MoreThanPaid(more)) if more.left == Minor(1)),
        "{refused:?}"
    );
    scene.send_back(1, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_came_for_seats_that_are_gone_goes_back_by_itself() {
    let scene = Scene::new().await;
    scene.momo.book.change(|b| b.faults.slow_ms = 1_500);
    let reference = scene.awaiting(1).await;
    let begun = scene.pay(&reference, "k", &momo("+260961234901")).await;
    let id = begun.json()["payment"].as_str().unwrap().to_owned();
    let mut tx = scene.tx().await;
    let booking = Uuid::from_u128(1);
    let gone = release(&mut tx, booking, State::Cancelled, clock::now()).await;
    assert!(gone.unwrap());
    tx.commit().await.unwrap();
    let row = scene.ended(&id).await;
    assert_eq!(row["state"], "captured");
    assert_eq!(row["outcome"], "seats_gone");
    assert_eq!(row["refunded_minor"], TOTAL);
    let listed = scene.office("GET", "/refunds", None).await.json();
    let refund = listed["items"][0]["refund"].as_str().unwrap();
    assert_eq!(scene.refund_ended(refund).await["state"], "done");
    assert_eq!(scene.stands_on("refunds_payable").await, 0);
    assert_eq!(scene.stands_on("mobile_money_clearing").await, 0);
    assert_eq!(scene.momo.book.look(|b| b.ledger.count("refund")), 1);
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refund_waits_for_a_person_who_retries_it_or_pays_by_hand() {
    let scene = Scene::new().await;
    for seat in [1, 2] {
        let reference = scene.awaiting(seat).await;
        scene.paid_by(&reference, &momo("+260961234567")).await;
        scene.plan_refund(Fault::FailedBut200);
        let refund = scene.send_back(seat, 5_000).await.unwrap()[0].to_string();
        let row = scene.refund_ended(&refund).await;
        assert_eq!(row["state"], "failed");
        assert_eq!(row["failure"], "payee_not_allowed_to_receive");
        let path = format!("/refunds/{refund}");
        let tag = scene.office("GET", &path, None).await.etag.unwrap();
        let retry = format!("{path}/retry");
        assert_eq!(scene.office("POST", &retry, None).await.status, 428);
        assert_eq!(scene.decide(&retry, "\"0\"", None).await.status, 412);
        if seat == 1 {
            let again = scene.decide(&retry, &tag, None).await;
            assert_eq!(again.status, 200, "{again:?}");
            assert_eq!(scene.refund_ended(&refund).await["state"], "done");
        } else {
            let how = json!({ "from": "bank", "note": "transfer 4711" });
            let settled = scene
                .decide(&format!("{path}/settle"), &tag, Some(&how))
                .await;
            assert_eq!(settled.json()["state"], "done", "{settled:?}");
            let tag = settled.etag.unwrap();
            let twice = scene
                .decide(&format!("{path}/settle"), &tag, Some(&how))
                .await;
            assert_eq!(
                (twice.status, twice.problem().as_str()),
                (409, "not-to-be-decided")
            );
        }
    }
    assert_eq!(scene.momo.book.look(|b| b.ledger.count("refund")), 1);
    assert_eq!(scene.stands_on("bank").await, -5_000);
    assert_eq!(scene.stands_on("refunds_payable").await, 10_000);
}
