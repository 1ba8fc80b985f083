//! Why a command led to nothing: refused, in conflict, or not kept by the disk.

use domain::counter::Refusal;
use domain::ids::{CommandId, TripId};

use crate::sidecar::Doubt;
use crate::store::StoreError;

/// Why a command led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A rule says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log was restored or lost events.
    #[error(
        "this device may not sell or scan until it has reached the hub once: {0}. Connect it; selling goes on by itself then"
    )]
    Blocked(Doubt),
    /// The command id belongs to another command.
    #[error("command {0} was used for something else before: give each command an id of its own")]
    CommandReused(CommandId),
    /// The node has no manifest of the trip.
    #[error(
        "this device does not validate trip {0}: check the trip, or connect once so that its manifest arrives"
    )]
    NotValidated(TripId),
    /// Something given is too long or malformed.
    #[error("{0}")]
    BadInput(String),
    /// No randomness for a salt.
    #[error("the system gives no random bytes ({0}): restart the device")]
    Random(String),
    /// The disk did not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineError {
    /// A stable name for APIs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal_code(refusal),
            Self::Blocked(_) => "blocked_until_contact",
            Self::CommandReused(_) => "command_reused",
            Self::NotValidated(_) => "trip_not_validated_here",
            Self::BadInput(_) => "bad_input",
            Self::Random(_) => "no_randomness",
            Self::Store(error) => error.code(),
        }
    }
}

fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoShift => "no_shift",
        Refusal::ShiftOpen(..) => "shift_open",
        Refusal::BadAgent => "bad_agent",
        Refusal::BadAmount(_) => "bad_amount",
        Refusal::UnknownTrip(_) => "unknown_trip",
        Refusal::BadStops { .. } => "bad_stops",
        Refusal::BadPassengerCount => "bad_passenger_count",
        Refusal::NoLease { .. } => "no_lease",
        Refusal::BoardingClosed(_) => "boarding_closed",
        Refusal::LeaseDry { .. } => "lease_dry",
        Refusal::UnknownSeat(_) => "unknown_seat",
        Refusal::SeatNotHeld(_) => "seat_not_held",
        Refusal::NoFare { .. } => "no_fare",
        Refusal::MixedCurrencies(..) => "mixed_currencies",
        Refusal::TenderMismatch { .. } => "tender_mismatch",
        Refusal::UnknownTicket => "unknown_ticket",
        Refusal::AlreadyVoid => "already_void",
        Refusal::OtherShift(_) => "other_shift",
        Refusal::UnknownLease { .. } => "unknown_lease",
    }
}
