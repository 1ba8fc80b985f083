//! Which seats a booking gets, and what it pays: decided over loaded state, nothing else.

use domain::fare::FareIndex;
use domain::ids::{SeatNo, StopCode, TripId};
use domain::layout::SeatLayout;
use domain::lease::TripInventory;
use domain::money::Minor;
use domain::passenger::PassengerClass;
use domain::time::Instant;
use domain::trip::{Legs, Trip};

/// Who booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The customer's name.
    pub name: String,
    /// The customer's phone number, as typed.
    pub phone: String,
}

/// A wish for seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBooking {
    /// Which trip.
    pub trip: TripId,
    /// Where everybody boards.
    pub from: StopCode,
    /// Where everybody leaves.
    pub to: StopCode,
    /// Who travels: one seat each.
    pub passengers: Vec<PassengerClass>,
    /// Who booked.
    pub contact: Contact,
}

/// Why there is no booking: an answer of a healthy system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows the trip.
    #[error("there is no trip {0}")]
    UnknownTrip(TripId),
    /// The bus does not go there in this order.
    #[error("the trip does not run from {from} to {to}")]
    NoSuchJourney {
        /// Where from.
        from: StopCode,
        /// Where to.
        to: StopCode,
    },
    /// Too late, or nobody boards there.
    #[error("boarding at {stop} has closed: choose a later trip")]
    BoardingClosed {
        /// The stop.
        stop: StopCode,
    },
    /// The company sells no such ticket.
    #[error("there is no {class} fare from {from} to {to}")]
    NoFare {
        /// Where from.
        from: StopCode,
        /// Where to.
        to: StopCode,
        /// For whom.
        class: PassengerClass,
    },
    /// Fewer seats are free than asked for.
    #[error(
        "trip {trip} is sold out from {from} to {to}: {wanted} asked for, {seats_left} left to \
         sell online"
    )]
    SoldOut {
        /// Which trip.
        trip: TripId,
        /// Where from.
        from: StopCode,
        /// Where to.
        to: StopCode,
        /// How many were asked for.
        wanted: usize,
        /// How many are free on all these legs.
        seats_left: usize,
    },
}

/// One seat of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatSale {
    /// The seat.
    pub seat: SeatNo,
    /// Its legs.
    pub legs: Legs,
    /// Who sits there.
    pub class: PassengerClass,
    /// What it costs.
    pub fare_minor: Minor,
}

/// The first call at `from`, and the first at `to` after it.
fn journey(trip: &Trip, from: &StopCode, to: &StopCode) -> Option<Legs> {
    let start = trip.seq_of(from)?;
    let rest = trip.stops.iter().enumerate().skip(usize::from(start.0) + 1);
    let (end, _) = rest.into_iter().find(|(_, stop)| stop.code == *to)?;
    trip.legs(start, domain::ids::StopSeq(u8::try_from(end).ok()?))
}

/// Picks seats and prices them, or says why not.
pub(super) fn decide(
    trip: &Trip,
    inventory: &TripInventory,
    fares: &FareIndex,
    layout: Option<&SeatLayout>,
    wish: &NewBooking,
    now: Instant,
) -> Result<Vec<SeatSale>, Refusal> {
    let (from, to) = (&wish.from, &wish.to);
    let legs = journey(trip, from, to).ok_or_else(|| Refusal::NoSuchJourney {
        from: from.clone(),
        to: to.clone(),
    })?;
    let closes = inventory.boarding_closes.get(usize::from(legs.from().0));
    if closes.is_none_or(|closes| now > *closes) {
        return Err(Refusal::BoardingClosed { stop: from.clone() });
    }
    let mut priced = Vec::with_capacity(wish.passengers.len());
    for class in &wish.passengers {
        let fare = fares
            .fare(from, to, *class)
            .ok_or_else(|| Refusal::NoFare {
                from: from.clone(),
                to: to.clone(),
                class: *class,
            })?;
        priced.push((*class, fare));
    }
    let seats = inventory.pool.best_fit_party(legs, priced.len(), layout);
    let seats = seats.ok_or_else(|| Refusal::SoldOut {
        trip: trip.id,
        from: from.clone(),
        to: to.clone(),
        wanted: priced.len(),
        seats_left: inventory.pool.free_seats(legs).count(),
    })?;
    let sales = seats.into_iter().zip(priced);
    Ok(sales
        .map(|(seat, (class, fare_minor))| SeatSale {
            seat,
            legs,
            class,
            fare_minor,
        })
        .collect())
}
