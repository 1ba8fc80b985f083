//! A hub, the relay before it, and devices behind the relay.

use std::time::Duration;

use anyhow::Result;

use crate::http::{number, text};
use crate::{Dice, Edge, Hub, Place, Relay, Trip, until};

const NEWS_DEADLINE: Duration = Duration::from_mins(1);
/// Longer than the longest pause of a device that cannot reach its hub, and than its patience
/// with a silent connection.
const DRAIN_DEADLINE: Duration = Duration::from_mins(2);

/// A company with its network.
#[derive(Debug)]
pub struct World<'p> {
    /// Where everything lies.
    pub place: &'p Place,
    /// What happens when.
    pub dice: Dice,
    /// The network.
    pub relay: Relay,
    /// The office.
    pub hub: Hub,
}

impl<'p> World<'p> {
    /// Founds a company.
    pub fn new(place: &'p Place) -> Result<Self> {
        let dice = Dice::seeded();
        let hub = Hub::found(place, "hub")?;
        let relay = Relay::start(place, hub.quic())?;
        Ok(Self {
            place,
            dice,
            relay,
            hub,
        })
    }

    /// A code for a counter at a stop.
    pub fn station_code(&self, stop: &str) -> Result<String> {
        let words = ["--name", stop, "--kind", "station", "--stop", stop];
        self.hub.code(&self.relay.listen, &words)
    }

    /// A counter at a stop, running.
    pub fn station(&self, stop: &str) -> Result<Edge> {
        let code = self.station_code(stop)?;
        let name = format!("station-{}", stop.to_lowercase());
        let mut edge = Edge::enrol(self.place, "mwimule-edge", &name, &code)?;
        edge.start()?;
        Ok(edge)
    }

    /// A device on the bus of a trip, running.
    pub fn bus(&self, trip: u64) -> Result<Edge> {
        let trip = trip.to_string();
        let words = ["--name", "bus", "--kind", "onboard", "--trip", &trip];
        let code = self.hub.code(&self.relay.listen, &words)?;
        let mut edge = Edge::enrol(self.place, "mwimule-driver", "bus", &code)?;
        edge.start()?;
        Ok(edge)
    }

    /// Gives a counter so many seats of each trip, or all that there are, from its stop to the
    /// last one, and a shift. The answer is how many it got of each.
    pub fn stock(
        &mut self,
        edge: &Edge,
        stop: &str,
        trips: &[Trip],
        seats: u64,
    ) -> Result<Vec<u64>> {
        let mut granted = vec![];
        for trip in trips {
            until("the timetable", NEWS_DEADLINE, || {
                let known = edge.knows(trip.id)?;
                Ok(known
                    .then_some(())
                    .ok_or_else(|| format!("no trip {}", trip.id)))
            })?;
            let to = trip.stops.last().map_or("", String::as_str);
            granted.push(edge.lease(&self.dice.uuid(), trip.id, (stop, to), seats)?);
        }
        edge.open_shift(&self.dice.uuid())?;
        Ok(granted)
    }

    /// Waits until the hub has stored and judged everything that a device did.
    pub fn drain(&self, edge: &Edge) -> Result<()> {
        until(
            "the device to be in step with the hub",
            DRAIN_DEADLINE,
            || {
                let status = edge.status()?;
                let last = number(&status, "last_seq")?;
                let judged = number(&status, "judged_seq")?;
                let left = number(&status, "unsynced")?;
                if left == 0 && last == judged {
                    return Ok(Ok(()));
                }
                let link = text(&status["link"], "last_error").unwrap_or_default();
                Ok(Err(format!(
                    "{left} events are not stored, judged is {judged} of {last}; {link}"
                )))
            },
        )
    }
}
