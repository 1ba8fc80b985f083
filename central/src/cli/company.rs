//! `company` and `admin`

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::Settings;
use super::session::{self, Session};
use crate::clock;
use crate::company::{self, NewCompany};

#[derive(Debug, Subcommand)]
pub(super) enum CompanyCommand {
    /// Make a company
    Create {
        /// Its name, unique on this hub
        name: String,
        /// The time zone of its office, as in Africa/Lusaka
        #[arg(long, value_name = "ZONE")]
        zone: String,
        /// What its fares are paid in, as in ZMW
        #[arg(long, value_name = "CODE")]
        currency: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminCommand {
    /// Make a bearer token for a company's office; it is shown this once
    Create {
        /// The company's name
        #[arg(long)]
        company: String,
        /// Whose token it is
        #[arg(long)]
        name: String,
    },
}

pub(super) async fn company(settings: &Settings, command: CompanyCommand) -> Result<()> {
    let CompanyCommand::Create {
        name,
        zone,
        currency,
    } = command;
    let wanted = NewCompany {
        zone: zone.parse()?,
        currency: currency.parse()?,
        name,
    };
    let keys = session::keys(settings)?;
    let session = Session::open(settings).await?;
    let made = company::create(&session.db, &keys, &wanted, clock::now()).await;
    session.close().await?;
    let id = made?;
    if settings.json {
        println!(
            "{}",
            json!({ "company": id.to_string(), "name": wanted.name })
        );
    } else {
        println!("Company {:?} is {id}.", wanted.name);
    }
    Ok(())
}

pub(super) async fn admin(settings: &Settings, command: AdminCommand) -> Result<()> {
    let AdminCommand::Create {
        company: company_name,
        name,
    } = command;
    let session = Session::open(settings).await?;
    let made = make_token(&session, &company_name, &name).await;
    session.close().await?;
    let made = made?;
    if settings.json {
        let company = made.company.to_string();
        println!(
            "{}",
            json!({ "company": company, "name": name, "token": made.token })
        );
    } else {
        println!("{}", made.token);
        eprintln!(
            "This is the only time the token is shown. Send it as `Authorization: Bearer …`."
        );
    }
    Ok(())
}

async fn make_token(
    session: &Session,
    company_name: &str,
    name: &str,
) -> Result<company::NewToken, company::CompanyError> {
    let id = company::company_named(&session.db, company_name).await?;
    company::create_token(&session.db, id, name, clock::now()).await
}
