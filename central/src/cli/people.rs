//! `person`, `people` and `auth`

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::Settings;
use super::session::{self, Session};
use crate::access::Role;
use crate::auth;
use crate::auth::admin::{self, NewAccount};
use crate::clock;
use crate::company;
use crate::csvio;

#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
    /// Make a person who can sign in at once: the first admin, say
    Create {
        /// What they sign in with: an e-mail address, or a phone number with its country code
        #[arg(long = "email", value_name = "CONTACT")]
        contact: String,
        /// As they are called
        #[arg(long)]
        name: String,
        /// customer, driver, agent, clerk, company_admin or super_admin
        #[arg(long)]
        role: Role,
        /// The company's name; none for a customer and a super admin
        #[arg(long)]
        company: Option<String>,
        /// Read the password from the standard input instead of making one
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take the second factor of somebody who has lost it, recovery codes and all
    ForgetSecondFactor {
        /// What they sign in with
        #[arg(long = "email", value_name = "CONTACT")]
        contact: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PeopleCommand {
    /// Take over people of an older system from a CSV file: all of it or nothing
    ///
    /// Columns: name, email, phone, password_hash (bcrypt), roles, verified. Whoever has an
    /// account is left as they are.
    Import {
        /// The file
        file: PathBuf,
        /// The company that their roles are in
        #[arg(long)]
        company: Option<String>,
        /// Say what would happen, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Make the next key that access tokens are signed with; it takes over in ten minutes
    RotateKeys {
        /// The present keys are in the wrong hands: withdraw them at once. Everybody's access
        /// token ends, and other services have to read the key set again
        #[arg(long)]
        compromised: bool,
    },
}

pub(super) async fn person(settings: &Settings, command: PersonCommand) -> Result<()> {
    let vault = session::vault(settings)?;
    match command {
        PersonCommand::Create {
            contact,
            name,
            role,
            company,
            password_stdin,
        } => {
            let password = password_stdin.then(read_password).transpose()?;
            let session = Session::open(settings).await?;
            let made = async {
                let company = match &company {
                    Some(name) => Some(company::company_named(&session.db, name).await?),
                    None => None,
                };
                let new = NewAccount {
                    name: &name,
                    contact: &contact,
                    role,
                    company,
                    password: password.as_deref(),
                };
                admin::create_account(&session.db, &vault, &new, clock::now()).await
            };
            let made = made.await;
            session.close().await?;
            let (person, made) = made?;
            if settings.json {
                println!("{}", json!({ "person": person, "password": made }));
            } else {
                println!("{name} is {person}.");
                if let Some(password) = made {
                    println!("{password}");
                    eprintln!("This is the only time the password is shown.");
                }
            }
        }
        PersonCommand::ForgetSecondFactor { contact } => {
            let session = Session::open(settings).await?;
            let done =
                admin::forget_second_factor(&session.db, &vault, &contact, clock::now()).await;
            session.close().await?;
            let person = done?;
            if settings.json {
                println!("{}", json!({ "person": person }));
            } else {
                println!("{person} has no second factor: roles that need one wait for a new one.");
            }
        }
    }
    Ok(())
}

/// The first line of the standard input, of bounded length.
fn read_password() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(1024)
        .read_to_string(&mut text)
        .context("cannot read the password from the standard input")?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("the standard input has no password in its first line");
    }
    Ok(line.to_owned())
}

pub(super) async fn people(settings: &Settings, command: PeopleCommand) -> Result<()> {
    let PeopleCommand::Import {
        file,
        company,
        dry_run,
    } = command;
    let mut bytes = vec![];
    std::fs::File::open(&file)
        .and_then(|f| f.take(csvio::BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", file.display()))?;
    let vault = session::vault(settings)?;
    let session = Session::open(settings).await?;
    let done = async {
        let company = match &company {
            Some(name) => Some(company::company_named(&session.db, name).await?),
            None => None,
        };
        let how = (company, dry_run);
        let tally = admin::import(&session.db, &vault, &bytes, how, clock::now()).await?;
        anyhow::Ok(tally)
    };
    let tally = done.await;
    session.close().await?;
    let tally = tally?;
    if settings.json {
        println!("{}", serde_json::to_string(&tally)?);
    } else {
        for fault in &tally.faults {
            let (row, column) = (fault.row, &fault.column);
            println!("row {row}, {column}: {}: {}", fault.wrong, fault.remedy);
        }
        if tally.faults_not_listed > 0 {
            println!("and {} more", tally.faults_not_listed);
        }
        let would = if dry_run || !tally.is_clean() {
            " would be"
        } else {
            ""
        };
        println!(
            "{} people{would} taken over, {} are here already.",
            tally.created, tally.unchanged
        );
    }
    if !tally.is_clean() {
        bail!("nothing was written: mend the file and import it again");
    }
    Ok(())
}

pub(super) async fn auth(settings: &Settings, command: AuthCommand) -> Result<()> {
    let AuthCommand::RotateKeys { compromised } = command;
    let vault = session::vault(settings)?;
    let session = Session::open(settings).await?;
    let made = auth::rotate(&session.db, &vault, compromised, clock::now()).await;
    session.close().await?;
    let key = made?;
    let from = key.signs_from.to_string();
    if settings.json {
        println!("{}", json!({ "kid": key.kid, "signs_from": from }));
    } else {
        println!("The key {} signs access tokens from {from} on.", key.kid);
    }
    Ok(())
}
