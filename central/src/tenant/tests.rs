//! What one company sees of another: nothing.

pub(crate) mod rows;

use std::collections::BTreeMap;

use domain::event::{EventBody, ScanRecord, ShiftOpened, VoidReason, VoidRecord};
use domain::ids::ShiftNo;
use domain::money::{Currency, Minor};
use domain::scan::ScanAnswer;
use rows::Catalogue;
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

/// Tables without a company, each with why no company's rows can leak through it.
const OF_THE_HUB: [(&str, &str); 15] = [
    ("hub", "one row: which incarnation of the hub this is"),
    ("hub_keys", "one row: what the hub's keys are known by"),
    (
        "person",
        "belongs to no company; read by id or blind index only",
    ),
    ("session", "of a person"),
    ("refresh_token", "of a session"),
    (
        "one_use_code",
        "of a person or a contact, found by its hash",
    ),
    ("recovery_code", "of a person"),
    ("throttle", "counts of keyed hashes"),
    ("auth_key", "signs tokens of every company"),
    (
        "notice_preference",
        "of a person, for what every company tells them",
    ),
    (
        "search_stop",
        "names of stops of every operator, for the public to search",
    ),
    (
        "search_trip",
        "trips on sale of every operator, for the public to search",
    ),
    (
        "search_call",
        "where those trips call, for the public to search",
    ),
    ("search_dirty", "numbers of trips whose search rows are old"),
    ("person_log", "what happened to a person's account"),
];

/// Tenant tables that the generator makes no row of, each with why.
const NOT_MADE: [(&str, &str); 0] = [];

#[tokio::test]
async fn every_table_of_companies_forces_row_level_security_and_no_role_of_the_hub_escapes_it() {
    let test = TestDb::new().await.unwrap();
    let mut owner = test.owner().await.unwrap();
    let catalogue = Catalogue::read(&mut owner).await;
    let tables: Vec<(String, bool, bool, String, bool)> = sqlx::query_as(
        "SELECT relname::text, relrowsecurity, relforcerowsecurity, relowner::regrole::text,
             EXISTS (SELECT 1 FROM pg_policies p WHERE p.tablename = relname
                 AND p.policyname = 'tenant' AND p.cmd = 'ALL'
                 AND p.qual LIKE '%current_company()%'
                 AND p.with_check LIKE '%current_company()%')
         FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    for (table, enabled, forced, owned_by, policy) in &tables {
        assert_ne!(owned_by, "mwimule_app", "{table}");
        if catalogue.tenant_tables().contains(table.as_str()) {
            assert!(
                *enabled && *forced && *policy,
                "{table}: end its migration with SELECT protect_tenant_tables()"
            );
        }
    }
    let escapes: Vec<String> = sqlx::query_scalar(
        "SELECT r.rolname::text FROM pg_roles r WHERE r.rolname = 'mwimule_app'
             AND (r.rolsuper OR r.rolbypassrls
                  OR EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid))",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(
        escapes.is_empty(),
        "mwimule_app must neither bypass nor inherit"
    );
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT tablename || '.' || policyname FROM pg_policies
         WHERE schemaname = 'public' AND policyname <> 'tenant'
             AND (roles && ARRAY['public', 'mwimule_app']::name[])",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(
        loose.is_empty(),
        "policies that let the hub's role see more: {loose:?}"
    );
    let views: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind IN ('v', 'm')
             AND relnamespace = 'public'::regnamespace
             AND NOT coalesce(reloptions::text LIKE '%security_invoker=true%', false)",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(
        views.is_empty(),
        "views that read as their owner: {views:?}"
    );
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace
             AND (proconfig IS NULL OR proconfig::text NOT LIKE '%search_path=%'
                  OR has_function_privilege('public', oid, 'EXECUTE'))",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(
        functions.is_empty(),
        "functions that act as their owner need a search_path and no EXECUTE for PUBLIC: {functions:?}"
    );
    let known: BTreeMap<&str, &str> = OF_THE_HUB.into_iter().collect();
    let unknown: Vec<&str> = catalogue
        .other_tables()
        .into_iter()
        .filter(|t| !t.starts_with("_sqlx") && !known.contains_key(t))
        .collect();
    assert!(
        unknown.is_empty(),
        "tables without company_id; say here why no company leaks through them: {unknown:?}"
    );
}

#[tokio::test]
async fn a_row_of_any_table_exists_for_its_own_company_only() {
    let test = TestDb::new().await.unwrap();
    let first = TestCompany::new(&test.db, 1).await.unwrap();
    live(&first).await;
    let second = TestCompany::new(&test.db, 2).await.unwrap();
    let mut owner = test.owner().await.unwrap();
    let catalogue = Catalogue::read(&mut owner).await;
    person(&mut owner).await;
    let filled = catalogue.fill(&mut owner, first.id, "Marked").await;
    let excused: BTreeMap<&str, &str> = NOT_MADE.into_iter().collect();
    let failed: BTreeMap<_, _> = filled
        .failed
        .iter()
        .filter(|(table, _)| !excused.contains_key(table.as_str()))
        .collect();
    assert!(failed.is_empty(), "no row could be made: {failed:#?}");

    for table in catalogue.tenant_tables() {
        if excused.contains_key(table) {
            continue;
        }
        let count = format!("SELECT count(*) FROM {table} WHERE company_id = $1");
        let counted = async |as_company| {
            let mut tx = test.db.tenant(as_company).await.unwrap();
            let seen: Result<i64, _> = sqlx::query_scalar(AssertSqlSafe(count.clone()))
                .bind(first.id.0)
                .fetch_one(tx.conn())
                .await;
            seen
        };
        assert_eq!(counted(second.id).await.unwrap(), 0, "{table}");
        assert!(counted(first.id).await.unwrap() > 0, "{table}");
        for change in [
            format!("UPDATE {table} SET company_id = company_id WHERE company_id = $1"),
            format!("DELETE FROM {table} WHERE company_id = $1"),
            format!(
                "INSERT INTO {table} SELECT (r).* FROM (SELECT jsonb_populate_record(NULL::{table}, $2) AS r) AS one WHERE $1::uuid IS NOT NULL"
            ),
        ] {
            let mut tx = test.db.tenant(second.id).await.unwrap();
            let row = serde_json::Value::Object(filled.rows[table].clone());
            let mut query = sqlx::query(AssertSqlSafe(change.clone())).bind(first.id.0);
            if change.starts_with("INSERT") {
                query = query.bind(row);
            }
            match query.execute(tx.conn()).await {
                Ok(done) => assert_eq!(done.rows_affected(), 0, "{change}"),
                Err(error) => {
                    let said = error.to_string();
                    let refused = [
                        "permission denied",
                        "row-level security",
                        "non-DEFAULT value",
                    ];
                    assert!(refused.iter().any(|r| said.contains(r)), "{change}: {said}");
                }
            }
        }
    }
}

/// Somebody whom memberships can be of.
async fn person(owner: &mut sqlx::PgConnection) {
    sqlx::query(
        "INSERT INTO person (person_id, name_sealed, email_blind, created_at_ms)
         VALUES (gen_random_uuid(), '', '\x01', 0)",
    )
    .execute(owner)
    .await
    .unwrap();
}
