//! The command line.

mod amount;
mod args;
mod show;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use domain::ticket::Suite;
use edge_node::api::{self, StatusJson};
use edge_node::client::{Client, ClientError};
use edge_node::identity::Identity;
use edge_node::keys::NodeKeys;
use edge_node::runtime::{DataDir, Node, NodeOptions};
use edge_node::store::Store;
use sync_transport::TransportSettings;
use uuid::Uuid;

pub use args::Cli;
use args::{Command, LeaseCommand, LogCommand, RunArgs, SellArgs, ShiftCommand, SuiteName};

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::Ed25519 => Self::Ed25519,
            SuiteName::Hmac => Self::Hmac256,
        }
    }
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<()> {
    edge_node::logging::to_stderr();
    let json = cli.json;
    match cli.command {
        Command::Enrol(args) => enrol(&args.data_dir, &args.code, &args.name),
        Command::Run(args) => serve(args),
        Command::Shift(ShiftCommand::Open(args)) => {
            let float_minor = amount::parse(&args.float, &args.currency)?;
            let request = api::OpenShift {
                command_id: command_id(args.command_id),
                agent: args.agent,
                float_minor,
                currency: args.currency,
            };
            let opened = with(&args.data_dir, |client| client.open_shift(request))?;
            show::answer(json, &opened, || format!("shift {} is open", opened.shift))
        }
        Command::Shift(ShiftCommand::Close(args)) => {
            let mut client = open(&args.data_dir)?;
            let currency = client.status()?.shift.map(|s| s.currency);
            let currency = currency.unwrap_or_else(|| "ZMW".to_owned());
            let request = api::CloseShift {
                command_id: command_id(args.command_id),
                declared_minor: amount::parse(&args.declared, &currency)?,
            };
            let closed = client.close_shift(request)?;
            show::answer(json, &closed, || show::shift_closed(&closed, &currency))
        }
        Command::Sell(args) => sell(args, json),
        Command::Void(args) => {
            let request = api::VoidTicket {
                command_id: command_id(args.command_id),
                ticket: args.ticket,
                reason: args.reason,
            };
            let mut client = open(&args.data_dir)?;
            let voided = client.void(request)?;
            let currency = client.ticket(&voided.ticket).map(|t| t.currency);
            show::answer(json, &voided, || {
                let due = edge_node::print::amount(
                    voided.fare_minor,
                    currency.as_deref().unwrap_or_default(),
                );
                format!("ticket {} is void: give {due} back", voided.ticket)
            })
        }
        Command::Scan(args) => {
            let request = api::ScanRequest {
                command_id: command_id(args.command_id),
                trip: args.trip,
                text: args.text,
            };
            let scanned = with(&args.data_dir, |client| client.scan(request))?;
            show::answer(json, &scanned, || show::scanned(&scanned))
        }
        Command::Status(args) => {
            let status = with(&args.data_dir, Client::status)?;
            show::answer(json, &status, || show::status(&status))
        }
        Command::Trips(args) => {
            let trips = with(&args.data_dir, Client::trips)?;
            show::answer(json, &trips, || show::trips(&trips))
        }
        Command::Tickets(args) => {
            let tickets = with(&args.data_dir, Client::tickets)?;
            show::answer(json, &tickets, || show::tickets(&tickets))
        }
        Command::Ticket(args) => {
            let ticket = with(&args.data_dir, |client| client.ticket(&args.ticket))?;
            if let Some(path) = &args.print {
                print_to(path, std::slice::from_ref(&ticket))?;
            }
            show::answer(json, &ticket, || edge_node::print::ticket_text(&ticket))
        }
        Command::Lease(LeaseCommand::Request(args)) => {
            let request = api::LeaseWish {
                command_id: command_id(args.command_id),
                trip: args.trip,
                boarding: args.from,
                wants: vec![api::WantRequest {
                    to: args.to,
                    count: args.count,
                }],
                wait_ms: args.wait_ms,
            };
            let answer = with(&args.data_dir, |client| client.request_lease(request))?;
            show::answer(json, &answer, || show::lease(&answer))?;
            match answer.why {
                Some(why) => bail!("the hub grants nothing: {why}"),
                None => Ok(()),
            }
        }
        Command::Lease(LeaseCommand::Surrender(args)) => {
            let request = api::Surrender {
                command_id: command_id(args.command_id),
                trip: args.trip,
                lease_no: args.lease,
            };
            let given = with(&args.data_dir, |client| client.surrender(request))?;
            show::answer(json, &given, || {
                format!(
                    "lease {} on trip {} is given back",
                    given.lease_no, given.trip
                )
            })
        }
        Command::Log(LogCommand::Export(args)) => export(&args.data_dir, &args.out),
        Command::Doctor(args) => doctor(&args.data_dir),
    }
}

