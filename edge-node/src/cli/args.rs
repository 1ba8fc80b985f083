//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use edge_node::api;
use uuid::Uuid;

/// A station counter that sells and validates without a network.
///
/// Set a device up once with `enrol`, keep `run` running, and sell with the other commands. They
/// talk to the running node; where none runs they open its sales file themselves.
#[derive(Debug, Parser)]
#[command(name = "mwimule-edge", version, propagate_version = true)]
pub struct Cli {
    /// Answer with JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this device a node, with a one-use code from the office.
    Enrol(EnrolArgs),
    /// Run the node: its local API and its link to the hub, until SIGTERM or Ctrl-C.
    ///
    /// Prints one JSON line on standard output when it is ready.
    Run(RunArgs),
    /// Open or close a shift.
    #[command(subcommand)]
    Shift(ShiftCommand),
    /// Sell tickets of one journey; all of them or none.
    Sell(SellArgs),
    /// Take a ticket back, in the shift that sold it.
    Void(VoidArgs),
    /// Judge a ticket's code and record it, where this device validates the trip.
    Scan(ScanArgs),
    /// What the node says of itself.
    Status(Where),
    /// The trips that have not ended, and the seats held on them.
    Trips(Where),
    /// The tickets that this node sold, the newest first.
    Tickets(Where),
    /// Show and print one ticket again.
    Ticket(TicketArgs),
    /// Ask for seats, or give them back.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// The event log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Look the node over; changes nothing.
    Doctor(Where),
}

/// Where the node is.
#[derive(Debug, Args)]
pub struct Where {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// `enrol`.
#[derive(Debug, Args)]
pub struct EnrolArgs {
    /// The code, beginning with MWE1.
    pub code: String,
    /// The folder that becomes the node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// What the device would like to be called.
    #[arg(long, default_value = "counter")]
    pub name: String,
}

/// How tickets are signed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SuiteName {
    /// Anybody with the public key can check them.
    Ed25519,
    /// Shorter; only validators of the trip can check them, and flag them.
    Hmac,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Where the local API listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// The hub's HOST:PORT, where it is another than at enrolment.
    #[arg(long)]
    pub hub: Option<String>,
    /// How tickets are signed.
    #[arg(long, value_enum, default_value = "ed25519")]
    pub suite: SuiteName,
}

/// `shift`.
#[derive(Debug, Subcommand)]
pub enum ShiftCommand {
    /// Begin to sell.
    Open(ShiftOpenArgs),
    /// Count the drawer and stop selling.
    Close(ShiftCloseArgs),
}

/// `shift open`.
#[derive(Debug, Args)]
pub struct ShiftOpenArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Who sells.
    #[arg(long)]
    pub agent: String,
    /// Cash in the drawer, as 50 or 50.00.
    #[arg(long, default_value = "0")]
    pub float: String,
    /// What the drawer holds.
    #[arg(long, default_value = "ZMW")]
    pub currency: String,
    /// Repeat a command whose answer was lost.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

/// `shift close`.
#[derive(Debug, Args)]
pub struct ShiftCloseArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// What was counted, float included, as 50 or 50.00.
    #[arg(long)]
    pub declared: String,
    /// Repeat a command whose answer was lost.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

/// `sell`.
#[derive(Debug, Args)]
pub struct SellArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The trip's number; `trips` lists them.
    #[arg(long)]
    pub trip: u64,
    /// The stop code where the journey begins.
    #[arg(long)]
    pub from: String,
    /// The stop code where it ends.
    #[arg(long)]
    pub to: String,
    /// How many adults.
    #[arg(long, default_value_t = 0)]
    pub adults: u16,
    /// How many children.
    #[arg(long, default_value_t = 0)]
    pub children: u16,
    /// How many infants with a seat of their own.
    #[arg(long, default_value_t = 0)]
    pub infants: u16,
    /// How many persons with reduced mobility.
    #[arg(long, default_value_t = 0)]
    pub prm: u16,
    /// A chosen seat; once for each passenger, adults first. Seats not chosen are found.
    #[arg(long)]
    pub seat: Vec<String>,
    /// A passenger's name; once for each passenger, adults first.
    #[arg(long)]
    pub name: Vec<String>,
    /// A phone number.
    #[arg(long)]
    pub phone: Option<String>,
    /// How it is paid, as cash=105.00, mobile_money=50 or card=20; all in cash unless given.
    #[arg(long)]
    pub tender: Vec<String>,
    /// Print the tickets into this file too.
    #[arg(long)]
    pub print: Option<PathBuf>,
    /// Test tickets, not for travel.
    #[arg(long)]
    pub test: bool,
    /// Repeat a command whose answer was lost: it returns the same tickets.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

