//! The simple truth beside the real thing: what callers and passengers were told.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{SeatNo, TicketId, TripId};
use domain::trip::Legs;

/// A ticket in a passenger's hand.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its code.
    pub qr: String,
    /// Which trip.
    pub trip: TripId,
    /// Which seat.
    pub seat: SeatNo,
    /// Which legs.
    pub legs: Legs,
    /// The node that sold it; `None` for the hub.
    pub node: Option<u8>,
    /// Taken back, and the agent was told so.
    pub void: bool,
    /// The record of the void went with such a disk.
    pub void_excused: bool,
    /// Its record went with a disk that was replaced by an older one: nobody promised it.
    pub excused: bool,
    /// Sold by the hub, and lost with its disk.
    pub lost: bool,
    /// The bus let its passenger on.
    pub let_on: bool,
    /// The bus may have forgotten what it did with it: its disk was replaced by an older one.
    pub forgotten: bool,
}

/// What was told to callers.
#[derive(Debug, Default)]
pub struct Truth {
    /// Every ticket that was handed out.
    pub tickets: BTreeMap<TicketId, Held>,
    /// In the order in which they were handed out.
    pub order: Vec<TicketId>,
    /// Tickets signed by a thief with a node's keys.
    pub rogue: BTreeSet<TicketId>,
}

impl Truth {
    /// A ticket was handed out; again is no second one.
    pub fn hand_out(&mut self, id: TicketId, held: Held) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.tickets.entry(id) {
            vacant.insert(held);
            self.order.push(id);
        }
    }
}
