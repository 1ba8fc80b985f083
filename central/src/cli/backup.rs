//! `backup`, `restore`, `thaw`

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use domain::ids::{HubIncarnation, TripId};
use domain::restore::LAST;
use serde_json::json;

use super::Settings;
use super::session::{Server, Session, keys_folder, pki_folder};
use crate::audit::Actor;
use crate::backup::{Target, make, take};
use crate::clock;
use crate::keys::HubKeys;
use crate::postgres::Purpose;
use crate::restore::{accept_risk, begin_after, restore_point};

/// Where a backup goes.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// A folder that is not there yet
    #[arg(value_name = "DEST")]
    to: PathBuf,
}

/// What is restored, and where.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup's folder
    #[arg(value_name = "SRC")]
    from: PathBuf,
    /// The new data folder, empty or not there yet [default: --data-dir]
    ///
    /// With --database-url it gets keys and certificates, and the named, empty database the rest.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The highest installation of the hub that a device has met: a later one begins
    ///
    /// The number that stands in the words of a device which refuses a hub. It is needed where this
    /// machine's clock is behind that of the machine of an earlier restore.
    #[arg(long, value_name = "N", value_parser = installation())]
    after: Option<u32>,
}

/// A number that an installation of the hub may have had before another one.
fn installation() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..u64::from(LAST.0))
}

/// Beyond which installation the restored hub begins another.
#[derive(Debug, Args)]
pub(super) struct RenewArgs {
    /// The highest installation of the hub that a device has met: the number that stands in the
    /// words of a device which refuses this hub
    #[arg(long, value_name = "N", value_parser = installation())]
    after: u32,
}

/// Which trip sells again.
#[derive(Debug, Args)]
pub(super) struct ThawArgs {
    /// The trip's number
    #[arg(long, value_name = "N")]
    trip: u64,
    /// Why, for the audit log
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "accepted on the command line"
    )]
    reason: String,
    /// Take it on that seats which devices have not told of can be sold twice
    #[arg(long)]
    accept_risk: bool,
}

/// Says how it goes on, unless a program listens.
fn teller(settings: &Settings) -> impl Fn(&str) + Sync {
    let quiet = settings.json;
    let began = Instant::now();
    move |line: &str| {
        if !quiet {
            eprintln!("{:>6.1} s  {line}", began.elapsed().as_secs_f64());
        }
    }
}

pub(super) async fn backup(settings: &Settings, args: BackupArgs) -> Result<()> {
    let server = Server::open(settings, Purpose::Command).await?;
    server.ready_schema().await?;
    let folders = (keys_folder(settings), pki_folder(settings));
    for folder in [&folders.0, &folders.1] {
        if !folder.is_dir() {
            bail!(
                "{} is not there: name the hub's data folder with --data-dir",
                folder.display()
            );
        }
    }
    let began = Instant::now();
    let made = make(
        &server.url,
        (&folders.0, &folders.1),
        &args.to,
        &teller(settings),
    )
    .await?;
    server.close().await?;
    let seconds = began.elapsed().as_secs_f64();
    let manifest = &made.manifest;
    if settings.json {
        let said = json!({
            "backup": args.to, "bytes": made.bytes, "restore_point": manifest.restore_point,
            "schema": manifest.schema, "hub_incarnation": manifest.hub_incarnation,
            "seconds": seconds });
        println!("{said}");
    } else {
        println!(
            "Backed up to {} ({} MB in {seconds:.0} s). It holds everything of before {}, and the \
             hub's keys: keep it closed.",
            args.to.display(),
            made.bytes / 1_000_000,
            manifest.restore_point
        );
    }
    Ok(())
}

pub(super) async fn restore(settings: &Settings, args: RestoreArgs) -> Result<()> {
    let target = Target {
        folder: args.into.unwrap_or_else(|| settings.data_dir.clone()),
        database_url: settings.database_url.clone(),
        after: args.after.map(HubIncarnation),
    };
    let began = Instant::now();
    let taken = take(&args.from, &target, &teller(settings)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let begun = taken.begun;
    if settings.json {
        let said = json!({
            "folder": target.folder, "hub_incarnation": begun.hub.0,
            "restore_point": taken.manifest.restore_point, "frozen_trips": begun.frozen,
            "devices": begun.devices, "seconds": seconds });
        println!("{said}");
    } else {
        println!(
            "Restored {} into {} in {seconds:.0} s, as installation {} of the hub.\n\
             {} trips sell nothing from the hub until {} devices have told what they hold: start \
             the hub, and look at GET /restore. Stations go on selling from their own seats.",
            taken.manifest.restore_point,
            target.folder.display(),
            begun.hub,
            begun.frozen,
            begun.devices
        );
    }
    Ok(())
}

/// Begins another installation on the database as it is: for a hub that was restored under a number
/// which devices refuse.
pub(super) async fn renew(settings: &Settings, args: RenewArgs) -> Result<()> {
    let server = Server::open(settings, Purpose::Command).await?;
    server.ready_schema().await?;
    let keys = HubKeys::load_or_create(&keys_folder(settings))?;
    let Some(restore_point) = restore_point(&server.url).await? else {
        bail!("this hub was never restored: restore its backup in place of this");
    };
    let known = (restore_point, HubIncarnation(args.after));
    let begun = begin_after(&server.url, &keys, known, clock::now()).await?;
    server.close().await?;
    if settings.json {
        let said = json!({ "hub_incarnation": begun.hub.0, "frozen_trips": begun.frozen,
            "devices": begun.devices });
        println!("{said}");
    } else {
        println!(
            "This hub is installation {} from here on. {} trips are frozen until {} devices have \
             told what they hold.",
            begun.hub, begun.frozen, begun.devices
        );
    }
    Ok(())
}

pub(super) async fn thaw(settings: &Settings, args: ThawArgs) -> Result<()> {
    let session = Session::open(settings).await?;
    let trip = TripId(args.trip);
    let company = crate::company::company_of_trip(&session.db, trip).await?;
    let company = company.with_context(|| format!("there is no trip {trip}"))?;
    let mut tx = session.db.tenant(company).await?;
    let by = (Actor::System, args.reason.as_str());
    let accepted = accept_risk(&mut tx, trip, by, clock::now()).await?;
    if !args.accept_risk && accepted.was_frozen {
        bail!(
            "{}; say --accept-risk to thaw it all the same",
            accepted.risk()
        );
    }
    tx.commit().await?;
    session.close().await?;
    if settings.json {
        let said = json!({
            "trip": args.trip, "was_frozen": accepted.was_frozen, "unheard": accepted.unheard });
        println!("{said}");
    } else if accepted.was_frozen {
        println!("Trip {trip} sells again. The risk: {}.", accepted.risk());
    } else {
        println!("Trip {trip} was not frozen.");
    }
    Ok(())
}
