use domain::ids::TripId;
use domain::ledger::Account;
use domain::money::Minor;
use domain::time::Instant;
use uuid::Uuid;

use crate::booking::pay::{self, Outcome, Paid};
use crate::booking::{Deadline, State, release};
use crate::tenant::TenantTx;
use crate::testing::{TestCompany, TestDb};

const NOW: Instant = Instant(1_790_000_000_000);
const TOTAL: i64 = 30_000;

struct Scene {
    test: TestDb,
    company: TestCompany,
    trip: TripId,
}

impl Scene {
    async fn new() -> Self {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let trip = company.trip("1", 4, 3).await.unwrap().id;
        Self {
            test,
            company,
            trip,
        }
    }

    async fn tx(&self) -> TenantTx {
        self.test.db.tenant(self.company.id).await.unwrap()
    }

    /// An unpaid booking of the seats 1 and 2 on the legs 0..4.
    async fn awaiting(&self, number: u128) -> Uuid {
        let id = Uuid::from_u128(number);
        let deadline = Deadline::starting(NOW);
        let mut tx = self.tx().await;
        sqlx::query(
            "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor,
                 currency, created_at_ms, state, expires_at_ms, expires_last_ms)
             VALUES ($1, $2, $2::text, $3, $4, 'ZMW', $5, 'awaiting_payment', $6, $7)",
        )
        .bind(self.company.id.0)
        .bind(id)
        .bind(self.trip.0 as i64)
        .bind(TOTAL)
        .bind(NOW.0)
        .bind(deadline.expires_at.0)
        .bind(deadline.last.0)
        .execute(tx.conn())
        .await
        .unwrap();
        for seat in [1_i16, 2] {
            sqlx::query(
                "INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs,
                     class, fare_minor, discount_minor)
                 VALUES ($1, $2, $3, $4, $3, '[0,4)', 0, $5, 1000)",
            )
            .bind(self.company.id.0)
            .bind(id)
            .bind(seat)
            .bind(self.trip.0 as i64)
            .bind(TOTAL / 2 + 1000)
            .execute(tx.conn())
            .await
            .unwrap();
            self.claim(&mut tx, id, seat).await;
        }
        tx.commit().await.unwrap();
        id
    }

    async fn claim(&self, tx: &mut TenantTx, booking: Uuid, seat: i16) {
        sqlx::query(
            "INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id)
             VALUES ($1, $2, $3, '[0,4)', 'hold', $4)",
        )
        .bind(self.company.id.0)
        .bind(self.trip.0 as i64)
        .bind(seat)
        .bind(booking)
        .execute(tx.conn())
        .await
        .unwrap();
    }

    async fn pay(&self, booking: Uuid, payment: u128) -> Outcome {
        let money = Paid {
            payment: Uuid::from_u128(payment),
            account: Account::MobileMoneyClearing,
            amount_minor: Minor(TOTAL),
        };
        let mut tx = self.tx().await;
        let keys = &self.company.keys;
        let outcome = pay::paid(&mut tx, keys, booking, &money, NOW)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        outcome
    }

    async fn end(&self, booking: Uuid, to: State) -> bool {
        let mut tx = self.tx().await;
        let done = release(&mut tx, booking, to, NOW).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.test.number(sql).await.unwrap()
    }

    async fn stands_on(&self, account: &'static str) -> i64 {
        let mut owner = self.test.owner().await.unwrap();
        sqlx::query_scalar(
            "SELECT COALESCE(sum(p.amount_minor), 0)::bigint FROM ledger_posting p
             JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = $1",
        )
        .bind(account)
        .fetch_one(&mut owner)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_paid_booking_gets_a_ticket_per_seat_and_posts_its_sale_once() {
    let scene = Scene::new().await;
    let booking = scene.awaiting(1).await;
    assert_eq!(scene.pay(booking, 7).await, Outcome::Issued);
    assert_eq!(scene.pay(booking, 7).await, Outcome::Already);
    assert_eq!(scene.number("SELECT count(*) FROM claim").await, 0);
    let issued = "SELECT count(*) FROM coupon c JOIN ticket t USING (company_id, ticket_id)
        WHERE c.state = 'issued' AND c.seat = t.seat AND t.state = 0";
    assert_eq!(scene.number(issued).await, 2);
    assert_eq!(scene.stands_on("mobile_money_clearing").await, TOTAL);
    assert_eq!(scene.stands_on("deferred_revenue").await, -TOTAL);
    let told = "SELECT count(*) FROM outbox WHERE kind = 'booking.confirmed'";
    assert_eq!(scene.number(told).await, 1);
}

#[tokio::test]
async fn a_second_payment_for_one_booking_is_owed_back() {
    let scene = Scene::new().await;
    let booking = scene.awaiting(1).await;
    assert_eq!(scene.pay(booking, 7).await, Outcome::Issued);
    assert_eq!(scene.pay(booking, 8).await, Outcome::SeatsGone);
    assert_eq!(scene.pay(booking, 8).await, Outcome::Already);
    assert_eq!(scene.stands_on("refunds_payable").await, -TOTAL);
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 2);
}

