//! The six answers and their reasons, in words for a driver.

use core::fmt;
use core::str::FromStr;

use super::{Shown, TicketUse};
use crate::ids::{IdError, Issuer, Kid, LeaseNo, NodeId, SaleOrdinal, SeatNo, TicketId, TripId};
use crate::ticket::{ShortClaim, ShortCodeError, TicketError};
use crate::time::Instant;
use crate::trip::Legs;

/// What the validator shows. The numbers are in logs: they never change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum ScanAnswer {
    /// On the manifest: let on.
    #[n(0)]
    Valid,
    /// Somebody travelled on it before.
    #[n(1)]
    AlreadyUsed,
    /// Good, for another bus.
    #[n(2)]
    WrongTrip,
    /// Good, but its sale is not known here yet: let on, record, report.
    #[n(3)]
    GoodButUnlisted,
    /// Good, but somebody else has the seat, or a later sale replaced it.
    #[n(4)]
    SeatConflict,
    /// Not a ticket to travel on.
    #[n(5)]
    Invalid,
}

impl ScanAnswer {
    /// Every answer.
    pub const ALL: [Self; 6] = [
        Self::Valid,
        Self::AlreadyUsed,
        Self::WrongTrip,
        Self::GoodButUnlisted,
        Self::SeatConflict,
        Self::Invalid,
    ];

    /// Whether the passenger boards.
    pub const fn lets_on(self) -> bool {
        matches!(self, Self::Valid | Self::GoodButUnlisted)
    }

    /// The name in files, APIs and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::AlreadyUsed => "already_used",
            Self::WrongTrip => "wrong_trip",
            Self::GoodButUnlisted => "good_but_unlisted",
            Self::SeatConflict => "seat_conflict",
            Self::Invalid => "invalid",
        }
    }
}

/// The words on the screen, such as `good but unlisted`.
impl fmt::Display for ScanAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Valid => "valid",
            Self::AlreadyUsed => "already used",
            Self::WrongTrip => "wrong trip",
            Self::GoodButUnlisted => "good but unlisted",
            Self::SeatConflict => "seat conflict",
            Self::Invalid => "invalid",
        })
    }
}

impl FromStr for ScanAnswer {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::ALL
            .into_iter()
            .find(|answer| answer.as_str() == text)
            .ok_or_else(|| IdError::new("scan answer", text))
    }
}

/// An answer, why, and what to show with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanDecision {
    /// One of the six.
    pub answer: ScanAnswer,
    /// Why.
    pub reason: ScanReason,
    /// What the code claims, where it could be read; genuine only if `issuer` is set.
    pub ticket: Option<Shown>,
    /// Who signed it, once that is proven.
    pub issuer: Option<Issuer>,
    /// The seat to show, large: today's number where the manifest knows it.
    pub seat: Option<SeatNo>,
}

impl ScanDecision {
    /// Whether a code was typed that no ticket has: so many are too many.
    pub const fn is_wrong_code(&self) -> bool {
        matches!(self.reason, ScanReason::WrongCode { .. })
    }

    /// The short code of a ticket whose passenger is let on though no manifest has it.
    pub fn unlisted_code(&self) -> Option<ShortClaim> {
        let unlisted = self.answer == ScanAnswer::GoodButUnlisted;
        self.ticket.filter(|_| unlisted)?.code(self.issuer?)
    }
}

