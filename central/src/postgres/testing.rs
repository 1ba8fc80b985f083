//! A cluster for the tests of this package and of others.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::{Durability, EmbeddedPostgres, PostgresError, Purpose};

/// A throw-away cluster, one per test process, gone with its last database.
#[derive(Debug)]
pub struct TestCluster {
    // Before the folder: the server stops before its files go.
    postgres: EmbeddedPostgres,
    _folder: Folder,
}

/// An empty database of its own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// As the cluster's owner.
    pub url: String,
    _cluster: Arc<TestCluster>,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

static RUNNING: Mutex<Weak<TestCluster>> = Mutex::const_new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(1);

impl TestCluster {
    /// The cluster of this process, which does not sync to disk: what a test of crashes must
    /// not use.
    pub async fn shared() -> Result<Arc<Self>, PostgresError> {
        let mut running = RUNNING.lock().await;
        if let Some(cluster) = running.upgrade() {
            return Ok(cluster);
        }
        let name = format!("mwimule-test-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        let postgres =
            EmbeddedPostgres::start_with(&folder.0, Purpose::Serve, Durability::NoneForTests)
                .await?;
        let cluster = Arc::new(Self {
            postgres,
            _folder: folder,
        });
        *running = Arc::downgrade(&cluster);
        Ok(cluster)
    }

    /// A new, empty database of the process's cluster.
    pub async fn database() -> Result<TestDatabase, PostgresError> {
        let cluster = Self::shared().await?;
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&cluster.postgres.url_of("postgres")).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(TestDatabase {
            url: cluster.postgres.url_of(&name),
            _cluster: cluster,
        })
    }
}
