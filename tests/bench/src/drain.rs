//! Draining: a node that has sold for days reaches its hub, and everything goes into Postgres.
//! Beside it the same final rows, written by raw set-based SQL.

mod count;
mod hub;
mod node;
mod raw;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use central::postgres::{EmbeddedPostgres, Purpose};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::dice::Dice;
use crate::report::{DrainRound, per_s, rounded};
use crate::say;
use hub::BenchHub;

/// How much is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Drains, each of a new node into a new database.
    pub rounds: usize,
    /// Sales queued for each.
    pub sales: usize,
}

/// What was found, and the settings it was found under.
pub struct DrainFigures {
    /// Every round.
    pub rounds: Vec<DrainRound>,
    /// Read back from Postgres.
    pub settings: Vec<(String, String)>,
}

/// Settings of Postgres that decide what a commit is worth.
const SETTINGS: [&str; 8] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
];

/// Measures in `folder`, on a cluster as the hub starts it.
pub async fn measure(folder: &Path, dice: &mut Dice, amount: Amount) -> Result<DrainFigures> {
    say("starting Postgres as the hub does");
    let postgres = EmbeddedPostgres::start(&folder.join("postgres"), Purpose::Serve).await?;
    let done = measure_on(&postgres, folder, dice, amount).await;
    tokio::task::spawn_blocking(move || postgres.stop()).await??;
    done
}

async fn measure_on(
    postgres: &EmbeddedPostgres,
    folder: &Path,
    dice: &mut Dice,
    amount: Amount,
) -> Result<DrainFigures> {
    let mut owner = PgConnection::connect(&postgres.url()).await?;
    let mut settings = vec![];
    for name in SETTINGS {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut owner)
            .await?;
        settings.push((format!("postgres_{name}"), value));
    }
    let mut rounds = vec![];
    for round in 1..=amount.rounds {
        let name = format!("bench_{round}");
        for database in [name.clone(), format!("{name}_raw")] {
            let create = AssertSqlSafe(format!("CREATE DATABASE {database}"));
            sqlx::query(create).execute(&mut owner).await?;
        }
        let urls = Urls {
            hub: postgres.url_of(&name),
            raw: postgres.url_of(&format!("{name}_raw")),
        };
        let place = folder.join(&name);
        let title = format!("drain {round} of {}", amount.rounds);
        let found = drain(&title, &urls, &place, dice, amount.sales, &mut owner).await;
        rounds.push(found.with_context(|| title.clone())?);
    }
    owner.close().await?;
    Ok(DrainFigures { rounds, settings })
}

/// Where the two sides of a round write.
struct Urls {
    hub: String,
    raw: String,
}

async fn drain(
    title: &str,
    urls: &Urls,
    folder: &Path,
    dice: &mut Dice,
    sales: usize,
    owner: &mut PgConnection,
) -> Result<DrainRound> {
    std::fs::create_dir(folder)?;
    let hub = BenchHub::start(&urls.hub, &folder.join("hub")).await?;
    let node = folder.join("node");
    say(&format!("{title}: enrolling a station and leasing seats"));
    let mark = node::prepare(&hub, &node, dice, sales).await?;
    say(&format!("{title}: selling {sales} times without the hub"));
    let queued = node::sell_offline(&node, dice, sales)?;
    let before = count::rows(&urls.hub).await?;
    sqlx::query("CHECKPOINT").execute(&mut *owner).await?;
    let drained = node::drain(&hub, &node, queued.last).await?;
    hub.stop().await?;
    let after = count::rows(&urls.hub).await?;
    let rows = count::written(&before, &after)?;
    let ledger_sum_minor = count::compare(&urls.hub, &queued).await?;
    let batches = raw::read(&urls.hub, mark).await?;
    raw::prepare(&urls.hub, &urls.raw).await?;
    sqlx::query("CHECKPOINT").execute(&mut *owner).await?;
    let raw_took = raw::write(&urls.raw, &batches).await?;
    let raw_rows = count::rows(&urls.raw).await?;
    for (table, count) in &rows {
        ensure!(
            raw_rows.get(table) == after.get(table) || raw_rows.get(table) == Some(count),
            "the raw writing left {:?} rows in {table}, the drain {count}",
            raw_rows.get(table)
        );
    }
    let wire = drained.sent_bytes + drained.received_bytes;
    let round = DrainRound {
        sales: queued.sales,
        tickets: queued.tickets,
        rows,
        ledger_sum_minor,
        drain_s: rounded(drained.took.as_secs_f64(), 3),
        drain_sales_per_s: per_s(sales, drained.took),
        raw_s: rounded(raw_took.as_secs_f64(), 3),
        raw_sales_per_s: per_s(sales, raw_took),
        raw_transactions: batches.transactions(),
        sent_bytes: drained.sent_bytes,
        received_bytes: drained.received_bytes,
        wire_bytes_per_sale: rounded(wire as f64 / sales as f64, 1),
        handshake_bytes: drained.handshake_bytes,
    };
    say(&format!(
        "{title}: {:.0} sales/s, {:.0} bytes a sale; raw SQL {:.0} sales/s in {} transactions",
        round.drain_sales_per_s,
        round.wire_bytes_per_sale,
        round.raw_sales_per_s,
        round.raw_transactions
    ));
    Ok(round)
}
