//! `fiscal`

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use domain::codec::from_hex;
use domain::time::ServiceDate;
use ed25519_dalek::VerifyingKey;
use serde_json::json;

use super::Settings;
use super::session::{self, Session};
use crate::company;
use crate::ledger::fiscal::{self, SignedLines};

#[derive(Debug, Subcommand)]
pub(super) enum FiscalCommand {
    /// Write a company's ledger of one month as signed JSON lines
    Export {
        /// The company's name
        #[arg(long)]
        company: String,
        /// The month of the posting days, as in 2026-10
        #[arg(long, value_name = "YYYY-MM")]
        month: String,
        /// Where to; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a file that was exported; no database is asked
    Verify {
        /// The file
        file: PathBuf,
        /// The hub's public key in hexadecimal, as /keys shows it; this hub's when absent
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
}

pub(super) async fn run(settings: &Settings, command: FiscalCommand) -> Result<()> {
    match command {
        FiscalCommand::Export {
            company,
            month,
            out,
        } => export(settings, &company, &month, out).await,
        FiscalCommand::Verify { file, key } => verify(settings, &file, key.as_deref()),
    }
}

async fn export(settings: &Settings, company: &str, month: &str, out: PathBuf) -> Result<()> {
    let span = days_of(month)?;
    let keys = session::keys(settings)?;
    let file = File::create_new(&out).with_context(|| format!("{}", out.display()))?;
    let mut lines = SignedLines::new(BufWriter::new(file), keys.signing_key().clone());
    let session = Session::open(settings).await?;
    let done = async {
        let id = company::company_named(&session.db, company).await?;
        let mut tx = session.db.tenant(id).await?;
        let count = fiscal::export(&mut tx, span, &mut lines).await?;
        anyhow::Ok(count)
    };
    let count = done.await;
    session.close().await?;
    let count = count?;
    if settings.json {
        println!("{}", json!({ "entries": count, "file": out }));
    } else {
        println!("{count} entries of {month} are in {}.", out.display());
    }
    Ok(())
}

fn verify(settings: &Settings, file: &PathBuf, key: Option<&str>) -> Result<()> {
    let key = match key {
        None => session::keys(settings)?.verifying_key(),
        Some(hex) => {
            let bytes: Option<[u8; 32]> = from_hex(hex).and_then(|b| b.try_into().ok());
            let bytes = bytes.context("--key is 64 hexadecimal digits")?;
            VerifyingKey::from_bytes(&bytes).context("--key is no Ed25519 key")?
        }
    };
    let opened = File::open(file).with_context(|| format!("{}", file.display()))?;
    let count = fiscal::verify(BufReader::new(opened), &key)?;
    if settings.json {
        println!("{}", json!({ "entries": count, "valid": true }));
    } else {
        println!("{count} entries, signed by the hub and complete.");
    }
    Ok(())
}

/// The first and the last day of a month.
fn days_of(month: &str) -> Result<(ServiceDate, ServiceDate)> {
    let first: Result<ServiceDate, _> = format!("{month}-01").parse();
    let Ok(first) = first else {
        bail!("{month:?} is no month: write YYYY-MM");
    };
    Ok((first, ServiceDate(first.0.last_of_month())))
}
