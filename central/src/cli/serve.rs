//! `serve`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sync_transport::{HubEndpoint, HubIdentity, TransportSettings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::run_file::RunFile;
use super::session::{self, Server, pki_folder};
use super::{ServeArgs, Settings};
use crate::cache::RedisCache;
use crate::db::Db;
use crate::http::{self, Api, Front};
use crate::notification::Outlets;
use crate::payment::Providers;
use crate::postgres::{EmbeddedPostgres, PostgresError, Purpose};
use crate::sync::server::{self, Hub};
use crate::wake;
use crate::worker;

const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_QUIC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);
/// How long running requests get once the hub was told to stop.
const GOODBYE: Duration = Duration::from_secs(10);
/// How often the embedded Postgres is looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// Where to listen, by flag, environment and file.
pub(super) fn addresses(settings: &Settings, args: &ServeArgs) -> (SocketAddr, SocketAddr) {
    let config = &settings.config;
    (
        args.http.or(config.http.listen).unwrap_or(DEFAULT_HTTP),
        args.quic.or(config.quic.listen).unwrap_or(DEFAULT_QUIC),
    )
}

/// What was said, or the address itself when nodes could reach it as it stands.
fn public_addr(settings: &Settings, args: &ServeArgs, quic: SocketAddr) -> Option<String> {
    let said = args.public_addr.clone();
    let said = said.or_else(|| settings.config.quic.public_addr.clone());
    said.or_else(|| (!quic.ip().is_unspecified()).then(|| quic.to_string()))
}

pub(super) async fn run(settings: &Settings, args: ServeArgs) -> Result<()> {
    let (http_addr, quic_addr) = addresses(settings, &args);
    session::make_folder(&settings.data_dir)?;
    // From the first moment, so that a stop during the start is a clean one too.
    let (mut int, mut term) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let told_to_stop = async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
    };
    tokio::pin!(told_to_stop);
    let mut server = tokio::select! {
        server = Server::open(settings, Purpose::Serve) => server?,
        () = &mut told_to_stop => return Ok(()),
    };
    let addresses = (http_addr, quic_addr);
    let done = serve_on(settings, &args, addresses, &mut server, told_to_stop).await;
    RunFile::remove(&settings.data_dir);
    server.close().await?;
    done
}

async fn serve_on(
    settings: &Settings,
    args: &ServeArgs,
    (http_addr, quic_addr): (SocketAddr, SocketAddr),
    server: &mut Server,
    told_to_stop: impl Future<Output = ()>,
) -> Result<()> {
    server.ready_schema().await?;
    let db = Db::connect(&server.url).await?;
    let keys = session::keys(settings)?;
    let identity = HubIdentity::load_or_generate(&pki_folder(&settings.data_dir))?;
    let endpoint = HubEndpoint::bind(quic_addr, &identity, &TransportSettings::hub())?;
    let listener = TcpListener::bind(http_addr)
        .await
        .with_context(|| format!("cannot listen on TCP {http_addr}: choose another --http"))?;
    let quic = endpoint.local_addr();
    let about = RunFile {
        pid: std::process::id(),
        hub_url: format!("http://{}", listener.local_addr()?),
        http: listener.local_addr()?.to_string(),
        quic: quic.to_string(),
        public_addr: public_addr(settings, args, quic),
        postgres_url: server.url.clone(),
    };
    let mut api = Api::new(db.clone(), keys.clone(), session::vault(settings)?);
    guard(&mut api, settings, args)?;
    api.payments = Providers::new(&settings.config)?;
    let url = args.broker_url.as_deref();
    api.broker = crate::broker::open(&settings.config.broker, url, &db).context("--broker-url")?;
    let folder = settings.data_dir.join("messages");
    api.outlets = Some(Arc::new(Outlets::new(&settings.config, &folder)?));
    let hub = Hub::new(db.clone(), keys, identity);
    let (stop, stopping) = watch::channel(false);
    let sync = tokio::spawn(server::serve(hub, endpoint, stopped(stopping.clone())));
    let jobs = tokio::spawn(worker::work(api.clone(), stopping.clone()));
    let routes = http::router(api).into_make_service_with_connect_info::<SocketAddr>();
    let web = axum::serve(listener, routes).with_graceful_shutdown(stopped(stopping));
    let web = tokio::spawn(web.into_future());
    let (url, bus) = (server.url.clone(), db.bus().clone());
    let wakes = tokio::spawn(async move { wake::listen(&url, &bus).await });
    about.write(&settings.data_dir)?;
    println!("{}", about.to_line());
    tracing::info!(hub = about.hub_url, quic = about.quic, "the hub is ready");
    let fault = tokio::select! {
        () = told_to_stop => None,
        fault = keep_running(&mut server.embedded) => Some(fault),
    };
    tracing::info!("stopping");
    let _ = stop.send(true);
    let ended = tokio::time::timeout(GOODBYE, async { tokio::join!(sync, web, jobs) });
    if ended.await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    wakes.abort();
    db.close().await;
    fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// What was said about the cache and about who may ask how often.
fn guard(api: &mut Api, settings: &Settings, args: &ServeArgs) -> Result<()> {
    let config = &settings.config;
    if let Some(url) = args.redis_url.as_ref().or(config.redis.url.as_ref()) {
        api.cache = Arc::new(RedisCache::new(url).context("--redis-url")?);
    }
    let mut http = config.http.clone();
    http.limits.on &= !args.no_rate_limits;
    api.front = Arc::new(Front::new(&http));
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

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that the hub has ended without saying so.
    let _ = stopping.wait_for(|stop| *stop).await;
}
