//! `udp-relay`: see `--help`.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Parser;
use udp_relay::{Faults, Relay, RelayOptions};

/// Relays UDP datagrams and fails on command.
///
/// Prints one line of JSON with its addresses, then runs until it is ended. Over the control
/// address it takes the lines stop, go, stop ADDR, go ADDR and stats.
#[derive(Debug, Parser)]
#[command(name = "udp-relay", version)]
struct Arguments {
    /// Where clients send to.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where their datagrams go.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Where to take commands on TCP.
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Makes the faults the same in every run.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Of 1000 datagrams each way, how many are lost.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    loss_permille: u16,
    /// How long every datagram takes, in ms.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    delay_ms: u64,
    /// Of 1000 datagrams each way, how many arrive twice.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    duplicate_permille: u16,
    /// Of 1000 datagrams each way, how many are overtaken by later ones.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    reorder_permille: u16,
    /// How many clients at once.
    #[arg(long, default_value_t = 1024)]
    clients_max: usize,
    /// Silence after which a client is forgotten, in ms.
    #[arg(long, default_value_t = 120_000, value_parser = clap::value_parser!(u64).range(1..))]
    idle_timeout_ms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let to = tokio::net::lookup_host(&arguments.to)
        .await
        .with_context(|| {
            format!(
                "--to {}: this is no host:port that can be found",
                arguments.to
            )
        })?
        .next()
        .with_context(|| format!("--to {}: the name has no address", arguments.to))?;
    let relay = Relay::start(RelayOptions {
        listen: arguments.listen,
        control: arguments.control,
        faults: Faults {
            seed: arguments.seed,
            loss_permille: arguments.loss_permille,
            delay_ms: arguments.delay_ms,
            duplicate_permille: arguments.duplicate_permille,
            reorder_permille: arguments.reorder_permille,
        },
        clients_max: arguments.clients_max,
        idle_timeout_ms: arguments.idle_timeout_ms,
        ..RelayOptions::to(to)
    })
    .await?;
    let addresses = serde_json::json!({
        "listen": relay.local_addr(),
        "to": to,
        "control": relay.control_addr(),
    });
    let mut out = std::io::stdout();
    writeln!(out, "{addresses}")?;
    out.flush()?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
