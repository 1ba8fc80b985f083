//! Money that comes for a trip whose pool is frozen since the hub was restored.

use std::time::Instant as Watch;

use domain::ids::{SeatNo, TripId};
use uuid::Uuid;

use super::scene::{PATIENCE, Scene, TOTAL, card};
use crate::audit::Actor;
use crate::booking::{BookingError, State, release};
use crate::clock;
use crate::payment::service::{PaymentError, drive};
use crate::restore::{accept_risk, begin_incarnation};

impl Scene {
    /// Begins a payment that its bank has not decided about; gives its number.
    async fn undecided(&self, seat: i16) -> String {
        let reference = self.awaiting(seat).await;
        let wish = card("pm_card_authenticationRequired");
        let begun = self.pay(&reference, &reference, &wish).await;
        let id = begun.json()["payment"].as_str().unwrap().to_owned();
        let path = format!("/payments/{id}");
        self.until(&path, |row| row["action_url"].is_string()).await;
        id
    }

    /// Its turn comes at once.
    async fn due(&self, payment: &str) {
        let mut tx = self.tx().await;
        sqlx::query(
            "UPDATE payment SET next_poll_at_ms = 0
             WHERE payment_id = $1::uuid AND state = 'pending'",
        )
        .bind(payment)
        .execute(tx.conn())
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Gives it turns until one has met the frozen trip: the hub's own jobs give some too.
    async fn until_it_met_the_frost(&self, payment: &str) {
        let began = Watch::now();
        let id = payment.parse().unwrap();
        loop {
            self.due(payment).await;
            match drive(&self.api, self.company.id, id).await {
                Err(PaymentError::Booking(BookingError::Frozen(trip))) => {
                    assert_eq!(trip, TripId(self.trip as u64));
                    return;
                }
                Ok(()) => {}
                Err(other) => panic!("{other}"),
            }
            assert!(began.elapsed() < PATIENCE, "{payment} was not refused");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_for_a_frozen_trip_waits_for_the_thaw_and_goes_back_where_the_seat_is_gone() {
    let scene = Scene::new().await;
    let trip = TripId(scene.trip as u64);
    let mut station = scene.company.station(0).await.unwrap();
    let kept = scene.undecided(1).await;
    let lost = scene.undecided(2).await;
    let now = clock::now();
    let begun = begin_incarnation(&scene.test.url, &scene.company.keys, now, now).await;
    assert_eq!(begun.unwrap().frozen, 1);
    scene.card.book.change(|b| {
        let intents: Vec<String> = b.intents.keys().cloned().collect();
        for intent in &intents {
            b.capture(intent);
        }
    });
    for payment in [&kept, &lost] {
        scene.until_it_met_the_frost(payment).await;
        let path = format!("/payments/{payment}");
        let row = scene.office("GET", &path, None).await.json();
        assert_eq!(row["state"], "pending", "{row}");
    }
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 0);
    assert_eq!(scene.stands_on("card_clearing").await, 0);
    let mut tx = scene.tx().await;
    let second = Uuid::from_u128(2);
    let over = release(&mut tx, second, State::Expired, clock::now()).await;
    assert!(over.unwrap(), "its hold runs out");
    let by = (Actor::System, "the station has no paper");
    let thawed = accept_risk(&mut tx, trip, by, clock::now()).await.unwrap();
    assert!(thawed.was_frozen);
    tx.commit().await.unwrap();
    let lease = scene.company.lease(&mut station, trip, (0, 4), 40).await;
    let seats: Vec<SeatNo> = lease.unwrap().claims.iter().map(|c| c.seat).collect();
    assert!(seats.contains(&SeatNo(2)) && !seats.contains(&SeatNo(1)));

    scene.due(&kept).await;
    let row = scene.ended(&kept).await;
    assert_eq!(
        (&row["state"], &row["outcome"]),
        (&"captured".into(), &"issued".into())
    );
    scene.due(&lost).await;
    let row = scene.ended(&lost).await;
    assert_eq!(
        (&row["state"], &row["outcome"]),
        (&"captured".into(), &"seats_gone".into())
    );
    let refunds = "/refunds";
    let done = scene
        .until(refunds, |list| list["items"][0]["state"] == "done")
        .await;
    assert_eq!(done["items"][0]["amount_minor"], TOTAL, "{done}");
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 1);
    let returned = scene.card.book.look(|b| b.ledger.count("refund"));
    assert_eq!(returned, 1);
    assert_eq!(scene.stands_on("card_clearing").await, TOTAL);
    assert_eq!(scene.stands_on("refunds_payable").await, 0);
}
