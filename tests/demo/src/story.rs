//! The story, chapter by chapter. Each function is one chapter or a scene of it.

mod books;
mod counters;
mod crash;
mod customer;
mod door;
mod opening;
mod paying;
mod phones;
mod reunion;
mod road;
mod swap;
mod two_hubs;

pub use opening::raise;

use anyhow::{Context as _, Result, bail};

use crate::report::Report;
use crate::world::{Town, World};

/// Plays everything after the opening and gives what it amounts to.
pub fn play(world: &mut World, seed: u64) -> Result<Report> {
    counters::grants(world).context("while leases were granted")?;
    let known = counters::connected(world).context("while the first tickets were sold")?;
    swap::riders(world).context("while seats on the bus to Livingstone were sold")?;
    counters::cut(world).context("while the network was cut")?;
    let other_bus = counters::other_bus(world).context("while Lusaka sold alone")?;
    let late = swap::in_the_dark(world).context("while the bus to Livingstone was swapped")?;
    counters::segments(world).context("while the same seats were sold leg by leg")?;
    let resold = door::resell(world).context("while a seat was sold again")?;
    counters::until_dry(world, Town::Kabwe, &["KAP", "NDO", "KIT", "CGA", "SOL"])
        .context("while Kabwe sold out")?;
    crash::crash(world).context("while the power failed in Lusaka")?;
    counters::the_rest(world).context("while Lusaka went on selling")?;
    door::scans(world, &known, &other_bus, &resold).context("while the bus boarded")?;
    let unsure = customer::book(world).context("while customers booked")?;
    phones::buzz(world).context("while customers waited for their tickets")?;
    customer::sell_out(world).context("while the last seats went")?;
    reunion::mend(world).context("while the devices caught up")?;
    swap::boards(world, &late).context("while the other bus boarded")?;
    reunion::hand_back(world).context("while the counters handed back what was unsold")?;
    two_hubs::joins(world).context("while a second hub process joined")?;
    road::follow(world).context("while somebody looked for the bus")?;
    customer::change_of_mind(world, &unsure).context("while a customer cancelled")?;
    let shifts = reunion::close_shifts(world).context("while the drawers were counted")?;
    two_hubs::restarts(world).context("while the second hub process was restarted")?;
    road::arrives(world).context("while the bus was followed")?;
    let report = books::reconcile(world, seed, shifts).context("while the books were read")?;
    world.check()?;
    Ok(report)
}

/// Says whether the run kept its promises; fails if it did not.
pub fn judge(world: &World, report: &Report) -> Result<()> {
    world.voice.chapter("What must be true, and is");
    let claims = report.claims();
    for (holds, claim) in &claims {
        world.voice.check(*holds, claim);
    }
    let broken: Vec<&str> = claims
        .iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, claim)| claim.as_str())
        .collect();
    if !broken.is_empty() {
        bail!("a promise was broken: {}", broken.join("; "));
    }
    Ok(())
}
