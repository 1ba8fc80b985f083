//! At the door of the bus: a passenger shows a ticket, and the answer is held against the truth.

use domain::scan::ScanAnswer;
use edge_node::engine::{Command, Outcome};

use super::World;
use crate::model::Held;
use crate::ops::BUS;

impl World {
    pub(super) fn scan(&mut self, nth: u16, trip: u8) -> bool {
        if self.truth.order.is_empty() {
            return false;
        }
        let id = self.truth.order[usize::from(nth) % self.truth.order.len()];
        let held = self.truth.tickets[&id].clone();
        // Three of four passengers find their bus.
        let boarding = if nth.is_multiple_of(4) {
            self.trips[usize::from(trip)]
        } else {
            held.trip
        };
        let command = Command::Scan {
            trip: boarding,
            text: held.qr.clone(),
        };
        let Some(Outcome::Scanned(scan)) = self.command(BUS, &command) else {
            return false;
        };
        self.note(&format!("{:?}", scan.answer));
        let right_trip = boarding == held.trip;
        if let Some(what) = self.misjudged(&held, right_trip, scan.answer) {
            self.violate(
                "no good ticket is called invalid",
                format!("ticket {id}: {what}: {}", scan.reason),
            );
        }
        let on = matches!(scan.answer, ScanAnswer::Valid | ScanAnswer::GoodButUnlisted);
        if let (true, Some(held)) = (on && right_trip, self.truth.tickets.get_mut(&id)) {
            held.let_on = true;
        }
        true
    }

    /// What is wrong with an answer to a passenger who holds a good ticket.
    fn misjudged(&self, held: &Held, right_trip: bool, answer: ScanAnswer) -> Option<String> {
        // A ticket that was lost with the hub may be turned away: its seat may have been sold anew.
        if held.void || held.lost {
            return None;
        }
        let wrong = |what: &str| Some(what.to_owned());
        match answer {
            ScanAnswer::Invalid => wrong("it was called invalid"),
            ScanAnswer::WrongTrip if right_trip => wrong("it was sent to another trip"),
            ScanAnswer::Valid | ScanAnswer::GoodButUnlisted if !right_trip => {
                wrong("it was let on another trip")
            }
            ScanAnswer::AlreadyUsed if !held.let_on && !held.forgotten => {
                wrong("it was called used")
            }
            ScanAnswer::Valid | ScanAnswer::GoodButUnlisted if held.let_on && !held.forgotten => {
                wrong("its copy was let on")
            }
            // A passenger with a voided ticket of the seat may sit there already.
            ScanAnswer::SeatConflict => {
                let seated = self.truth.tickets.values().any(|other| {
                    other.let_on
                        && other.trip == held.trip
                        && other.seat == held.seat
                        && other.legs.overlaps(held.legs)
                });
                (!seated && !self.listed_against(held) && !self.listed_anew(held))
                    .then(|| "its seat was called taken".to_owned())
            }
            ScanAnswer::WrongTrip
            | ScanAnswer::AlreadyUsed
            | ScanAnswer::Valid
            | ScanAnswer::GoodButUnlisted => None,
        }
    }

    /// A void that was told but lost with an old disk leaves its ticket on the manifest.
    fn listed_against(&self, held: &Held) -> bool {
        self.truth.tickets.values().any(|other| {
            other.void_excused
                && other.trip == held.trip
                && other.seat == held.seat
                && other.legs.overlaps(held.legs)
        })
    }

    /// A restored hub lists a voided ticket until the void reaches it again.
    fn listed_anew(&self, held: &Held) -> bool {
        self.hub.disk.incarnation.is_restored()
            && self.truth.tickets.values().any(|other| {
                (other.void || other.lost)
                    && other.trip == held.trip
                    && other.seat == held.seat
                    && other.legs.overlaps(held.legs)
            })
    }
}
