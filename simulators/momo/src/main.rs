//! `sim-momo`: MTN MoMo's open API without MTN.

use anyhow::Result;
use clap::Parser;
use sim_momo::{Momo, SCRIPT, Settings};

#[derive(Debug, Parser)]
#[command(name = "sim-momo", version, about = "MTN MoMo's open API (Collections, Disbursement refunds) without MTN", after_help = SCRIPT, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    shared: sim_kit::Args,
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let momo = Momo::open(cli.settings, cli.shared.state.clone())?;
    sim_kit::run(&cli.shared, momo.router()).await
}
