//! The hub, with its Postgres, is killed while two counters sell and a customer books.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::http::{list, text};
use system_tests::{
    Answer, Caller, Dice, Edge, Journey, Sold, Trip, World, is_fast, settle, story,
};

const SEATS: u64 = 12;
/// Sales of each counter while the hub is killed, while it is down, and while it comes up.
const SALES: usize = 5;
/// A kill falls within this time.
const MOMENT_US: u64 = 60_000;

/// A counter and what its agent was told.
struct Counter {
    edge: Edge,
    stop: &'static str,
    /// Each with the seats that are left.
    trips: Vec<(Trip, u64)>,
    dice: Dice,
    sales: Vec<Sold>,
}

impl Counter {
    fn new(world: &mut World<'_>, stop: &'static str, trips: &[Trip]) -> Result<Self> {
        let edge = world.station(stop)?;
        let seats = world.stock(&edge, stop, trips, SEATS)?;
        Ok(Self {
            edge,
            stop,
            trips: trips.iter().cloned().zip(seats).collect(),
            dice: world.dice.split(),
            sales: vec![],
        })
    }

    fn sell(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let trip = self.trips.iter_mut().find(|(_, left)| *left > 0);
            let (trip, left) = trip.context("the leases are too small for this test")?;
            *left -= 1;
            let journey = Journey {
                trip: trip.id,
                from: self.stop.to_owned(),
                to: trip.stops.last().context("a trip has stops")?.clone(),
                adults: 1,
            };
            self.sales
                .push(self.edge.sell(&self.dice.uuid(), &journey)?);
        }
        Ok(())
    }
}

/// A booking whose answer may have been lost.
struct Booking {
    key: String,
    body: Value,
}

impl Booking {
    fn new(world: &mut World<'_>, trip: &Trip) -> Self {
        Self {
            key: world.dice.uuid(),
            body: json!({
                "trip": trip.id, "from": "LUN", "to": trip.stops[1], "passengers": ["adult"],
                "contact": {"name": "Chanda", "phone": "+260970000001"}, "pay": "cash",
            }),
        }
    }

    fn try_once(&self, hub: &Caller) -> Result<Answer> {
        hub.post_with("/bookings", &[("idempotency-key", &self.key)], &self.body)
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_hub_is_killed_and_its_postgres_recovers() -> Result<()> {
    let rounds = if is_fast() { 2 } else { 6 };
    story(|place| {
        let mut world = World::new(place)?;
        let mut trips = world.hub.trips_from("LUN")?;
        trips.retain(|t| t.stops.iter().skip(1).rev().skip(1).any(|s| s == "KAB"));
        ensure!(
            trips.len() > rounds,
            "few buses pass Kabwe: {}",
            trips.len()
        );
        let mut lusaka = Counter::new(&mut world, "LUN", &trips)?;
        let mut kabwe = Counter::new(&mut world, "KAB", &trips)?;
        let mut booked: BTreeSet<String> = BTreeSet::new();
        for trip in trips.iter().take(rounds) {
            let booking = Booking::new(&mut world, trip);
            let moment = Duration::from_micros(world.dice.below(MOMENT_US));
            let hub = &mut world.hub;
            let office = hub.office();
            let first = std::thread::scope(|scope| -> Result<_> {
                let one = scope.spawn(|| lusaka.sell(SALES));
                let two = scope.spawn(|| kabwe.sell(SALES));
                let customer = scope.spawn(|| booking.try_once(&office));
                // tidy-allow-sleep: decides when the hub dies, and waits for nothing
                std::thread::sleep(moment);
                hub.kill()?;
                one.join().ok().context("Lusaka panicked")??;
                two.join().ok().context("Kabwe panicked")??;
                customer.join().ok().context("the customer panicked")
            })?;
            lusaka.sell(SALES)?;
            std::thread::scope(|scope| -> Result<()> {
                let other = scope.spawn(|| kabwe.sell(SALES));
                world.hub.start()?;
                other.join().ok().context("Kabwe panicked")?
            })?;
            let again = booking.try_once(&world.hub.office())?.good()?;
            if let Some(first) = first.ok().filter(|answer| answer.status == 201) {
                ensure!(first.body == again, "{} and {again}", first.body);
            }
            for ticket in list(&again, "tickets")? {
                ensure!(booked.insert(text(ticket, "ticket")?), "twice: {again}");
            }
            if world.dice.percent(50) {
                world.drain(&lusaka.edge)?;
            }
        }
        world.drain(&lusaka.edge)?;
        world.drain(&kabwe.edge)?;
        world.hub.check()?;
        let sales = lusaka.sales.len() + kabwe.sales.len() + booked.len();
        let sold = lusaka.sales.iter().chain(&kabwe.sales);
        let mut tickets: BTreeSet<String> = sold
            .flat_map(|sold| sold.tickets.iter().map(|(id, _)| id.clone()))
            .collect();
        tickets.extend(booked);
        settle(&world.hub, sales, &tickets)
    })
}
