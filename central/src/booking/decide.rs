//! Which seats a booking gets, and what it pays: decided over loaded state, nothing else.

mod journeys;

pub use journeys::{CONNECTION_MIN_MS, check_together};

use domain::ids::{SeatNo, StopCode, TripId};
use domain::layout::{SeatAttributes, SeatLayout};
use domain::money::Minor;
use domain::passenger::PassengerClass;
use domain::seatmap::SeatMap;
use domain::time::Instant;
use domain::trip::{Legs, Trip};

use crate::pricing::{PriceRefusal, VoucherRefusal};

/// What a trip says in place of its state while its pool is frozen.
pub const FROZEN: &str = "frozen";

/// One who travels, and what they wish of their seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// What they pay as.
    pub class: PassengerClass,
    /// This seat and no other.
    pub seat: Option<SeatNo>,
    /// A seat with all of these.
    pub attributes: SeatAttributes,
}

impl Wish {
    /// Any seat.
    pub fn any(class: PassengerClass) -> Self {
        Self {
            class,
            seat: None,
            attributes: SeatAttributes::default(),
        }
    }
}

/// A party that travels on one trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    /// Which trip.
    pub trip: TripId,
    /// Where everybody boards.
    pub from: StopCode,
    /// Where everybody leaves.
    pub to: StopCode,
    /// Who travels: one seat each.
    pub passengers: Vec<Wish>,
}

/// Why there is no booking: an answer of a healthy system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows the trip, or it is another company's than the first.
    #[error("there is no trip {0}")]
    UnknownTrip(TripId),
    /// The trips of one booking are run by two companies.
    #[error("trip {0} is run by another company than the first: book it by itself")]
    OtherCompany(TripId),
    /// It was cancelled, or has left.
    #[error("trip {trip} is {state}: choose another trip")]
    NotRunning {
        /// Which trip.
        trip: TripId,
        /// In which state it is.
        state: String,
    },
    /// The hub was restored and does not know yet who holds which seats of it.
    #[error(
        "trip {0} sells nothing from here for now: the booking system was restored from a backup \
         and waits until every station and bus has told which seats it holds; stations sell from \
         their own. Try again later, or choose another trip"
    )]
    Frozen(TripId),
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
    /// The second trip leaves before the first one's passengers can be there.
    #[error(
        "the second trip leaves {stop} {minutes} minutes after the first comes in: at least \
         {wanted} are needed"
    )]
    TooShort {
        /// Where to change.
        stop: StopCode,
        /// How long there would be; negative when it leaves before.
        minutes: i64,
        /// How long there has to be.
        wanted: i64,
    },
    /// The second trip neither goes on from where the first ends nor comes back.
    #[error("the second trip starts at {from}, but the first ends at {to}: book them apart")]
    NotTogether {
        /// Where the second starts.
        from: StopCode,
        /// Where the first ends.
        to: StopCode,
    },
    /// It has no price, or the voucher takes nothing off.
    #[error(transparent)]
    NoPrice(#[from] PriceRefusal),
    /// The bus has no such seat.
    #[error("trip {trip} has no seat {seat}")]
    NoSuchSeat {
        /// Which trip.
        trip: TripId,
        /// Which seat.
        seat: SeatNo,
    },
    /// The chosen seat is somebody else's.
    #[error("seat {seat} of trip {trip} is taken: choose another one")]
    SeatTaken {
        /// Which trip.
        trip: TripId,
        /// Which seat.
        seat: SeatNo,
    },
    /// Seats are free, but none as wished.
    #[error("no seat with what was wished for is free on trip {trip}: wish for less")]
    NoSuchAttributes {
        /// Which trip.
        trip: TripId,
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
    /// Nobody knows the hold, or its token is another one.
    #[error("there is no such hold")]
    UnknownHold,
    /// Its time is over, or it was made a booking before.
    #[error("this hold is over: hold the seats again")]
    HoldOver,
    /// It cannot be kept any longer.
    #[error("these seats cannot be held any longer: book them before {until}")]
    HoldLimit {
        /// When they go back.
        until: Instant,
    },
    /// As many names have to be given as seats are held.
    #[error("{given} passengers are named, but {held} seats are held")]
    OtherCount {
        /// How many were named.
        given: usize,
        /// How many seats.
        held: usize,
    },
}

impl Refusal {
    /// A voucher that takes nothing off.
    pub fn voucher(refusal: VoucherRefusal) -> Self {
        Self::NoPrice(PriceRefusal::Voucher(refusal))
    }

    /// Whether seats that have run out meanwhile could make a difference.
    pub fn is_about_seats(&self) -> bool {
        matches!(
            self,
            Self::SeatTaken { .. } | Self::NoSuchAttributes { .. } | Self::SoldOut { .. }
        )
    }
}

/// What one passenger pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// The full fare.
    pub fare_minor: Minor,
    /// Off that.
    pub discount_minor: Minor,
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
    pub price: Price,
}

