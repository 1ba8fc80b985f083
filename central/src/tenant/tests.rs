//! What one company sees of another: nothing.

use domain::event::{EventBody, ScanRecord, ShiftOpened, VoidReason, VoidRecord};
use domain::ids::ShiftNo;
use domain::money::{Currency, Minor};
use domain::scan::ScanAnswer;
use sqlx::AssertSqlSafe;

use crate::testing::{TestCompany, TestDb, TestNode, deliver};

/// Tables that this package's part of the hub fills in a life like the one below.
const FILLED: [&str; 17] = [
    "company",
    "node",
    "stop",
    "trip",
    "lease",
    "claim",
    "ticket",
    "node_log",
    "event",
    "event_personal",
    "event_verdict",
    "conflict_case",
    "shift",
    "scan",
    "ledger_account",
    "ledger_entry",
    "bucket",
];

async fn live(company: &TestCompany) {
    let trip = company.trip("1", 4, 10).await.unwrap();
    let mut node = company.station(0).await.unwrap();
    let grant = company.lease(&mut node, trip.id, (0, 4), 3).await.unwrap();
    let opened = node.log(&EventBody::ShiftOpened(ShiftOpened {
        shift: ShiftNo(1),
        agent: "Mutinta".to_owned(),
        float_minor: Minor(0),
        currency: Currency::ZMW,
    }));
    let sold = node.sell_party(1, &[(&grant, (1, 0, 4))], Some(b"salt and a name".to_vec()));
    let twice = node.sell(1, &grant, &[(1, 0, 2)]);
    let void = node.log(&EventBody::Void(VoidRecord {
        shift: ShiftNo(1),
        ticket: TestNode::ticket_of(&sold, trip.id, 1),
        reason: VoidReason::Mistake,
    }));
    let scan = node.log(&EventBody::Scan(ScanRecord {
        trip: trip.id,
        answer: ScanAnswer::Valid,
        ticket: None,
        text: Some("MW1:X\0".to_owned()),
    }));
    let mut ingest = node.ingest(&company.db);
    deliver(&mut ingest, vec![opened, sold, twice, void, scan])
        .await
        .unwrap();
}

#[tokio::test]
async fn no_company_sees_or_writes_a_row_of_another() {
    let test = TestDb::new().await.unwrap();
    let first = TestCompany::new(&test.db, 1).await.unwrap();
    live(&first).await;
    let second = TestCompany::new(&test.db, 2).await.unwrap();
    let mut owner = test.owner().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name = 'company_id'",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(tables.len() >= 25, "{tables:?}");
    for table in &tables {
        let of_first = format!("SELECT count(*) FROM {table} WHERE company_id = $1");
        let there: i64 = sqlx::query_scalar(AssertSqlSafe(of_first.clone()))
            .bind(first.id.0)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        if FILLED.contains(&table.as_str()) {
            assert!(there > 0, "{table} is empty: this test shows nothing of it");
        }
        let mut tx = test.db.tenant(second.id).await.unwrap();
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(of_first))
            .bind(first.id.0)
            .fetch_one(tx.conn())
            .await
            .unwrap();
        assert_eq!(seen, 0, "{table}");
        let delete = format!("DELETE FROM {table} WHERE company_id = $1");
        let deleted = sqlx::query(AssertSqlSafe(delete))
            .bind(first.id.0)
            .execute(tx.conn())
            .await;
        match deleted {
            Ok(done) => assert_eq!(done.rows_affected(), 0, "{table}"),
            // An append-only table refuses before it looks.
            Err(error) => assert!(error.to_string().contains("permission denied"), "{error}"),
        }
    }
}

#[tokio::test]
async fn no_company_can_write_in_the_name_of_another() {
    let test = TestDb::new().await.unwrap();
    let first = TestCompany::new(&test.db, 1).await.unwrap();
    let second = TestCompany::new(&test.db, 2).await.unwrap();
    let mut tx = test.db.tenant(second.id).await.unwrap();
    let forged = sqlx::query("INSERT INTO bucket (company_id, name) VALUES ($1, 'company')")
        .bind(first.id.0)
        .execute(tx.conn())
        .await;
    let said = forged.unwrap_err().to_string();
    assert!(said.contains("row-level security"), "{said}");
}
