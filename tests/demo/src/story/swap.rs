//! The bus to Livingstone breaks down while Lusaka is out of reach: another bus, other seats, and
//! every ticket stays good.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::customer::Booked;
use super::opening::{TIMETABLE, admit};
use super::{paying, phones};
use crate::bus::Bus;
use crate::http::{list, number, text};
use crate::hub::Seat;
use crate::people::Party;
use crate::readers::Rider;
use crate::station::{Order, Outcome, Ticket};
use crate::voice::{Who, count, enumerated, money};
use crate::world::{NEWS_DEADLINE, World, first};

/// The bus that is sent instead, by its seats; the one of the timetable has 49.
const OTHER_LAYOUT: &str = "MIDI-29";
/// How many rows the broken one has.
const BROKEN_ROWS: u32 = 12;
/// How many seats somebody chooses who books for two.
const CHOSEN_SEATS: usize = 2;
/// How fast the bus drives once it boards, in km/h.
const DRIVES_KMH: u32 = 100;
/// How many messages, and how many scans, are shown one by one.
const SHOWN_MAX: usize = 3;

/// What Lusaka sold in the old numbers after the bus was swapped.
#[derive(Debug)]
pub struct Late {
    ticket: Ticket,
}

/// Whether the bus that is sent instead has a seat of that name: 1A, rows of three with A, B and
/// C, and 10D. See `mwimule_layouts.txt` beside the timetable.
fn is_on_other_bus(label: &str) -> bool {
    let digits = label.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let column = &label[digits.len()..];
    match (digits.parse::<u32>(), column) {
        (Ok(1), column) => column == "A",
        (Ok(2..=10), "A" | "B" | "C") | (Ok(10), "D") => true,
        (Ok(_) | Err(_), _) => false,
    }
}

/// Some people on the bus to Livingstone whom the hub knows before the network goes.
pub fn riders(world: &mut World) -> Result<()> {
    let trip = world.other_trip.id;
    let party = Party::new(&mut world.dice, 1, 0);
    let ticket = sell_doomed_seat(world, &party)?;
    world.voice.tell(
        Who::Lusaka,
        &format!("{} to Livingstone: seat {}", party.title(), ticket.seat),
    );
    world.riders.push(Rider {
        phone: party.phone.clone(),
        reference: None,
        tickets: vec![ticket.id],
    });
    world.drain(|_| {})?;
    let chosen = chosen_seats(&world.hub.seats(trip)?)?;
    books(world, 2, &chosen, Pays::Phone)?;
    books(world, 1, &[], Pays::Card)?;
    Ok(())
}

enum Pays {
    Phone,
    Card,
}

/// Two neighbours that are free and that the bus which comes instead does not have.
fn chosen_seats(seats: &[Seat]) -> Result<Vec<i64>> {
    let free: Vec<i64> = seats
        .iter()
        .filter(|s| s.free.is_some_and(|(from, _)| from == 0))
        .filter(|s| !is_on_other_bus(&s.label))
        .map(|s| s.number)
        .collect();
    let pair = free.windows(CHOSEN_SEATS).find(|w| w[1] == w[0] + 1);
    let pair = pair.or_else(|| free.windows(CHOSEN_SEATS).last());
    Ok(pair
        .context("the seats to choose from are all taken")?
        .to_vec())
}

fn books(world: &mut World, adults: usize, chosen: &[i64], pays: Pays) -> Result<()> {
    let trip = world.other_trip.id;
    let party = Party::new(&mut world.dice, adults, 0);
    let key = world.dice.uuid().to_string();
    let booking = world
        .hub
        .book_seats(&key, trip, ("LUN", "LVI"), &party, chosen)?;
    world.voice.tell(
        Who::Customer,
        &format!(
            "{} to Livingstone: {} {}, {} kwacha, reference {}",
            party.title(),
            if adults == 1 { "seat" } else { "seats" },
            enumerated(&booking.labels),
            money(booking.total_minor),
            booking.reference
        ),
    );
    world.riders.push(Rider {
        phone: party.phone.clone(),
        reference: Some(booking.reference.clone()),
        tickets: vec![],
    });
    let booked = Booked { booking, party };
    match pays {
        Pays::Phone => paying::by_mobile_money(world, &booked),
        Pays::Card => paying::by_card(world, &booked),
    }
}

