//! Trips, their stops and the legs between them.

use core::fmt;

use crate::ids::{LayoutVersion, SeatNo, StopCode, StopSeq, TripId};
use crate::money::Currency;
use crate::swap::Swaps;
use crate::time::{Instant, ServiceDate, Zone};

/// The most legs a trip may have: they are kept as bits of one word.
pub const LEGS_MAX: u8 = 64;

/// A run of legs `from..to`, never empty, at most [`LEGS_MAX`] long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Legs {
    from: u8,
    to: u8,
}

impl Legs {
    /// The legs between two stops, or `None` unless `from < to <= 64`.
    pub const fn new(from: StopSeq, to: StopSeq) -> Option<Self> {
        if from.0 < to.0 && to.0 <= LEGS_MAX {
            Some(Self {
                from: from.0,
                to: to.0,
            })
        } else {
            None
        }
    }

    /// Where it starts.
    pub const fn from(self) -> StopSeq {
        StopSeq(self.from)
    }

    /// Where it ends.
    pub const fn to(self) -> StopSeq {
        StopSeq(self.to)
    }

    /// How many legs.
    pub const fn count(self) -> u8 {
        self.to - self.from
    }

    /// Bit `i` stands for leg `i`.
    pub const fn mask(self) -> u64 {
        (u64::MAX >> (64 - self.count())) << self.from
    }

    /// Whether any leg is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// Whether every leg of `other` is here.
    pub const fn contains(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}

impl fmt::Debug for Legs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl fmt::Display for Legs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl<C> minicbor::Encode<C> for Legs {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.u8(self.from)?.u8(self.to)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Legs {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("legs are a pair"));
        }
        Self::new(StopSeq(d.u8()?), StopSeq(d.u8()?))
            .ok_or_else(|| minicbor::decode::Error::message("legs run forward, 64 at most"))
    }
}

/// A stop as one trip calls there.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct TripStop {
    /// The company's code for it.
    #[n(0)]
    pub code: StopCode,
    /// Its name for people.
    #[n(1)]
    pub name: String,
    /// Whose local time it keeps.
    #[n(2)]
    pub zone: Zone,
    /// When the bus comes.
    #[n(3)]
    pub arrives: Instant,
    /// When it leaves.
    #[n(4)]
    pub departs: Instant,
}

/// One run of a pattern on a service date, as every seller and validator knows it.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Trip {
    /// Its number, the same after every re-import.
    #[n(0)]
    pub id: TripId,
    /// The route's short name.
    #[n(1)]
    pub route: String,
    /// Where the bus says it goes.
    #[n(2)]
    pub headsign: String,
    /// The day it counts to.
    #[n(3)]
    pub service_date: ServiceDate,
    /// The seat layout's id; its seats are in the catalogue.
    #[n(4)]
    pub layout: String,
    /// Which numbering of it.
    #[n(5)]
    pub layout_version: LayoutVersion,
    /// How many seats it has.
    #[n(6)]
    pub seat_count: u16,
    /// The fare table's id; its fares are in the catalogue.
    #[n(7)]
    pub fare_table: String,
    /// What fares are paid in.
    #[n(8)]
    pub currency: Currency,
    /// Stops `0..n`, at most 65.
    #[n(9)]
    pub stops: Vec<TripStop>,
    /// How its seats were renumbered when it changed its bus.
    #[n(10)]
    pub swaps: Swaps,
}

impl Trip {
    /// How many legs it has.
    pub fn leg_count(&self) -> u8 {
        (self.stops.len() as u8).saturating_sub(1)
    }

    /// The numbering in force: what grants and tickets name as their layout version. It is the
    /// layout's own until the bus is swapped, and later with every swap.
    pub fn numbering(&self) -> LayoutVersion {
        self.swaps
            .last()
            .map_or(self.layout_version, |swap| swap.numbering)
    }

    /// Where a seat of an older numbering is today; `None` where the bus has no place for it.
    pub fn seat_now(&self, seat: SeatNo, under: LayoutVersion) -> Option<SeatNo> {
        self.swaps.place(seat, under)
    }

    /// The stop at this place.
    pub fn stop(&self, seq: StopSeq) -> Option<&TripStop> {
        self.stops.get(usize::from(seq.0))
    }

    /// The first stop with this code.
    pub fn seq_of(&self, code: &StopCode) -> Option<StopSeq> {
        self.stops
            .iter()
            .position(|s| s.code == *code)
            .map(|i| StopSeq(i as u8))
    }

    /// The legs between two of its stops.
    pub fn legs(&self, from: StopSeq, to: StopSeq) -> Option<Legs> {
        Legs::new(from, to).filter(|l| l.to().0 <= self.leg_count())
    }

    /// `Lusaka – Solwezi, 2026-11-22 06:00`, for people.
    pub fn title(&self) -> String {
        match (self.stops.first(), self.stops.last()) {
            (Some(a), Some(b)) => {
                format!(
                    "{} – {}, {}",
                    a.name,
                    b.name,
                    a.departs.local_minute(&a.zone)
                )
            }
            _ => format!("trip {}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_are_bits_and_never_empty() {
        let legs = |a, b| Legs::new(StopSeq(a), StopSeq(b));
        assert_eq!(legs(2, 2), None);
        assert_eq!(legs(3, 2), None);
        assert_eq!(legs(0, 65), None);
        assert_eq!(legs(0, 64).map(Legs::mask), Some(u64::MAX));
        assert_eq!(legs(2, 5).map(Legs::mask), Some(0b11100));
        assert!(!legs(0, 2).unwrap().overlaps(legs(2, 7).unwrap()));
    }
}
