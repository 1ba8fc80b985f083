//! The simple truth beside the real thing: what callers and passengers were told.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{LayoutVersion, SeatNo, TicketId, TripId};
use domain::trip::Legs;

/// A ticket in a passenger's hand.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its QR code.
    pub qr: String,
    /// Its short code, where it was sold by a station.
    pub code: Option<String>,
    /// Which trip.
    pub trip: TripId,
    /// Which seat, as it says itself.
    pub seat: SeatNo,
    /// Which numbering that is in.
    pub under: LayoutVersion,
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

impl Held {
    /// A ticket as it is handed out: its code, trip and legs, its seat with the numbering that
    /// that is in, and who sold it.
    pub fn new(
        qr: String,
        (trip, legs): (TripId, Legs),
        (seat, under): (SeatNo, LayoutVersion),
        node: Option<u8>,
    ) -> Self {
        Self {
            qr,
            code: None,
            trip,
            seat,
            under,
            legs,
            node,
            void: false,
            void_excused: false,
            excused: false,
            lost: false,
            let_on: false,
            forgotten: false,
        }
    }
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
    /// How the trips' buses were swapped.
    pub buses: BTreeMap<TripId, Buses>,
}

impl Truth {
    /// A ticket was handed out; again is no second one.
    pub fn hand_out(&mut self, id: TicketId, held: Held) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.tickets.entry(id) {
            vacant.insert(held);
            self.order.push(id);
        }
    }

    /// Where a ticket's passenger sits for somebody who has heard of the trip up to a numbering;
    /// `None` where that bus has no place.
    pub fn seat_at(&self, id: TicketId, at: LayoutVersion) -> Option<SeatNo> {
        let held = self.tickets.get(&id)?;
        let Some(buses) = self.buses.get(&held.trip) else {
            return Some(held.seat);
        };
        buses.seat(id, held, at)
    }

    /// The same by all that was done.
    pub fn seat_today(&self, id: TicketId) -> Option<SeatNo> {
        self.seat_at(id, LayoutVersion(u32::MAX))
    }
}

/// One bus that a trip was put into.
#[derive(Debug, Default)]
struct Bus {
    /// Which bus it took the place of; the first took none's.
    instead_of: usize,
    /// Where the seats of that one are in this one.
    moves: BTreeMap<SeatNo, SeatNo>,
    /// Tickets whose seat has no place here and that were put on another all the same.
    elsewhere: BTreeMap<TicketId, SeatNo>,
    /// Where the live tickets were before.
    before: BTreeMap<TicketId, SeatNo>,
}

/// The buses of one trip, as a tree: a swap grows a branch, its undoing leads back to the trunk.
/// Each numbering is the one of a bus.
#[derive(Debug)]
pub struct Buses {
    all: Vec<Bus>,
    of: BTreeMap<LayoutVersion, usize>,
}

impl Buses {
    /// The trip runs in the bus that it was sold on.
    pub fn new(first: LayoutVersion) -> Self {
        Self {
            all: vec![Bus::default()],
            of: BTreeMap::from([(first, 0)]),
        }
    }

    fn today(&self) -> usize {
        self.of.last_key_value().map_or(0, |(_, bus)| *bus)
    }

    /// The trip goes on in another bus.
    pub fn swap(
        &mut self,
        numbering: LayoutVersion,
        moves: BTreeMap<SeatNo, SeatNo>,
        elsewhere: BTreeMap<TicketId, SeatNo>,
        before: BTreeMap<TicketId, SeatNo>,
    ) {
        let bus = Bus {
            instead_of: self.today(),
            moves,
            elsewhere,
            before,
        };
        self.of.insert(numbering, self.all.len());
        self.all.push(bus);
    }

    /// The trip goes on in the former bus; gives where everybody sat when it was left.
    pub fn undo(&mut self, numbering: LayoutVersion) -> BTreeMap<TicketId, SeatNo> {
        let undone = self.today();
        self.of.insert(numbering, self.all[undone].instead_of);
        self.all[undone].before.clone()
    }

    /// The buses from the first one to this.
    fn way_to(&self, bus: usize) -> Vec<usize> {
        let mut way = vec![bus];
        let mut at = bus;
        while at != 0 {
            at = self.all[at].instead_of;
            way.insert(0, at);
        }
        way
    }

    fn seat(&self, id: TicketId, held: &Held, at: LayoutVersion) -> Option<SeatNo> {
        // What somebody has not heard of yet is shown as it says itself.
        if held.under > at {
            return Some(held.seat);
        }
        let (_, target) = self.of.range(..=at).next_back()?;
        let way = self.way_to(*target);
        let mut bus = *self.of.get(&held.under)?;
        let mut seat = held.seat;
        while !way.contains(&bus) {
            let moves = &self.all[bus].moves;
            seat = *moves.iter().find(|(_, to)| **to == seat)?.0;
            bus = self.all[bus].instead_of;
        }
        let further = way.into_iter().skip_while(|on| *on != bus).skip(1);
        for bus in further {
            let Bus {
                moves, elsewhere, ..
            } = &self.all[bus];
            seat = *elsewhere.get(&id).or_else(|| moves.get(&seat))?;
        }
        Some(seat)
    }
}
