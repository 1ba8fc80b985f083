//! A selling counter is killed again and again, at random moments and mostly with commands in
//! flight; nothing it acknowledged is lost and nothing is sold twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use system_tests::http::{number, text};
use system_tests::{Answer, Edge, Journey, Place, Sold, Trip, World, is_fast, settle, story};

/// Tickets per trip that the counter may sell.
const SEATS: u64 = 40;
/// Clients that sell at the same moment.
const CLIENTS_MAX: u64 = 3;
/// Within so long after sending the first kills fall; then it follows the machine's speed.
const REACH_US: u64 = 3_000;
/// A start is cut off within this time.
const START_US: u64 = 40_000;

/// What the callers know.
#[derive(Debug, Default)]
struct Callers {
    sales: Vec<(String, Journey, Sold)>,
    tickets: BTreeSet<String>,
}

impl Callers {
    fn note(&mut self, (id, journey): (String, Journey), sold: Sold) -> Result<()> {
        for (ticket, _) in &sold.tickets {
            ensure!(
                self.tickets.insert(ticket.clone()),
                "{ticket} was sold twice"
            );
        }
        self.sales.push((id, journey, sold));
        Ok(())
    }
}

/// What has happened.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    while_starting: u64,
    in_flight: u64,
    committed_unanswered: u64,
    never_committed: u64,
    replayed: u64,
}

struct Story<'p> {
    world: World<'p>,
    counter: Edge,
    /// Each with the seats that are left.
    trips: Vec<(Trip, u64)>,
    callers: Callers,
    tally: Tally,
    reach_us: u64,
}

impl Story<'_> {
    /// A command that the leases can fill.
    fn order(&mut self) -> Result<(String, Journey)> {
        let adults = 1 + u64::from(self.world.dice.percent(20));
        let free: Vec<usize> = (0..self.trips.len())
            .filter(|&i| self.trips[i].1 >= adults)
            .collect();
        ensure!(!free.is_empty(), "the leases are too small for this test");
        let (trip, left) = &mut self.trips[*self.world.dice.one_of(&free)];
        *left -= adults;
        let journey = Journey {
            trip: trip.id,
            from: trip.stops[0].clone(),
            to: self.world.dice.one_of(&trip.stops[1..]).clone(),
            adults: adults as usize,
        };
        Ok((self.world.dice.uuid(), journey))
    }

    /// Sells in peace, now and then.
    fn sell(&mut self) -> Result<()> {
        if self.world.dice.percent(50) {
            let (id, journey) = self.order()?;
            let sold = self.counter.sell(&id, &journey)?;
            self.callers.note((id, journey), sold)?;
        }
        Ok(())
    }

    /// Some clients press *sell* together; a moment later the power is gone. Gives the commands
    /// that nobody answered.
    fn strike(&mut self) -> Result<Vec<(String, Journey)>> {
        let clients = 1 + self.world.dice.below(CLIENTS_MAX);
        let orders: Result<Vec<_>> = (0..clients).map(|_| self.order()).collect();
        let orders = orders?;
        let moment = Duration::from_micros(self.world.dice.below(self.reach_us));
        let caller = self.counter.caller()?.clone();
        let start = Barrier::new(orders.len() + 1);
        let (tell, sent) = channel();
        let counter = &mut self.counter;
        let answers = std::thread::scope(|scope| {
            let clients: Vec<_> = orders
                .iter()
                .map(|(id, journey)| {
                    let (caller, start, tell) = (&caller, &start, tell.clone());
                    scope.spawn(move || -> Result<Option<Answer>> {
                        let stream = caller.open();
                        start.wait();
                        let sent = caller.send_only(stream?, "/sell", &journey.sell(id));
                        tell.send(())?;
                        Ok(sent?.answer())
                    })
                })
                .collect();
            start.wait();
            for _ in &orders {
                sent.recv()?;
            }
            // tidy-allow-sleep: decides when the power fails, and waits for nothing
            std::thread::sleep(moment);
            counter.kill()?;
            clients
                .into_iter()
                .map(|client| client.join().ok().context("a client panicked")?)
                .collect::<Result<Vec<_>>>()
        })?;
        self.tally.kills += 1;
        let mut unanswered = vec![];
        for (order, answer) in orders.into_iter().zip(answers) {
            match answer {
                Some(answer) => self.callers.note(order, Sold::of(&answer.good()?)?)?,
                None => unanswered.push(order),
            }
        }
        if unanswered.is_empty() {
            self.reach_us = (self.reach_us * 3 / 4).max(300);
        } else {
            self.tally.in_flight += 1;
            self.reach_us = (self.reach_us * 9 / 8).min(50_000);
        }
        Ok(unanswered)
    }

    /// Starts the counter again, sometimes not at the first try.
    fn start(&mut self) -> Result<()> {
        if self.world.dice.percent(10) {
            let child = self.counter.spawn()?;
            // tidy-allow-sleep: decides when the power fails, and waits for nothing
            std::thread::sleep(Duration::from_micros(self.world.dice.below(START_US)));
            child.kill()?;
            self.tally.kills += 1;
            self.tally.while_starting += 1;
        }
        self.counter.start()
    }

    /// Everything acknowledged is there; what nobody answered is pressed again, twice.
    fn recover(&mut self, unanswered: Vec<(String, Journey)>) -> Result<()> {
        let found: BTreeSet<String> = self.counter.ticket_ids()?.into_iter().collect();
        let lost: Vec<_> = self.callers.tickets.difference(&found).collect();
        ensure!(lost.is_empty(), "lost in a crash: {lost:?}");
        for (id, journey) in unanswered {
            let sold = self.counter.sell(&id, &journey)?;
            let kept = sold.tickets.iter().filter(|(t, _)| found.contains(t));
            match kept.count() {
                0 => self.tally.never_committed += 1,
                n if n == sold.tickets.len() => self.tally.committed_unanswered += 1,
                _ => anyhow::bail!("half a sale survived a crash: {sold:?}"),
            }
            let again = self.counter.sell(&id, &journey)?;
            ensure!(
                again == sold,
                "a retry sold something else: {again:?}, {sold:?}"
            );
            self.callers.note((id, journey), sold)?;
        }
        if !self.callers.sales.is_empty() && self.world.dice.percent(20) {
            let (id, journey, sold) = self.world.dice.one_of(&self.callers.sales);
            let again = self.counter.sell(id, journey)?;
            ensure!(again == *sold, "a replay differs: {again:?}, {sold:?}");
            self.tally.replayed += 1;
        }
        let now: BTreeSet<String> = self.counter.ticket_ids()?.into_iter().collect();
        let more: Vec<_> = now.difference(&self.callers.tickets).collect();
        ensure!(more.is_empty(), "sold and asked for by nobody: {more:?}");
        Ok(())
    }
}

