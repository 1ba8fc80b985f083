//! `doctor`

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use sync_transport::HubIdentity;

use super::run_file::RunFile;
use super::session::{Server, keys_folder, pki_folder};
use super::{Settings, serve};
use crate::broker::{Broker as _, Rabbit};
use crate::cache::{RedisCache, Store as _};
use crate::clock;
use crate::db::Db;
use crate::keys::HubKeys;
use crate::postgres::{Programs, Purpose};

/// Less free space than this is a fault.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// Clocks further apart than this are a fault, in ms.
const CLOCKS_APART_MS_MAX: i64 = 2_000;

/// What was found: good, or what to do.
struct Finding {
    what: &'static str,
    said: Result<String, String>,
}

fn finding(what: &'static str, said: Result<String, String>) -> Finding {
    Finding { what, said }
}

pub(super) async fn run(settings: &Settings) -> Result<ExitCode> {
    let running = RunFile::of_running(&settings.data_dir);
    let mut findings = vec![
        finding("data folder", data_folder(&settings.data_dir)),
        finding("disk", disk(&settings.data_dir)),
    ];
    if settings.database_url.is_none() {
        findings.push(finding("postgres programs", programs()));
    }
    findings.push(finding("database", database(settings).await));
    findings.push(finding("keys", keys(settings)));
    findings.push(finding("certificates", certificates(settings)));
    if let Some(url) = &settings.config.redis.url {
        findings.push(finding("redis", redis(url).await));
    }
    if let Some(url) = &settings.config.broker.url {
        findings.push(finding("rabbitmq", rabbitmq(url.reveal()).await));
    }
    if let Some(hub) = &running {
        let said = format!(
            "a hub runs as process {}: {}, HTTP {}, QUIC {}",
            hub.pid,
            hub.roles,
            hub.http.as_deref().unwrap_or("none"),
            hub.quic.as_deref().unwrap_or("none")
        );
        findings.push(finding("ports", Ok(said)));
    } else {
        let (http, quic) = serve::addresses(settings);
        findings.push(finding(
            "HTTP port",
            port(http, "--http", TcpListener::bind(http).err()),
        ));
        findings.push(finding(
            "QUIC port",
            port(quic, "--quic", UdpSocket::bind(quic).err()),
        ));
        if let Some(addr) = settings.config.process.internal_http {
            let said = port(addr, "--internal-http", TcpListener::bind(addr).err());
            findings.push(finding("internal port", said));
        }
    }
    let faults = findings.iter().filter(|f| f.said.is_err()).count();
    for f in &findings {
        let (word, text) = match &f.said {
            Ok(text) => ("ok", text),
            Err(text) => ("FAULT", text),
        };
        if settings.json {
            println!(
                "{}",
                json!({ "check": f.what, "ok": f.said.is_ok(), "detail": text })
            );
        } else {
            println!("{word:<6} {:<18} {text}", f.what);
        }
    }
    Ok(if faults == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn data_folder(data_dir: &Path) -> Result<String, String> {
    let shown = data_dir.display();
    std::fs::create_dir_all(data_dir)
        .map_err(|e| format!("{shown} cannot be made: {e}; choose another --data-dir"))?;
    let probe = data_dir.join(".doctor");
    std::fs::write(&probe, b"ok")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| format!("{shown} cannot be written: {e}; give it to the hub's user"))?;
    Ok(format!("{shown} can be written"))
}

fn disk(data_dir: &Path) -> Result<String, String> {
    let about = nix::sys::statvfs::statvfs(data_dir)
        .map_err(|e| format!("the free space of {} is unknown: {e}", data_dir.display()))?;
    let free = about.blocks_available() * about.fragment_size();
    let mib = free / (1024 * 1024);
    if free < FREE_BYTES_MIN {
        return Err(format!(
            "only {mib} MiB are free: make room, 1 GiB at least"
        ));
    }
    Ok(format!("{mib} MiB are free"))
}

fn programs() -> Result<String, String> {
    let found = Programs::find().map_err(|e| e.to_string())?;
    Ok(format!(
        "PostgreSQL {} in {}",
        found.major,
        found.folder.display()
    ))
}

async fn database(settings: &Settings) -> Result<String, String> {
    let server = Server::open(settings, Purpose::Command)
        .await
        .map_err(|e| format!("{e:#}"))?;
    let pending = Db::has_migrations_pending(&server.url).await;
    let clock = clock(&server.url).await?;
    let embedded = server.embedded.is_some();
    server.close().await.map_err(|e| format!("{e:#}"))?;
    match pending.map_err(|e| e.to_string())? {
        false => Ok(format!(
            "answers, its schema is of this version; our clock is {clock}"
        )),
        true if embedded => Ok("answers; `serve` will bring its schema up to date".to_owned()),
        true => Err("its schema is older: run `mwimule-hub migrate`".to_owned()),
    }
}

/// Whether this machine's clock and the database's agree: tickets, leases and sessions are dated.
async fn clock(url: &str) -> Result<String, String> {
    let wrong = |error: sqlx::Error| error.to_string();
    let mut connection = PgConnection::connect(url).await.map_err(wrong)?;
    let before = clock::now().0;
    let theirs = sqlx::query_scalar!(
        r#"SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS "ms!""#
    )
    .fetch_one(&mut connection)
    .await
    .map_err(wrong)?;
    let ours = i64::midpoint(before, clock::now().0);
    let apart = ours - theirs;
    if apart.abs() > CLOCKS_APART_MS_MAX {
        return Err(format!(
            "this machine's clock is {apart} ms ahead of the database's: run a time service"
        ));
    }
    Ok(format!("{apart} ms ahead of the database's"))
}

async fn redis(url: &str) -> Result<String, String> {
    let cache = RedisCache::new(url).map_err(|e| e.to_string())?;
    let asked = cache.get("doctor").await;
    let away = |_| "does not answer: start it, or the hub goes on without its cache".to_owned();
    asked.map(|_| "answers".to_owned()).map_err(away)
}

async fn rabbitmq(url: &str) -> Result<String, String> {
    let broker = Rabbit::new(url, vec![]).map_err(|e| e.to_string())?;
    let asked = broker.look().await;
    asked.map(|()| "answers".to_owned()).map_err(|error| {
        format!("{error}: start it; until then what is to be told waits in the outbox")
    })
}

fn keys(settings: &Settings) -> Result<String, String> {
    let folder = keys_folder(settings);
    if !folder.exists() {
        return Ok("none yet; the first start makes them".to_owned());
    }
    let keys = HubKeys::load_or_create(&folder).map_err(|e| e.to_string())?;
    Ok(format!(
        "the hub signs with key {}; keep a backup of {}",
        keys.kid(),
        folder.display()
    ))
}

fn certificates(settings: &Settings) -> Result<String, String> {
    let folder = pki_folder(settings);
    if !folder.exists() {
        return Ok("none yet; the first start makes them".to_owned());
    }
    HubIdentity::load(&folder).map_err(|e| e.to_string())?;
    Ok(format!("the hub's authority is in {}", folder.display()))
}

fn port(addr: SocketAddr, flag: &str, error: Option<std::io::Error>) -> Result<String, String> {
    match error {
        None => Ok(format!("{addr} is free")),
        Some(e) => Err(format!(
            "{addr} cannot be used: {e}; choose another with {flag}"
        )),
    }
}
