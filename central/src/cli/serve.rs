//! `serve`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sync_transport::{HubEndpoint, TransportSettings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Settings;
use super::run_file::RunFile;
use super::session::{self, Server};
use crate::broker;
use crate::cache::RedisCache;
use crate::config::Role;
use crate::db::Db;
use crate::http::{self, Api, Front};
use crate::keys::agreed::{self, KeyNames};
use crate::notification::Outlets;
use crate::payment::Providers;
use crate::postgres::{EmbeddedPostgres, PostgresError, Purpose};
use crate::sync::server::{self, Hub};
use crate::tracking::Tracker;
use crate::tracking::live::RedisLive;
use crate::wake;
use crate::worker;

const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_QUIC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);
/// How long running requests get once the hub was told to stop.
const GOODBYE: Duration = Duration::from_secs(25);
/// How long connections to the database may take to come back.
const LET_GO: Duration = Duration::from_secs(5);
/// How often the embedded Postgres is looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// Where to listen.
pub(super) fn addresses(settings: &Settings) -> (SocketAddr, SocketAddr) {
    let config = &settings.config;
    (
        config.http.listen.unwrap_or(DEFAULT_HTTP),
        config.quic.listen.unwrap_or(DEFAULT_QUIC),
    )
}

/// How often the process was told to stop: once politely, then at once.
#[derive(Debug, Clone)]
struct Told(watch::Receiver<u32>);

impl Told {
    /// From the first moment, so that a stop during the start is a clean one too.
    fn listen() -> Result<Self> {
        let (mut int, mut term) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let (count, told) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                count.send_modify(|times| *times += 1);
            }
        });
        Ok(Self(told))
    }

    /// Waits until it was told so often.
    async fn times(&self, wanted: u32) {
        let mut told = self.0.clone();
        // An error says that nobody can tell it any more.
        let _ = told.wait_for(|times| *times >= wanted).await;
    }
}

pub(super) async fn run(settings: &Settings) -> Result<()> {
    session::make_folder(&settings.data_dir)?;
    let told = Told::listen()?;
    let mut server = tokio::select! {
        server = Server::open(settings, Purpose::Serve) => server?,
        () = told.times(1) => return Ok(()),
    };
    let done = serve_on(settings, &mut server, &told).await;
    RunFile::remove(&settings.data_dir);
    server.close().await?;
    done
}

/// What listens, by role.
struct Doors {
    web: Option<TcpListener>,
    internal: Option<TcpListener>,
    quic: Option<HubEndpoint>,
}

async fn listener(addr: SocketAddr, flag: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind(addr).await;
    bound.with_context(|| format!("cannot listen on TCP {addr}: choose another {flag}"))
}

impl Doors {
    async fn open(settings: &Settings, identity: &sync_transport::HubIdentity) -> Result<Self> {
        let process = &settings.config.process;
        let (http_addr, quic_addr) = addresses(settings);
        let mut doors = Self {
            web: None,
            internal: None,
            quic: None,
        };
        if process.roles.has(Role::Sync) {
            let transport = TransportSettings::hub();
            doors.quic = Some(HubEndpoint::bind(quic_addr, identity, &transport)?);
        }
        if process.roles.has(Role::Api) {
            doors.web = Some(listener(http_addr, "--http").await?);
        }
        if let Some(addr) = process.internal_http {
            doors.internal = Some(listener(addr, "--internal-http").await?);
        }
        Ok(doors)
    }

    fn about(&self, settings: &Settings, postgres_url: &str) -> Result<RunFile> {
        let local = |door: &Option<TcpListener>| -> Result<Option<String>> {
            let addr = door.as_ref().map(TcpListener::local_addr).transpose()?;
            Ok(addr.map(|a| a.to_string()))
        };
        let http = local(&self.web)?;
        let quic = self.quic.as_ref().map(HubEndpoint::local_addr);
        let said = settings.config.quic.public_addr.clone();
        // The address itself where nodes could reach it as it stands.
        let itself = quic.filter(|q| !q.ip().is_unspecified());
        Ok(RunFile {
            pid: std::process::id(),
            roles: settings.config.process.roles.to_string(),
            hub_url: http.as_ref().map(|http| format!("http://{http}")),
            http,
            internal_http: local(&self.internal)?,
            quic: quic.map(|q| q.to_string()),
            public_addr: said.or_else(|| itself.map(|q| q.to_string())),
            postgres_url: postgres_url.to_owned(),
        })
    }
}