#[tokio::test]
async fn money_that_comes_late_takes_the_seats_that_are_still_free() {
    let scene = Scene::new().await;
    let booking = scene.awaiting(1).await;
    assert!(scene.end(booking, State::Expired).await);
    assert!(!scene.end(booking, State::Expired).await);
    assert_eq!(scene.number("SELECT count(*) FROM claim").await, 0);
    assert_eq!(scene.pay(booking, 7).await, Outcome::Issued);
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 2);
}

#[tokio::test]
async fn money_for_seats_that_others_have_is_owed_back_and_posted_once() {
    let scene = Scene::new().await;
    let late = scene.awaiting(1).await;
    scene.end(late, State::Expired).await;
    let other = scene.awaiting(2).await;
    assert_eq!(scene.pay(late, 7).await, Outcome::SeatsGone);
    assert_eq!(scene.pay(late, 7).await, Outcome::Already);
    assert_eq!(scene.pay(other, 8).await, Outcome::Issued);
    assert_eq!(scene.stands_on("refunds_payable").await, -TOTAL);
    assert_eq!(scene.stands_on("mobile_money_clearing").await, 2 * TOTAL);
    let payments = "SELECT count(*) FROM ledger_entry WHERE kind = 'payment'";
    assert_eq!(scene.number(payments).await, 1);
}

#[tokio::test]
async fn money_for_a_cancelled_booking_or_trip_is_owed_back() {
    let scene = Scene::new().await;
    let cancelled = scene.awaiting(1).await;
    scene.end(cancelled, State::Cancelled).await;
    assert_eq!(scene.pay(cancelled, 7).await, Outcome::SeatsGone);
    let open = scene.awaiting(2).await;
    let mut owner = scene.test.owner().await.unwrap();
    sqlx::query("UPDATE trip SET state = 'cancelled'")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(scene.pay(open, 8).await, Outcome::SeatsGone);
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 0);
}

#[tokio::test]
async fn a_payment_keeps_the_seats_but_never_beyond_their_last_moment() {
    let scene = Scene::new().await;
    let booking = scene.awaiting(1).await;
    let deadline = Deadline::starting(NOW);
    let mut tx = scene.tx().await;
    let due = pay::due(&mut tx, booking).await.unwrap().unwrap();
    assert_eq!(due.expires_at, Some(deadline.expires_at));
    assert_eq!(
        (due.total_minor, due.state),
        (Minor(TOTAL), State::AwaitingPayment)
    );
    let sooner = pay::extend(&mut tx, booking, NOW).await.unwrap();
    assert_eq!(sooner, Some(deadline.expires_at));
    let later = deadline.expires_at.plus_ms(60_000);
    assert_eq!(
        pay::extend(&mut tx, booking, later).await.unwrap(),
        Some(later)
    );
    let far = NOW.plus_ms(i64::from(u32::MAX));
    let kept = pay::extend(&mut tx, booking, far).await.unwrap();
    assert_eq!(kept, Some(deadline.last));
    let unknown = Uuid::from_u128(99);
    assert_eq!(pay::due(&mut tx, unknown).await.unwrap(), None);
    assert_eq!(pay::extend(&mut tx, unknown, far).await.unwrap(), None);
}
