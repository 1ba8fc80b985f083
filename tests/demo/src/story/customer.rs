//! A customer books the hub's own seats; the counters' outage is nothing to them.

use anyhow::{Result, bail};

use crate::hub::Booking;
use crate::people::Party;
use crate::voice::{Who, count, money};
use crate::world::{World, stop_name};

/// More seats than the hub has left on that leg, asked for in one booking.
const TOO_MANY: usize = 10;
/// How many such bookings are tried before the bus must be full.
const BOOKINGS_MAX: usize = 12;

/// Bookings over HTTP, one of them sent twice, and one that comes too late.
pub fn book(world: &mut World) -> Result<()> {
    world.voice.chapter("Meanwhile, customers book at the hub");
    let wishes = [
        ("LUN", "SOL", 2, 1),
        ("LUN", "KAB", 1, 0),
        ("LUN", "NDO", 1, 1),
        ("KAB", "SOL", 2, 0),
    ];
    for (i, (from, to, adults, children)) in wishes.into_iter().enumerate() {
        let party = Party::new(&mut world.dice, adults, children);
        let key = world.dice.uuid().to_string();
        let booking = book_once(world, &key, (from, to), &party)?;
        world.voice.tell(
            Who::Customer,
            &format!(
                "{} books {} to {}: {}, {} kwacha, reference {}",
                party.title(),
                stop_name(from),
                stop_name(to),
                count(booking.tickets.len(), "ticket"),
                money(booking.total_minor),
                booking.reference
            ),
        );
        if i == 0 {
            let again = world.hub.book(&key, world.trip.id, (from, to), &party)?;
            let again = Booking::of(&again.good("POST", "/bookings")?)?;
            if again != booking {
                bail!("the same request led to another booking");
            }
            world
                .voice
                .aside("the phone lost the answer and asked again: the same booking, paid once");
        }
    }
    sell_out(world)
}

fn book_once(
    world: &mut World,
    key: &str,
    journey: (&str, &str),
    party: &Party,
) -> Result<Booking> {
    world.patience.check()?;
    let answer = world.hub.book(key, world.trip.id, journey, party)?;
    let booking = Booking::of(&answer.good("POST", "/bookings")?)?;
    if booking.tickets.len() != party.len() {
        bail!("{} booked, {} wanted", booking.tickets.len(), party.len());
    }
    world.tally.acknowledged_sales += 1;
    world.tally.tickets_booked_online += booking.tickets.len();
    Ok(booking)
}

/// A school buys what is left of the hub's own seats, until there are too few.
fn sell_out(world: &mut World) -> Result<()> {
    for _ in 0..BOOKINGS_MAX {
        let party = Party::new(&mut world.dice, 2, TOO_MANY - 2);
        let key = world.dice.uuid().to_string();
        let answer = world
            .hub
            .book(&key, world.trip.id, ("LUN", "SOL"), &party)?;
        if answer.status == 409 {
            world.voice.tell(
                Who::Customer,
                "a school trip for ten to Solwezi is told at once that it will not fit",
            );
            world.voice.aside(&answer.reason());
            return Ok(());
        }
        let booking = Booking::of(&answer.good("POST", "/bookings")?)?;
        world.tally.acknowledged_sales += 1;
        world.tally.tickets_booked_online += booking.tickets.len();
        world.voice.tell(
            Who::Customer,
            &format!(
                "a school trip books {} to Solwezi",
                count(booking.tickets.len(), "seat")
            ),
        );
    }
    bail!("the hub sold more seats than the bus has")
}