/// The office swaps the bus; whoever it knows is told; Lusaka, which cannot be, sells on.
pub fn in_the_dark(world: &mut World) -> Result<Late> {
    world
        .voice
        .chapter("The bus to Livingstone breaks down, and Lusaka cannot be told");
    let trip = world.other_trip.id;
    let path = format!("/operations/trips/{trip}/swaps");
    let key = world.dice.uuid().to_string();
    let wish = json!({ "layout": OTHER_LAYOUT });
    let preview = world.hub.order(&key, &format!("{path}/preview"), &wish)?;
    tell_preview(world, &preview)?;
    let key = world.dice.uuid().to_string();
    let wish = json!({ "layout": OTHER_LAYOUT, "preview": text(&preview, "preview")? });
    let done = world.hub.order(&key, &path, &wish)?;
    if world.hub.order(&key, &path, &wish)? != done {
        bail!("the same wish to swap had two answers");
    }
    let moved = owe_news(world, &done)?;
    world.voice.tell(
        Who::Hub,
        &format!(
            "swapped; {} on other seats than they bought, and every code stays good",
            count(moved, "passenger")
        ),
    );
    phones::everything_arrives(world)?;
    let sms = world.messages.sms()?;
    let about = sms.iter().filter(|m| m.text.contains("another bus"));
    for message in about.take(SHOWN_MAX) {
        phones::show(world, message);
    }
    sell_late(world)
}

fn tell_preview(world: &World, preview: &Value) -> Result<()> {
    let (from, to) = (number(preview, "old_seats")?, number(preview, "new_seats")?);
    world.voice.tell(
        Who::Hub,
        &format!("{from} seats break down, a bus with {to} can be had: who would sit where?"),
    );
    let lost = number(preview, "without_place")?;
    let rights = list(preview, "rights_without_place")?.len();
    if lost > 0 || rights > 0 {
        bail!("{lost} passengers and {rights} leased seats would have no place");
    }
    let known = list(preview, "passengers")?.len();
    let moving = number(preview, "moving")?;
    world.voice.aside(&format!(
        "of {known} that the hub knows {moving} move and nobody is left behind; what Lusaka may \
         have sold since keeps a place too"
    ));
    if moving == 0 {
        bail!("nobody would sit elsewhere");
    }
    Ok(())
}

/// Notes who has to hear of another seat; gives how many sit elsewhere.
fn owe_news(world: &mut World, done: &Value) -> Result<usize> {
    let mut of_bookings: Vec<(String, Vec<String>)> = vec![];
    let mut moved = 0;
    for passenger in list(done, "passengers")? {
        let (old, new) = (text(passenger, "old")?, text(passenger, "new")?);
        if old == new {
            continue;
        }
        moved += 1;
        let change = format!("{old} -> {new}");
        let Some(reference) = passenger["booking"].as_str() else {
            let ticket = text(passenger, "ticket")?;
            let rider = world.riders.iter().find(|r| r.tickets.contains(&ticket));
            let rider = rider.context("a ticket that nobody bought was moved")?;
            let phone = rider.phone.clone();
            world.tally.readers.is_owed_seats(&phone, vec![change]);
            continue;
        };
        match of_bookings.iter_mut().find(|(r, _)| r == reference) {
            Some((_, changes)) => changes.push(change),
            None => of_bookings.push((reference.to_owned(), vec![change])),
        }
    }
    for (reference, changes) in of_bookings {
        let mut riders = world.riders.iter();
        let rider = riders.find(|r| r.reference.as_deref() == Some(reference.as_str()));
        let phone = rider.context("nobody made that booking")?.phone.clone();
        world.tally.readers.is_owed_seats(&phone, changes);
    }
    Ok(moved)
}

/// Lusaka knows nothing of it and sells a seat that the bus which comes does not have.
fn sell_late(world: &mut World) -> Result<Late> {
    let party = Party::new(&mut world.dice, 1, 0);
    let ticket = sell_doomed_seat(world, &party)?;
    let line = "knows nothing of it and sells";
    world.voice.tell(
        Who::Lusaka,
        &format!(
            "{line} {} a ticket to Livingstone: seat {}",
            party.title(),
            ticket.seat
        ),
    );
    world
        .voice
        .aside("the bus that comes has no such seat; the lease has one in its place");
    Ok(Late { ticket })
}

/// Lusaka sells the first of its seats to Livingstone that only the bus of the timetable has.
fn sell_doomed_seat(world: &mut World, party: &Party) -> Result<Ticket> {
    let rows = 1..=BROKEN_ROWS;
    let labels = rows.flat_map(|row| ["B", "C", "D"].map(|column| format!("{row}{column}")));
    for label in labels.filter(|label| !is_on_other_bus(label)) {
        let command = world.dice.uuid().to_string();
        let order = Order {
            trip: world.other_trip.id,
            from: world.lusaka.stop,
            to: "LVI",
            party,
            seat: Some(&label),
        };
        if let Outcome::Sold(tickets) = world.lusaka.sell(&command, order)? {
            world.note_sale(&tickets);
            return Ok(first(&tickets)?.clone());
        }
    }
    bail!("Lusaka had no seat left that only the broken bus has")
}