/// Why a validator answered as it did; prints as a sentence for the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanReason {
    /// Valid: the manifest has it.
    Listed,
    /// Unlisted: signature and grant are good, the sale has not reached this device.
    SaleNotSeen,
    /// Unlisted: the grant it was sold under has not reached this device either.
    GrantNotSeen {
        /// The grant it names.
        lease_no: LeaseNo,
    },
    /// Unlisted: a MAC, in a QR code or typed, proves less than a signature: always flagged.
    MacNotListed,
    /// Unlisted: the manifest has this number with another journey or issuer.
    ManifestDiffers,
    /// Invalid: the code is no ticket.
    Unreadable(TicketError),
    /// Invalid: the key says that it was not made by its issuer.
    NotGenuine(TicketError),
    /// Invalid here: the key has not reached this device. Company rule decides.
    UnknownKey {
        /// The key it names.
        kid: Kid,
        /// How old this device's keys are; `None` if it never got any.
        bundle_age_ms: Option<i64>,
    },
    /// Invalid: what was typed is no code.
    UnreadableCode(ShortCodeError),
    /// Invalid: no seller whose key this device has made the code for this bus.
    WrongCode {
        /// How old this device's keys are; `None` if it never got any.
        bundle_age_ms: Option<i64>,
    },
    /// Invalid: after so many wrong codes none is looked at for a while.
    TooManyWrongCodes {
        /// When one can be typed again.
        until: Instant,
    },
    /// Invalid: made to rehearse with.
    TestTicket,
    /// Invalid: taken back.
    Revoked,
    /// Invalid: a station sells only under a grant.
    NoGrantNamed,
    /// Invalid: its issuer was never granted this journey on this seat.
    OutsideGrant {
        /// The issuer.
        issuer: NodeId,
        /// The grant it names.
        lease_no: LeaseNo,
        /// The seat it claims.
        seat: SeatNo,
        /// The legs it claims.
        legs: Legs,
    },
    /// Wrong trip.
    OtherTrip {
        /// The trip it is for.
        trip: TripId,
    },
    /// Already used.
    Used(TicketUse),
    /// Conflict: another passenger was let on to the seat.
    Occupied {
        /// The other ticket.
        ticket: TicketId,
        /// When and by which device.
        used: TicketUse,
    },
    /// Conflict: the manifest gives the seat to another ticket.
    ListedForAnother {
        /// The other ticket.
        ticket: TicketId,
    },
    /// Conflict: the bus was swapped, and the other one has no place for the seat.
    NoPlace {
        /// The seat as it was sold.
        sold: SeatNo,
    },
    /// Conflict: the seat was sold again after this ticket was taken back.
    Superseded {
        /// The later ticket.
        ticket: TicketId,
        /// Its sale ordinal.
        ordinal: SaleOrdinal,
    },
}

impl fmt::Display for ScanReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed => f.write_str("on the manifest"),
            Self::SaleNotSeen => f.write_str("genuine; its sale has not reached this device yet"),
            Self::GrantNotSeen { lease_no } => write!(
                f,
                "genuine; neither its sale nor grant {lease_no} has reached this device yet"
            ),
            Self::MacNotListed => {
                f.write_str("its code is right, but it is not on the manifest: report it")
            }
            Self::ManifestDiffers => {
                f.write_str("genuine, but the manifest has another journey under its number")
            }
            Self::Unreadable(error) | Self::NotGenuine(error) => error.fmt(f),
            Self::UnreadableCode(error) => error.fmt(f),
            Self::WrongCode { bundle_age_ms } => match bundle_age_ms {
                Some(ms) => write!(
                    f,
                    "no ticket of this bus has this code; compare each group of four, or its \
                     seller's key has not come (keys are {} hours old)",
                    ms / 3_600_000
                ),
                None => f.write_str("cannot check a code: this device has no keys yet"),
            },
            Self::TooManyWrongCodes { until } => write!(
                f,
                "too many wrong codes were typed: codes are looked at again from {until}; QR \
                 codes can be scanned meanwhile"
            ),
            Self::UnknownKey { kid, bundle_age_ms } => match bundle_age_ms {
                Some(ms) => write!(
                    f,
                    "cannot verify, bundle is {} hours old (key {kid} is not in it)",
                    ms / 3_600_000
                ),
                None => write!(f, "cannot verify, this device has no keys yet (key {kid})"),
            },
            Self::TestTicket => f.write_str("a test ticket, not for travel"),
            Self::Revoked => f.write_str("this ticket was cancelled"),
            Self::NoGrantNamed => f.write_str("its seller names no right to sell the seat"),
            Self::OutsideGrant {
                lease_no,
                seat,
                legs,
                ..
            } => write!(
                f,
                "its seller was never granted seat {seat} on legs {legs} (grant {lease_no})"
            ),
            Self::OtherTrip { trip } => write!(f, "this ticket is for trip {trip}"),
            Self::Used(used) => write!(f, "already used at {} (device {})", used.at, used.by),
            Self::Occupied { ticket, used } => write!(
                f,
                "ticket {ticket} boarded on this seat at {} (device {})",
                used.at, used.by
            ),
            Self::ListedForAnother { ticket } => {
                write!(f, "the manifest gives this seat to ticket {ticket}")
            }
            Self::NoPlace { sold } => write!(
                f,
                "genuine, but the bus was swapped and this one has no place for its seat {sold}: \
                 send the passenger to the office"
            ),
            Self::Superseded { ticket, ordinal } => write!(
                f,
                "the seat was sold again: ticket {ticket} (sale {ordinal}) replaces this one"
            ),
        }
    }
}
