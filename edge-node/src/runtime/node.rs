//! A node in a data folder: what is where, and the whole of it running.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::ticket::Suite;
use sync_transport::{NodeCredentials, TransportSettings};
use tokio::sync::watch;

use super::clock::{self, StepWatch};
use super::http::Api;
use super::link::{Link, LinkStatus};
use super::positions::Positions;
use super::writer::{self, EngineHandle, told_to_stop};
use crate::engine::{Engine, EngineConfig, EngineError, SystemEntropy};
use crate::identity::{Identity, IdentityError};
use crate::keys::{KeyError, NodeKeys};
use crate::store::Disk;

/// Beside the store; losing it loses fixes only.
const POSITIONS_FILE: &str = "positions.db";
/// How often marks are written down and the clock is looked at, in ms.
const HOUSEKEEPING_MS: u64 = 2_000;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The device is not set up, or its identity is damaged.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Pki(#[from] sync_transport::pki::PkiError),
    /// The store cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Another program runs this node.
    #[error("a node runs in {folder} already: stop it first, or use its local API")]
    Locked {
        /// The data folder.
        folder: PathBuf,
    },
    /// A file or socket of the runtime cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl RuntimeError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// A node's data folder.
#[derive(Debug, Clone)]
pub struct DataDir {
    folder: PathBuf,
}

impl DataDir {
    /// Names a folder; nothing is made or read.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the private keys are.
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Where the store is.
    pub fn disk(&self) -> Disk {
        Disk::in_folder(&self.folder)
    }

    /// Takes the folder for this process; it is free again when the file is dropped, and after
    /// any kind of death.
    pub fn lock(&self) -> Result<File, RuntimeError> {
        let path = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(RuntimeError::io(path.display().to_string()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => Err(RuntimeError::Locked {
                folder: self.folder.clone(),
            }),
            Err(std::fs::TryLockError::Error(source)) => {
                Err(RuntimeError::io(path.display().to_string())(source))
            }
        }
    }

    /// What the engine of this folder's node is opened with.
    pub fn engine_config(
        &self,
        identity: &Identity,
        suite: Suite,
        store_expected: bool,
    ) -> Result<EngineConfig, RuntimeError> {
        Ok(EngineConfig {
            node: identity.node,
            company: identity.company,
            keys: NodeKeys::load(&self.keys())?,
            hub_keys: identity.grant_keys(),
            suite,
            entropy: Box::new(SystemEntropy),
            store_expected,
        })
    }
}

/// Opens the engine of an enrolled node for this process alone.
pub fn open_engine(data_dir: &Path, suite: Suite) -> Result<(Engine, File), RuntimeError> {
    let dir = DataDir::new(data_dir);
    let identity = Identity::load(data_dir)?;
    let lock = dir.lock()?;
    let engine = Engine::open(&dir.disk(), dir.engine_config(&identity, suite, true)?)?;
    Ok((engine, lock))
}

/// How a node runs.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The data folder of an enrolled node.
    pub data_dir: PathBuf,
    /// Where the local API listens; port 0 takes a free one.
    pub http: SocketAddr,
    /// The hub's address, where it is another than at enrolment.
    pub hub: Option<String>,
    /// How tickets are signed.
    pub suite: Suite,
    /// Windows and time-outs of the connection.
    pub transport: TransportSettings,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    engine: EngineHandle,
    positions: Positions,
    link: watch::Receiver<LinkStatus>,
    http: SocketAddr,
    identity: Identity,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    writer: JoinHandle<()>,
    run_file: PathBuf,
    _lock: File,
}

impl Node {
    /// Starts a node. It sells as soon as this returns, whether or not the hub can be reached.
    pub async fn start(options: NodeOptions) -> Result<Self, RuntimeError> {
        let dir = DataDir::new(&options.data_dir);
        let identity = Identity::load(&options.data_dir)?;
        let (engine, lock) = open_engine(&options.data_dir, options.suite)?;
        if let Some(doubt) = engine.doubt() {
            tracing::warn!(%doubt, "this node sells nothing until it has reached the hub once");
        }
        let credentials = NodeCredentials::load(&dir.keys())?;
        let (engine, writer) =
            writer::spawn(engine).map_err(RuntimeError::io("starting the writer thread"))?;
        let (stop, stopped) = watch::channel(false);
        let hub = options.hub.unwrap_or_else(|| identity.hub_addr.clone());
        let positions = Positions::new(dir.folder().join(POSITIONS_FILE));
        let (link, link_status) = Link::new(
            (engine.clone(), positions.clone()),
            hub,
            credentials,
            options.transport,
            stopped.clone(),
        );
        let api = Arc::new(Api::new(engine.clone(), link_status.clone()));
        let (http, server) = super::http::serve(options.http, api, stopped.clone()).await?;
        let run_file = super::http::write_run_file(dir.folder(), http)?;
        let tasks = vec![
            tokio::spawn(link.run()),
            tokio::spawn(housekeeping(engine.clone(), stopped)),
            server,
        ];
        Ok(Self {
            engine,
            positions,
            link: link_status,
            http,
            identity,
            stop,
            tasks,
            writer,
            run_file,
            _lock: lock,
        })
    }

    /// The way to its engine.
    pub fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    /// Where it says where it is.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// How it stands with its hub.
    pub fn link(&self) -> &watch::Receiver<LinkStatus> {
        &self.link
    }

    /// Where its local API listens.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The line that says where the node is reached: one JSON object.
    pub fn ready_line(&self) -> String {
        serde_json::json!({
            "http": format!("http://{}", self.http),
            "node": self.identity.node.to_string(),
            "incarnation": self.engine.news().borrow().head.incarnation.0,
        })
        .to_string()
    }

    /// Lets commands in hand finish, says good-bye to the hub, and closes the store.
    pub async fn shut_down(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            let _ = task.await;
        }
        drop(self.engine);
        let writer = self.writer;
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        let _ = std::fs::remove_file(self.run_file);
    }

    /// Runs until the process is told to end: SIGTERM or Ctrl-C.
    pub async fn run_until_signal(self) -> Result<(), RuntimeError> {
        wait_for_signal().await?;
        self.shut_down().await;
        Ok(())
    }
}

/// Waits for SIGTERM or Ctrl-C.
pub async fn wait_for_signal() -> Result<(), RuntimeError> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate =
            signal(SignalKind::terminate()).map_err(RuntimeError::io("waiting for a signal"))?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            end = tokio::signal::ctrl_c() => end.map_err(RuntimeError::io("waiting for Ctrl-C")),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c()
        .await
        .map_err(RuntimeError::io("waiting for Ctrl-C"))
}

/// Writes marks down and watches the clock.
async fn housekeeping(engine: EngineHandle, mut stopped: watch::Receiver<bool>) {
    let mut watch = StepWatch::new(clock::now(), clock::uptime());
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            () = tokio::time::sleep(Duration::from_millis(HOUSEKEEPING_MS)) => {}
        }
        let now = clock::now();
        let step = watch.check(now, clock::uptime());
        let done = engine
            .call(move |engine| {
                if let Some(expected) = step {
                    tracing::warn!(%expected, %now, "this device's clock jumped");
                    engine.clock_step(expected, now)?;
                }
                engine.flush_marks()
            })
            .await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "housekeeping failed"),
            Err(_) => return,
        }
    }
}