/// With the network back: the late sale has its place, and on the bus that came every code scans
/// and shows the seat of today.
pub fn boards(world: &mut World, late: &Late) -> Result<()> {
    world.voice.chapter("The other bus to Livingstone boards");
    let trip = world.other_trip.id;
    let seats = world.hub.seats(trip)?;
    let label_of = |number: i64| {
        let seat = seats.iter().find(|s| s.number == number);
        seat.map(|s| s.label.clone())
    };
    let mut live = world.hub.tickets(trip)?;
    live.retain(|t| t.state == "live");
    let sold_late = live.iter().find(|t| t.qr == late.ticket.qr);
    let sold_late = sold_late.context("what Lusaka sold in the dark is not at the hub")?;
    let today = label_of(sold_late.seat_today).context("the late sale has no seat")?;
    if today == late.ticket.seat {
        bail!("the late sale still has seat {today}, which this bus does not have");
    }
    world.tally.late_sales_renumbered += 1;
    let sold_as = &late.ticket.seat;
    world.voice.tell(
        Who::Hub,
        &format!("what Lusaka sold in the dark as {sold_as} has arrived, and is {today} here"),
    );
    reprints(world, late, &today)?;
    enrol(world)?;
    let expected: Vec<Passenger> = live
        .into_iter()
        .enumerate()
        .map(|(n, t)| {
            let label = label_of(t.seat_today).context("a live ticket has no seat")?;
            // Every third has no smartphone, and tells the driver the code of the SMS.
            let code = t.code.filter(|_| n % 3 == 2);
            Ok(Passenger {
                typed: code.is_some(),
                shows: code.unwrap_or_else(|| t.qr.clone()),
                qr: t.qr,
                label,
            })
        })
        .collect::<Result<_>>()?;
    scan_all(world, &expected, late)
}

/// Lusaka has heard of the other bus: its own book calls the seat what it is called today.
fn reprints(world: &World, late: &Late, today: &str) -> Result<()> {
    let lusaka = &world.lusaka;
    let what = "Lusaka to hear of the other bus";
    world.patience.until(what, NEWS_DEADLINE, || {
        let label = lusaka.seat_of(&late.ticket.id)?;
        Ok(if label == today {
            Ok(())
        } else {
            Err(format!("it says {label}, not {today}"))
        })
    })?;
    let line = format!("has heard of it, and finds that ticket under {today}");
    world.voice.tell(Who::Lusaka, &line);
    Ok(())
}

/// The device of the bus that came; its drive begins when it boards.
fn enrol(world: &mut World) -> Result<()> {
    let trip = world.other_trip.id;
    let number = trip.to_string();
    let name = "Bus to Livingstone";
    let words = ["--name", name, "--kind", "onboard", "--trip", &number];
    let (_, code) = admit(&world.hub, &words)?;
    let mut coach = Bus::enrol(world.ground.place(), Who::Coach, "coach", &code)?;
    coach.will_drive(DRIVES_KMH, &format!("{TIMETABLE}/stops.txt"));
    coach.start()?;
    world.voice.tell(
        Who::Coach,
        &format!("the device on that bus is let in: {}", coach.url()),
    );
    world.coach = Some(coach);
    let key = world.dice.uuid().to_string();
    let path = format!("/operations/trips/{trip}/boarding");
    world.hub.order(&key, &path, &json!({}))?;
    Ok(())
}

/// Somebody at the door.
struct Passenger {
    qr: String,
    /// The QR code, or the short code of the same ticket.
    shows: String,
    typed: bool,
    /// The seat of today.
    label: String,
}

fn scan_all(world: &mut World, expected: &[Passenger], late: &Late) -> Result<()> {
    let trip = world.other_trip.id;
    let patience = world.patience.clone();
    let coach = world.coach.as_mut().context("the bus has no device")?;
    patience.until("the manifest on the other bus", NEWS_DEADLINE, || {
        for Passenger { shows, label, .. } in expected {
            let answer = coach.would_answer(trip, shows)?;
            if answer.as_deref() != Some("valid") {
                return Ok(Err(format!("seat {label}: {answer:?}")));
            }
        }
        Ok(Ok(()))
    })?;
    for passenger in expected {
        let label = &passenger.label;
        patience.check()?;
        let seen = coach.scan(&passenger.shows)?;
        if seen.answer != "valid" || seen.seat.as_deref() != Some(label.as_str()) {
            bail!(
                "seat {label} scans as {} with seat {:?}: {}",
                seen.answer,
                seen.seat,
                seen.reason
            );
        }
        world.tally.swapped_tickets_scanned += 1;
        if passenger.qr == late.ticket.qr {
            let sold_as = &late.ticket.seat;
            let line = format!("the ticket that says {sold_as}: VALID, seat {label}");
            world.voice.tell(Who::Coach, &line);
        }
    }
    world.voice.tell(
        Who::Coach,
        &format!(
            "all {} scan, {} of them by the code that the SMS says, and each shows its seat on \
             this bus",
            count(expected.len(), "ticket"),
            expected.iter().filter(|p| p.typed).count()
        ),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_that_only_the_broken_bus_has_are_known() {
        for (label, there) in [
            ("1A", true),
            ("1B", false),
            ("2C", true),
            ("2D", false),
            ("10D", true),
            ("11A", false),
            ("12E", false),
        ] {
            assert_eq!(is_on_other_bus(label), there, "{label}");
        }
    }
}
