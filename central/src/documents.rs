//! Tickets on paper and screen: PDF, PNG, the QR code's text, and calendar entries.

mod calendar;
mod db;
pub mod http;
pub mod pdf;
mod qr;
mod sheet;

#[cfg(test)]
mod tests;

use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::{ShortCode, SignedTicket};
use domain::time::{Instant, Zone};
use uuid::Uuid;

pub use db::load;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The PDF writer failed.
    #[error(transparent)]
    Pdf(#[from] pdf::PdfError),
    /// The picture could not be made.
    #[error("the picture could not be made: {0}")]
    Picture(String),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
}

/// Everything that is printed for one booking.
#[derive(Debug, Clone)]
pub struct Papers {
    /// Its number.
    pub booking: Uuid,
    /// What the customer is told.
    pub reference: String,
    /// Who runs the buses.
    pub company: String,
    /// What the company promises, as it wants it printed.
    pub conditions: String,
    /// When it was booked.
    pub created_at: Instant,
    /// The live tickets, by departure.
    pub tickets: Vec<Printed>,
}

/// A stop as it is printed.
#[derive(Debug, Clone)]
pub struct At {
    /// Its name for people.
    pub stop: String,
    /// When the bus leaves or comes.
    pub time: Instant,
    /// Whose local time is printed.
    pub zone: Zone,
}

impl At {
    /// `2026-11-22 14:05`, without control characters or surprises.
    pub fn local(&self) -> String {
        self.time.local_minute(&self.zone)
    }
}

/// One ticket as it is printed.
#[derive(Debug, Clone)]
pub struct Printed {
    /// As it goes into the QR code.
    pub ticket: SignedTicket,
    /// What its passenger shows instead.
    pub code: Option<ShortCode>,
    /// The route's short name.
    pub route: String,
    /// Where the bus says it goes.
    pub headsign: String,
    /// What is painted on the seat.
    pub seat_label: String,
    /// Where and when to board.
    pub from: At,
    /// Where and when to leave.
    pub to: At,
    /// Who travels, where it is known.
    pub passenger: Option<String>,
    /// Their class.
    pub class: PassengerClass,
    /// What was paid.
    pub fare_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
}

impl Printed {
    /// One line that tells people which ticket it is.
    pub fn line(&self, reference: &str) -> String {
        format!(
            "{reference}  {}  {} - {}",
            self.seat_label, self.from.stop, self.to.stop
        )
    }
}
