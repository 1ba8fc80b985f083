//! The database: a pool that works as the app role, and what can go wrong with it.

mod error;

pub use error::{Backoff, DbError};

use std::sync::Arc;

use domain::ids::CompanyId;
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::booking::catalog::Catalog;
use crate::metrics::Metrics;
use crate::sync::bus::Bus;
use crate::tenant::TenantTx;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/central");

/// Connections of one hub process, at most.
const CONNECTIONS_MAX: u32 = 16;

/// The hub's database. Every connection works as `mwimule_app`, which row-level security binds.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    bus: Bus,
    catalog: Arc<Catalog>,
    metrics: Metrics,
}

impl Db {
    /// Opens a pool; fails when the database cannot be reached or was never migrated.
    pub async fn connect(url: &str) -> Result<Self, DbError> {
        let options: PgConnectOptions = url.parse::<PgConnectOptions>()?.options([("jit", "off")]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query("SET ROLE mwimule_app")
                        .execute(connection)
                        .await
                        .map(|_| ())
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            bus: Bus::new(),
            catalog: Arc::new(Catalog::default()),
            metrics: Metrics::new(),
        })
    }

    /// Brings the schema up to date; `owner_url` names a role that may create tables and roles.
    pub async fn migrate(owner_url: &str) -> Result<(), DbError> {
        let mut owner = PgConnection::connect(owner_url).await?;
        MIGRATIONS.run(&mut owner).await?;
        owner.close().await?;
        Ok(())
    }

    /// Whether the schema is older than this program.
    pub async fn has_migrations_pending(owner_url: &str) -> Result<bool, DbError> {
        let mut owner = PgConnection::connect(owner_url).await?;
        let known = &MIGRATIONS.table_name;
        owner.ensure_migrations_table(known).await?;
        let applied = owner.list_applied_migrations(known).await?;
        owner.close().await?;
        Ok(MIGRATIONS
            .iter()
            .any(|m| !applied.iter().any(|a| a.version == m.version)))
    }

    /// The newest schema that this program knows.
    pub fn newest_migration() -> i64 {
        MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
    }

    /// Whether a restore into this database was begun and not finished: nothing may be sold from
    /// it.
    pub async fn is_half_restored(owner_url: &str) -> Result<bool, DbError> {
        let mut owner = PgConnection::connect(owner_url).await?;
        let marked: Option<String> =
            sqlx::query_scalar("SELECT current_setting('mwimule.restoring', true)")
                .fetch_one(&mut owner)
                .await?;
        owner.close().await?;
        Ok(marked.is_some_and(|mark| mark == "yes"))
    }

    /// Begins a transaction that sees one company and nothing else.
    pub async fn tenant(&self, company: CompanyId) -> Result<TenantTx, DbError> {
        // One round trip; a UUID prints as hexadecimal digits and dashes only.
        let begin = AssertSqlSafe(format!(
            "BEGIN; SELECT set_config('mwimule.company', '{company}', true)"
        ));
        let tx = self.pool.begin_with(begin).await?;
        let catalog = Arc::clone(&self.catalog);
        let metrics = self.metrics.clone();
        Ok(TenantTx::new(
            tx,
            company,
            self.bus.clone(),
            catalog,
            metrics,
        ))
    }

    /// The pool, for look-ups that come before the company is known.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// What selling remembers of this database.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Who wants to know about changes.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// What this process counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
