//! Prices and vouchers on a real database.

use domain::fare::{FareRow, FareTable};
use domain::ids::StopCode;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass::{self, Adult, Child};
use domain::time::Instant;
use domain::trip::Trip;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::db::{discounts, vouchers};
use super::*;
use crate::testing::{TestCompany, TestDb};

/// 2096-09-01T22:30Z: the second of September in Lusaka.
const NOW: Instant = Instant(3_997_376_200_000);

fn stop(n: u8) -> StopCode {
    StopCode(format!("S{n}"))
}

fn row(class: PassengerClass, fare: i64) -> FareRow {
    FareRow {
        from: stop(0),
        to: stop(2),
        class,
        fare_minor: Minor(fare),
    }
}

fn table(rows: Vec<FareRow>) -> FareTable {
    FareTable {
        id: "fares".to_owned(),
        currency: Currency::ZMW,
        rows,
    }
}

struct Office {
    db: TestDb,
    company: TestCompany,
    trip: Trip,
}

impl Office {
    async fn new() -> Self {
        let db = TestDb::new().await.unwrap();
        let company = TestCompany::new(&db.db, 1).await.unwrap();
        let trip = company.trip("1", 3, 10).await.unwrap();
        let office = Self { db, company, trip };
        let mut tx = office.tx().await;
        let base = table(vec![row(Adult, 10_000), row(Child, 5_000)]);
        fares::import_table(&mut tx, &base).await.unwrap();
        tx.commit().await.unwrap();
        office
    }

    async fn tx(&self) -> crate::tenant::TenantTx {
        self.company.db.tenant(self.company.id).await.unwrap()
    }

    async fn price(
        &self,
        passengers: &[PassengerClass],
        voucher: Option<&str>,
        now: Instant,
    ) -> Result<Priced, PriceRefusal> {
        let mut tx = self.tx().await;
        let (from, to) = (stop(0), stop(2));
        let part = Part {
            trip: &self.trip,
            from: &from,
            to: &to,
            passengers,
        };
        price(&mut tx, part, voucher, Channel::Online, now)
            .await
            .unwrap()
    }

