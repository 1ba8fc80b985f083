//! At the door of the bus: a passenger shows a ticket, and the answer is held against the truth.

use domain::ids::{LayoutVersion, TicketId};
use domain::scan::ScanAnswer;
use edge_node::engine::{Command, Outcome, ScanOutcome};

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
        // One of four who are at the right bus has no smartphone. Codes that are shown to another
        // bus are wrong there, and lock the right ones out.
        let typed = held.code.clone().filter(|_| nth % 4 == 1);
        self.count("scan_typed", typed.is_some().into());
        let command = Command::Scan {
            trip: boarding,
            text: typed.unwrap_or_else(|| held.qr.clone()),
        };
        let Some(Outcome::Scanned(scan)) = self.command(BUS, &command) else {
            return false;
        };
        self.note(&format!("{:?}", scan.answer));
        let right_trip = boarding == held.trip;
        let view = self.nodes[usize::from(BUS)].engine.view(boarding);
        let heard = view.map_or(LayoutVersion(0), |view| view.numbering);
        if right_trip && !held.void && !held.lost {
            self.check_seat_shown(id, heard, &scan);
        }
        if let Some(what) = self.misjudged((id, &held), right_trip, scan.answer, heard) {
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

    /// The seat that is shown is the one of the bus that drives, as far as the device has heard.
    fn check_seat_shown(&mut self, id: TicketId, heard: LayoutVersion, scan: &ScanOutcome) {
        let expected = self.truth.seat_at(id, heard);
        let lets_on = scan.answer.lets_on();
        if (lets_on || scan.answer == ScanAnswer::AlreadyUsed) && scan.seat != expected {
            let what = format!(
                "ticket {id} showed {:?} and sits on {expected:?}, by numbering {heard}",
                scan.seat
            );
            self.violate("the seat shown is the one of the bus that drives", what);
        }
    }

    /// What is wrong with an answer to a passenger who holds a good ticket, by a device that has
    /// heard of its trip up to this numbering.
    fn misjudged(
        &self,
        (id, held): (TicketId, &Held),
        right_trip: bool,
        answer: ScanAnswer,
        heard: LayoutVersion,
    ) -> Option<String> {
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
            ScanAnswer::SeatConflict => {
                let has_none = self.truth.seat_at(id, heard).is_none() || self.hub.is_overflow(id);
                (!has_none && !self.sits_there(id, held, heard))
                    .then(|| "its seat was called taken".to_owned())
            }
            ScanAnswer::WrongTrip
            | ScanAnswer::AlreadyUsed
            | ScanAnswer::Valid
            | ScanAnswer::GoodButUnlisted => None,
        }
    }

    /// Whether somebody else has the seat of a good ticket, or is listed on it, rightly or not: a
    /// passenger with a voided ticket may have been let on first, a void that was told but lost
    /// with an old disk leaves its ticket on the manifest, and a restored hub lists a voided
    /// ticket until the void reaches it again.
    fn sits_there(&self, id: TicketId, held: &Held, heard: LayoutVersion) -> bool {
        let seat = self.truth.seat_at(id, heard);
        let anew = self.hub.disk.incarnation.is_restored();
        self.truth.tickets.iter().any(|(other_id, other)| {
            let listed = other.void_excused || anew && (other.void || other.lost);
            (other.let_on || listed)
                && other.trip == held.trip
                && other.legs.overlaps(held.legs)
                && self.truth.seat_at(*other_id, heard) == seat
        })
    }
}
