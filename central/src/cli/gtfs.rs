//! `gtfs import` and `gtfs export`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use domain::ids::CompanyId;
use domain::money::Currency;
use domain::time::{ServiceDate, Zone};
use serde::Serialize;

use super::Settings;
use super::session::Session;
use crate::clock;
use crate::company::{self, Applied};
use crate::gtfs::{self, DAYS_MAX, DEFAULT_DAYS, Options, Plan, Report};

#[derive(Debug, Subcommand)]
pub(super) enum GtfsCommand {
    /// Bring a GTFS feed in; doing it again updates and never duplicates
    Import(Box<ImportArgs>),
    /// Write a company's network as a GTFS feed that comes back as the same network
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Whose network
    #[arg(long, value_name = "NAME")]
    company: String,
    /// First service day, YYYY-MM-DD [default: today in the company's zone]
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// How many service days
    #[arg(long, default_value_t = DEFAULT_DAYS, value_parser = clap::value_parser!(u16).range(1..=i64::from(DAYS_MAX)))]
    days: u16,
    /// The zip file to write
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The feed: a zip file or a folder
    path: PathBuf,
    /// The company that runs the trips
    #[arg(long, value_name = "NAME", required_unless_present = "dry_run")]
    company: Option<String>,
    /// Only say what would be taken, mended and refused
    #[arg(long)]
    dry_run: bool,
    /// Write the outcome of every file, line and trip as JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Seat layout of a route; may be repeated
    #[arg(long, value_name = "ROUTE=LAYOUT", value_parser = pair)]
    layout: Vec<(String, String)>,
    /// Seat layout of routes that nothing else names
    #[arg(long, value_name = "LAYOUT")]
    default_layout: Option<String>,
    /// First service day, YYYY-MM-DD [default: today in the company's zone]
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// How many service days
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u16,
    /// Take only this agency's routes
    #[arg(long, value_name = "ID")]
    agency: Option<String>,
    /// Take routes of this GTFS type although they are not road transport; may be repeated
    #[arg(long, value_name = "TYPE")]
    include_route_type: Vec<u16>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((route, layout)) if !route.is_empty() && !layout.is_empty() => {
            Ok((route.to_owned(), layout.to_owned()))
        }
        _ => Err("write it as ROUTE=LAYOUT".to_owned()),
    }
}

/// What `--report` holds.
#[derive(Debug, Serialize)]
struct FullReport<'r> {
    #[serde(flatten)]
    feed: &'r Report,
    /// What changed in the database; null after a dry run.
    database: Option<&'r Applied>,
}

fn options(args: &ImportArgs, zone: &Zone, currency: Currency) -> Result<Options> {
    let from: ServiceDate = match &args.from {
        Some(date) => date.parse()?,
        None => clock::now()
            .local_date(zone)
            .context("the machine's clock is beyond the calendar")?,
    };
    Ok(Options {
        days: args.days,
        include_route_types: args.include_route_type.iter().copied().collect(),
        layouts: args.layout.iter().cloned().collect(),
        default_layout: args.default_layout.clone(),
        currency,
        agency: args.agency.clone(),
        ..Options::starting(from)
    })
}

pub(super) async fn run(settings: &Settings, command: GtfsCommand) -> Result<()> {
    let args = match command {
        GtfsCommand::Import(args) => args,
        GtfsCommand::Export(args) => return export(settings, &args).await,
    };
    let (report, applied) = if let Some(name) = &args.company {
        let session = Session::open(settings).await?;
        let done = import(&session, &args, name).await;
        session.close().await?;
        done?
    } else {
        let options = options(&args, &"UTC".parse()?, Currency::ZMW)?;
        (gtfs::dry_run(&args.path, &options)?, None)
    };
    let full = FullReport {
        feed: &report,
        database: applied.as_ref(),
    };
    if let Some(path) = &args.report {
        write_report(path, &full)?;
    }
    if settings.json {
        println!("{}", serde_json::to_string(&full)?);
    } else if args.report.as_deref() != Some(Path::new("-")) {
        println!("{}", summary(&report, applied.as_ref()));
    }
    Ok(())
}

