//! Counting in Postgres what a drain left there.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::node::Queued;
use super::raw;

/// Rows of each table that has any, or grew, by table.
pub type Rows = BTreeMap<String, u64>;

/// Tables that change with every contact and hold nothing of a sale.
const BESIDE: [&str; 2] = ["bucket_ack", "_sqlx_migrations"];

/// Counts every table.
pub async fn rows(url: &str) -> Result<Rows> {
    let mut owner = PgConnection::connect(url).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(&mut owner)
    .await?;
    let mut rows = Rows::new();
    for table in tables {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut owner).await?;
        rows.insert(table, count as u64);
    }
    owner.close().await?;
    Ok(rows)
}

/// What grew; fails for a table that the raw writing does not know.
pub fn written(before: &Rows, after: &Rows) -> Result<Rows> {
    let mut grown = Rows::new();
    for (table, count) in after {
        let more = count - before.get(table).copied().unwrap_or(0).min(*count);
        if more == 0 || BESIDE.contains(&table.as_str()) {
            continue;
        }
        ensure!(
            raw::is_written(table),
            "draining writes {table}, and the raw writing does not: teach it"
        );
        grown.insert(table.clone(), more);
    }
    Ok(grown)
}

/// Compares Postgres with what the node had queued; gives the sum of all postings.
pub async fn compare(url: &str, queued: &Queued) -> Result<i64> {
    let mut owner = PgConnection::connect(url).await?;
    let mut number = async |sql: &'static str| -> Result<i64> {
        Ok(sqlx::query_scalar(sql).fetch_one(&mut owner).await?)
    };
    let events = number("SELECT count(*) FROM event").await?;
    let live = number("SELECT count(*) FROM ticket WHERE state = 0").await?;
    let entries = number("SELECT count(*) FROM ledger_entry WHERE kind = 'sale'").await?;
    let fares = number("SELECT sum(fare_minor)::bigint FROM ticket").await?;
    let debits =
        number("SELECT sum(amount_minor)::bigint FROM ledger_posting WHERE amount_minor > 0")
            .await?;
    let sum = number("SELECT sum(amount_minor)::bigint FROM ledger_posting").await?;
    let quarantined = number("SELECT count(*) FROM event_verdict").await?;
    ensure!(
        events == queued.last.0 as i64,
        "{events} events of {}",
        queued.last
    );
    ensure!(
        live == queued.tickets as i64,
        "{live} tickets of {}",
        queued.tickets
    );
    ensure!(
        entries == queued.sales as i64,
        "{entries} entries of {}",
        queued.sales
    );
    ensure!(
        fares == queued.fares_minor && debits == queued.fares_minor,
        "{fares} in fares, {debits} in debits of {}",
        queued.fares_minor
    );
    ensure!(sum == 0, "the ledger's sum is {sum}");
    ensure!(quarantined == 0, "{quarantined} events were quarantined");
    owner.close().await?;
    Ok(sum)
}
