//! At the door of the bus, without a network: the six answers.

use anyhow::{Result, bail};

use crate::forgery;
use crate::people::Party;
use crate::station::Ticket;
use crate::voice::Who;
use crate::world::{Town, Wish, World, first};

/// A seat of the hub's own pool, which no counter was ever granted.
const UNGRANTED_SEAT: u16 = 60;

/// A ticket that was taken back, and the one that its seat was sold again with.
#[derive(Debug, Clone)]
pub struct Resold {
    old: Ticket,
    new: Ticket,
}

/// Lusaka takes a ticket back and sells its seat again, both without a network.
pub fn resell(world: &mut World) -> Result<Resold> {
    let trip = world.trip.id;
    let wish = Wish {
        trip,
        to: "SOL",
        seat: None,
    };
    let party = Party::new(&mut world.dice, 1, 0);
    let title = party.title();
    let old = first(&world.sell_aloud(Town::Lusaka, wish, &party)?)?.clone();
    let command = world.dice.uuid().to_string();
    world.lusaka.void(&command, &old)?;
    let party = Party::new(&mut world.dice, 1, 0);
    let wish = Wish {
        seat: Some(&old.seat),
        ..wish
    };
    let new = first(&world.sell(Town::Lusaka, wish, &party)?)?.clone();
    if new.seat != old.seat {
        bail!("the seat was not sold again");
    }
    world.voice.tell(
        Who::Lusaka,
        &format!(
            "{title} gives the ticket back; seat {} goes to {} instead",
            old.seat,
            party.title()
        ),
    );
    Ok(Resold { old, new })
}

/// The driver, alone, is shown tickets of every kind.
pub fn scans(
    world: &mut World,
    known: &[Ticket],
    other_bus: &Ticket,
    resold: &Resold,
) -> Result<()> {
    world
        .voice
        .chapter("The bus boards; the driver has no network either");
    let listed = first(known)?;
    world.show(
        "a ticket sold before the network went down",
        &listed.qr,
        "valid",
    )?;
    world.show("a photo of that very ticket", &listed.qr, "already_used")?;
    if let Some(other) = known.get(1) {
        world.show("the next in the queue", &other.qr, "valid")?;
    }
    world.show(
        "a ticket for the bus to Livingstone",
        &other_bus.qr,
        "wrong_trip",
    )?;
    let unlisted = "a ticket sold in Lusaka since, of which nobody could tell the bus";
    world.show(unlisted, &resold.new.qr, "good_but_unlisted")?;
    let taken_back = "the ticket that was given back, whose seat was sold again";
    world.show(taken_back, &resold.old.qr, "seat_conflict")?;
    let forged = forgery::with_own_key(&mut world.dice, &listed.qr)?;
    world.show(
        "a forged ticket, signed with somebody's own key",
        &forged,
        "invalid",
    )?;
    let key = world.lusaka.ticket_key_file();
    let stolen = forgery::with_stolen_key(&mut world.dice, &listed.qr, &key, UNGRANTED_SEAT)?;
    let thief = "a ticket signed with Lusaka's stolen key, for a seat Lusaka was never granted";
    world.show(thief, &stolen, "invalid")?;
    Ok(())
}