async fn import(
    session: &Session,
    args: &ImportArgs,
    name: &str,
) -> Result<(Report, Option<Applied>)> {
    let id: CompanyId = company::company_named(&session.db, name).await?;
    let (zone, currency) = company::zone_and_currency(&session.db, id).await?;
    let options = options(args, &zone, currency)?;
    let path = args.path.clone();
    let (plan, report): (Plan, Report) =
        tokio::task::spawn_blocking(move || gtfs::import(&path, &options)).await??;
    if args.dry_run {
        return Ok((report, None));
    }
    let applied = company::apply(&session.db, id, &plan).await?;
    Ok((report, Some(applied)))
}

async fn export(settings: &Settings, args: &ExportArgs) -> Result<()> {
    let session = Session::open(settings).await?;
    let made = feed(&session, args).await;
    session.close().await?;
    let (zip, trips) = made?;
    std::fs::write(&args.out, &zip)
        .with_context(|| format!("cannot write the feed to {}", args.out.display()))?;
    if settings.json {
        let answer = serde_json::json!({"departures": trips, "bytes": zip.len()});
        println!("{answer}");
    } else {
        println!("{}: {trips} departures.", args.out.display());
    }
    Ok(())
}

/// The feed as a zip, and how many trips are in it.
async fn feed(session: &Session, args: &ExportArgs) -> Result<(Vec<u8>, usize)> {
    let id = company::company_named(&session.db, &args.company).await?;
    let (zone, _) = company::zone_and_currency(&session.db, id).await?;
    let from: ServiceDate = match &args.from {
        Some(date) => date.parse()?,
        None => clock::now()
            .local_date(&zone)
            .context("the machine's clock is beyond the calendar")?,
    };
    let mut tx = session.db.tenant(id).await?;
    let network = company::network(&mut tx, from, args.days).await?;
    let zip = gtfs::export::zipped(&gtfs::export::files(&network))?;
    Ok((zip, network.trips.len()))
}

fn write_report(path: &Path, full: &FullReport<'_>) -> Result<()> {
    let text = serde_json::to_string_pretty(full)?;
    if path == Path::new("-") {
        println!("{text}");
        return Ok(());
    }
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write the report to {}", path.display()))
}

fn summary(report: &Report, applied: Option<&Applied>) -> String {
    let counts = report.trip_counts;
    let mut lines = vec![format!(
        "{}: {} trips in the feed: {} taken, {} mended, {} refused; {} departures in {} days \
         from {}.",
        report.source,
        counts.in_feed,
        counts.taken,
        counts.mended,
        counts.refused,
        report.planned.departures,
        report.days,
        report.from
    )];
    let Some(applied) = applied else {
        lines.push("Nothing was written: this was a dry run.".to_owned());
        return lines.join("\n");
    };
    let row = |what: &str, c: company::Counts| {
        format!(
            "  {what:<12}{:>7} created{:>7} updated{:>7} unchanged",
            c.created, c.updated, c.unchanged
        )
    };
    lines.push(row("stops", applied.stops));
    lines.push(row("layouts", applied.layouts));
    lines.push(row("fare tables", applied.fare_tables));
    lines.push(row("routes", applied.routes));
    lines.push(row("shapes", applied.shapes));
    let trips = applied.trips;
    let three = company::Counts {
        created: trips.created,
        updated: trips.updated,
        unchanged: trips.unchanged,
    };
    lines.push(row("trips", three));
    if trips.kept > 0 {
        lines.push(format!(
            "  {} trips keep their seat layout: seats are leased or sold.",
            trips.kept
        ));
    }
    if trips.not_in_feed > 0 {
        lines.push(format!(
            "  {} trips of these days are not in the feed; they stay.",
            trips.not_in_feed
        ));
    }
    lines.join("\n")
}
