//! `csv`

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::Settings;
use super::session::Session;
use crate::audit::Actor;
use crate::clock;
use crate::company::{self, csv};
use crate::csvio::{self, AnyList, BYTES_MAX, Tally};

#[derive(Debug, Subcommand)]
pub(super) enum CsvCommand {
    /// Say which lists there are, and their columns
    Lists,
    /// Write a list of a company as CSV
    Export(ExportArgs),
    /// Bring a list of a company in from CSV, whole or not at all
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Which list
    list: String,
    /// Whose
    #[arg(long, value_name = "NAME")]
    company: String,
    /// Where to; standard output when left out
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Which list
    list: String,
    /// Whose
    #[arg(long, value_name = "NAME")]
    company: String,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Where from; `-` for standard input
    file: PathBuf,
}

fn list_named(name: &str) -> Result<&'static dyn AnyList> {
    match csv::list_named(name) {
        Some(list) => Ok(list),
        None => bail!(
            "there is no list {name:?}: the lists are {}",
            csv::list_names()
        ),
    }
}

pub(super) async fn run(settings: &Settings, command: CsvCommand) -> Result<ExitCode> {
    match command {
        CsvCommand::Lists => {
            for list in csv::LISTS {
                let columns: Vec<&str> = list.columns().iter().map(|c| c.name).collect();
                println!("{}: {}", list.name(), columns.join(", "));
            }
            Ok(ExitCode::SUCCESS)
        }
        CsvCommand::Export(args) => {
            let list = list_named(&args.list)?;
            let session = Session::open(settings).await?;
            let bytes = export(&session, list, &args.company).await;
            session.close().await?;
            write(args.file.as_deref(), &bytes?)?;
            Ok(ExitCode::SUCCESS)
        }
        CsvCommand::Import(args) => {
            let list = list_named(&args.list)?;
            let bytes = read(&args.file)?;
            let session = Session::open(settings).await?;
            let tally = import(&session, list, &args, &bytes).await;
            session.close().await?;
            Ok(say(settings, &args, &tally?))
        }
    }
}

async fn export(session: &Session, list: &dyn AnyList, company: &str) -> Result<Vec<u8>> {
    let id = company::company_named(&session.db, company).await?;
    let mut tx = session.db.tenant(id).await?;
    Ok(csvio::export(list, &mut tx).await?)
}

async fn import(
    session: &Session,
    list: &dyn AnyList,
    args: &ImportArgs,
    bytes: &[u8],
) -> Result<Tally> {
    let id = company::company_named(&session.db, &args.company).await?;
    let mut tx = session.db.tenant(id).await?;
    let tally = csvio::import(list, &mut tx, bytes, Actor::System, clock::now()).await?;
    if tally.is_clean() && !args.dry_run {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    Ok(tally)
}

/// One byte more than may be read, so that the reader says what is wrong.
fn read(file: &Path) -> Result<Vec<u8>> {
    let cap = BYTES_MAX as u64 + 1;
    let mut bytes = vec![];
    if file == Path::new("-") {
        std::io::stdin().take(cap).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)
            .and_then(|opened| opened.take(cap).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(bytes)
}

fn write(file: Option<&Path>, bytes: &[u8]) -> Result<()> {
    match file {
        None => Ok(std::io::stdout().write_all(bytes)?),
        Some(path) => std::fs::write(path, bytes)
            .with_context(|| format!("cannot write to {}", path.display())),
    }
}

fn say(settings: &Settings, args: &ImportArgs, tally: &Tally) -> ExitCode {
    let written = tally.is_clean() && !args.dry_run;
    if settings.json {
        let list = &args.list;
        println!(
            "{}",
            json!({"list": list, "written": written, "tally": tally})
        );
    } else {
        for fault in &tally.faults {
            let at = match fault.column.as_str() {
                "" => format!("row {}", fault.row),
                column => format!("row {}, {column}", fault.row),
            };
            println!("{at}: {}; {}", fault.wrong, fault.remedy);
        }
        if tally.faults_not_listed > 0 {
            println!("and {} faults more", tally.faults_not_listed);
        }
        println!(
            "{}: {} created, {} updated, {} unchanged. {}",
            args.list,
            tally.created,
            tally.updated,
            tally.unchanged,
            match (written, args.dry_run) {
                (true, _) => "Written.",
                (false, true) => "Nothing was written: this was a dry run.",
                (false, false) => "Nothing was written: mend the rows and bring it in again.",
            }
        );
    }
    if tally.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
