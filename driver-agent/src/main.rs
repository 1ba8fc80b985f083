//! `mwimule-driver`: the onboard validator.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use domain::ids::TripId;
use domain::ticket::Suite;
use driver_agent::banner::banner;
use driver_agent::gps::{self, GpsSource};
use driver_agent::scanner::{LINE_BYTES_MAX, Line, read_line};
use edge_node::api::{self, ExplainRequest, ScanRequest};
use edge_node::client::Client;
use edge_node::runtime::{EngineHandle, Node, NodeOptions, clock, node};
use sync_transport::TransportSettings;
use tokio::sync::mpsc;

/// The onboard validator: knows in under a second, offline, whether a passenger boards.
#[derive(Debug, Parser)]
#[command(name = "mwimule-driver", version, propagate_version = true)]
struct Cli {
    /// Answer with JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this device an onboard node, with a one-use code from the office.
    Enrol {
        /// The code, beginning with MWE1.
        code: String,
        /// The folder that becomes the node's data folder.
        #[arg(long, env = "MWIMULE_DATA_DIR")]
        data_dir: PathBuf,
        /// What the device would like to be called.
        #[arg(long, default_value = "bus")]
        name: String,
    },
    /// Run: scans are lines on standard input, or `POST /scan` of the local API.
    ///
    /// Prints one JSON line when it is ready, then an answer for each scan. A line `trip 17` names
    /// the trip that is boarding. The end of standard input does not end the program.
    Run {
        /// The node's data folder.
        #[arg(long, env = "MWIMULE_DATA_DIR")]
        data_dir: PathBuf,
        /// The trip that is boarding, where manifests of several are here.
        #[arg(long)]
        trip: Option<u64>,
        /// Where the local API listens; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        http: SocketAddr,
        /// The hub's HOST:PORT, where it is another than at enrolment.
        #[arg(long)]
        hub: Option<String>,
        /// Where positions come from, while a trip boards here and drives: gpsd://HOST:PORT,
        /// nmea:FILE, or drive:KMH@STOPS.TXT for a drive that is made up.
        #[arg(long, value_name = "SOURCE")]
        gps: Option<GpsSource>,
        /// A boarding trip is followed from so many minutes before it leaves.
        #[arg(long, default_value_t = 60, value_name = "MINUTES")]
        gps_before_min: u32,
        /// What positions may cost a day, in bytes; 0 keeps them here, on a metered link.
        #[arg(long, value_name = "BYTES")]
        gps_day_bytes: Option<u64>,
    },
    /// Explain one ticket: its key, its signature, what the manifest and the grants say.
    /// Records nothing.
    Verify {
        /// The text of the code.
        qr: String,
        /// The node's data folder.
        #[arg(long, env = "MWIMULE_DATA_DIR")]
        data_dir: PathBuf,
        /// The trip to look at it from, where manifests of several are here.
        #[arg(long)]
        trip: Option<u64>,
    },
    /// What the node says of itself.
    Status {
        /// The node's data folder.
        #[arg(long, env = "MWIMULE_DATA_DIR")]
        data_dir: PathBuf,
    },
}