impl SellArgs {
    /// The request that this asks for.
    pub fn into_request(
        self,
        command_id: impl FnOnce(Option<Uuid>) -> String,
        tender: Vec<api::TenderRequest>,
    ) -> Result<api::Sell> {
        let groups = [
            ("adult", self.adults),
            ("child", self.children),
            ("infant", self.infants),
            ("prm", self.prm),
        ];
        let mut seats = self.seat.into_iter();
        let mut names = self.name.into_iter();
        let mut passengers = vec![];
        for (class, count) in groups {
            for _ in 0..count {
                passengers.push(api::PassengerRequest {
                    class: class.to_owned(),
                    seat: seats.next(),
                    name: names.next(),
                });
            }
        }
        if seats.next().is_some() || names.next().is_some() {
            bail!("more seats or names than passengers: say how many travel, as --adults 2");
        }
        Ok(api::Sell {
            command_id: command_id(self.command_id),
            journeys: vec![api::JourneyRequest {
                trip: self.trip,
                from: self.from,
                to: self.to,
                passengers,
            }],
            tender,
            phone: self.phone,
            test: self.test,
        })
    }
}

/// `void`.
#[derive(Debug, Args)]
pub struct VoidArgs {
    /// The ticket's id.
    pub ticket: String,
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// mistake, passenger_request or print_failed.
    #[arg(long)]
    pub reason: Option<String>,
    /// Repeat a command whose answer was lost.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

/// `scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// The text of the code.
    pub text: String,
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The trip that is boarding, where this device validates several.
    #[arg(long)]
    pub trip: Option<u64>,
    /// Repeat a command whose answer was lost.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

/// `ticket`.
#[derive(Debug, Args)]
pub struct TicketArgs {
    /// The ticket's id.
    pub ticket: String,
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Print it into this file too.
    #[arg(long)]
    pub print: Option<PathBuf>,
}

/// `lease`.
#[derive(Debug, Subcommand)]
pub enum LeaseCommand {
    /// Ask the hub for seats.
    Request(LeaseRequestArgs),
    /// Give a lease back.
    Surrender(LeaseSurrenderArgs),
}

/// `lease request`.
#[derive(Debug, Args)]
pub struct LeaseRequestArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The trip's number.
    #[arg(long)]
    pub trip: u64,
    /// The stop code where the tickets board.
    #[arg(long)]
    pub from: String,
    /// The stop code that the rights shall reach.
    #[arg(long)]
    pub to: String,
    /// How many seats.
    #[arg(long)]
    pub count: u16,
    /// How long to wait for the hub's answer, in ms. The request stays until it is answered.
    #[arg(long, default_value_t = 10_000)]
    pub wait_ms: u64,
    /// Repeat a request whose answer was lost: it gets the same lease.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

/// `lease surrender`.
#[derive(Debug, Args)]
pub struct LeaseSurrenderArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The trip's number.
    #[arg(long)]
    pub trip: u64,
    /// The lease's number.
    #[arg(long)]
    pub lease: u16,
    /// Repeat a command whose answer was lost.
    #[arg(long)]
    pub command_id: Option<Uuid>,
}

/// `log`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Write the log as JSON lines, proving its chain and signatures while it goes.
    Export(LogExportArgs),
}

/// `log export`.
#[derive(Debug, Args)]
pub struct LogExportArgs {
    /// The node's data folder.
    #[arg(long, env = "MWIMULE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The file to write.
    #[arg(long)]
    pub out: PathBuf,
}
