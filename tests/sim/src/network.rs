//! The links between nodes and hub: frames under way, with latency and armed faults.

use sync_protocol::Uptime;

use crate::dice::Dice;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the node to the hub.
    Up,
    /// From the hub to the node.
    Down,
}

/// A frame under way.
#[derive(Debug, Clone)]
pub struct Flight {
    /// When it arrives.
    pub due: Uptime,
    /// Breaks ties, so that the order is one.
    pub order: u64,
    /// Which way.
    pub way: Way,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Faults that struck frames since they were last taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Struck {
    /// Frames lost.
    pub dropped: u64,
    /// Frames doubled.
    pub duplicated: u64,
    /// Frames overtaken.
    pub reordered: u64,
}

/// One node's link.
#[derive(Debug, Default)]
pub struct Link {
    flights: Vec<Flight>,
    order: u64,
    /// Nothing passes.
    pub cut: bool,
    /// Frames yet to be lost.
    pub drop_next: u32,
    /// Frames yet to be doubled.
    pub duplicate_next: u32,
    /// Frames yet to be overtaken.
    pub reorder_next: u32,
    /// Faults that struck.
    pub struck: Struck,
}

impl Link {
    /// Sends a frame; a cut link swallows it.
    pub fn post(&mut self, way: Way, bytes: Vec<u8>, now: Uptime, dice: &mut Dice) {
        let mut latency = 40 + dice.below(400);
        if self.cut {
            return;
        }
        if self.drop_next > 0 {
            self.drop_next -= 1;
            self.struck.dropped += 1;
            return;
        }
        if self.reorder_next > 0 {
            self.reorder_next -= 1;
            self.struck.reordered += 1;
            latency += 5_000;
        }
        if self.duplicate_next > 0 {
            self.duplicate_next -= 1;
            self.struck.duplicated += 1;
            self.fly(way, bytes.clone(), now.plus_ms(latency + 1_500));
        }
        self.fly(way, bytes, now.plus_ms(latency));
    }

    fn fly(&mut self, way: Way, bytes: Vec<u8>, due: Uptime) {
        self.order += 1;
        self.flights.push(Flight {
            due,
            order: self.order,
            way,
            bytes,
        });
    }

    /// When the next frame arrives.
    pub fn next_due(&self) -> Option<Uptime> {
        self.flights.iter().map(|f| f.due).min()
    }

    /// Takes the next frame that has arrived by now.
    pub fn arrive(&mut self, now: Uptime) -> Option<Flight> {
        let next = self
            .flights
            .iter()
            .enumerate()
            .filter(|(_, f)| f.due <= now)
            .min_by_key(|(_, f)| (f.due, f.order))?
            .0;
        Some(self.flights.swap_remove(next))
    }

    /// Takes every fault away.
    pub fn heal(&mut self) {
        *self = Self {
            struck: self.struck,
            order: self.order,
            ..Self::default()
        };
    }

    /// Loses everything under way: the connection is gone.
    pub fn clear(&mut self) {
        self.flights.clear();
    }
}