fn main() -> ExitCode {
    edge_node::logging::to_stderr();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Enrol {
            code,
            data_dir,
            name,
        } => enrol(&data_dir, &code, &name),
        Command::Run {
            data_dir,
            trip,
            http,
            hub,
            gps,
            gps_before_min,
            gps_day_bytes,
        } => {
            let options = NodeOptions {
                data_dir,
                http,
                hub,
                suite: Suite::Ed25519,
                transport: TransportSettings::edge(),
            };
            let following = Following {
                gps,
                before_ms: i64::from(gps_before_min) * 60_000,
                day_bytes: gps_day_bytes,
            };
            serve(options, trip.map(TripId), following, cli.json)
        }
        Command::Verify { qr, data_dir, trip } => verify(&data_dir, trip, qr, cli.json),
        Command::Status { data_dir } => {
            let status = Client::open(&data_dir, Suite::Ed25519)?.status()?;
            say(&serde_json::to_string_pretty(&status)?)
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn say(text: &str) -> Result<()> {
    println!("{text}");
    std::io::stdout().flush().context("writing to the terminal")
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")
}

fn enrol(folder: &Path, code: &str, name: &str) -> Result<()> {
    let settings = TransportSettings::edge();
    let enrolled = runtime()?.block_on(edge_node::runtime::enrol(code, folder, name, &settings));
    let identity = enrolled?;
    let told = serde_json::json!({
        "node": identity.node.to_string(),
        "company": identity.company.to_string(),
        "hub": identity.hub_addr,
    });
    say(&told.to_string())
}

/// How the bus says where it is.
struct Following {
    gps: Option<GpsSource>,
    before_ms: i64,
    day_bytes: Option<u64>,
}

fn serve(
    options: NodeOptions,
    trip: Option<TripId>,
    following: Following,
    json: bool,
) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let node = Node::start(options).await?;
        let engine = node.engine().clone();
        engine.call(move |engine| engine.set_boarding(trip)).await?;
        if let Some(bytes) = following.day_bytes {
            node.positions().set_budget(bytes);
        }
        let gps = following.gps.map(|source| {
            let positions = node.positions().clone();
            tokio::spawn(gps::follow(
                source,
                engine.clone(),
                positions,
                following.before_ms,
            ))
        });
        say(&node.ready_line())?;
        let scans = tokio::spawn(answer_scans(engine, lines_of_stdin()?, json));
        node::wait_for_signal().await?;
        scans.abort();
        let _ = scans.await;
        if let Some(gps) = gps {
            gps.abort();
            let _ = gps.await;
        }
        node.shut_down().await;
        Ok::<_, anyhow::Error>(())
    })?;
    // The thread that waits for a line would be waited for otherwise.
    runtime.shutdown_background();
    Ok(())
}

/// A thread of its own reads the scanner: standard input cannot be waited for without one.
fn lines_of_stdin() -> Result<mpsc::Receiver<String>> {
    let (send, lines) = mpsc::channel(16);
    std::thread::Builder::new()
        .name("scanner".to_owned())
        .spawn(move || {
            let mut input = std::io::stdin().lock();
            loop {
                let mut line = Vec::new();
                // One byte more than is looked at, so that a line end fits.
                let most = LINE_BYTES_MAX as u64 + 2;
                match input.by_ref().take(most).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                if line.len() as u64 == most && !line.ends_with(b"\n") {
                    // Too long for any ticket: the rest of the line is no second scan.
                    if input.skip_until(b'\n').is_err() {
                        return;
                    }
                }
                let text = String::from_utf8_lossy(&line).into_owned();
                if send.blocking_send(text).is_err() {
                    return;
                }
            }
        })
        .context("starting the thread that reads the scanner")?;
    Ok(lines)
}

async fn answer_scans(engine: EngineHandle, mut lines: mpsc::Receiver<String>, json: bool) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = answer_line(&engine, &line, json).await {
            // The driver has to see it where the answers stand.
            let _ = say(&format!("NOT CHECKED: {error:#}"));
        }
    }
}

async fn answer_line(engine: &EngineHandle, line: &str, json: bool) -> Result<()> {
    let text = match read_line(line) {
        Line::Empty => return Ok(()),
        Line::Trip(trip) => {
            engine
                .call(move |engine| engine.set_boarding(Some(trip)))
                .await?;
            return say(&format!("boarding trip {trip}"));
        }
        Line::Code(text) => text,
    };
    let mut id = [0; 16];
    if let Err(error) = getrandom::fill(&mut id) {
        bail!("the system gives no random bytes ({error}): restart the device");
    }
    let request = ScanRequest {
        command_id: uuid::Builder::from_random_bytes(id).into_uuid().to_string(),
        trip: None,
        text,
    };
    let scanned = engine
        .call(move |engine| api::scan(engine, request, clock::now()))
        .await??;
    if json {
        say(&serde_json::to_string(&scanned)?)
    } else {
        say(&banner(&scanned))
    }
}

fn verify(folder: &Path, trip: Option<u64>, text: String, json: bool) -> Result<()> {
    let request = ExplainRequest { trip, text };
    let told = Client::open(folder, Suite::Ed25519)?.explain(request)?;
    if json {
        return say(&serde_json::to_string(&told)?);
    }
    let answer = told.answer.replace('_', " ").to_uppercase();
    say(&format!(
        "{answer} on trip {}: {}\n{}",
        told.trip,
        told.reason,
        told.findings.join("\n")
    ))
}
