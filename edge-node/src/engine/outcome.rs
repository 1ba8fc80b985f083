//! What a command led to. A replay builds the same value from the event.

use domain::event::VoidReason;
use domain::ids::{LeaseEpoch, LeaseNo, SaleOrdinal, SeatNo, Seq, ShiftNo, TicketId, TripId};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::scan::ScanAnswer;
use domain::ticket::ShortCode;
use domain::time::Instant;
use domain::trip::Legs;

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A shift is open.
    ShiftOpened(ShiftNo),
    /// Tickets are sold.
    Sold(SaleReceipt),
    /// A ticket is void; its fare goes back to the passenger.
    Voided {
        /// Which.
        ticket: TicketId,
        /// What to give back.
        fare_minor: Minor,
        /// Why.
        reason: VoidReason,
    },
    /// A code was judged.
    Scanned(ScanOutcome),
    /// A shift is closed.
    ShiftClosed(ShiftReport),
    /// A lease is given back.
    Surrendered {
        /// Of which trip.
        trip: TripId,
        /// Which.
        lease_no: LeaseNo,
    },
}

/// Tickets sold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleReceipt {
    /// The position of the sale in the log.
    pub seq: Seq,
    /// The shift that sold.
    pub shift: ShiftNo,
    /// What was paid together.
    pub total_minor: Minor,
    /// In which currency.
    pub currency: Currency,
    /// The tickets.
    pub tickets: Vec<IssuedTicket>,
}

/// A ticket with everything that is printed on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedTicket {
    /// Its id.
    pub id: TicketId,
    /// The text of its QR code.
    pub qr: String,
    /// Its short code, where it has one and the node has its key for the trip.
    pub code: Option<ShortCode>,
    /// The trip.
    pub trip: TripId,
    /// The trip for people.
    pub trip_title: String,
    /// The seat.
    pub seat: SeatNo,
    /// What is painted on it.
    pub seat_label: String,
    /// The legs.
    pub legs: Legs,
    /// Where the passenger boards: the stop's code and name.
    pub from: (String, String),
    /// Where the passenger leaves: the stop's code and name.
    pub to: (String, String),
    /// Local time of departure, where the trip is known.
    pub departs_local: Option<String>,
    /// Who travels.
    pub class: PassengerClass,
    /// The passenger's name, where it was given.
    pub name: Option<String>,
    /// What was paid.
    pub fare_minor: Minor,
    /// In which currency.
    pub currency: Currency,
    /// The grant it was sold under.
    pub lease_no: LeaseNo,
    /// That grant's fencing token.
    pub epoch: LeaseEpoch,
    /// Which sale of this (lease, seat) it is.
    pub ordinal: SaleOrdinal,
    /// When it was sold.
    pub issued_at: Instant,
    /// The shift that sold it.
    pub shift: ShiftNo,
    /// Not for travel.
    pub test: bool,
    /// Taken back.
    pub void: bool,
}

/// What a validator shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOutcome {
    /// One of the six.
    pub answer: ScanAnswer,
    /// Why, in words.
    pub reason: String,
    /// The trip that was boarding.
    pub trip: TripId,
    /// The seat to show, large.
    pub seat: Option<SeatNo>,
    /// What is painted on it.
    pub seat_label: Option<String>,
    /// The ticket, where it could be read.
    pub ticket: Option<TicketId>,
    /// The stops between which it is good, by name, where it is genuine.
    pub journey: Option<(String, String)>,
    /// When it was scanned.
    pub at: Instant,
}

/// A closed shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShiftReport {
    /// Which.
    pub shift: ShiftNo,
    /// What the drawer should hold, float included.
    pub expected_minor: Minor,
    /// What was counted.
    pub declared_minor: Minor,
}
