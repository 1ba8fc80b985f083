//! The commands of `mwimule-hub`.
#![expect(clippy::print_stdout, reason = "the program's own answers")]

mod backup;
mod company;
mod csv;
mod doctor;
mod fiscal;
mod gtfs;
mod node;
mod openapi;
mod people;
mod run_file;
mod serve;
mod session;
mod vault;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Where data lives when nothing is said.
const DEFAULT_DATA_DIR: &str = "mwimule-hub-data";

/// The Mwimule hub: sells seats online, grants leases to stations and buses, takes in their
/// logs, and accounts for every seat and coin.
#[derive(Debug, Parser)]
#[command(name = "mwimule-hub", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Shared {
    /// Folder with the hub's keys and, unless --database-url is given, its database
    /// [default: ./mwimule-hub-data]
    #[arg(long, global = true, value_name = "DIR", env = "MWIMULE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A Postgres that somebody else runs, as postgres://user:password@host/database
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MWIMULE_DATABASE_URL",
        hide_env_values = true
    )]
    database_url: Option<String>,
    /// A configuration file in TOML; flags and environment win over it
    #[arg(long, global = true, value_name = "FILE", env = "MWIMULE_CONFIG")]
    config: Option<PathBuf>,
    /// Answer with one line of JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub until it is told to stop (Ctrl-C or SIGTERM)
    Serve(ServeArgs),
    /// Bring the database's schema up to date
    Migrate,
    /// Check everything the hub needs, and say what to do about what is missing
    Doctor(ServeArgs),
    /// People of the office
    #[command(subcommand)]
    Admin(company::AdminCommand),
    /// A person with an account
    #[command(subcommand)]
    Person(people::PersonCommand),
    /// Many people at once
    #[command(subcommand)]
    People(people::PeopleCommand),
    /// The keys of access tokens
    #[command(subcommand)]
    Auth(people::AuthCommand),
    /// Companies on this hub
    #[command(subcommand)]
    Company(company::CompanyCommand),
    /// Timetables
    #[command(subcommand)]
    Gtfs(gtfs::GtfsCommand),
    /// A company's lists as CSV
    #[command(subcommand)]
    Csv(csv::CsvCommand),
    /// Stations and buses
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// The ledger for tax offices and regulators
    #[command(subcommand)]
    Fiscal(fiscal::FiscalCommand),
    /// The keys that personal data is sealed with
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Write database, keys and certificates to a folder, beside a hub that sells
    Backup(backup::BackupArgs),
    /// Make a hub from a backup: another installation, with open trips frozen until all devices
    /// have told what they hold
    Restore(backup::RestoreArgs),
    /// Let a trip of a restored hub sell again, at your risk
    Thaw(backup::ThawArgs),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
}

/// Where the hub listens.
#[derive(Debug, Clone, Default, Args)]
struct ServeArgs {
    /// HTTP address of API and page; port 0 lets the system choose [default: 127.0.0.1:8080]
    ///
    /// The page shows every company, so listen to the outside only behind a proxy that asks who
    /// is there.
    #[arg(long, value_name = "ADDR:PORT", env = "MWIMULE_HTTP")]
    http: Option<SocketAddr>,
    /// UDP address for stations and buses; port 0 lets the system choose [default: 0.0.0.0:7443]
    #[arg(long, value_name = "ADDR:PORT", env = "MWIMULE_QUIC")]
    quic: Option<SocketAddr>,
    /// A Redis that several hub processes share as their cache, as redis://host:6379/0; without
    /// it the cache is in this process
    #[arg(
        long,
        value_name = "URL",
        env = "MWIMULE_REDIS_URL",
        hide_env_values = true
    )]
    redis_url: Option<String>,
    /// Let everybody ask as often as they like, for measuring
    #[arg(long, env = "MWIMULE_NO_RATE_LIMITS")]
    no_rate_limits: bool,
    /// How stations and buses reach this hub; goes into enrolment codes
    #[arg(long, value_name = "HOST:PORT", env = "MWIMULE_PUBLIC_ADDR")]
    public_addr: Option<String>,
}

/// Everything said, the configuration file included.
#[derive(Debug, Clone)]
struct Settings {
    data_dir: PathBuf,
    database_url: Option<String>,
    json: bool,
    config: Config,
}

impl Settings {
    fn new(shared: Shared) -> Result<Self> {
        let config = match &shared.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        let data_dir = shared.data_dir.or_else(|| config.data.folder.clone());
        Ok(Self {
            data_dir: data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
            database_url: shared.database_url.or_else(|| config.database.url.clone()),
            json: shared.json,
            config,
        })
    }
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_env_filter(
            EnvFilter::try_from_env("MWIMULE_LOG")
                .unwrap_or_else(|_| EnvFilter::new("warn,central=info,sync_transport=info")),
        )
        .init();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system gives no threads")
        .and_then(|runtime| runtime.block_on(run(cli)));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mwimule-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let settings = Settings::new(cli.shared)?;
    match cli.command {
        Command::Serve(args) => serve::run(&settings, args).await?,
        Command::Migrate => session::migrate(&settings).await?,
        Command::Doctor(args) => return doctor::run(&settings, &args).await,
        Command::Admin(command) => company::admin(&settings, command).await?,
        Command::Person(command) => people::person(&settings, command).await?,
        Command::People(command) => people::people(&settings, command).await?,
        Command::Auth(command) => people::auth(&settings, command).await?,
        Command::Company(command) => company::company(&settings, command).await?,
        Command::Gtfs(command) => gtfs::run(&settings, command).await?,
        Command::Csv(command) => return csv::run(&settings, command).await,
        Command::Node(command) => node::run(&settings, command).await?,
        Command::Fiscal(command) => fiscal::run(&settings, command).await?,
        Command::Vault(command) => vault::run(&settings, &command)?,
        Command::Backup(args) => backup::backup(&settings, args).await?,
        Command::Restore(args) => backup::restore(&settings, args).await?,
        Command::Thaw(args) => backup::thaw(&settings, args).await?,
        Command::Openapi => openapi::print()?,
    }
    Ok(ExitCode::SUCCESS)
}
