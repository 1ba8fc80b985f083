//! Whether this process can work: what it depends on, which of it it cannot do without, and
//! whether it is on its way out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::broker::Broker;
use crate::cache::Cache;
use crate::db::Db;
use crate::metrics::Metrics;
use crate::views;

/// How long a dependency has to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What a dependency says, some time later; an error says what is wrong.
pub type Look = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Something that this process depends on.
struct Dependency {
    name: &'static str,
    critical: bool,
    look: Box<dyn Fn() -> Look + Send + Sync>,
}

/// How one dependency stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Check {
    /// Like `database`.
    pub name: &'static str,
    /// Whether the hub cannot work without it.
    pub critical: bool,
    /// `ok` or `failing`.
    pub state: &'static str,
    /// How long it took to find out, in milliseconds.
    pub latency_ms: u64,
    /// What is wrong; absent while nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How this process stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"ready": true, "draining": false, "checks": [
    {"name": "database", "critical": true, "state": "ok", "latency_ms": 1},
    {"name": "redis", "critical": false, "state": "failing", "latency_ms": 50,
     "detail": "the cache does not answer"}]}))]
pub struct Readiness {
    /// Whether it takes work.
    pub ready: bool,
    /// Whether it has been told to stop: it finishes what it has begun and takes nothing more.
    pub draining: bool,
    /// Everything it depends on.
    pub checks: Vec<Check>,
}

/// The health of one process.
pub struct Health {
    draining: watch::Sender<bool>,
    dependencies: Mutex<Vec<Dependency>>,
    metrics: Metrics,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Health(draining: {})", self.is_draining())
    }
}

impl Health {
    /// Of a process that cannot do without its database.
    pub fn new(db: &Db) -> Self {
        let health = Self {
            draining: watch::channel(false).0,
            dependencies: Mutex::default(),
            metrics: db.metrics().clone(),
        };
        let db = db.clone();
        health.depends_on("database", true, move || {
            let db = db.clone();
            Box::pin(async move {
                let asked = views::all_companies(&db).await;
                asked.map(drop).map_err(|error| {
                    tracing::warn!(%error, "the database does not answer");
                    "the database does not answer; see the log".to_owned()
                })
            })
        });
        health
    }

    /// Adds something to look at; without what is critical the process is not ready.
    pub fn depends_on(
        &self,
        name: &'static str,
        critical: bool,
        look: impl Fn() -> Look + Send + Sync + 'static,
    ) {
        let mut dependencies = self
            .dependencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        dependencies.push(Dependency {
            name,
            critical,
            look: Box::new(look),
        });
    }

    /// Adds a cache that several processes share: the hub goes on without it.
    pub fn depends_on_cache(&self, cache: Cache) {
        self.depends_on("redis", false, move || {
            let cache = cache.clone();
            Box::pin(async move {
                let asked = cache.get("health").await;
                asked.map(drop).map_err(|error| error.to_string())
            })
        });
    }

    /// Adds a message broker: without it what is to be told waits in the outbox.
    pub fn depends_on_broker(&self, broker: Arc<dyn Broker>) {
        self.depends_on(broker.name(), false, move || {
            let broker = Arc::clone(&broker);
            Box::pin(async move { broker.look().await.map_err(|error| error.to_string()) })
        });
    }

    /// Takes no more work.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether it was told to stop.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Resolves once it is told to stop: answers without an end have to end then.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut draining = self.draining.subscribe();
        async move {
            // An error says that the process has ended without saying so.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Looks at everything, all at once.
    pub async fn look(&self) -> Readiness {
        let looks: Vec<_> = {
            let dependencies = self
                .dependencies
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            dependencies
                .iter()
                .map(|d| (d.name, d.critical, tokio::spawn(timed((d.look)()))))
                .collect()
        };
        let mut checks = vec![];
        for (name, critical, look) in looks {
            let lost = |error: tokio::task::JoinError| (Err(error.to_string()), Duration::ZERO);
            let (said, took) = look.await.unwrap_or_else(lost);
            self.metrics.dependency(name, said.is_ok());
            checks.push(Check {
                name,
                critical,
                state: if said.is_ok() { "ok" } else { "failing" },
                latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                detail: said.err(),
            });
        }
        let draining = self.is_draining();
        let able = checks.iter().all(|c| c.state == "ok" || !c.critical);
        Readiness {
            ready: able && !draining,
            draining,
            checks,
        }
    }
}

async fn timed(look: Look) -> (Result<(), String>, Duration) {
    let began = Instant::now();
    let said = tokio::time::timeout(ANSWER_MAX, look).await;
    let late = || Err(format!("no answer within {} s", ANSWER_MAX.as_secs()));
    (said.unwrap_or_else(|_| late()), began.elapsed())
}