/// How often each command is in the log, whose chain is whole.
fn exported_commands(place: &Place, counter: &Edge) -> Result<BTreeMap<String, usize>> {
    let out = place.path("events.jsonl");
    let out = out.to_str().context("a temporary path is text")?;
    let export = counter.command(&["log", "export", "--out", out])?;
    ensure!(export.status.success(), "not whole: {}", export.stderr);
    let mut commands = BTreeMap::new();
    let mut last: Option<(i64, String)> = None;
    for line in std::fs::read_to_string(out)?.lines() {
        let event: Value = serde_json::from_str(line)?;
        let seq = number(&event, "seq")?;
        if let Some((before, hash)) = &last {
            ensure!(
                seq == before + 1 && event["prev"] == **hash,
                "a gap: {line}"
            );
        }
        last = Some((seq, text(&event, "hash")?));
        if let Some(id) = event["command_id"].as_str() {
            *commands.entry(id.to_owned()).or_default() += 1;
        }
    }
    Ok(commands)
}

#[test]
fn a_counter_killed_while_it_sells_loses_nothing_and_sells_nothing_twice() -> Result<()> {
    let (kills, trips) = if is_fast() { (20, 8) } else { (200, 24) };
    let in_flight = kills / 4;
    story(|place| {
        let mut world = World::new(place)?;
        let mut trips_here = world.hub.trips_from("LUN")?;
        trips_here.truncate(trips);
        let counter = world.station("LUN")?;
        let seats = world.stock(&counter, "LUN", &trips_here, SEATS)?;
        let mut story = Story {
            world,
            counter,
            trips: trips_here.into_iter().zip(seats).collect(),
            callers: Callers::default(),
            tally: Tally::default(),
            reach_us: REACH_US,
        };
        let enough =
            |t: &Tally| t.kills >= kills && t.in_flight >= in_flight && t.committed_unanswered >= 1;
        while !enough(&story.tally) {
            ensure!(
                story.tally.kills < 2 * kills,
                "never in time: {:?}",
                story.tally
            );
            if story.world.dice.percent(30) {
                if story.world.dice.percent(50) {
                    story.world.relay.cut()?;
                } else {
                    story.world.relay.mend()?;
                }
            }
            story.sell()?;
            let unanswered = story.strike()?;
            story.start()?;
            story.recover(unanswered)?;
        }
        let Story {
            world,
            mut counter,
            callers,
            tally,
            ..
        } = story;
        eprintln!("{tally:?}, {} sales", callers.sales.len());
        world.relay.mend()?;
        world.drain(&counter)?;
        counter.stop()?;
        let mut commands = exported_commands(place, &counter)?;
        for (id, _, _) in &callers.sales {
            let times = commands.remove(id).unwrap_or_default();
            ensure!(times == 1, "command {id} is {times} times in the log");
        }
        settle(&world.hub, callers.sales.len(), &callers.tickets)
    })
}
