//! The counter: what a node that sells may do with the rights it holds, without asking anyone.
//!
//! `decide_*` say what a command leads to or why not; [`CounterState::apply`] takes what was
//! committed. The state is rebuilt from the log at every start, so it holds nothing else.

mod decide;
mod state;

pub use decide::{
    SaleDraft, SellCommand, decide_accept, decide_close_shift, decide_open_shift, decide_sale,
    decide_surrender, decide_void,
};
pub use state::{CounterState, HeldLease, OpenShift, SoldTicket};

use std::collections::BTreeMap;

use crate::fare::FareIndex;
use crate::ids::{LayoutVersion, LeaseNo, SeatNo, ShiftNo, StopCode, StopSeq, TripId};
use crate::layout::SeatLayout;
use crate::money::{Currency, Minor};
use crate::passenger::PassengerClass;
use crate::time::Instant;
use crate::trip::Trip;

/// What the company told the node: trips, seats and fares.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Trips by number.
    pub trips: BTreeMap<TripId, Trip>,
    /// Layouts by id; the newest version of each.
    pub layouts: BTreeMap<String, SeatLayout>,
    /// Fares by table id.
    pub fares: BTreeMap<String, FareIndex>,
}

impl Catalogue {
    /// The layout of a trip.
    pub fn layout(&self, trip: &Trip) -> Option<&SeatLayout> {
        self.layouts.get(&trip.layout)
    }

    /// What is painted on a seat of a trip, or its number.
    pub fn seat_label(&self, trip: &Trip, seat: SeatNo) -> String {
        self.layout(trip)
            .map_or_else(|| seat.to_string(), |l| l.label(seat))
    }

    /// What is painted on the seat that one of an older numbering is today; where the bus of today
    /// has no place for it, what it was called on the older bus.
    pub fn seat_label_under(&self, trip: &Trip, seat: SeatNo, under: LayoutVersion) -> String {
        if under > trip.numbering() {
            // Not heard of yet: its label is not known, but its number is.
            return format!("#{seat}");
        }
        if let Some(seat) = trip.seat_now(seat, under) {
            return self.seat_label(trip, seat);
        }
        trip.swaps
            .layout_under(under)
            .and_then(|(id, _)| self.layouts.get(id))
            .map_or_else(|| seat.to_string(), |l| l.label(seat))
    }

    /// What one passenger pays.
    pub fn fare(
        &self,
        trip: &Trip,
        from: StopSeq,
        to: StopSeq,
        class: PassengerClass,
    ) -> Option<Minor> {
        let (a, b) = (trip.stop(from)?, trip.stop(to)?);
        self.fares
            .get(&trip.fare_table)?
            .fare(&a.code, &b.code, class)
    }
}

/// Who travels and, where they chose one, on which seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassengerWish {
    /// Who.
    pub class: PassengerClass,
    /// The label of a seat.
    pub seat: Option<String>,
}

/// One journey of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyWish {
    /// Which trip.
    pub trip: TripId,
    /// Where the passengers board.
    pub from: StopCode,
    /// Where they leave.
    pub to: StopCode,
    /// Who travels.
    pub passengers: Vec<PassengerWish>,
}

/// Why a command leads to nothing. Each names what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No shift is open.
    #[error("no shift is open: open one first")]
    NoShift,
    /// A shift is open already.
    #[error("shift {0} of {1} is still open: close it first")]
    ShiftOpen(ShiftNo, String),
    /// The agent's name cannot be used.
    #[error("give the agent's name, at most 64 characters")]
    BadAgent,
    /// An amount below zero or out of bounds.
    #[error("the amount {0} cannot be: give minor units from 0 up")]
    BadAmount(i64),
    /// The trip is not in the node's timetable.
    #[error("trip {0} is not in this device's timetable: sync, or check the number")]
    UnknownTrip(TripId),
    /// The trip does not call there, or not in this order.
    #[error("trip {trip} does not run from {from} to {to}")]
    BadStops {
        /// The trip.
        trip: TripId,
        /// From where.
        from: StopCode,
        /// To where.
        to: StopCode,
    },
    /// No passengers, or more than one sale takes.
    #[error("a sale takes 1 to {most} passengers", most = crate::event::COUPONS_MAX)]
    BadPassengerCount,
    /// Every right to sell at this stop has run out or was never there.
    #[error("this device may not sell trip {trip} from {from}: ask the hub for a lease")]
    NoLease {
        /// The trip.
        trip: TripId,
        /// From where.
        from: StopCode,
    },
    /// Boarding has closed.
    #[error("boarding of trip {0} has closed at this stop")]
    BoardingClosed(TripId),
    /// The lease is dry on these legs.
    #[error(
        "the lease is dry from {from} to {to} on trip {trip}: {wanted} wanted, {left} left; ask the hub for a top-up"
    )]
    LeaseDry {
        /// The trip.
        trip: TripId,
        /// From where.
        from: StopCode,
        /// To where.
        to: StopCode,
        /// How many were asked for.
        wanted: usize,
        /// How many this device could still sell.
        left: usize,
    },
    /// No such seat on this bus.
    #[error("there is no seat {0:?} on this bus")]
    UnknownSeat(String),
    /// The seat is taken or another seller's.
    #[error("seat {0} is taken, or not leased to this device, between these stops")]
    SeatNotHeld(String),
    /// The company set no fare.
    #[error("no {class} fare is set from {from} to {to}: call the office")]
    NoFare {
        /// From where.
        from: StopCode,
        /// To where.
        to: StopCode,
        /// For whom.
        class: PassengerClass,
    },
    /// The journeys are paid in different currencies.
    #[error("the journeys are paid in {0} and {1}: sell them one by one")]
    MixedCurrencies(Currency, Currency),
    /// The tender does not add up to the fares.
    #[error("the fares come to {}, the tender to {}", fares.display(*currency), tendered.display(*currency))]
    TenderMismatch {
        /// What is due.
        fares: Minor,
        /// What was offered.
        tendered: Minor,
        /// In which currency.
        currency: Currency,
    },
    /// No such ticket of this device.
    #[error("this device never sold that ticket")]
    UnknownTicket,
    /// Taken back before.
    #[error("that ticket is void already")]
    AlreadyVoid,
    /// Sold in another shift.
    #[error("that ticket was sold in shift {0}: only that shift may void it; call the office")]
    OtherShift(ShiftNo),
    /// The node does not hold it.
    #[error("this device holds no lease {lease_no} on trip {trip}")]
    UnknownLease {
        /// The trip.
        trip: TripId,
        /// The grant.
        lease_no: LeaseNo,
    },
}

/// When the node must stop selling, as far as its clock can tell.
pub(crate) fn boarding_open(sell_until: Instant, now: Instant) -> bool {
    now <= sell_until
}

#[cfg(test)]
mod tests;
