//! The office swaps the bus of a trip, and takes it back.

use std::collections::BTreeMap;

use domain::ids::{SeatNo, TicketId, TripId};
use domain::ingest::TicketState;
use domain::swap::SwapPlan;

use super::World;
use crate::hub::Hub;

/// Where the passengers of a trip sit by the hub's books.
fn seats(hub: &Hub, trip: TripId) -> BTreeMap<TicketId, SeatNo> {
    let tickets = hub.disk.tickets.iter();
    let live = tickets.filter(|(_, t)| t.state == TicketState::Live);
    live.filter(|(_, t)| t.ticket.claim.trip == trip)
        .map(|(id, t)| (*id, t.seat))
        .collect()
}

impl World {
    /// The trip goes on in one of the other buses.
    pub(super) fn swap_bus(&mut self, trip: u8, layout: u8) -> bool {
        let trip = self.trips[usize::from(trip)];
        let today = self.hub.disk.trips[&trip].layout.clone();
        let others = self.hub.disk.layouts.keys().filter(|name| **name != today);
        let others: Vec<String> = others.cloned().collect();
        let Some(other) = others.get(usize::from(layout) % others.len().max(1)) else {
            return false;
        };
        let before = seats(&self.hub, trip);
        let now = self.instant();
        match self.hub.swap_bus(trip, other, now) {
            Ok(Some(plan)) => {
                self.remember(trip, &plan, before);
                self.announce();
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.violate("every bus can be swapped", error.to_string());
                false
            }
        }
    }

    fn remember(&mut self, trip: TripId, plan: &SwapPlan, before: BTreeMap<TicketId, SeatNo>) {
        let numbering = self.hub.disk.trips[&trip].numbering();
        let moves = plan.moves.pairs();
        let moves = moves.filter_map(|(old, new)| Some((old, new?))).collect();
        let elsewhere = plan
            .placements
            .iter()
            .filter(|p| plan.moves.get(p.old).is_none())
            .filter_map(|p| Some((p.ticket, p.new.ok()?)));
        let elsewhere = elsewhere.collect();
        if let Some(buses) = self.truth.buses.get_mut(&trip) {
            buses.swap(numbering, moves, elsewhere, before);
        }
    }

    /// The last swap of one of the trips is taken back, and everybody sits where they sat.
    pub(super) fn undo_swap(&mut self, nth: u8) -> bool {
        let trips = &self.hub.disk.trips;
        let swapped = trips.values().filter(|t| t.swaps.standing().is_some());
        let swapped: Vec<TripId> = swapped.map(|t| t.id).collect();
        let Some(trip) = swapped.get(usize::from(nth) % swapped.len().max(1)) else {
            return false;
        };
        let now = self.instant();
        if !self.hub.undo_swap(*trip, now) {
            return false;
        }
        let numbering = self.hub.disk.trips[trip].numbering();
        let buses = self.truth.buses.get_mut(trip);
        let before = buses.map_or_else(BTreeMap::new, |buses| buses.undo(numbering));
        for (id, seat) in before {
            let known = self.hub.disk.tickets.get(&id);
            let Some(known) = known.filter(|t| t.state != TicketState::Void) else {
                continue;
            };
            if known.state != TicketState::Live || known.seat != seat {
                let what = format!(
                    "ticket {id} sat on {seat} of trip {trip}, and is {:?} on {}",
                    known.state, known.seat
                );
                self.violate("undoing a swap restores every seat", what);
            }
        }
        self.announce();
        true
    }
}
