//! A counter loses its power in the middle of a sale.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::people::Party;
use crate::station::{Order, Outcome};
use crate::voice::{Who, count};
use crate::world::{World, seats};

/// How often the plug is pulled at most before it hits the middle of a sale.
const ATTEMPTS_MAX: usize = 10;
/// The plug is pulled at most so long after *sell* was pressed.
const DELAY_MAX_US: u64 = 3_000;

/// Lusaka's program is killed with a sale in flight; started again, with no network, it has lost
/// nothing, and the same command sells the same tickets, once.
pub fn crash(world: &mut World) -> Result<()> {
    world
        .voice
        .chapter("The power fails in Lusaka, in the middle of a sale");
    let before = world.lusaka.ticket_ids()?;
    let mut dice = world.dice.fork();
    let party = Party::new(&mut dice, 2, 1);
    let order = Order {
        trip: world.trip.id,
        from: "LUN",
        to: "KIT",
        party: &party,
        seat: None,
    };
    for attempt in 1..=ATTEMPTS_MAX {
        world.patience.check()?;
        let command = dice.uuid().to_string();
        let after = Duration::from_micros(dice.between(0, DELAY_MAX_US >> (2 * (attempt - 1))));
        let answered = world.lusaka.sell_and_die(&command, order, after)?;
        world.lusaka.start()?;
        if let Some(outcome) = answered {
            // Too late: the agent has the tickets. They count, and the next try is quicker.
            note(world, &outcome)?;
            continue;
        }
        world.voice.tell(
            Who::Lusaka,
            &format!(
                "{} asks for seats to Kitwe; the agent presses sell",
                party.title()
            ),
        );
        world.voice.tell(
            Who::Lusaka,
            &format!(
                "KILLED {:.1} ms later; no answer came, and nobody knows whether it was sold",
                after.as_secs_f64() * 1000.0
            ),
        );
        return recover(world, &before, &command, order);
    }
    bail!("{ATTEMPTS_MAX} times the sale was quicker than the power cut")
}

fn note(world: &mut World, outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Sold(tickets) => {
            world.note_sale(tickets);
            Ok(())
        }
        Outcome::Refused { code, reason } => bail!("the sale was refused: {code}: {reason}"),
    }
}

fn recover(world: &mut World, before: &[String], command: &str, order: Order<'_>) -> Result<()> {
    let found = world.lusaka.ticket_ids()?;
    let lost = before.iter().filter(|id| !found.contains(id)).count();
    if lost > 0 {
        bail!("{} lost in the crash", count(lost, "ticket"));
    }
    let outcome = world.lusaka.sell(command, order)?;
    note(world, &outcome)?;
    let Outcome::Sold(tickets) = outcome else {
        bail!("the sale was refused");
    };
    let kept = tickets.iter().filter(|t| found.contains(&t.id)).count();
    if kept != 0 && kept != tickets.len() {
        bail!("half a sale survived the crash");
    }
    world.voice.tell(
        Who::Lusaka,
        &format!(
            "starts again, still without a network: all {} sold before are there; the sale {}",
            count(before.len(), "ticket"),
            if kept == 0 {
                "never reached the disk"
            } else {
                "was on the disk already"
            }
        ),
    );
    let again = match world.lusaka.sell_again(command, order)? {
        Outcome::Sold(again) => again,
        Outcome::Refused { code, reason } => bail!("the retry was refused: {code}: {reason}"),
    };
    let same = again
        .iter()
        .map(|t| &t.qr)
        .eq(tickets.iter().map(|t| &t.qr));
    let after = world.lusaka.ticket_ids()?.len();
    let sold = if kept == 0 {
        found.len() + tickets.len()
    } else {
        found.len()
    };
    if !same || after != sold {
        bail!("the retry sold something else: {after} tickets, {sold} expected");
    }
    world.voice.tell(
        Who::Lusaka,
        &format!(
            "the agent presses sell again, twice: the same {} both times, sold once",
            seats(&tickets)
        ),
    );
    Ok(())
}
