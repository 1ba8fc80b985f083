//! Talking to a node from the command line: over its local API when it runs, by opening its store
//! when it does not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::ticket::Suite;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{
    self, CloseShift, ExplainRequest, Explained, LeaseAnswered, LeaseWish, OpenShift, Problem,
    Sale, ScanRequest, Scanned, Sell, ShiftClosed, ShiftOpened, StatusJson, Surrender, Surrendered,
    TicketJson, TicketLine, TripJson, VoidTicket, Voided,
};
use crate::engine::Engine;
use crate::runtime::{RUN_FILE, RuntimeError, clock, open_engine};

/// How long a node that is starting may take to say where it listens, in ms.
const START_MS_MAX: u64 = 10_000;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Why nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node says no, or has a problem.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The store cannot be opened.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The running node cannot be reached.
    #[error("the node that runs in {folder} does not answer ({detail}): is it starting, or stuck?")]
    Unreachable {
        /// The data folder.
        folder: PathBuf,
        /// What went wrong.
        detail: String,
    },
}

/// A way to a node.
pub enum Client {
    /// It runs.
    Remote {
        /// `http://127.0.0.1:port`.
        base: String,
        /// The connection pool.
        agent: ureq::Agent,
        /// The data folder.
        folder: PathBuf,
    },
    /// It does not run: this process opens it.
    Local {
        /// The engine.
        engine: Box<Engine>,
        /// Keeps others out.
        lock: File,
    },
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Remote { .. } => "Client(remote)",
            Self::Local { .. } => "Client(local)",
        })
    }
}

fn run_address(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(RUN_FILE)).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    value.get("http")?.as_str().map(str::to_owned)
}

impl Client {
    /// Finds the node of a data folder.
    pub fn open(folder: &Path, suite: Suite) -> Result<Self, ClientError> {
        match open_engine(folder, suite) {
            Ok((engine, lock)) => Ok(Self::Local {
                engine: Box::new(engine),
                lock,
            }),
            Err(RuntimeError::Locked { .. }) => Self::remote(folder),
            Err(error) => Err(error.into()),
        }
    }

    fn remote(folder: &Path) -> Result<Self, ClientError> {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(ANSWER_MAX))
                .build(),
        );
        let begin = Instant::now();
        let mut detail = format!("{RUN_FILE} is not there yet");
        while begin.elapsed() < Duration::from_millis(START_MS_MAX) {
            if let Some(base) = run_address(folder) {
                match agent.get(format!("{base}/status")).call() {
                    Ok(_) => {
                        return Ok(Self::Remote {
                            base,
                            agent,
                            folder: folder.to_owned(),
                        });
                    }
                    Err(error) => detail = error.to_string(),
                }
            }
            // tidy-allow-sleep: between two looks at a file that a starting node writes
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(ClientError::Unreachable {
            folder: folder.to_owned(),
            detail,
        })
    }

    fn command<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        path: &str,
        request: Q,
        here: fn(&mut Engine, Q, domain::time::Instant) -> Result<A, Problem>,
    ) -> Result<A, ClientError> {
        match self {
            Self::Local { engine, .. } => Ok(here(engine, request, clock::now())?),
            Self::Remote {
                base,
                agent,
                folder,
            } => read(
                agent.post(format!("{base}{path}")).send_json(&request),
                folder,
            ),
        }
    }

    fn get<A: DeserializeOwned>(
        &mut self,
        path: &str,
        here: impl FnOnce(&mut Engine) -> Result<A, Problem>,
    ) -> Result<A, ClientError> {
        match self {
            Self::Local { engine, .. } => Ok(here(engine)?),
            Self::Remote {
                base,
                agent,
                folder,
            } => read(agent.get(format!("{base}{path}")).call(), folder),
        }
    }

    /// Opens a shift.
    pub fn open_shift(&mut self, request: OpenShift) -> Result<ShiftOpened, ClientError> {
        self.command("/shift/open", request, api::open_shift)
    }

    /// Closes the open shift.
    pub fn close_shift(&mut self, request: CloseShift) -> Result<ShiftClosed, ClientError> {
        self.command("/shift/close", request, api::close_shift)
    }

    /// Sells.
    pub fn sell(&mut self, request: Sell) -> Result<Sale, ClientError> {
        self.command("/sell", request, api::sell)
    }

    /// Takes a ticket back.
    pub fn void(&mut self, request: VoidTicket) -> Result<Voided, ClientError> {
        self.command("/void", request, api::void)
    }

    /// Judges a scanned code.
    pub fn scan(&mut self, request: ScanRequest) -> Result<Scanned, ClientError> {
        self.command("/scan", request, api::scan)
    }

    /// Explains a code without recording it.
    pub fn explain(&mut self, request: ExplainRequest) -> Result<Explained, ClientError> {
        self.command("/explain", request, api::explain)
    }

    /// Gives a lease back.
    pub fn surrender(&mut self, request: Surrender) -> Result<Surrendered, ClientError> {
        self.command("/lease/surrender", request, api::surrender)
    }

    /// Asks for seats. Where no node runs the request waits for the next contact.
    pub fn request_lease(&mut self, request: LeaseWish) -> Result<LeaseAnswered, ClientError> {
        self.command("/lease/request", request, |engine, request, now| {
            let id = api::request_lease(engine, request, now)?;
            api::lease_state(engine, id)
        })
    }

    /// What the node says of itself.
    pub fn status(&mut self) -> Result<StatusJson, ClientError> {
        self.get("/status", |engine| Ok(api::status(engine)))
    }

    /// The trips that have not ended.
    pub fn trips(&mut self) -> Result<Vec<TripJson>, ClientError> {
        self.get("/trips", |engine| Ok(api::trips(engine, clock::now())))
    }

    /// The tickets that the node sold.
    pub fn tickets(&mut self) -> Result<Vec<TicketLine>, ClientError> {
        self.get("/tickets", |engine| Ok(api::tickets(engine)))
    }

    /// One ticket that the node sold.
    pub fn ticket(&mut self, id: &str) -> Result<TicketJson, ClientError> {
        if id.parse::<domain::ids::TicketId>().is_err() {
            return Err(Problem::bad_request(&format!("{id:?} is not a ticket's id")).into());
        }
        self.get(&format!("/tickets/{id}"), |engine| api::ticket(engine, id))
    }
}

fn read<A: DeserializeOwned>(
    result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    folder: &Path,
) -> Result<A, ClientError> {
    let unreachable = |detail: String| ClientError::Unreachable {
        folder: folder.to_owned(),
        detail,
    };
    let mut response = result.map_err(|e| unreachable(e.to_string()))?;
    if response.status().is_success() {
        return response
            .body_mut()
            .read_json()
            .map_err(|e| unreachable(e.to_string()));
    }
    let problem: Problem = response
        .body_mut()
        .read_json()
        .map_err(|e| unreachable(e.to_string()))?;
    Err(problem.into())
}
