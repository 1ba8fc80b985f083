//! `sim-sms`: an SMS gateway and a mail server without either.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::json;
use sim_sms::{SCRIPT, Settings, Sms};
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
#[command(name = "sim-sms", version, about = "Africa's Talking's messaging without phones, and a mail server without mailboxes", after_help = SCRIPT, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    shared: sim_kit::Args,
    #[command(flatten)]
    settings: Settings,
    /// Takes e-mail by SMTP there too; port 0 lets the system choose. The address is printed as
    /// `smtp` in the line of JSON
    #[arg(long, value_name = "ADDR:PORT")]
    smtp: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let sms = Sms::open(cli.settings, cli.shared.state.clone())?;
    let mut about = json!({});
    if let Some(address) = cli.smtp {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        about["smtp"] = format!("smtp://{}", listener.local_addr()?).into();
        tokio::spawn(sim_sms::serve_mail(listener, sms.book.clone()));
    }
    sim_kit::run_saying(&cli.shared, sms.router(), about).await
}
