//! Refusals as problem documents.

use axum::http::StatusCode;

use crate::aftersale::offer::{AftersaleError, Refused};
use crate::aftersale::rules::{NotCorrected, NotOffered};
use crate::http::Problem;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        let conflict = |kind, title| Self::conflict(kind, title, detail.clone());
        let wrong = |kind, title| {
            Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                kind,
                title,
                detail.clone(),
            )
        };
        match refused {
            Refused::Unknown(_) => Self::not_found(detail),
            Refused::NoTickets => conflict("no-tickets", "No tickets"),
            Refused::NoCoupon(_) => wrong("no-such-coupon", "No such coupon"),
            Refused::Rules(NotOffered::StaffOnly(_) | NotOffered::AtTheCounter)
            | Refused::Name(NotCorrected::StaffOnly | NotCorrected::AtTheCounter) => Self::new(
                StatusCode::FORBIDDEN,
                "staff-only",
                "At the counter",
                detail,
            ),
            Refused::Name(_) => conflict("not-corrected", "Not corrected"),
            Refused::Rules(_) => conflict("not-offered", "Not offered"),
            Refused::ShiftOpen(_) => conflict("shift-open", "Shift still open"),
            Refused::NodeExchange | Refused::TwoCurrencies => {
                wrong("not-exchangeable", "Not exchangeable")
            }
            Refused::OfferOver => conflict("offer-over", "Offer over"),
            Refused::Changed(_) => conflict("changed", "Changed meanwhile"),
            Refused::ToPay {
                due_minor,
                currency,
            } => conflict("to-pay", "To pay first")
                .with("due_minor", due_minor)
                .with("currency", currency.as_str()),
            Refused::NothingDue => conflict("nothing-due", "Nothing to pay"),
            Refused::NoSuchJourney(_) => wrong("no-such-journey", "No such journey"),
            Refused::Closed(_) => conflict("boarding-closed", "Boarding has closed"),
            Refused::Frozen(_) => conflict("trip-frozen", "Not sold for now"),
            Refused::SoldOut {
                trip,
                wanted,
                seats_left,
            } => conflict("sold-out", "Sold out")
                .with("trip", trip.0)
                .with("wanted", wanted)
                .with("seats_left", seats_left),
            Refused::TooMany(_) => conflict("too-many", "Too many"),
            Refused::NoFare(_) => wrong("no-fare", "Not on sale"),
            Refused::MoreThanPaid => conflict("more-than-paid", "More than was paid"),
        }
    }
}

impl From<AftersaleError> for Problem {
    fn from(error: AftersaleError) -> Self {
        match error {
            AftersaleError::Refused(refused) => refused.into(),
            AftersaleError::Db(error) => error.into(),
            AftersaleError::NoEntropy(error) => {
                tracing::error!(%error, "an offer failed");
                Self::unavailable()
            }
            AftersaleError::Vault(error) => {
                tracing::error!(%error, "a passenger's name cannot be sealed or opened");
                Self::unavailable()
            }
        }
    }
}