fn command_id(given: Option<Uuid>) -> String {
    let id = given.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        // Without randomness a second command would be taken for the first: the clock tells them
        // apart.
        if getrandom::fill(&mut bytes).is_err() {
            bytes[..8].copy_from_slice(&edge_node::runtime::clock::now().0.to_be_bytes());
        }
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    });
    id.to_string()
}

fn open(folder: &Path) -> Result<Client, ClientError> {
    Client::open(folder, Suite::Ed25519)
}

fn with<T>(
    folder: &Path,
    work: impl FnOnce(&mut Client) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    work(&mut open(folder)?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn enrol(folder: &Path, code: &str, name: &str) -> Result<()> {
    let settings = TransportSettings::edge();
    let enrolled = runtime()?.block_on(edge_node::runtime::enrol(code, folder, name, &settings));
    let identity = enrolled?;
    println!(
        "{}",
        serde_json::json!({
            "node": identity.node.to_string(),
            "company": identity.company.to_string(),
            "hub": identity.hub_addr,
        })
    );
    eprintln!("this device is node {}", identity.node);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn serve(args: RunArgs) -> Result<()> {
    runtime()?.block_on(async {
        let node = Node::start(NodeOptions {
            data_dir: args.data_dir,
            http: args.http,
            hub: args.hub,
            suite: args.suite.into(),
            transport: TransportSettings::edge(),
        })
        .await?;
        println!("{}", node.ready_line());
        std::io::stdout()
            .flush()
            .context("saying that the node is ready")?;
        node.run_until_signal().await?;
        Ok(())
    })
}

fn sell(args: SellArgs, json: bool) -> Result<()> {
    let mut client = open(&args.data_dir)?;
    let tender = if args.tender.is_empty() {
        vec![]
    } else {
        tender_of(&args, &client.status()?)?
    };
    let print = args.print.clone();
    let request = args.into_request(command_id, tender)?;
    let sale = client.sell(request)?;
    if let Some(path) = print {
        print_to(&path, &sale.tickets)?;
    }
    show::answer(json, &sale, || show::sale(&sale))
}

fn tender_of(args: &SellArgs, status: &StatusJson) -> Result<Vec<api::TenderRequest>> {
    let currency = status.shift.as_ref().map_or("ZMW", |s| s.currency.as_str());
    args.tender
        .iter()
        .map(|line| {
            let (kind, text) = line
                .split_once('=')
                .with_context(|| format!("{line:?}: give a tender line as cash=105.00"))?;
            Ok(api::TenderRequest {
                kind: kind.to_owned(),
                amount_minor: amount::parse(text, currency)?,
            })
        })
        .collect()
}

fn print_to(path: &Path, tickets: &[api::TicketJson]) -> Result<()> {
    let text: Vec<String> = tickets.iter().map(edge_node::print::ticket_text).collect();
    std::fs::write(path, text.join("\n\x0c\n")).with_context(|| {
        format!(
            "{}: the tickets are sold but could not be written there; `mwimule-edge ticket` prints \
             them again",
            path.display()
        )
    })
}

fn export(folder: &Path, out: &Path) -> Result<()> {
    let dir = DataDir::new(folder);
    let identity = Identity::load(folder)?;
    let keys = NodeKeys::load(&dir.keys())?;
    let (store, _) = Store::open(&dir.disk(), identity.node, true)?;
    let file = File::create(out).with_context(|| out.display().to_string())?;
    let mut writer = BufWriter::new(file);
    let key = keys.event.verifying_key();
    let heads = edge_node::export::export(&store, identity.node, &key, &mut writer)?;
    for head in heads {
        eprintln!(
            "incarnation {}: {} events, whole, head {}",
            head.incarnation, head.seq, head.hash
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn doctor(folder: &Path) -> Result<()> {
    let findings = edge_node::doctor::examine(folder);
    for finding in &findings {
        let mark = if finding.well { "ok  " } else { "FAIL" };
        println!("{mark} {}", finding.text);
    }
    if findings.iter().all(|f| f.well) {
        Ok(())
    } else {
        bail!("something needs attention")
    }
}
