//! The counters sell: first with the hub in reach, then alone.

use anyhow::{Result, bail};

use crate::people::Party;
use crate::station::{Outcome, Ticket};
use crate::voice::{Who, count};
use crate::world::{NEWS_DEADLINE, Town, Wish, World, first, seats, stop_name};

/// How many seats each counter asks for.
const LUSAKA_TO_SOLWEZI: usize = 26;
const LUSAKA_TO_KABWE: usize = 16;
const KABWE_TO_SOLWEZI: usize = 22;
const LUSAKA_TO_LIVINGSTONE: usize = 22;

/// How many tickets both counters sell while they are alone.
const SOLD_OFFLINE_ENOUGH: usize = 64;

/// How many sales are told one by one.
const TOLD_MAX: usize = 4;

/// Leases are granted, and the agents open their shifts.
pub fn grants(world: &mut World) -> Result<()> {
    world.voice.chapter("Each counter gets seats of its own");
    let (trip, other) = (world.trip.id, world.other_trip.id);
    for (town, trips) in [(Town::Lusaka, vec![trip, other]), (Town::Kabwe, vec![trip])] {
        await_timetable(world, town, &trips)?;
    }

    lease(
        world,
        Town::Lusaka,
        trip,
        &[("SOL", LUSAKA_TO_SOLWEZI), ("KAB", LUSAKA_TO_KABWE)],
    )?;
    lease(
        world,
        Town::Lusaka,
        other,
        &[("LVI", LUSAKA_TO_LIVINGSTONE)],
    )?;
    await_seats(
        world,
        Town::Lusaka,
        trip,
        LUSAKA_TO_SOLWEZI + LUSAKA_TO_KABWE,
    )?;
    await_seats(world, Town::Lusaka, other, LUSAKA_TO_LIVINGSTONE)?;
    world.voice.tell(
        Who::Lusaka,
        &format!(
            "may sell {LUSAKA_TO_SOLWEZI} seats as far as Solwezi, {LUSAKA_TO_KABWE} to Kabwe \
             only, and {LUSAKA_TO_LIVINGSTONE} on the bus to Livingstone"
        ),
    );
    lease(world, Town::Kabwe, trip, &[("SOL", KABWE_TO_SOLWEZI)])?;
    await_seats(world, Town::Kabwe, trip, KABWE_TO_SOLWEZI)?;
    world.voice.tell(
        Who::Kabwe,
        &format!(
            "may sell {KABWE_TO_SOLWEZI} seats from Kabwe on, among them the \
             {LUSAKA_TO_KABWE} that Lusaka fills only as far as Kabwe"
        ),
    );
    for (town, agent) in [
        (Town::Lusaka, "Chanda Mulenga"),
        (Town::Kabwe, "Bupe Mwansa"),
    ] {
        let command = world.dice.uuid().to_string();
        let float_minor = world.dice.between(4, 12) as i64 * 5_000;
        let station = world.station(town);
        station.open_shift(&command, agent, float_minor)?;
        let who = station.who;
        world.voice.tell(
            who,
            &format!("{agent} opens a shift with {} kwacha", float_minor / 100),
        );
    }
    Ok(())
}

fn await_timetable(world: &mut World, town: Town, trips: &[i64]) -> Result<()> {
    let patience = world.patience.clone();
    let station = world.station(town);
    let what = format!("{}'s timetable", station.town);
    patience.until(&what, NEWS_DEADLINE, || {
        for trip in trips {
            if !station.knows(*trip)? {
                return Ok(Err(format!("trip {trip} is not in it")));
            }
        }
        Ok(Ok(()))
    })
}

fn lease(world: &mut World, town: Town, trip: i64, wants: &[(&str, usize)]) -> Result<()> {
    let patience = world.patience.clone();
    let request = world.dice.uuid().to_string();
    let station = world.station(town);
    patience.until("the hub's grant", NEWS_DEADLINE, || {
        let granted = station.ask_for_lease(&request, trip, wants)?;
        Ok(if granted {
            Ok(())
        } else {
            Err("no answer from the hub".to_owned())
        })
    })
}

fn await_seats(world: &mut World, town: Town, trip: i64, wanted: usize) -> Result<()> {
    let patience = world.patience.clone();
    let station = world.station(town);
    let what = format!("{}'s lease", station.town);
    patience.until(&what, NEWS_DEADLINE, || {
        let seats = station.seats_left(trip)?;
        Ok(if seats == wanted {
            Ok(())
        } else {
            Err(format!("{seats} of {wanted} seats"))
        })
    })
}

/// Some tickets are sold while everybody hears of them; gives those that Lusaka sold.
pub fn connected(world: &mut World) -> Result<Vec<Ticket>> {
    world
        .voice
        .chapter("The first passengers; the network is up");
    let trip = world.trip.id;
    let party = Party::new(&mut world.dice, 2, 0);
    let wish = Wish {
        trip,
        to: "SOL",
        seat: None,
    };
    let mut known = world.sell_aloud(Town::Lusaka, wish, &party)?;
    let party = Party::new(&mut world.dice, 1, 0);
    known.extend(world.sell_aloud(Town::Lusaka, Wish { to: "KAB", ..wish }, &party)?);
    let party = Party::new(&mut world.dice, 1, 0);
    let from_kabwe = world.sell_aloud(Town::Kabwe, Wish { to: "NDO", ..wish }, &party)?;
    world.drain(|_| {})?;

    let wanted: Vec<&Ticket> = known.iter().chain(&from_kabwe).collect();
    world
        .patience
        .until("the manifest on the bus", NEWS_DEADLINE, || {
            for ticket in &wanted {
                let answer = world.bus.would_answer(trip, &ticket.qr)?;
                if answer.as_deref() != Some("valid") {
                    return Ok(Err(format!("seat {}: {answer:?}", ticket.seat)));
                }
            }
            Ok(Ok(()))
        })?;
    world.voice.tell(
        Who::Driver,
        &format!("the manifest on the bus shows all {} of them", wanted.len()),
    );
    Ok(known)
}

