//! The local API: HTTP on the loopback address, JSON in and out.
//!
//! A page in a browser must not be able to sell: commands need `Content-Type: application/json`,
//! which no foreign page may send, and the `Host` has to be a loopback one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::ids::RequestId;
use domain::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::link::LinkStatus;
use super::node::RuntimeError;
use super::writer::{EngineHandle, Stopped, told_to_stop};
use crate::api::{self, LeaseAnswered, LeaseWish, Problem};
use crate::engine::Engine;
use crate::runtime::clock;

/// The file of a data folder that says where the running node listens.
pub const RUN_FILE: &str = "run.json";

/// The longest request, in bytes: a party of 64 with names.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest that a lease request waits for its answer, in ms.
const LEASE_WAIT_MS_MAX: u64 = 30_000;

pub(super) struct Api {
    engine: EngineHandle,
    link: watch::Receiver<LinkStatus>,
}

type Shared = State<Arc<Api>>;

impl Api {
    pub(super) fn new(engine: EngineHandle, link: watch::Receiver<LinkStatus>) -> Self {
        Self { engine, link }
    }

    async fn command<Q, A>(
        &self,
        headers: &HeaderMap,
        body: &Body,
        work: fn(&mut Engine, Q, Instant) -> Result<A, Problem>,
    ) -> Response
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        let request = match read::<Q>(headers, body) {
            Ok(request) => request,
            Err(problem) => return refuse(&problem),
        };
        answer(
            self.engine
                .call(move |engine| work(engine, request, clock::now()))
                .await,
        )
    }

    async fn ask<A: Serialize + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<A, Problem> + Send + 'static,
    ) -> Response {
        answer(self.engine.call(work).await)
    }
}

/// A request's body, where it was small enough.
type Body = Result<Bytes, BytesRejection>;

fn read<Q: DeserializeOwned>(headers: &HeaderMap, body: &Body) -> Result<Q, Problem> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| {
            v.split(';')
                .next()
                .is_some_and(|t| t.trim() == "application/json")
        });
    if !json {
        return Err(Problem::new(
            415,
            "not_json",
            "send JSON with the header Content-Type: application/json",
        ));
    }
    let body = body.as_ref().map_err(|_| {
        Problem::new(
            413,
            "too_long",
            &format!("the request is longer than {BODY_BYTES_MAX} bytes"),
        )
    })?;
    serde_json::from_slice(body)
        .map_err(|e| Problem::bad_request(&format!("the request cannot be read: {e}")))
}

fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body).into_response()
}

fn answer<A: Serialize>(result: Result<Result<A, Problem>, Stopped>) -> Response {
    match result {
        Ok(Ok(value)) => axum::Json(value).into_response(),
        Ok(Err(problem)) => refuse(&problem),
        Err(stopped) => refuse(&Problem::new(503, "shutting_down", &stopped.to_string())),
    }
}

macro_rules! command {
    ($name:ident) => {
        async fn $name(State(api): Shared, headers: HeaderMap, body: Body) -> Response {
            api.command(&headers, &body, api::$name).await
        }
    };
}

command!(open_shift);
command!(close_shift);
command!(sell);
command!(void);
command!(scan);
command!(surrender);
command!(explain);

async fn request_lease(State(api): Shared, headers: HeaderMap, body: Body) -> Response {
    let wish = match read::<LeaseWish>(&headers, &body) {
        Ok(wish) => wish,
        Err(problem) => return refuse(&problem),
    };
    let wait = Duration::from_millis(wish.wait_ms.min(LEASE_WAIT_MS_MAX));
    let made = api
        .engine
        .call(move |engine| api::request_lease(engine, wish, clock::now()))
        .await;
    match made {
        Ok(Ok(request)) => answer(awaited(&api.engine, request, wait).await),
        Ok(Err(problem)) => refuse(&problem),
        Err(stopped) => answer::<()>(Err(stopped)),
    }
}