async fn serve_on(settings: &Settings, server: &mut Server, told: &Told) -> Result<()> {
    server.ready_schema().await?;
    let db = Db::connect(&server.url).await?;
    let (keys, vault) = (session::keys(settings)?, session::vault(settings)?);
    let identity = session::identity(settings)?;
    agreed::agree(&db, &KeyNames::of(&keys, &identity, &vault)).await?;
    let doors = Doors::open(settings, &identity).await?;
    let about = doors.about(settings, &server.url)?;
    let mut api = Api::new(db.clone(), keys.clone(), vault);
    guard(&mut api, settings)?;
    api.payments = Providers::new(&settings.config)?;
    api.broker = broker::open(&settings.config.broker, None, &db).context("--broker-url")?;
    if settings.config.broker.url.is_some() {
        api.health.depends_on_broker(Arc::clone(&api.broker));
    }
    let folder = settings.data_dir.join("messages");
    api.outlets = Some(Arc::new(Outlets::new(&settings.config, &folder)?));
    let hub = Hub::tracked(db.clone(), keys, identity, api.tracking.clone());
    let running = Running::start(settings, doors, &api, hub);
    let together = keep_together(settings, &api, server);
    about.write(&settings.data_dir)?;
    println!("{}", about.to_line());
    tracing::info!(
        hub = about.hub_url,
        quic = about.quic,
        roles = about.roles,
        "the hub is ready"
    );
    let fault = tokio::select! {
        () = told.times(1) => None,
        fault = keep_running(&mut server.embedded) => Some(fault),
    };
    api.health.drain();
    tracing::info!("stopping; a second signal ends at once");
    let drain = Duration::from_millis(settings.config.process.drain_ms.into());
    let ended = tokio::select! {
        () = running.end(if fault.is_some() { Duration::ZERO } else { drain }) => true,
        () = told.times(2) => false,
    };
    for task in together {
        task.abort();
    }
    if !ended {
        bail!("told to stop twice: what was being worked on was cut off");
    }
    if tokio::time::timeout(LET_GO, db.close()).await.is_err() {
        tracing::warn!("some work on the database did not end in time and was cut off");
    }
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// What runs until the process is told to stop.
struct Running {
    /// Sessions end first: their nodes find another process while this one finishes.
    leave: watch::Sender<bool>,
    /// Then no request and no piece of a job begins any more.
    stop: watch::Sender<bool>,
    /// The internal port tells of the end until the end.
    quiet: watch::Sender<bool>,
    tasks: JoinSet<()>,
    internal: JoinSet<()>,
}

impl Running {
    fn start(settings: &Settings, doors: Doors, api: &Api, hub: Arc<Hub>) -> Self {
        let mut running = Self {
            leave: watch::channel(false).0,
            stop: watch::channel(false).0,
            quiet: watch::channel(false).0,
            tasks: JoinSet::new(),
            internal: JoinSet::new(),
        };
        api.tracking.end_with(running.stop.subscribe());
        if let Some(endpoint) = doors.quic {
            let leave = told_by(&running.leave);
            running.tasks.spawn(server::serve(hub, endpoint, leave));
        }
        if settings.config.process.roles.has(Role::Worker) {
            let stopping = running.stop.subscribe();
            running.tasks.spawn(worker::work(api.clone(), stopping));
        }
        if let Some(listener) = doors.web {
            let stop = told_by(&running.stop);
            let routes = http::router(api.clone());
            running.tasks.spawn(web(listener, routes, stop));
        }
        if let Some(listener) = doors.internal {
            let quiet = told_by(&running.quiet);
            let routes = http::internal::router(api.clone());
            running.internal.spawn(web(listener, routes, quiet));
        }
        running
    }

    /// Ends everything in order; what has begun gets its time.
    async fn end(mut self, drain: Duration) {
        let _ = self.leave.send(true);
        tokio::time::sleep(drain).await;
        let _ = self.stop.send(true);
        let ended = tokio::time::timeout(GOODBYE, async {
            while self.tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
        }
        let _ = self.quiet.send(true);
    }
}

async fn web(
    listener: TcpListener,
    routes: axum::Router,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop);
    if let Err(error) = served.await {
        tracing::error!(%error, "a port is no longer served");
    }
}

/// Resolves once it was said; an error says that the process has ended without saying so.
fn told_by(said: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut said = said.subscribe();
    async move {
        let _ = said.wait_for(|said| *said).await;
    }
}

/// Hears the other processes of the hub and is heard by them.
fn keep_together(
    settings: &Settings,
    api: &Api,
    server: &Server,
) -> Vec<tokio::task::JoinHandle<()>> {
    let (url, db) = (server.url.clone(), api.db.clone());
    let mut tasks = vec![tokio::spawn(
        async move { wake::listen(&url, db.bus()).await },
    )];
    let (db, auth) = (api.db.clone(), Arc::clone(&api.auth));
    tasks.push(tokio::spawn(async move { wake::obey(&db, &auth).await }));
    // An embedded database is this process's alone, unless a Redis says that it has company.
    if server.embedded.is_none() || settings.config.redis.url.is_some() {
        let db = api.db.clone();
        tasks.push(tokio::spawn(async move { wake::relay(&db).await }));
    }
    tasks
}

/// What was said about the cache and about who may ask how often.
fn guard(api: &mut Api, settings: &Settings) -> Result<()> {
    let config = &settings.config;
    if let Some(url) = &config.redis.url {
        api.cache = Arc::new(RedisCache::new(url).context("--redis-url")?);
        api.health.depends_on_cache(api.cache.clone());
        let live = RedisLive::new(url).context("--redis-url")?;
        api.tracking = Tracker::with(api.db.clone(), Arc::new(live));
    } else if settings.database_url.is_some() {
        tracing::warn!("without --redis-url this process counts rate limits for itself alone");
    }
    api.front = Arc::new(Front::new(&config.http));
    Ok(())
}

/// Starts the embedded Postgres again whenever it ends; returns when that fails.
async fn keep_running(embedded: &mut Option<EmbeddedPostgres>) -> PostgresError {
    let Some(postgres) = embedded else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(LOOK_AFTER).await;
        match tokio::task::block_in_place(|| postgres.restart_if_ended()) {
            Ok(false) => {}
            Ok(true) => tracing::warn!("the embedded Postgres had ended and was started again"),
            Err(fault) => return fault,
        }
    }
}