/// A trip as far as selling it matters.
#[derive(Debug, Clone, Copy)]
pub struct ForSale<'a> {
    /// The trip.
    pub trip: &'a Trip,
    /// In the day's work: `scheduled`, `boarding`, …
    pub state: &'a str,
    /// Per stop.
    pub boarding_closes: &'a [Instant],
    /// What the hub may sell.
    pub pool: &'a SeatMap,
    /// Where the seats are.
    pub layout: Option<&'a SeatLayout>,
}

/// The first call at `from`, and the first at `to` after it.
pub fn legs_between(trip: &Trip, from: &StopCode, to: &StopCode) -> Option<Legs> {
    let start = trip.seq_of(from)?;
    let rest = trip.stops.iter().enumerate().skip(usize::from(start.0) + 1);
    let (end, _) = rest.into_iter().find(|(_, stop)| stop.code == *to)?;
    trip.legs(start, domain::ids::StopSeq(u8::try_from(end).ok()?))
}

/// The legs of a journey that may be booked at this moment.
pub fn open_legs(sale: &ForSale<'_>, wish: &Journey, now: Instant) -> Result<Legs, Refusal> {
    let (from, to) = (&wish.from, &wish.to);
    let legs = legs_between(sale.trip, from, to).ok_or_else(|| Refusal::NoSuchJourney {
        from: from.clone(),
        to: to.clone(),
    })?;
    if matches!(sale.state, "cancelled" | "arrived") {
        return Err(Refusal::NotRunning {
            trip: wish.trip,
            state: sale.state.to_owned(),
        });
    }
    let closes = sale.boarding_closes.get(usize::from(legs.from().0));
    if closes.is_none_or(|closes| now > *closes) {
        return Err(Refusal::BoardingClosed { stop: from.clone() });
    }
    if sale.state == FROZEN {
        return Err(Refusal::Frozen(wish.trip));
    }
    Ok(legs)
}

/// Picks the seats of a journey: chosen ones first, then those with something special, then the
/// rest of the party together. All or nothing.
pub fn seats(sale: &ForSale<'_>, wish: &Journey, legs: Legs) -> Result<Vec<SeatNo>, Refusal> {
    let mut pool = sale.pool.clone();
    let mut picked: Vec<Option<SeatNo>> = vec![None; wish.passengers.len()];
    for (slot, w) in picked.iter_mut().zip(&wish.passengers) {
        let Some(seat) = w.seat else { continue };
        let trip = wish.trip;
        if seat.0 == 0 || seat.0 > pool.seat_count() {
            return Err(Refusal::NoSuchSeat { trip, seat });
        }
        let taken = |_| Refusal::SeatTaken { trip, seat };
        pool.take(seat, legs).map_err(taken)?;
        *slot = Some(seat);
    }
    let sold_out = |pool: &SeatMap, wanted| Refusal::SoldOut {
        trip: wish.trip,
        from: wish.from.clone(),
        to: wish.to.clone(),
        wanted,
        seats_left: pool.free_seats(legs).count(),
    };
    let open = picked.iter().filter(|p| p.is_none()).count();
    if pool.free_seats(legs).count() < open {
        return Err(sold_out(&pool, open));
    }
    let mut kinds: Vec<SeatAttributes> = vec![];
    for w in wish.passengers.iter().filter(|w| w.seat.is_none()) {
        if !kinds.contains(&w.attributes) {
            kinds.push(w.attributes);
        }
    }
    // Those who need much choose before those who take anything.
    kinds.sort_by_key(|k| core::cmp::Reverse(k.0.count_ones()));
    for kind in kinds {
        let of_kind = |w: &Wish| w.seat.is_none() && w.attributes == kind;
        let count = wish.passengers.iter().filter(|w| of_kind(w)).count();
        let able = with_attributes(&pool, sale.layout, kind);
        let party = able
            .best_fit_party(legs, count, sale.layout)
            .ok_or_else(|| {
                if kind == SeatAttributes::default() {
                    sold_out(&pool, count)
                } else {
                    Refusal::NoSuchAttributes { trip: wish.trip }
                }
            })?;
        let mut party = party.into_iter();
        for (slot, w) in picked.iter_mut().zip(&wish.passengers) {
            if of_kind(w)
                && let Some(seat) = party.next()
            {
                pool.mark_taken(seat, legs);
                *slot = Some(seat);
            }
        }
    }
    Ok(picked.into_iter().flatten().collect())
}

/// The pool without the seats that lack an attribute.
fn with_attributes(pool: &SeatMap, layout: Option<&SeatLayout>, kind: SeatAttributes) -> SeatMap {
    let mut able = pool.clone();
    if kind == SeatAttributes::default() {
        return able;
    }
    let whole = Legs::new(domain::ids::StopSeq(0), domain::ids::StopSeq(64));
    for no in (1..=pool.seat_count()).map(SeatNo) {
        let seat = layout.and_then(|l| l.seat(no));
        let has = seat.is_some_and(|s| s.attributes.has(kind));
        if let (false, Some(legs)) = (has, whole) {
            able.disown(no, legs);
        }
    }
    able
}

#[cfg(test)]
mod tests;
