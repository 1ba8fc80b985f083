//! A UDP relay that can fail on command: the bad network of tests and of the demo.
//!
//! Clients send to the relay; each gets a socket of its own towards the target, so the target
//! sees one address per client. The relay can stop forwarding altogether or for one client,
//! and can lose, delay, duplicate and reorder datagrams.
//!
//! Whether a datagram is lost, doubled or held back depends on the seed, the client's number,
//! the direction and the datagram's number, and on nothing else. When it arrives is up to the
//! machine.

mod control;
mod fault;
mod forward;
mod stats;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

pub use fault::Faults;
use forward::Forwarder;
pub use stats::{ClientStats, DirectionStats, Stats};

/// What a relay does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOptions {
    /// Where clients send to; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where their datagrams go.
    pub to: SocketAddr,
    /// Where the control protocol listens on TCP, if anywhere.
    pub control: Option<SocketAddr>,
    /// How bad the network is.
    pub faults: Faults,
    /// Clients that have a socket at once; datagrams of more are dropped and counted.
    pub clients_max: usize,
    /// Silence after which a client's socket is closed, in ms.
    pub idle_timeout_ms: u64,
    /// Delayed datagrams that wait at once; more are dropped and counted.
    pub waiting_max: usize,
}

impl RelayOptions {
    /// A relay on a free loopback port that does no harm.
    pub fn to(to: SocketAddr) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            to,
            control: None,
            faults: Faults::default(),
            clients_max: 1024,
            idle_timeout_ms: 120_000,
            waiting_max: 16 * 1024,
        }
    }
}

/// Why a relay could not start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A socket could not be opened.
    #[error("cannot listen on {address}: {source}: choose another address or port 0")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A fault is not a share of 1000.
    #[error("{what} is {permille}, but it is a share of 1000")]
    Permille {
        /// Which fault.
        what: &'static str,
        /// What was asked for.
        permille: u16,
    },
}

/// A running relay; dropping it ends it.
#[derive(Debug)]
pub struct Relay {
    forwarder: Arc<Forwarder>,
    control_addr: Option<SocketAddr>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.forwarder.forget_all();
    }
}

impl Relay {
    /// Opens the sockets and begins to forward; has to be called inside a tokio runtime.
    pub async fn start(options: RelayOptions) -> Result<Self, RelayError> {
        options.faults.check()?;
        let control = options.control;
        let idle = Duration::from_millis(options.idle_timeout_ms);
        let (forwarder, waiting) = Forwarder::open(options)?;
        let mut tasks = vec![
            tokio::spawn(forward::take_in(Arc::clone(&forwarder))).abort_handle(),
            tokio::spawn(forward::hand_out_later(Arc::clone(&forwarder), waiting)).abort_handle(),
            tokio::spawn(forward::forget_idle(Arc::clone(&forwarder), idle)).abort_handle(),
        ];
        let mut control_addr = None;
        if let Some(address) = control {
            let failed = |source| RelayError::Listen { address, source };
            let listener = tokio::net::TcpListener::bind(address)
                .await
                .map_err(failed)?;
            control_addr = Some(listener.local_addr().map_err(failed)?);
            let served = control::serve(listener, Arc::clone(&forwarder));
            tasks.push(tokio::spawn(served).abort_handle());
        }
        Ok(Self {
            forwarder,
            control_addr,
            tasks,
        })
    }

    /// Where clients send to.
    pub fn local_addr(&self) -> SocketAddr {
        self.forwarder.local_addr()
    }

    /// Where the control protocol listens.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control_addr
    }

    /// Drops everything from now on, waiting datagrams included.
    pub fn stop(&self) {
        self.forwarder.set_stopped(true);
    }

    /// Forwards again; clients that were stopped one by one stay stopped.
    pub fn go(&self) {
        self.forwarder.set_stopped(false);
    }

    /// Drops everything from and to one client, whether or not it has sent yet.
    pub fn stop_client(&self, client: SocketAddr) {
        self.forwarder.set_client_stopped(client, true);
    }

    /// Forwards again for one client.
    pub fn go_client(&self, client: SocketAddr) {
        self.forwarder.set_client_stopped(client, false);
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.forwarder.stats()
    }
}
