//! The rows that a drain left, read back and written again by raw set-based SQL: one `INSERT …
//! SELECT … FROM UNNEST` a table and batch, one transaction a batch, one connection, the same
//! schema, role and row-level security. The batches are those in which ingest stored the events.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use domain::ids::Seq;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Connection as _, Encode, Executor as _, PgConnection, Postgres, Row as _, Type,
    TypeInfo as _, ValueRef as _,
};
use uuid::Uuid;

/// A table, and which event each of its rows belongs to.
struct Table {
    name: &'static str,
    /// Gives `row` (a ctid) and `seq`.
    keys: &'static str,
}

const OF_ENTRY: &str = "JOIN event e ON substr(e.hash, 1, 16) = uuid_send(x.entry_id)";

/// In the order in which they are written.
const TABLES: [Table; 9] = [
    Table {
        name: "event",
        keys: "SELECT ctid AS row, seq FROM event",
    },
    Table {
        name: "event_personal",
        keys: "SELECT ctid AS row, seq FROM event_personal",
    },
    Table {
        name: "node_log",
        keys: "SELECT ctid AS row, stored_seq AS seq FROM node_log",
    },
    Table {
        name: "bucket",
        keys: "SELECT x.ctid AS row, min(e.seq) AS seq FROM bucket x
               JOIN ticket t ON x.name = 'trip:' || t.trip_id
               JOIN ledger_posting p ON p.ticket_id = t.ticket_id
               JOIN event e ON substr(e.hash, 1, 16) = uuid_send(p.entry_id) GROUP BY 1",
    },
    Table {
        name: "ticket",
        keys: "SELECT t.ctid AS row, min(e.seq) AS seq FROM ticket t
               JOIN ledger_posting x ON x.ticket_id = t.ticket_id
               OF_ENTRY GROUP BY 1",
    },
    Table {
        name: "shift",
        keys: "SELECT s.ctid AS row, min(e.seq) AS seq FROM shift s, ledger_entry x
               OF_ENTRY GROUP BY 1",
    },
    Table {
        name: "ledger_account",
        keys: "SELECT a.ctid AS row, min(e.seq) AS seq FROM ledger_account a
               JOIN ledger_posting x ON x.account_id = a.account_id
               OF_ENTRY GROUP BY 1",
    },
    Table {
        name: "ledger_entry",
        keys: "SELECT x.ctid AS row, e.seq FROM ledger_entry x OF_ENTRY",
    },
    Table {
        name: "ledger_posting",
        keys: "SELECT x.ctid AS row, e.seq FROM ledger_posting x OF_ENTRY",
    },
];

/// Whether the raw writing knows a table.
pub fn is_written(table: &str) -> bool {
    TABLES.iter().any(|known| known.name == table)
}

/// A column of a batch, as Postgres sent it: an array in its binary form.
#[derive(Clone)]
struct Column {
    bytes: Vec<u8>,
    of: PgTypeInfo,
}

impl Type<Postgres> for Column {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("bytea")
    }

    fn compatible(_: &PgTypeInfo) -> bool {
        true
    }
}

impl Encode<'_, Postgres> for Column {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.of.clone())
    }
}

/// One statement with its columns.
struct Insert {
    sql: String,
    columns: Vec<Column>,
}

/// The rows of a drain, by transaction.
pub struct Batches {
    company: Uuid,
    transactions: Vec<Vec<Insert>>,
}

impl Batches {
    /// How many there are.
    pub fn transactions(&self) -> u64 {
        self.transactions.len() as u64
    }
}

