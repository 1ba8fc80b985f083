//! A second process of the hub: it joins, sells what the first one has, and is restarted while
//! people ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::customer::Booked;
use super::paying;
use crate::http::{Answer, Caller};
use crate::hub::Booking;
use crate::people::Party;
use crate::voice::{Who, count, money};
use crate::world::{World, stop_name};

/// How long a process may take to end once it was told to.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// How many answers a process has to give before the story goes on.
const ANSWERS_ENOUGH: usize = 10;
/// How long whoever asks waits between two questions.
const PACE: Duration = Duration::from_millis(10);

/// A second process joins; a seat is booked there, seen at the first, and paid for there.
pub fn joins(world: &mut World) -> Result<()> {
    world.voice.chapter("The hub gets a second process");
    start(world, "joins")?;
    world
        .voice
        .aside("the same database, keys and Redis; either may end without the other's customers");
    let trip = world.trip.clone();
    let second = world.second.as_ref().context("the second was started")?;
    let seats = second.seats(trip.id)?;
    let mut free = seats.iter().filter_map(|s| Some((s, s.free?)));
    let (seat, (from, to)) = free.next().context("no seat is free anywhere")?;
    let stop = |place: usize| trip.stops.get(place).map(String::as_str);
    let journey = stop(from).zip(stop(to));
    let journey = journey.context("a seat is free beyond the last stop")?;
    let party = Party::new(&mut world.dice, 1, 0);
    let key = world.dice.uuid().to_string();
    let chosen = [seat.number];
    let booking = second.book_seats(&key, trip.id, journey, &party, &chosen)?;
    let again = world
        .hub
        .book_seats(&key, trip.id, journey, &party, &chosen)?;
    if again != booking {
        bail!("the same request at the other process led to another booking");
    }
    world.voice.tell(
        Who::Customer,
        &format!(
            "{} books seat {} at the second, {} to {}: {} kwacha, reference {}",
            party.title(),
            seat.label,
            stop_name(journey.0),
            stop_name(journey.1),
            money(booking.total_minor),
            booking.reference
        ),
    );
    world
        .voice
        .aside("the phone asks again and comes to the first: the same booking, the same seat");
    let booked = Booked { booking, party };
    paying::by_mobile_money(world, &booked)?;
    sees_tickets(world, &booked)?;
    world.tally.booked_at_second_hub += 1;
    world.voice.tell(
        Who::Second,
        "shows the ticket of the booking that the first was paid for",
    );
    Ok(())
}

fn start(world: &mut World, verb: &str) -> Result<()> {
    let ground = &world.ground;
    let second = world.hub.beside(ground.place(), &ground.config)?;
    let line = format!("{verb} for the API: {}", second.url());
    world.voice.tell(Who::Second, &line);
    world.second = Some(second);
    Ok(())
}

fn sees_tickets(world: &World, booked: &Booked) -> Result<()> {
    let second = world.second.as_ref().context("the second was started")?;
    let Booked { booking, party } = booked;
    let path = format!(
        "/bookings/{}?phone={}",
        booking.reference,
        party.home_phone()
    );
    let [here, there] = [world.hub.look(&path)?, second.look(&path)?].map(|b| Booking::of(&b));
    let (here, there) = (here?, there?);
    if here != there || there.tickets.len() != party.len() {
        bail!("two processes of one hub show different bookings: {here:?}, {there:?}");
    }
    Ok(())
}

/// Somebody who asks all the time, as a gateway passes questions on: to the second process while
/// that says it is ready, else to the first.
struct Asking {
    stop: Arc<AtomicBool>,
    answers: Arc<[AtomicUsize; 3]>,
    asks: JoinHandle<Vec<String>>,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy)]
enum From {
    Second,
    Stopping,
    First,
}

impl Asking {
    fn begin(second: Caller, first: Caller, path: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let asks = {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || ask(&stop, &answers, (&second, &first), &path))
        };
        Self {
            stop,
            answers,
            asks,
        }
    }

    fn answers(&self, from: From) -> usize {
        self.answers[from as usize].load(Ordering::SeqCst)
    }

    /// Stops asking; gives what was no good answer.
    fn end(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::SeqCst);
        let Ok(refused) = self.asks.join() else {
            bail!("whoever asked has panicked");
        };
        Ok(refused)
    }
}

fn ask(
    stop: &AtomicBool,
    answers: &[AtomicUsize; 3],
    (second, first): (&Caller, &Caller),
    path: &str,
) -> Vec<String> {
    let mut refused = vec![];
    let mut is_ready = true;
    while !stop.load(Ordering::SeqCst) {
        let (whom, from) = if is_ready {
            let ready = second.get("/readyz");
            is_ready = ready.as_ref().is_ok_and(Answer::is_good);
            match (is_ready, ready) {
                (true, _) => (second, From::Second),
                // What is on its way when a process says that it ends is still answered.
                (false, Ok(_)) => (second, From::Stopping),
                (false, Err(_)) => (first, From::First),
            }
        } else {
            (first, From::First)
        };
        match whom.get(path) {
            Ok(answer) if answer.is_good() => {
                answers[from as usize].fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => refused.push(format!("{from:?}: {} {}", answer.status, answer.reason())),
            Err(error) => refused.push(format!("{from:?}: {error:#}")),
        }
        // tidy-allow-sleep: the pace of whoever asks; nothing waits for it
        std::thread::sleep(PACE);
    }
    refused
}

/// The second process is restarted, as for a new version, while people go on asking.
pub fn restarts(world: &mut World) -> Result<()> {
    world
        .voice
        .chapter("The second process is restarted while people go on asking");
    let mut second = world.second.take().context("there is a second process")?;
    let path = format!("/trips/{}/seats", world.trip.id);
    let asking = Asking::begin(second.public(), world.hub.public(), path);
    await_answers(world, &asking, From::Second)?;
    second.ask_to_end()?;
    let status = world
        .patience
        .until("the second process to end", END_DEADLINE, || {
            let ended = second.ended()?;
            Ok(ended.ok_or_else(|| "it runs".to_owned()))
        })?;
    if !status.success() {
        bail!("the second process ended with {status}");
    }
    await_answers(world, &asking, From::First)?;
    let counts = [From::Second, From::Stopping, From::First].map(|from| asking.answers(from));
    let refused = asking.end()?;
    let [before, stopping, after] = counts;
    world.tally.asked_while_one_stopped = before + stopping + after + refused.len();
    world.tally.refused_while_one_stopped = refused.len();
    if let Some(why) = refused.first() {
        bail!(
            "{} refused, the first: {why}",
            count(refused.len(), "question")
        );
    }
    if stopping == 0 {
        bail!("the second process did not say that it was about to end");
    }
    world.voice.tell(
        Who::Second,
        &format!("told to end: says so first, answers what is on its way, ends with {status}"),
    );
    world.voice.aside(&format!(
        "{} in all: {before} answered by it, {stopping} while it was ending, {after} by the first; \
         none refused",
        count(before + stopping + after, "question")
    ));
    start(world, "is back")
}

fn await_answers(world: &World, asking: &Asking, from: From) -> Result<()> {
    let what = "answers to somebody who asks";
    world.patience.until(what, END_DEADLINE, || {
        let answers = asking.answers(from);
        Ok(if answers >= ANSWERS_ENOUGH || asking.asks.is_finished() {
            Ok(())
        } else {
            Err(format!("{from:?}: {answers}"))
        })
    })
}
