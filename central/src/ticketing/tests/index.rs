//! That a look-up goes by its index is part of what it promises: a scan is right too, and slow.

use uuid::Uuid;

use crate::testing::{TestCompany, TestDb};
use crate::views::{self, Cursor};

#[tokio::test]
async fn a_bookings_tickets_are_looked_up_by_their_index() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let trip = company.trip("1", 4, 10).await.unwrap();
    let mut owner = test.owner().await.unwrap();
    // So many that a scan of all of them costs more; most are of nodes, as they are.
    sqlx::query(
        "INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal,
             layout_version, issued_at_ms, kid, suite, tag, fare_minor, currency, booking_id,
             state, change_no)
         SELECT $1, gen_random_uuid(), $2, n, '[0,1)', 0, 1, 1, 0, '\\x01020304',
             0, decode(repeat('07', 64), 'hex'), 100, 'ZMW',
             CASE WHEN n % 4 = 0 THEN lpad(n::text, 32, '0')::uuid END, 1, n
         FROM generate_series(1, 20000) AS n",
    )
    .bind(company.id.0)
    .bind(trip.id.0 as i64)
    .execute(&mut owner)
    .await
    .unwrap();
    sqlx::query("ANALYZE ticket")
        .execute(&mut owner)
        .await
        .unwrap();
    let mut tx = test.db.tenant(company.id).await.unwrap();
    let cursor = Cursor::new(None, Some(10)).unwrap();
    // More often than Postgres tries before it makes one plan for every value.
    let looks = 8;
    for n in 1..=looks {
        let booking: Uuid = format!("{:032}", n * 400).parse().unwrap();
        let found = views::tickets(&mut tx, &company.keys, (None, Some(booking)), &cursor);
        assert_eq!(found.await.unwrap().len(), 1);
    }
    let (by_index, whole): (i64, i64) = sqlx::query_as(
        "SELECT pg_stat_get_xact_numscans('ticket_by_booking'::regclass),
             pg_stat_get_xact_numscans('ticket'::regclass)",
    )
    .fetch_one(tx.conn())
    .await
    .unwrap();
    assert_eq!((by_index, whole), (looks, 0));
}