/// Reads back what belongs to the events after `mark`.
pub async fn read(url: &str, mark: Seq) -> Result<Batches> {
    let mut owner = PgConnection::connect(url).await?;
    let company: Uuid = sqlx::query_scalar("SELECT company_id FROM company")
        .fetch_one(&mut owner)
        .await?;
    let ends: Vec<i64> = sqlx::query_scalar(
        "SELECT max(seq) FROM event WHERE seq > $1 GROUP BY xmin::text ORDER BY 1",
    )
    .bind(mark.0 as i64)
    .fetch_all(&mut owner)
    .await?;
    for table in &TABLES {
        let keys = table.keys.replace("OF_ENTRY", OF_ENTRY);
        let name = table.name;
        owner
            .execute(AssertSqlSafe(format!(
                "CREATE TEMP TABLE key_{name} AS {keys}"
            )))
            .await
            .with_context(|| format!("the events of {name}"))?;
    }
    let mut transactions = vec![];
    let mut after = mark.0 as i64;
    for end in ends {
        let mut inserts = vec![];
        for table in &TABLES {
            inserts.extend(read_batch(&mut owner, table.name, (after, end)).await?);
        }
        transactions.push(inserts);
        after = end;
    }
    owner.close().await?;
    Ok(Batches {
        company,
        transactions,
    })
}

async fn read_batch(
    owner: &mut PgConnection,
    table: &str,
    (after, end): (i64, i64),
) -> Result<Option<Insert>> {
    // Every row has the same company: one value, as ingest sends it.
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
           AND attname <> 'company_id' ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(&mut *owner)
    .await?;
    let picked = columns
        .iter()
        .map(|c| format!("array_agg(t.{c} ORDER BY k.seq, t.ctid)"));
    let sql = format!(
        "SELECT {}, count(*) AS rows FROM {table} t JOIN key_{table} k ON k.row = t.ctid
         WHERE k.seq > $1 AND k.seq <= $2",
        picked.collect::<Vec<_>>().join(", ")
    );
    let row: PgRow = sqlx::query(AssertSqlSafe(sql))
        .bind(after)
        .bind(end)
        .fetch_one(&mut *owner)
        .await?;
    if row.try_get::<i64, _>("rows")? == 0 {
        return Ok(None);
    }
    let mut arrays = vec![];
    let mut types = vec![];
    for index in 0..columns.len() {
        let value = row.try_get_raw(index)?;
        let of: Cow<'_, PgTypeInfo> = value.type_info();
        types.push(format!("${}::{}", index + 2, of.name()));
        let bytes = value
            .as_bytes()
            .map_err(anyhow::Error::from_boxed)?
            .to_vec();
        arrays.push(Column {
            bytes,
            of: of.into_owned(),
        });
    }
    let names = columns.join(", ");
    Ok(Some(Insert {
        sql: format!(
            "INSERT INTO {table} (company_id, {names}) OVERRIDING SYSTEM VALUE
             SELECT $1, w.* FROM UNNEST({}) AS w",
            types.join(", ")
        ),
        columns: arrays,
    }))
}

/// Makes the other database: the same schema, the same company, nothing sold.
pub async fn prepare(from: &str, to: &str) -> Result<()> {
    central::db::Db::migrate(to).await?;
    let mut source = PgConnection::connect(from).await?;
    let company: String = sqlx::query_scalar("SELECT row_to_json(c)::text FROM company c")
        .fetch_one(&mut source)
        .await?;
    source.close().await?;
    let mut owner = PgConnection::connect(to).await?;
    sqlx::query("INSERT INTO company SELECT * FROM json_populate_record(NULL::company, $1::json)")
        .bind(company)
        .execute(&mut owner)
        .await?;
    owner.close().await?;
    Ok(())
}

/// Writes it all; how long that took.
pub async fn write(url: &str, batches: &Batches) -> Result<Duration> {
    let mut app = PgConnection::connect(url).await?;
    app.execute("SET ROLE mwimule_app").await?;
    app.execute("SET jit = off").await?;
    let begin = format!(
        "BEGIN; SELECT set_config('mwimule.company', '{}', true)",
        batches.company
    );
    let started = Instant::now();
    for inserts in &batches.transactions {
        app.execute(AssertSqlSafe(begin.clone())).await?;
        for insert in inserts {
            let mut query = sqlx::query(AssertSqlSafe(insert.sql.clone())).bind(batches.company);
            for column in &insert.columns {
                query = query.bind(column);
            }
            query.execute(&mut app).await?;
        }
        app.execute("COMMIT").await?;
    }
    let took = started.elapsed();
    app.close().await?;
    Ok(took)
}
