//! One owner for a seat-leg, across claims and tickets, by the database alone.

use sqlx::PgConnection;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;
use crate::testing::{TestCompany, TestDb};

const SEAT: i32 = 2;

struct Scene {
    test: TestDb,
    company: TestCompany,
    trip: i64,
}

/// An owner to be of a seat.
#[derive(Debug, Clone, Copy)]
enum Owner {
    /// A hold of this booking.
    Hold(u128),
    /// A lease.
    Lease,
    /// A seat that waits for a validator.
    Block,
    /// A live ticket of the hub, of this booking.
    Ticket(u128),
    /// A live ticket of a node.
    NodesTicket,
}

impl Scene {
    async fn new() -> Self {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let trip = company.trip("1", 6, 4).await.unwrap().id.0 as i64;
        Self {
            test,
            company,
            trip,
        }
    }

    async fn tx(&self) -> TenantTx {
        self.test.db.tenant(self.company.id).await.unwrap()
    }

    /// Writes an owner of some legs without asking whether they are free.
    async fn own(&self, tx: &mut TenantTx, owner: Owner, legs: &str) -> Result<(), DbError> {
        write(tx, (self.company.id.0, self.trip), owner, legs).await
    }

    /// The same in a transaction of its own.
    async fn own_alone(&self, owner: Owner, legs: &str) -> Result<(), DbError> {
        let mut tx = self.tx().await;
        self.own(&mut tx, owner, legs).await?;
        tx.commit().await
    }

    /// The same beside this task.
    async fn own_beside(
        &self,
        owner: Owner,
        legs: &'static str,
    ) -> JoinHandle<Result<(), DbError>> {
        let mut tx = self.tx().await;
        let place = (self.company.id.0, self.trip);
        tokio::spawn(async move {
            write(&mut tx, place, owner, legs).await?;
            tx.commit().await
        })
    }

    /// Comes back once somebody waits for an advisory lock, or has gone on without one.
    async fn someone_waits<T>(&self, beside: &JoinHandle<T>) {
        let mut watch = self.test.owner().await.unwrap();
        while !beside.is_finished() && waiting(&mut watch).await == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn set_state(&self, state: i16) -> Result<(), DbError> {
        let mut tx = self.tx().await;
        sqlx::query("UPDATE ticket SET state = $1")
            .bind(state)
            .execute(tx.conn())
            .await?;
        tx.commit().await
    }
}

async fn waiting(watch: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(watch)
    .await
    .unwrap()
}

async fn write(
    tx: &mut TenantTx,
    (company, trip): (Uuid, i64),
    owner: Owner,
    legs: &str,
) -> Result<(), DbError> {
    let node = Uuid::from_u128(0xa);
    let (kind, booking, issuer) = match owner {
        Owner::Hold(of) => ("hold", Some(Uuid::from_u128(of)), None),
        Owner::Lease => ("lease", None, Some(node)),
        Owner::Block => ("block", None, None),
        Owner::Ticket(of) => ("", Some(Uuid::from_u128(of)), None),
        Owner::NodesTicket => ("", None, Some(node)),
    };
    let sql = if kind.is_empty() {
        "INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal,
             issuer_node, layout_version, issued_at_ms, kid, suite, tag, fare_minor, currency,
             booking_id, state, change_no)
         SELECT $1, gen_random_uuid(), $2, $3, $4::int4range, 0, 1, $6, 1, 0, '', 0, '', 0, 'ZMW',
             $5, 0, 1 WHERE $7 = ''"
    } else {
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id, node_id)
         SELECT $1, $2, $3, $4::int4range, $7, $5, $6"
    };
    sqlx::query(sql)
        .bind(company)
        .bind(trip)
        .bind(SEAT)
        .bind(legs)
        .bind(booking)
        .bind(issuer)
        .bind(kind)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn assert_refused(done: Result<(), DbError>) {
    let error = done.unwrap_err();
    assert_eq!(error.constraint(), Some("seat_owned_once"), "{error:?}");
    assert!(error.is_seat_taken());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_second_across_both_tables_is_refused_once_the_first_has_committed() {
    let pairs = [
        (Owner::Ticket(1), Owner::Hold(2)),
        (Owner::Hold(1), Owner::Ticket(2)),
        (Owner::Ticket(1), Owner::Lease),
        (Owner::Lease, Owner::Ticket(1)),
    ];
    for (first, second) in pairs {
        let scene = Scene::new().await;
        let mut tx = scene.tx().await;
        scene.own(&mut tx, first, "[1,4)").await.unwrap();
        let beside = scene.own_beside(second, "[3,5)").await;
        scene.someone_waits(&beside).await;
        tx.commit().await.unwrap();
        assert_refused(beside.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_second_goes_on_when_the_first_gives_up() {
    let scene = Scene::new().await;
    let mut tx = scene.tx().await;
    scene.own(&mut tx, Owner::Hold(1), "[1,4)").await.unwrap();
    let beside = scene.own_beside(Owner::Ticket(2), "[3,5)").await;
    scene.someone_waits(&beside).await;
    tx.rollback().await.unwrap();
    beside.await.unwrap().unwrap();
}

#[tokio::test]
async fn legs_that_only_touch_are_no_matter() {
    let scene = Scene::new().await;
    scene.own_alone(Owner::Ticket(1), "[1,3)").await.unwrap();
    scene.own_alone(Owner::Hold(2), "[3,5)").await.unwrap();
    scene.own_alone(Owner::Lease, "[0,1)").await.unwrap();
    scene.own_alone(Owner::Ticket(3), "[5,6)").await.unwrap();
}

#[tokio::test]
async fn a_bookings_tickets_lie_on_its_own_hold_and_on_no_block() {
    let scene = Scene::new().await;
    scene.own_alone(Owner::Hold(1), "[1,3)").await.unwrap();
    scene.own_alone(Owner::Ticket(1), "[1,3)").await.unwrap();
    scene.own_alone(Owner::Block, "[4,6)").await.unwrap();
    assert_refused(scene.own_alone(Owner::Ticket(1), "[5,6)").await);
}

#[tokio::test]
async fn what_a_node_sold_is_stored_whatever_claims_its_seat_and_a_block_lies_where_it_must() {
    let scene = Scene::new().await;
    scene.own_alone(Owner::Lease, "[0,2)").await.unwrap();
    scene.own_alone(Owner::Hold(1), "[2,3)").await.unwrap();
    scene.own_alone(Owner::Block, "[3,4)").await.unwrap();
    scene.own_alone(Owner::NodesTicket, "[0,5)").await.unwrap();
    assert_refused(scene.own_alone(Owner::Hold(2), "[4,5)").await);
    scene.own_alone(Owner::Block, "[4,5)").await.unwrap();
}

#[tokio::test]
async fn a_disputed_ticket_does_not_come_to_life_on_a_seat_that_somebody_is_paying_for() {
    const DISPUTED: i16 = 2;
    const LIVE: i16 = 0;
    let scene = Scene::new().await;
    scene.own_alone(Owner::NodesTicket, "[0,4)").await.unwrap();
    scene.set_state(DISPUTED).await.unwrap();
    scene.own_alone(Owner::Hold(1), "[2,4)").await.unwrap();
    assert_refused(scene.set_state(LIVE).await);
    let mut tx = scene.tx().await;
    let freed = sqlx::query("DELETE FROM claim").execute(tx.conn()).await;
    freed.unwrap();
    tx.commit().await.unwrap();
    scene.own_alone(Owner::Lease, "[0,4)").await.unwrap();
    scene.set_state(LIVE).await.unwrap();
}