/// Where a lease request stands once it is answered, or after `wait`.
async fn awaited(
    engine: &EngineHandle,
    request: RequestId,
    wait: Duration,
) -> Result<Result<LeaseAnswered, Problem>, Stopped> {
    let mut news = engine.news();
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        news.mark_unchanged();
        let state = engine
            .call(move |engine| api::lease_state(engine, request))
            .await?;
        if !matches!(&state, Ok(answer) if answer.state == "waiting") {
            return Ok(state);
        }
        if tokio::time::timeout_at(deadline, news.changed())
            .await
            .is_err()
        {
            return Ok(state);
        }
    }
}

async fn lease_state(State(api): Shared, UrlPath(id): UrlPath<String>) -> Response {
    match id.parse::<RequestId>() {
        Ok(id) => api.ask(move |engine| api::lease_state(engine, id)).await,
        Err(error) => refuse(&Problem::bad_request(&error.to_string())),
    }
}

async fn status(State(api): Shared) -> Response {
    let link = api.link.borrow().to_json();
    api.ask(move |engine| Ok(api::status(engine).with_link(link)))
        .await
}

async fn trips(State(api): Shared) -> Response {
    api.ask(|engine| Ok(api::trips(engine, clock::now()))).await
}

async fn tickets(State(api): Shared) -> Response {
    api.ask(|engine| Ok(api::tickets(engine))).await
}

async fn ticket(State(api): Shared, UrlPath(id): UrlPath<String>) -> Response {
    api.ask(move |engine| api::ticket(engine, &id)).await
}

async fn nothing_here() -> Response {
    refuse(&Problem::new(
        404,
        "no_such_path",
        "there is nothing at this path: see docs/edge.md",
    ))
}

/// Lets only requests through that name this machine.
async fn loopback_only(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if matches!(name, "127.0.0.1" | "localhost" | "[::1]") {
        next.run(request).await
    } else {
        refuse(&Problem::new(
            403,
            "not_local",
            "this address is for programs on this device only",
        ))
    }
}

fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/shift/open", post(open_shift))
        .route("/shift/close", post(close_shift))
        .route("/sell", post(sell))
        .route("/void", post(void))
        .route("/scan", post(scan))
        .route("/explain", post(explain))
        .route("/lease/request", post(request_lease))
        .route("/lease/request/{id}", get(lease_state))
        .route("/lease/surrender", post(surrender))
        .route("/status", get(status))
        .route("/trips", get(trips))
        .route("/tickets", get(tickets))
        .route("/tickets/{id}", get(ticket))
        .fallback(nothing_here)
        .layer(axum::middleware::from_fn(loopback_only))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}

pub(super) async fn serve(
    address: SocketAddr,
    api: Arc<Api>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), RuntimeError> {
    if !address.ip().is_loopback() {
        return Err(RuntimeError::io(format!("listening on {address}"))(
            std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "the local API is for this device only: give a loopback address as 127.0.0.1:0",
            ),
        ));
    }
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(RuntimeError::io(format!("listening on {address}")))?;
    let here = listener
        .local_addr()
        .map_err(RuntimeError::io(format!("listening on {address}")))?;
    let server = axum::serve(listener, router(api)).with_graceful_shutdown(async move {
        told_to_stop(&mut stopped).await;
    });
    let task = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the local API ended");
        }
    });
    Ok((here, task))
}

/// Notes where the node listens, for the command line.
pub(super) fn write_run_file(folder: &Path, http: SocketAddr) -> Result<PathBuf, RuntimeError> {
    let path = folder.join(RUN_FILE);
    let text = serde_json::json!({
        "http": format!("http://{http}"),
        "pid": std::process::id(),
    })
    .to_string();
    crate::keys::write_private(&path, text.as_bytes())
        .map_err(RuntimeError::io(path.display().to_string()))?;
    Ok(path)
}