/// The relay stops.
pub fn cut(world: &mut World) -> Result<()> {
    world.voice.chapter("The network goes down");
    world.relay.cut()?;
    world.cut_off = true;
    world.voice.tell(
        Who::Network,
        "the relay stops: Lusaka, Kabwe and the bus are each alone",
    );
    Ok(())
}

/// Lusaka sells for the other bus; gives one of the tickets.
pub fn other_bus(world: &mut World) -> Result<Ticket> {
    let trip = world.other_trip.id;
    let party = Party::new(&mut world.dice, 2, 1);
    let wish = Wish {
        trip,
        to: "LVI",
        seat: None,
    };
    let tickets = world.sell_aloud(Town::Lusaka, wish, &party)?;
    world.voice.aside("that was for the bus to Livingstone");
    for to in ["CHO", "LVI", "MAZ"] {
        let party = Party::any(&mut world.dice, 3);
        world.sell(Town::Lusaka, Wish { to, ..wish }, &party)?;
    }
    Ok(first(&tickets)?.clone())
}

/// The same seats, sold twice: to Kabwe by Lusaka, from Kabwe on by Kabwe.
pub fn segments(world: &mut World) -> Result<()> {
    let trip = world.trip.id;
    let party = Party::new(&mut world.dice, 2, 1);
    let wish = Wish {
        trip,
        to: "KAB",
        seat: None,
    };
    let tickets = world.sell_aloud(Town::Lusaka, wish, &party)?;
    for ticket in &tickets {
        let to = *world.dice.pick(&["NDO", "NDO", "KIT", "SOL"]);
        let party = Party::new(&mut world.dice, 1, 0);
        let wish = Wish {
            trip,
            to,
            seat: Some(&ticket.seat),
        };
        let onward = world.sell(Town::Kabwe, wish, &party)?;
        if first(&onward)?.seat != ticket.seat {
            bail!("Kabwe sold another seat than was chosen");
        }
        world.voice.tell(
            Who::Kabwe,
            &format!(
                "seat {} again, from Kabwe to {}, to {}",
                ticket.seat,
                stop_name(to),
                party.title()
            ),
        );
    }
    world
        .voice
        .aside("neither counter had to ask the other: each owns its legs of the seat");
    Ok(())
}

/// A counter sells until the lease is dry and says so.
pub fn until_dry(world: &mut World, town: Town, destinations: &[&str]) -> Result<()> {
    let trip = world.trip.id;
    let who = world.station(town).who;
    let (mut told, mut more) = (0, 0);
    loop {
        let left = world.station(town).seats_left(trip)?;
        // The last ones in the queue do not know how many seats are left.
        let most = if left < 4 && world.dice.chance(50) {
            4
        } else {
            left.clamp(1, 4)
        };
        let party = Party::any(&mut world.dice, most);
        let to = *world.dice.pick(destinations);
        match world.ask(
            town,
            Wish {
                trip,
                to,
                seat: None,
            },
            &party,
        )? {
            Outcome::Sold(tickets) if told < TOLD_MAX => {
                told += 1;
                world.voice.tell(
                    who,
                    &format!(
                        "{} to {}: {}",
                        party.title(),
                        stop_name(to),
                        seats(&tickets)
                    ),
                );
            }
            Outcome::Sold(tickets) => more += tickets.len(),
            Outcome::Refused { code, reason } if code == "lease_dry" => {
                if more > 0 {
                    world
                        .voice
                        .tell(who, &format!("... and {} more", count(more, "ticket")));
                    more = 0;
                }
                let title = party.title();
                world
                    .voice
                    .tell(who, &format!("{title} to {}: REFUSED", stop_name(to)));
                world.voice.aside(&reason);
                if left == 0 {
                    return Ok(());
                }
            }
            Outcome::Refused { code, reason } => bail!("{code}: {reason}"),
        }
    }
}

/// Lusaka goes on selling until the day's business is done.
pub fn the_rest(world: &mut World) -> Result<()> {
    let trip = world.trip.id;
    let (mut sold, mut refused) = (0, 0);
    // Somebody alone on the shortest way fits wherever anybody fits.
    let mut modest = false;
    while world.tally.tickets_sold_offline < SOLD_OFFLINE_ENOUGH {
        let most = if modest { 1 } else { 3 };
        let party = Party::any(&mut world.dice, most);
        let anywhere = *world.dice.pick(&["KAB", "NDO", "KIT", "CGA", "SOL"]);
        let to = if modest { "KAB" } else { anywhere };
        let seat = None;
        match world.ask(Town::Lusaka, Wish { trip, to, seat }, &party)? {
            Outcome::Sold(tickets) => {
                sold += tickets.len();
                modest = false;
            }
            Outcome::Refused { code, .. } if code == "lease_dry" && !modest => {
                refused += 1;
                modest = true;
            }
            Outcome::Refused { code, reason } => bail!("{code}: {reason}"),
        }
    }
    world.voice.tell(
        Who::Lusaka,
        &format!(
            "goes on selling: {} more, {} by both counters without any network",
            count(sold, "ticket"),
            world.tally.tickets_sold_offline
        ),
    );
    if refused > 0 {
        let parties = if refused == 1 { "party" } else { "parties" };
        world.voice.aside(&format!(
            "{refused} {parties} found too few seats left where they wanted to go"
        ));
    }
    Ok(())
}
