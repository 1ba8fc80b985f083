//! A customer books the hub's own seats; the counters' outage is nothing to them.

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::paying;
use crate::http::{list, number, text};
use crate::hub::Booking;
use crate::people::Party;
use crate::voice::{Who, count, money};
use crate::world::{World, stop_name};

/// More seats than the hub has left on that leg, asked for in one booking.
const TOO_MANY: usize = 10;
/// How many such bookings are tried before the bus must be full.
const BOOKINGS_MAX: usize = 12;

/// A booking, and who made it.
#[derive(Debug)]
pub struct Booked {
    /// The booking.
    pub booking: Booking,
    /// Who travels.
    pub party: Party,
}

/// Customers book over HTTP and pay: by mobile money whose callback is lost, by card, by a card
/// that is refused. Gives the booking of who is not sure yet.
pub fn book(world: &mut World) -> Result<Booked> {
    world
        .voice
        .chapter("Meanwhile, customers book at the hub, and pay from home");
    let first = reserve(world, ("LUN", "SOL"), (2, 1), true)?;
    world.operators.lose_next_callback()?;
    paying::by_mobile_money_unheard(world, &first)?;

    let second = reserve(world, ("LUN", "KAB"), (1, 0), false)?;
    paying::by_card(world, &second)?;

    let third = reserve(world, ("LUN", "NDO"), (1, 1), false)?;
    paying::by_refused_card(world, &third)?;
    paying::by_mobile_money(world, &third)?;

    let unsure = reserve(world, ("KAB", "SOL"), (2, 0), false)?;
    paying::by_mobile_money(world, &unsure)?;
    Ok(unsure)
}

/// Somebody books, at home; with `twice` the answer is lost and asked for again.
fn reserve(
    world: &mut World,
    (from, to): (&str, &str),
    (adults, children): (usize, usize),
    twice: bool,
) -> Result<Booked> {
    world.patience.check()?;
    let party = Party::new(&mut world.dice, adults, children);
    let key = world.dice.uuid().to_string();
    let booking = world.hub.book(&key, world.trip.id, (from, to), &party)?;
    if booking.state != "awaiting_payment" || !booking.tickets.is_empty() {
        bail!("tickets were given before the money came");
    }
    world.voice.tell(
        Who::Customer,
        &format!(
            "a booking for {}, {} to {}: {} kwacha to pay, reference {}",
            party.title(),
            stop_name(from),
            stop_name(to),
            money(booking.total_minor),
            booking.reference
        ),
    );
    if twice {
        let again = world.hub.book(&key, world.trip.id, (from, to), &party)?;
        if again != booking {
            bail!("the same request led to another booking");
        }
        world
            .voice
            .aside("the phone lost the answer and asked again: the same booking, the same seats");
    }
    Ok(Booked { booking, party })
}

/// Who was not sure cancels: told first what it comes to, then done, and the money goes back the
/// way it came.
pub fn change_of_mind(world: &mut World, booked: &Booked) -> Result<()> {
    world.voice.chapter("Somebody stays at home after all");
    let Booked { booking, party } = booked;
    let path = format!("/bookings/{}/offers", booking.reference);
    let wish = json!({ "kind": "cancel", "phone": party.home_phone() });
    let key = world.dice.uuid().to_string();
    let offer = world.hub.post(&key, &path, &wish)?;
    let (back_minor, kept_minor) = (
        number(&offer, "refund_minor")?,
        number(&offer, "fee_minor")?,
    );
    if back_minor <= 0 || back_minor + kept_minor != booking.total_minor {
        bail!("{back_minor} back and {kept_minor} kept are not what was paid");
    }
    world.voice.tell(
        Who::Customer,
        &format!(
            "what would it cost to cancel {}, for {}? {} kwacha go back, the company keeps {}",
            booking.reference,
            party.title(),
            money(back_minor),
            money(kept_minor)
        ),
    );
    let path = format!("/offers/{}/confirm", text(&offer, "offer")?);
    let key = world.dice.uuid().to_string();
    let done = world.hub.post(&key, &path, &json!({}))?;
    let again = world.hub.post(&key, &path, &json!({}))?;
    if done != again {
        bail!("the same confirmation had two answers");
    }
    world
        .voice
        .tell(Who::Customer, "so be it; the tickets are void from now on");
    for refund in list(&done, "refunds")? {
        let refund = refund.as_str().context("a refund's number is no text")?;
        paying::money_back(world, refund)?;
    }
    Ok(())
}

/// A school buys what is left of the hub's own seats, until there are too few.
pub fn sell_out(world: &mut World) -> Result<()> {
    for _ in 0..BOOKINGS_MAX {
        let party = Party::new(&mut world.dice, 2, TOO_MANY - 2);
        let key = world.dice.uuid().to_string();
        let answer = world
            .hub
            .book_for_cash(&key, world.trip.id, ("LUN", "SOL"), &party)?;
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
        let readers = &mut world.tally.readers;
        readers.are_owed_tickets(&booking.reference, &party);
        world.voice.tell(
            Who::Customer,
            &format!(
                "a school trip books {} to Solwezi, paid in cash at the office",
                count(booking.tickets.len(), "seat")
            ),
        );
    }
    bail!("the hub sold more seats than the bus has")
}
