//! The commands of `mwimule-hub`.
#![expect(clippy::print_stdout, reason = "the program's own answers")]

mod backup;
mod company;
mod config;
mod csv;
mod dead_letters;
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

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Config, LogFormat, Roles, Secret};
use crate::telemetry;

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
    /// Folder with keys/ and pki/, which every process of one hub has to read [default: the data
    /// folder]
    #[arg(long, global = true, value_name = "DIR", env = "MWIMULE_SECRETS_DIR")]
    secrets_dir: Option<PathBuf>,
    /// How log lines look [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "MWIMULE_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, like warn,central=debug
    #[arg(long, global = true, value_name = "FILTER", env = "MWIMULE_LOG")]
    log: Option<String>,
    /// Where traces are sent, OTLP over HTTP, as http://localhost:4318/v1/traces
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MWIMULE_OTLP_URL",
        hide_env_values = true
    )]
    otlp_url: Option<String>,
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
    /// What the hub was told, by flags, environment and file
    #[command(subcommand)]
    Config(config::ConfigCommand),
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
    /// Events that their listener failed to handle
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Write database, keys and certificates to a folder, beside a hub that sells
    Backup(backup::BackupArgs),
    /// Make a hub from a backup: another installation, with open trips frozen until all devices
    /// have told what they hold
    Restore(backup::RestoreArgs),
    /// Begin another installation of a restored hub that devices refuse as an old copy
    Renew(backup::RenewArgs),
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
    /// A RabbitMQ that several hub processes share, as amqp://user:password@host:5672/vhost;
    /// without it events stay in this process
    #[arg(
        long,
        value_name = "URL",
        env = "MWIMULE_BROKER_URL",
        hide_env_values = true
    )]
    broker_url: Option<String>,
    /// Let everybody ask as often as they like, for measuring
    #[arg(long, env = "MWIMULE_NO_RATE_LIMITS")]
    no_rate_limits: bool,
    /// How stations and buses reach this hub; goes into enrolment codes
    #[arg(long, value_name = "HOST:PORT", env = "MWIMULE_PUBLIC_ADDR")]
    public_addr: Option<String>,
    /// Which parts this process runs: some of api,sync,worker [default: all]
    #[arg(long, value_name = "LIST", env = "MWIMULE_ROLES")]
    roles: Option<Roles>,
    /// Where /metrics and the health are told inside; never open it to the world
    #[arg(long, value_name = "ADDR:PORT", env = "MWIMULE_INTERNAL_HTTP")]
    internal_http: Option<SocketAddr>,
    /// How long to go on taking work after the first signal, while /readyz says 503 [default: 0]
    #[arg(long, value_name = "MS", env = "MWIMULE_DRAIN_MS")]
    drain_ms: Option<u32>,
}

/// Everything said, the configuration file included.
#[derive(Debug, Clone)]
struct Settings {
    data_dir: PathBuf,
    secrets_dir: PathBuf,
    database_url: Option<String>,
    json: bool,
    config: Config,
}

impl Settings {
    fn new(shared: Shared) -> Result<Self> {
        let mut config = match &shared.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        fn over<T>(said: Option<T>, place: &mut Option<T>) {
            if said.is_some() {
                *place = said;
            }
        }
        over(shared.data_dir, &mut config.data.folder);
        over(shared.secrets_dir, &mut config.data.secrets);
        over(shared.database_url, &mut config.database.url);
        over(shared.log, &mut config.log.filter);
        over(shared.otlp_url, &mut config.traces.otlp_url);
        config.log.format = shared.log_format.unwrap_or(config.log.format);
        let data_dir = config.data.folder.clone();
        let data_dir = data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into());
        Ok(Self {
            secrets_dir: config.data.secrets.clone().unwrap_or(data_dir.clone()),
            data_dir,
            database_url: config.database.url.clone(),
            json: shared.json,
            config,
        })
    }

    /// With what `serve` was told beside it.
    fn serving(mut self, args: &ServeArgs) -> Self {
        let config = &mut self.config;
        config.http.listen = args.http.or(config.http.listen);
        config.quic.listen = args.quic.or(config.quic.listen);
        let said = args.public_addr.clone();
        config.quic.public_addr = said.or(config.quic.public_addr.take());
        let said = args.redis_url.clone();
        config.redis.url = said.or(config.redis.url.take());
        if let Some(url) = &args.broker_url {
            config.broker.url = Some(Secret::new(url));
        }
        config.http.limits.on &= !args.no_rate_limits;
        let process = &mut config.process;
        if let Some(roles) = &args.roles {
            process.roles = roles.clone();
        }
        process.internal_http = args.internal_http.or(process.internal_http);
        process.drain_ms = args.drain_ms.unwrap_or(process.drain_ms);
        self
    }
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system gives no threads")
        .and_then(|runtime| {
            let cli = Cli::from_arg_matches(&matches)?;
            let settings = Settings::new(cli.shared)?;
            let (log, traces) = (&settings.config.log, &settings.config.traces);
            let telemetry = telemetry::begin(log, traces, runtime.handle())?;
            let done = runtime.block_on(run(cli.command, settings, &matches));
            telemetry.finish();
            done
        });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mwimule-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, settings: Settings, matches: &ArgMatches) -> Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&settings.serving(&args)).await?,
        Command::Migrate => session::migrate(&settings).await?,
        Command::Doctor(args) => return doctor::run(&settings.serving(&args)).await,
        Command::Config(command) => return config::run(settings, command, matches),
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
        Command::DeadLetters(command) => dead_letters::run(&settings, command).await?,
        Command::Backup(args) => backup::backup(&settings, args).await?,
        Command::Restore(args) => backup::restore(&settings, args).await?,
        Command::Renew(args) => backup::renew(&settings, args).await?,
        Command::Thaw(args) => backup::thaw(&settings, args).await?,
        Command::Openapi => openapi::print()?,
    }
    Ok(ExitCode::SUCCESS)
}
