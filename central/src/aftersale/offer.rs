//! What is offered for tickets, and why it is refused.

use domain::ids::TripId;
use domain::money::{Currency, Minor};
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::rules::{NotCorrected, NotOffered, Reason};
use crate::db::DbError;
use crate::payment::refunds::RefundError;
use crate::vault::VaultError;

/// How long an offer holds.
pub const OFFER_MS: i64 = 10 * 60 * 1000;
/// How long passengers of a cancelled trip may choose.
pub const REBOOK_MS: i64 = 72 * 60 * 60 * 1000;

/// What an offer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tickets back, money back.
    Cancel,
    /// Tickets for another journey.
    Exchange,
    /// The company cancelled: another trip, or all money back.
    Rebook,
}

impl Kind {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Exchange => "exchange",
            Self::Rebook => "rebook",
        }
    }

    /// The kind with this word.
    pub fn of(word: &str) -> Option<Self> {
        let all = [Self::Cancel, Self::Exchange, Self::Rebook];
        all.into_iter().find(|k| k.as_str() == word)
    }
}

/// What becomes of one ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The ticket.
    pub ticket: Uuid,
    /// Its place in the booking.
    pub coupon: Option<i16>,
    /// Its trip.
    pub trip: u64,
    /// Its seat.
    pub seat: u16,
    /// What was paid for it, minor units.
    pub price_minor: i64,
    /// What goes back, minor units; of an exchange nothing.
    pub refund_minor: i64,
    /// What is kept, minor units.
    pub fee_minor: i64,
}

/// Where exchanged tickets lead, and what each costs there.
#[expect(clippy::struct_field_names, reason = "the words of every journey")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct To {
    /// The trip.
    pub trip: u64,
    /// Code of the stop to board at.
    pub from: String,
    /// Code of the stop to leave at.
    pub to: String,
    /// The full fare of each, in the order of the lines, minor units.
    pub fares_minor: Vec<i64>,
    /// Off each, minor units.
    pub discounts_minor: Vec<i64>,
}

impl To {
    /// What they cost together, minor units.
    pub fn total_minor(&self) -> i64 {
        let sum = |all: &[i64]| all.iter().fold(0i64, |a, b| a.saturating_add(*b));
        sum(&self.fares_minor).saturating_sub(sum(&self.discounts_minor))
    }
}

/// What will be done, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The tickets taken back.
    pub lines: Vec<Line>,
    /// What they are exchanged for.
    pub to: Option<To>,
}

/// An offer as it is stored.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its number.
    pub id: Uuid,
    /// What it does.
    pub kind: Kind,
    /// The booking; none for a node's ticket.
    pub booking: Option<Uuid>,
    /// Of a rebooking: the trip that does not run.
    pub cancelled_trip: Option<TripId>,
    /// Why.
    pub reason: Reason,
    /// Who asked for it, as in the audit log.
    pub actor_kind: String,
    /// Their number.
    pub actor: Option<Uuid>,
    /// `open`, `confirmed` or `lapsed`.
    pub state: String,
    /// What goes back.
    pub refund_minor: Minor,
    /// What is kept.
    pub fee_minor: Minor,
    /// What is to pay.
    pub due_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// What will be done.
    pub plan: Plan,
    /// Until when it holds.
    pub valid_until: Instant,
    /// When it was made.
    pub created_at: Instant,
}

impl Offer {
    /// As it is stored.
    pub fn plan_json(&self) -> Value {
        serde_json::to_value(&self.plan).unwrap_or_default()
    }
}

/// Why nothing was offered or done: an answer of a healthy system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody knows it, or it is another's.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// Nothing is left to take back.
    #[error("none of these tickets is live: they were not paid for, or taken back before")]
    NoTickets,
    /// The booking has no such live coupon.
    #[error("the booking has no live coupon {0}")]
    NoCoupon(i16),
    /// The rules say no.
    #[error(transparent)]
    Rules(#[from] NotOffered),
    /// The name stays as it is.
    #[error(transparent)]
    Name(#[from] NotCorrected),
    /// The seller may still undo it by itself, offline.
    #[error(
        "ticket {0} was sold by a counter whose shift is still open: have it voided there, or \
         wait until the shift's close has arrived"
    )]
    ShiftOpen(Uuid),
    /// Not by this way.
    #[error("a ticket that a counter sold is exchanged at that counter; here it is refunded")]
    NodeExchange,
    /// Tickets in two currencies.
    #[error("these tickets were paid in different currencies: ask for them one by one")]
    TwoCurrencies,
    /// The time is over.
    #[error("this offer ran out or was used: ask for a new one")]
    OfferOver,
    /// It is not as it was.
    #[error("{0} since the offer was made: ask for a new one")]
    Changed(&'static str),
    /// Money has to come first.
    #[error(
        "{due_minor} minor units of {currency} are to pay: pay them for the offer, or exchange at \
         a counter, in cash"
    )]
    ToPay {
        /// How much.
        due_minor: i64,
        /// ISO 4217.
        currency: Currency,
    },
    /// Money is not needed.
    #[error("nothing is to pay for this offer: confirm it")]
    NothingDue,
    /// The bus does not go there in this order.
    #[error("trip {0} does not run between these stops in this order")]
    NoSuchJourney(TripId),
    /// Too late, or it does not run.
    #[error("trip {0} takes no passengers there any more: choose another one")]
    Closed(TripId),
    /// The hub was restored and does not know yet who holds which seats of it.
    #[error(
        "trip {0} sells nothing for now: the hub was restored from a backup and waits until every \
         device has told what it holds; choose another trip, or try again later"
    )]
    Frozen(TripId),
    /// Fewer seats than tickets.
    #[error("trip {trip} has {seats_left} seats left for {wanted} tickets")]
    SoldOut {
        /// The trip.
        trip: TripId,
        /// How many are needed.
        wanted: usize,
        /// How many are free.
        seats_left: usize,
    },
    /// The price list has a limit.
    #[error("at most {0} of these go with one seat")]
    TooMany(i32),
    /// No price.
    #[error("{0}")]
    NoFare(String),
    /// More would go back than came.
    #[error("this booking's money has gone back already, or never came")]
    MoreThanPaid,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum AftersaleError {
    /// An answer of a healthy system.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// Personal data could not be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for AftersaleError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

impl From<NotOffered> for AftersaleError {
    fn from(why: NotOffered) -> Self {
        Self::Refused(Refused::Rules(why))
    }
}

impl From<RefundError> for AftersaleError {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::MoreThanPaid(_) => Self::Refused(Refused::MoreThanPaid),
            RefundError::UnknownBooking(_) => Self::Refused(Refused::Unknown("booking")),
            RefundError::NoEntropy(error) => Self::NoEntropy(error),
            RefundError::Db(error) => Self::Db(error),
        }
    }
}
