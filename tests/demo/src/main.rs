//! `demo`: the story of one bus, its counters, its driver and its customers, told by the real
//! programs. `cargo xtask demo` builds them and starts it; see docs/demo.md.

mod bus;
mod cache;
mod children;
mod dice;
mod forgery;
mod http;
mod hub;
mod messages;
mod operators;
mod patience;
mod people;
mod readers;
mod relay;
mod report;
mod station;
mod story;
mod stream;
mod voice;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use dice::Dice;
use patience::{Interrupted, Patience};
use station::Place;
use voice::{Voice, Who};
use world::World;

/// What a shell calls a program that was interrupted.
const EXIT_INTERRUPTED: u8 = 130;

/// Plays the demo with programs that were built before.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// The folder with mwimule-hub, mwimule-edge, mwimule-driver, udp-relay, sim-momo,
    /// sim-card and sim-sms.
    #[arg(long, value_name = "DIR")]
    bin_dir: PathBuf,
    /// Where everything is kept; must not hold another demo.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The same number tells the same story.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// End after the story instead of leaving the programs up.
    #[arg(long)]
    once: bool,
    /// Write what happened to FILE as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("stopped; nothing of the demo is running any more");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let patience = Patience::listen()?;
    let data = std::path::absolute(&arguments.data)?;
    let logs = data.join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("could not make {}", logs.display()))?;
    let place = Place {
        bin_dir: &arguments.bin_dir,
        data: &data,
        logs: &logs,
    };
    let dice = Dice::new(arguments.seed);
    let raised = story::raise(place, Voice::new(), patience.clone(), dice);
    let told = raised
        .context("while the programs were started")
        .and_then(|mut world| {
            let report = story::play(&mut world, arguments.seed)?;
            if let Some(file) = &arguments.report {
                report.write(file)?;
            }
            story::judge(&world, &report)?;
            if arguments.once {
                return world.stop();
            }
            stay(world, &data)
        });
    // Programs fail in many ways when the user stops them; none of these is news.
    patience.check().and(told)
}

/// Leaves everything up until the user has seen enough.
fn stay(mut world: World, data: &std::path::Path) -> Result<()> {
    let voice = world.voice;
    voice.chapter("Everything is still up");
    voice.tell(Who::Hub, &format!("page and API     {}", world.hub.url()));
    voice.tell(
        Who::Hub,
        &format!("database         {}", world.hub.postgres_url),
    );
    voice.tell(
        Who::Lusaka,
        &format!("counter          {}/status", world.lusaka.url()),
    );
    voice.tell(
        Who::Kabwe,
        &format!("counter          {}/status", world.kabwe.url()),
    );
    voice.tell(
        Who::Driver,
        &format!("device           {}/status", world.bus.url()),
    );
    if let Some(coach) = &world.coach {
        voice.tell(
            Who::Coach,
            &format!("device           {}/status", coach.url()),
        );
    }
    if let Some(second) = &world.second {
        voice.tell(
            Who::Second,
            &format!("API              {}/docs", second.url()),
        );
    }
    if let Some(path) = &world.follow_path {
        voice.tell(
            Who::Customer,
            &format!("where is the bus {}{path}", world.hub.url()),
        );
    }
    let [momo, card] = world.operators.urls();
    voice.tell(
        Who::Bank,
        &format!("mobile money     {momo}/_control/ledger"),
    );
    voice.tell(
        Who::Bank,
        &format!("cards            {card}/_control/ledger"),
    );
    voice.tell(
        Who::Phone,
        &format!(
            "SMS and e-mail   {}/_control/messages",
            world.messages.url()
        ),
    );
    Voice::row(&format!("files and logs   {}", data.display()));
    Voice::row("Ctrl-C stops everything.");
    let patience = world.patience.clone();
    patience.until_interrupted(|| world.check())?;
    world.stop()
}
