//! How an operator starts: a port, one line of JSON with its address, and its end.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// What every operator takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address; port 0 lets the system choose. The address is printed as one line of JSON
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Keeps its state in FILE, so that it survives a restart
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Log every request to the error output
    #[arg(long)]
    pub verbose: bool,
}

/// An operator inside another program, for tests; it ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    serving: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves on a port of this machine that the system chooses.
///
/// # Errors
/// When there is none.
pub async fn listen(router: Router) -> Result<Running> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        // Serving on a bound port ends only with its task.
        let _ = axum::serve(listener, router).await;
    });
    Ok(Running { url, serving })
}

/// Serves until the program is told to stop.
///
/// # Errors
/// When it cannot listen there.
pub async fn run(args: &Args, router: Router) -> Result<()> {
    run_saying(args, router, json!({})).await
}

/// The same, with more in the line that says where it is.
///
/// # Errors
/// When it cannot listen there.
#[expect(clippy::print_stdout, reason = "the line that says where it is")]
pub async fn run_saying(args: &Args, router: Router, mut about: Value) -> Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    about["url"] = url.into();
    about["pid"] = std::process::id().into();
    println!("{about}");
    let (mut int, mut term) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let router = if args.verbose {
        router.layer(axum::middleware::from_fn(log))
    } else {
        router
    };
    // Charges that never answer must not keep it from ending.
    tokio::select! {
        ended = axum::serve(listener, router) => Ok(ended?),
        _ = int.recv() => Ok(()),
        _ = term.recv() => Ok(()),
    }
}

async fn log(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    eprintln!("{method} {uri} {}", response.status().as_u16());
    response
}
