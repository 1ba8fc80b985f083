//! How fast queued sales get into Postgres, beside the same final rows written by raw set-based
//! SQL. `MWIMULE_TEST_DATABASE_URL` names a server whose settings are the ones to measure.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use central::testing::{TestCompany, TestDb, TestNode};
use domain::event::{EventBody, ShiftOpened};
use domain::ids::ShiftNo;
use domain::money::{Currency, Minor};
use sync_protocol::batch::EventBatch;
use tokio::sync::mpsc;

const SALES: usize = 10_000;
const BATCH: usize = 1024;
const TRIPS: u16 = 60;
const SEATS: u16 = 60;
const LEGS: u8 = 4;

#[tokio::main]
async fn main() -> Result<()> {
    let test = TestDb::new().await.map_err(|e| anyhow!("{e}"))?;
    let company = TestCompany::new(&test.db, 1).await?;
    let mut node = company.station(0).await?;
    let events = sales(&company, &mut node).await?;
    let batches: Vec<EventBatch> = events.chunks(BATCH).filter_map(EventBatch::pack).collect();
    let started = Instant::now();
    let key = node.event_key.verifying_key();
    for batch in &batches {
        batch.unpack(node.id(), &key)?;
    }
    println!("verifying alone: {:.3} s", started.elapsed().as_secs_f64());
    drain(&test, &node, batches).await?;
    replay_raw(&test).await
}

/// Parties of one to three over many trips.
async fn sales(
    company: &TestCompany,
    node: &mut TestNode,
) -> Result<Vec<domain::event::SignedEvent>> {
    let mut places = vec![];
    let mut grants = vec![];
    for run in 0..TRIPS * u16::from(LEGS) {
        let trip = company.trip(&format!("{run}"), LEGS, SEATS).await?;
        let grant = company.lease(node, trip.id, (0, LEGS), SEATS).await;
        let grant = grant.map_err(|e| anyhow!("{e}"))?;
        places.extend((1..=SEATS).map(|seat| (grants.len(), seat)));
        grants.push(grant);
    }
    let opened = EventBody::ShiftOpened(ShiftOpened {
        shift: ShiftNo(1),
        agent: "Mutinta".to_owned(),
        float_minor: Minor(0),
        currency: Currency::ZMW,
    });
    let mut events = vec![node.log(&opened)];
    // Neighbouring sales go to different trips, as at a counter.
    let stride = 431;
    let mut next = (0..places.len()).map(|i| places[i * stride % places.len()]);
    for sale in 0..SALES {
        let party: Vec<_> = (0..=[0, 0, 1, 0, 1][sale % 5])
            .filter_map(|_| next.next())
            .map(|(grant, seat)| (&grants[grant], (seat, 0, 1 + (sale % 4) as u8)))
            .collect();
        let personal = format!(
            "salt-{sale:032} passenger {} +26097{:07}",
            sale * 7919,
            sale
        );
        events.push(node.sell_party(1, &party, Some(personal.into_bytes())));
    }
    Ok(events)
}

async fn drain(test: &TestDb, node: &TestNode, batches: Vec<EventBatch>) -> Result<()> {
    let (send, queue) = mpsc::channel(8);
    let (events, mut told) = mpsc::channel(64);
    let started = Instant::now();
    central::sync::ingest::spawn_ingest(test.db.clone(), node.context.clone(), queue, events);
    let last = batches.last().context("no batches")?.last();
    tokio::spawn(async move {
        for batch in batches {
            if send.send(batch).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut exceptions = 0;
    while let Some(event) = told.recv().await {
        if let central::sync::ingest::IngestEvent::Judged(judged) = event {
            exceptions += judged.exceptions.len();
            if judged.mark.through == last {
                break;
            }
        }
    }
    let took = started.elapsed().as_secs_f64();
    let tickets = test
        .number("SELECT count(*) FROM ticket WHERE state = 0")
        .await;
    let tickets = tickets.map_err(|e| anyhow!("{e}"))?;
    println!(
        "drained {SALES} sales, {tickets} tickets, {exceptions} exceptions in {took:.3} s: {:.0} sales/s",
        SALES as f64 / took
    );
    Ok(())
}

/// Writes the rows that the drain left once more, in one insert per table.
async fn replay_raw(test: &TestDb) -> Result<()> {
    use sqlx::{AssertSqlSafe, Connection as _};
    const TABLES: [&str; 5] = [
        "event",
        "event_personal",
        "ticket",
        "ledger_entry",
        "ledger_posting",
    ];
    let mut owner = test.owner().await.map_err(|e| anyhow!("{e}"))?;
    for table in TABLES {
        for sql in [
            format!("CREATE TEMP TABLE kept_{table} AS TABLE {table}"),
            format!("TRUNCATE {table}"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut owner).await?;
        }
    }
    let started = Instant::now();
    let mut tx = owner.begin().await?;
    for table in TABLES {
        let at = Instant::now();
        let sql = format!("INSERT INTO {table} SELECT * FROM kept_{table}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        println!("  raw {table}: {:.3} s", at.elapsed().as_secs_f64());
    }
    tx.commit().await?;
    let took = started.elapsed().as_secs_f64();
    println!("raw: {took:.3} s: {:.0} sales/s", SALES as f64 / took);
    Ok(())
}
