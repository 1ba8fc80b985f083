//! The database of one command: somebody else's, that of the running hub, or one that is started
//! for the command and stopped after it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sync_transport::HubIdentity;
use tokio::sync::broadcast;

use super::Settings;
use super::run_file::RunFile;
use crate::db::Db;
use crate::keys::HubKeys;
use crate::postgres::{EmbeddedPostgres, PostgresError, Purpose};
use crate::sync::bus::BusEvent;
use crate::vault::Vault;
use crate::wake;

/// How long a command waits for a hub that is starting.
const HUB_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// The folder of the embedded cluster.
pub(super) fn cluster_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

/// The folder of the hub's own keys.
pub(super) fn keys_folder(settings: &Settings) -> PathBuf {
    settings.secrets_dir.join("keys")
}

/// The folder of the hub's certificates.
pub(super) fn pki_folder(settings: &Settings) -> PathBuf {
    settings.secrets_dir.join("pki")
}

/// A Postgres for a while.
#[derive(Debug)]
pub(super) struct Server {
    /// Its database, as the owner.
    pub(super) url: String,
    /// When it is ours alone.
    pub(super) embedded: Option<EmbeddedPostgres>,
}

impl Server {
    /// Finds or starts one.
    pub(super) async fn open(settings: &Settings, purpose: Purpose) -> Result<Self> {
        if let Some(url) = &settings.database_url {
            return Ok(Self {
                url: url.clone(),
                embedded: None,
            });
        }
        make_folder(&settings.data_dir)?;
        let folder = cluster_folder(&settings.data_dir);
        let began = Instant::now();
        loop {
            match EmbeddedPostgres::start(&folder, purpose).await {
                Ok(embedded) => {
                    return Ok(Self {
                        url: embedded.url(),
                        embedded: Some(embedded),
                    });
                }
                Err(PostgresError::InUse { .. }) if purpose == Purpose::Command => {
                    if let Some(hub) = RunFile::of_running(&settings.data_dir) {
                        return Ok(Self {
                            url: hub.postgres_url,
                            embedded: None,
                        });
                    }
                    if began.elapsed() > HUB_PATIENCE {
                        bail!("a hub is starting in this folder and does not finish");
                    }
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Brings an embedded database up to date; another one has to be already.
    pub(super) async fn ready_schema(&self) -> Result<()> {
        let half_restored = Db::is_half_restored(&self.url)
            .await
            .context("cannot use the database")?;
        if half_restored {
            bail!(
                "a restore into this database was begun and not finished: run `mwimule-hub \
                 restore` again, into a fresh one"
            );
        }
        if self.embedded.is_some() {
            return Ok(Db::migrate(&self.url).await?);
        }
        let pending = Db::has_migrations_pending(&self.url)
            .await
            .context("cannot use the database")?;
        if pending {
            bail!("the database is not of this version: run `mwimule-hub migrate` first");
        }
        Ok(())
    }

    /// Stops it if it is ours.
    pub(super) async fn close(self) -> Result<()> {
        if let Some(embedded) = self.embedded {
            tokio::task::spawn_blocking(move || embedded.stop()).await??;
        }
        Ok(())
    }
}

/// Makes the data folder. Others may pass through it, because an unprivileged Postgres has to;
/// whatever is secret inside has a closed folder of its own.
pub(super) fn make_folder(data_dir: &Path) -> Result<()> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the data folder {}", data_dir.display()))
}

/// What a short command works with.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) db: Db,
    server: Server,
    heard: broadcast::Receiver<BusEvent>,
}

impl Session {
    /// Opens the database that the settings name.
    pub(super) async fn open(settings: &Settings) -> Result<Self> {
        let server = Server::open(settings, Purpose::Command).await?;
        server.ready_schema().await?;
        let db = Db::connect(&server.url).await?;
        let heard = db.bus().listen_own();
        Ok(Self { db, server, heard })
    }

    /// Tells a running hub what has changed, and lets go.
    pub(super) async fn close(mut self) -> Result<()> {
        wake::pass_on(&self.db, &mut self.heard).await?;
        self.db.close().await;
        self.server.close().await
    }
}

/// What personal data is sealed with, made at the first use.
pub(super) fn vault(settings: &Settings) -> Result<Vault> {
    let _alone = alone_in(settings)?;
    Ok(Vault::load_or_create(&keys_folder(settings))?)
}

/// The hub's keys, made at the first use.
pub(super) fn keys(settings: &Settings) -> Result<HubKeys> {
    let _alone = alone_in(settings)?;
    Ok(HubKeys::load_or_create(&keys_folder(settings))?)
}

/// The hub's certificates, made at the first use.
pub(super) fn identity(settings: &Settings) -> Result<HubIdentity> {
    let _alone = alone_in(settings)?;
    Ok(HubIdentity::load_or_generate(&pki_folder(settings))?)
}

/// Waits until no other process makes keys in this folder: two that start together must not make
/// two sets. A folder that has been filled may be read-only, and needs no lock.
fn alone_in(settings: &Settings) -> Result<Option<File>> {
    make_folder(&settings.data_dir)?;
    let keys = keys_folder(settings);
    let pki = pki_folder(settings);
    let made = [
        keys.join("hub-signing.key"),
        keys.join("vault-master.key"),
        pki.join("ca.key.pem"),
        pki.join("ca.cert.pem"),
        pki.join("hub.key.pem"),
        pki.join("hub.cert.pem"),
    ];
    if made.iter().all(|path| path.exists()) {
        return Ok(None);
    }
    make_folder(&settings.secrets_dir)?;
    let path = settings.secrets_dir.join(".making-keys");
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    Ok(Some(lock.with_context(|| {
        format!("cannot lock {}", path.display())
    })?))
}

/// `migrate`
pub(super) async fn migrate(settings: &Settings) -> Result<()> {
    let server = Server::open(settings, Purpose::Command).await?;
    Db::migrate(&server.url).await?;
    server.close().await?;
    if settings.json {
        println!("{}", serde_json::json!({ "migrated": true }));
    } else {
        println!("The database is up to date.");
    }
    Ok(())
}
