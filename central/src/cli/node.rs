//! `node enrol` and `node assign`

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use domain::ids::{NodeId, TripId};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use sync_transport::{EnrolmentCode, HubIdentity};

use super::Settings;
use super::run_file::RunFile;
use super::session::{self, Session};
use crate::company;
use crate::nodes::assignment::assign_onboard;
use crate::nodes::enrolment::{CODE_LASTS_MS, create_code};
use crate::nodes::{self, NodeContext, NodeKind, load_node};

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Make a node, and the one-use code that turns one device into it
    Enrol(EnrolArgs),
    /// Name the onboard node that validates a trip
    Assign {
        /// The trip's number; may be repeated
        #[arg(long, value_name = "N", required = true)]
        trip: Vec<u64>,
        /// The onboard node's number
        #[arg(long, value_name = "ID")]
        node: NodeId,
    },
    /// Shut a lost or stolen node out, at once and for good
    ///
    /// It is cut off within seconds, gets no rights any more, and what it has sold and sells is
    /// disputed.
    Revoke {
        /// The node's number
        #[arg(long, value_name = "ID")]
        node: NodeId,
    },
}

#[derive(Debug, Args)]
pub(super) struct EnrolArgs {
    /// The company's name
    #[arg(long)]
    company: String,
    /// What people call the node
    #[arg(long)]
    name: String,
    /// What it is
    #[arg(long)]
    kind: Kind,
    /// A station's own stop
    #[arg(long, value_name = "CODE", required_if_eq("kind", "station"))]
    stop: Option<String>,
    /// A trip that an onboard node validates; may be repeated
    #[arg(long, value_name = "N")]
    trip: Vec<u64>,
    /// How the device reaches the hub [default: what the running hub says]
    #[arg(long, value_name = "HOST:PORT", env = "MWIMULE_PUBLIC_ADDR")]
    public_addr: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A counter: sells from its leases
    Station,
    /// A bus: validates tickets
    Onboard,
}

pub(super) async fn run(settings: &Settings, command: NodeCommand) -> Result<()> {
    match command {
        NodeCommand::Enrol(args) => enrol(settings, &args).await,
        NodeCommand::Revoke { node } => revoke(settings, node).await,
        NodeCommand::Assign { trip, node } => {
            let session = Session::open(settings).await?;
            let done = assign(settings, &session, &trip, node).await;
            session.close().await?;
            done?;
            if settings.json {
                println!("{}", json!({ "node": node.to_string(), "trips": trip }));
            } else {
                println!("Node {node} validates {} trips more.", trip.len());
            }
            Ok(())
        }
    }
}

async fn revoke(settings: &Settings, node: NodeId) -> Result<()> {
    let session = Session::open(settings).await?;
    let done = async {
        let known = load_node(&session.db, node).await?;
        let known = known.with_context(|| format!("there is no node {node} on this hub"))?;
        nodes::revoke(&session.db, known.company, node).await?;
        Ok(known)
    };
    let done: Result<NodeContext> = done.await;
    session.close().await?;
    let known = done?;
    if settings.json {
        println!("{}", json!({ "node": node.to_string(), "revoked": true }));
    } else {
        println!("{} is shut out.", known.name);
    }
    Ok(())
}

fn public_addr(settings: &Settings, args: &EnrolArgs) -> Result<String> {
    let said = args.public_addr.clone();
    said.or_else(|| settings.config.quic.public_addr.clone())
        .or_else(|| RunFile::of_running(&settings.data_dir)?.public_addr)
        .context("nobody said how devices reach this hub: give --public-addr HOST:PORT")
}

async fn enrol(settings: &Settings, args: &EnrolArgs) -> Result<()> {
    let kind = match (args.kind, &args.stop) {
        (Kind::Station, Some(stop)) => NodeKind::Station(stop.parse()?),
        (Kind::Station, None) => bail!("a station needs --stop"),
        (Kind::Onboard, None) => NodeKind::Onboard,
        (Kind::Onboard, Some(_)) => bail!("an onboard node has no stop of its own"),
    };
    if args.kind == Kind::Station && !args.trip.is_empty() {
        bail!("a station hears of every trip that calls at its stop; --trip is for onboard nodes");
    }
    let addr = public_addr(settings, args)?;
    session::make_folder(&settings.data_dir)?;
    let identity = session::identity(settings)?;
    let session = Session::open(settings).await?;
    let made = make(settings, &session, &identity, args, &addr, &kind).await;
    session.close().await?;
    let (node, code) = made?;
    print_code(settings, args, node, &code)
}

async fn make(
    settings: &Settings,
    session: &Session,
    identity: &HubIdentity,
    args: &EnrolArgs,
    addr: &str,
    kind: &NodeKind,
) -> Result<(NodeId, EnrolmentCode)> {
    let id = company::company_named(&session.db, &args.company).await?;
    let (node, code) = create_code(&session.db, identity, addr, id, &args.name, kind).await?;
    assign(settings, session, &args.trip, node).await?;
    Ok((node, code))
}

async fn assign(settings: &Settings, session: &Session, trips: &[u64], node: NodeId) -> Result<()> {
    let keys = session::keys(settings)?;
    for number in trips {
        let trip = TripId(*number);
        let company = company::company_of_trip(&session.db, trip)
            .await?
            .with_context(|| format!("there is no trip {number}"))?;
        assign_onboard(&session.db, &keys, company, trip, node).await?;
    }
    Ok(())
}

fn print_code(
    settings: &Settings,
    args: &EnrolArgs,
    node: NodeId,
    code: &EnrolmentCode,
) -> Result<()> {
    let text = code.to_string();
    let minutes = CODE_LASTS_MS / 60_000;
    if settings.json {
        let line = json!({
            "node": node.to_string(),
            "name": args.name,
            "code": text,
            "hub_addr": code.hub_addr,
            "minutes": minutes,
        });
        println!("{line}");
        return Ok(());
    }
    let qr = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M)?;
    println!("{}", qr.render::<Dense1x2>().build());
    println!("{text}");
    println!();
    println!(
        "Node {node} ({:?}) at {}. The code works once, within {minutes} minutes.",
        args.name, code.hub_addr
    );
    Ok(())
}
