//! `sim-card`: Stripe's PaymentIntents without Stripe.

use anyhow::Result;
use clap::Parser;
use sim_card::{Card, SCRIPT, Settings};

#[derive(Debug, Parser)]
#[command(name = "sim-card", version, about = "Stripe's PaymentIntents, refunds and webhooks without Stripe", after_help = SCRIPT, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    shared: sim_kit::Args,
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let card = Card::open(cli.settings, cli.shared.state.clone())?;
    sim_kit::run(&cli.shared, card.router()).await
}