    async fn booking(&self, number: u128) -> Uuid {
        let id = Uuid::from_u128(number);
        let mut tx = self.tx().await;
        sqlx::query(
            "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor,
                 currency, created_at_ms, state)
             VALUES ($1, $2, $3, $4, 0, 'ZMW', 0, 'held')",
        )
        .bind(self.company.id.0)
        .bind(id)
        .bind(format!("R{number}"))
        .bind(self.trip.id.0 as i64)
        .execute(tx.conn())
        .await
        .unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn voucher(&self, change: impl FnOnce(&mut Voucher)) {
        let mut voucher = Voucher {
            code: "SUNNY".to_owned(),
            name: "Sunny days".to_owned(),
            off: Off::Amount(Minor(1_000), Currency::ZMW),
            valid: Validity::default(),
            uses_max: None,
            uses_per_person_max: None,
            used: 0,
            min_spend_minor: Minor(0),
            currency: Some(Currency::ZMW),
            active: true,
        };
        change(&mut voucher);
        let mut tx = self.tx().await;
        vouchers::put(&mut tx, &voucher).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn redeem(&self, booking: Uuid, who: &Redeemer) -> Result<(), VoucherRefusal> {
        let mut tx = self.tx().await;
        let done = redeem(&mut tx, booking, " sunny", Minor(1_000), who, NOW)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        done
    }

    async fn used(&self) -> i64 {
        let sql = "SELECT used::bigint FROM voucher";
        self.db.number(sql).await.unwrap()
    }

    async fn dated(&self, fare: i64, from: &str, until: Option<&str>) {
        let mut tx = self.tx().await;
        fares::open(&mut tx, "fares").await.unwrap().unwrap();
        let fare = fares::Fare {
            table: "fares".to_owned(),
            currency: Currency::ZMW,
            from: stop(0),
            to: stop(2),
            fare: DatedFare {
                class: Adult,
                fare_minor: Minor(fare),
                valid: Validity {
                    from: Some(from.parse().unwrap()),
                    until: until.map(|d| d.parse().unwrap()),
                },
            },
            version: 1,
        };
        super::db::fares::insert(&mut tx, &fare).await.unwrap();
        let today = fares::today(&mut tx, NOW).await.unwrap();
        fares::publish(&mut tx, "fares", today).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What nodes are told an adult pays.
    async fn told(&self) -> i64 {
        let mut tx = self.tx().await;
        let table = crate::company::fares_of(&mut tx, &self.trip).await.unwrap();
        let index = domain::fare::FareIndex::new(&table.unwrap());
        index.fare(&stop(0), &stop(2), Adult).unwrap().0
    }

    async fn changes(&self) -> i64 {
        let sql = "SELECT coalesce(sum(last_change), 0)::bigint FROM bucket";
        self.db.number(sql).await.unwrap()
    }
}

fn total(priced: Result<Priced, PriceRefusal>) -> i64 {
    priced.unwrap().total().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_that_of_the_day_of_sale_in_the_companys_zone() {
    let office = Office::new().await;
    office.dated(12_000, "2096-09-02", Some("2096-09-02")).await;
    let at = |now| office.price(&[Adult, Child], None, now);
    assert_eq!(total(at(NOW).await), 17_000);
    let hour = 3_600_000;
    assert_eq!(total(at(NOW.plus_ms(-hour)).await), 15_000, "the first");
    assert_eq!(total(at(NOW.plus_ms(24 * hour)).await), 15_000, "the third");
    assert!(matches!(
        office.price(&[PassengerClass::Infant], None, NOW).await,
        Err(PriceRefusal::NoFare { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_told_once_when_a_period_begins_and_once_when_it_ends() {
    let office = Office::new().await;
    office.dated(12_000, "2096-09-04", Some("2096-09-05")).await;
    let (told, changes) = (office.told().await, office.changes().await);
    assert_eq!(told, 10_000, "its day is to come");
    let day = 24 * 3_600_000;
    for (days, fare, news) in [
        (1, 10_000, 0),
        (2, 12_000, 1),
        (3, 12_000, 1),
        (4, 10_000, 2),
    ] {
        for _ in 0..2 {
            fares::publish_due(&office.company.db, NOW.plus_ms(days * day))
                .await
                .unwrap();
        }
        assert_eq!(office.told().await, fare, "after {days} days");
        assert_eq!(office.changes().await, changes + news, "after {days} days");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_changes_undated_fares_only_and_says_nothing_when_nothing_changed() {
    let office = Office::new().await;
    office.dated(12_000, "2096-09-02", None).await;
    let mut tx = office.tx().await;
    let same = table(vec![row(Child, 5_000), row(Adult, 10_000)]);
    assert_eq!(fares::import_table(&mut tx, &same).await.unwrap(), None);
    let dearer = table(vec![row(Adult, 11_000)]);
    let imported = fares::import_table(&mut tx, &dearer)
        .await
        .unwrap()
        .unwrap();
    assert!(!imported.created);
    assert_eq!(imported.table.rows, [row(Adult, 12_000)], "of its own day");
    tx.commit().await.unwrap();
    assert_eq!(total(office.price(&[Adult], None, NOW).await), 12_000);
    let before = NOW.plus_ms(-3_600_000);
    assert_eq!(total(office.price(&[Adult], None, before).await), 11_000);
    assert!(office.price(&[Child], None, NOW).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_from_before_there_were_rows_sells_as_it_is_and_is_adopted_at_a_change() {
    let office = Office::new().await;
    let mut owner = office.db.owner().await.unwrap();
    for sql in ["DELETE FROM fare", "UPDATE fare_table SET adopted = false"] {
        sqlx::query(sql).execute(&mut owner).await.unwrap();
    }
    assert_eq!(
        total(office.price(&[Adult, Child], None, NOW).await),
        15_000
    );
    office.dated(12_000, "2096-09-02", None).await;
    assert_eq!(
        total(office.price(&[Adult, Child], None, NOW).await),
        17_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn discounts_then_the_voucher_each_with_its_reason_and_exact_sums() {
    let office = Office::new().await;
    office.voucher(|_| ()).await;
    let mut tx = office.tx().await;
    // The trip leaves on 2096-10-02, a Tuesday, 30 days after the sale.
    let early = Discount {
        code: "EARLY".to_owned(),
        name: "Early bird".to_owned(),
        off: Off::PercentBp(1_000),
        classes: vec![],
        routes: vec!["R".to_owned()],
        weekdays: vec![2],
        channels: vec![Channel::Online],
        days_ahead_min: Some(30),
        days_ahead_max: Some(30),
        valid: Validity::default(),
        combines: false,
    };
    let kept = discounts::KeptDiscount {
        discount: early,
        active: true,
        version: 0,
    };
    discounts::put(&mut tx, &kept).await.unwrap();
    tx.commit().await.unwrap();
    let priced = office
        .price(&[Adult, Child, Child], Some("Sunny"), NOW)
        .await;
    let priced = priced.unwrap();
    assert_eq!(priced.voucher, Some(("SUNNY".to_owned(), Minor(1_000))));
    assert_eq!(priced.total(), Minor(17_000));
    let off: Vec<i64> = priced
        .passengers
        .iter()
        .map(|p| p.discount_minor.0)
        .collect();
    assert_eq!(off, [1_500, 750, 750]);
    let reasons: Vec<_> = priced.passengers[0].reasons.iter().collect();
    assert_eq!(
        reasons
            .iter()
            .map(|r| (r.kind, r.amount_minor.0))
            .collect::<Vec<_>>(),
        [(ReasonKind::Discount, 1_000), (ReasonKind::Voucher, 500)]
    );
    let unknown = office.price(&[Adult], Some("RAINY"), NOW).await;
    assert_eq!(
        unknown,
        Err(VoucherRefusal::Unknown("RAINY".to_owned()).into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_redeem_at_once_no_more_than_the_voucher_allows_succeed() {
    let office = Office::new().await;
    office.voucher(|v| v.uses_max = Some(3)).await;
    let mut racing = JoinSet::new();
    for number in 1..=12 {
        let booking = office.booking(number).await;
        let (db, company) = (office.company.db.clone(), office.company.id);
        racing.spawn(async move {
            let mut tx = db.tenant(company).await.unwrap();
            let who = Redeemer::default();
            let done = redeem(&mut tx, booking, "SUNNY", Minor(1_000), &who, NOW).await;
            tx.commit().await.unwrap();
            done.unwrap()
        });
    }
    let results = racing.join_all().await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 3);
    assert!(
        results
            .iter()
            .filter_map(|r| r.as_ref().err())
            .all(|r| { *r == VoucherRefusal::UsedUp("SUNNY".to_owned()) })
    );
    assert_eq!(office.used().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_redeems_once_and_gives_back_once() {
    let office = Office::new().await;
    office.voucher(|v| v.uses_max = Some(1)).await;
    let booking = office.booking(1).await;
    let nobody = Redeemer::default();
    for _ in 0..2 {
        assert_eq!(office.redeem(booking, &nobody).await, Ok(()));
        assert_eq!(office.used().await, 1);
    }
    let other = office.booking(2).await;
    assert!(office.redeem(other, &nobody).await.is_err());
    for first in [true, false] {
        let mut tx = office.tx().await;
        assert_eq!(give_back(&mut tx, booking, NOW).await.unwrap(), first);
        tx.commit().await.unwrap();
        assert_eq!(office.used().await, 0);
    }
    assert_eq!(office.redeem(other, &nobody).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_uses_a_voucher_as_often_as_one_person_may() {
    let office = Office::new().await;
    office.voucher(|v| v.uses_per_person_max = Some(1)).await;
    let (first, second) = (office.booking(1).await, office.booking(2).await);
    let nobody = Redeemer::default();
    let phone = Redeemer {
        person: None,
        phone_blind: Some(vec![7; 32]),
    };
    assert_eq!(office.redeem(first, &phone).await, Ok(()));
    assert_eq!(
        office.redeem(second, &nobody).await,
        Ok(()),
        "not yet known"
    );
    let known = office.redeem(second, &phone).await;
    assert!(matches!(
        known,
        Err(VoucherRefusal::UsedByYou { max: 1, .. })
    ));
    assert_eq!(office.redeem(first, &phone).await, Ok(()), "its own use");
}
