//! Bus swaps: a trip goes on in another bus, whose seats are numbered otherwise.
//!
//! Each swap is one immutable, injective map from the seat numbers before it to those after it,
//! and begins a numbering of its own. What was sold, or may have been sold, under an older
//! numbering is found in today's by following the maps; nothing that was signed is signed again.
//! Undoing a swap is a further one, after which both together change nothing.

mod carry;
mod plan;
mod riders;

pub use carry::{Going, InTheWay, LateSale, Moved, Standing, carry, carry_back, seated_again};
pub use plan::{
    LegLoad, NoPlace, Placement, SwapError, SwapPlan, SwapState, UnplacedHold, plan_swap,
};
pub use riders::{Held, Rider};

use crate::ids::{LayoutVersion, SeatNo};
use crate::layout::SEATS_MAX;

/// The most swaps of one trip, undone ones included.
pub const SWAPS_MAX: usize = 32;

/// The seat that something has which no seat of the bus is left for; no bus has it.
pub const NO_SEAT: SeatNo = SeatNo(0);

/// Where each seat of one numbering is in the next: no two lead to the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeatMoves(Vec<u16>);

impl SeatMoves {
    /// The map whose entry `i` is where seat `i + 1` goes; `None` where two would share a seat.
    pub fn new(to: &[Option<SeatNo>]) -> Option<Self> {
        Self::checked(to.iter().map(|seat| seat.map_or(0, |s| s.0)).collect())
    }

    fn checked(to: Vec<u16>) -> Option<Self> {
        let mut taken = [false; SEATS_MAX + 1];
        if to.len() > SEATS_MAX {
            return None;
        }
        for seat in to.iter().filter(|seat| **seat != 0) {
            let taken = taken.get_mut(usize::from(*seat))?;
            if core::mem::replace(taken, true) {
                return None;
            }
        }
        Some(Self(to))
    }

    /// How many seats the bus has that it leads from.
    pub fn seat_count(&self) -> u16 {
        self.0.len() as u16
    }

    /// Where a seat goes.
    pub fn get(&self, seat: SeatNo) -> Option<SeatNo> {
        let at = usize::from(seat.0).checked_sub(1)?;
        self.0.get(at).filter(|to| **to != 0).map(|to| SeatNo(*to))
    }

    /// Where a seat came from.
    pub fn origin(&self, seat: SeatNo) -> Option<SeatNo> {
        if seat == NO_SEAT {
            return None;
        }
        let at = self.0.iter().position(|to| *to == seat.0)?;
        Some(SeatNo(at as u16 + 1))
    }

    /// The map back, from a bus of so many seats.
    pub fn inverse(&self, seat_count: u16) -> Self {
        let mut back = vec![0; seat_count.into()];
        for (at, to) in self.0.iter().enumerate().filter(|(_, to)| **to != 0) {
            if let Some(back) = back.get_mut(usize::from(*to) - 1) {
                *back = at as u16 + 1;
            }
        }
        Self(back)
    }

    /// This map and then another: injective again.
    pub fn then(&self, next: &Self) -> Self {
        let to = |seat: &u16| next.get(SeatNo(*seat)).map_or(0, |s| s.0);
        Self(self.0.iter().map(to).collect())
    }

    /// Every seat with where it goes.
    pub fn pairs(&self) -> impl Iterator<Item = (SeatNo, Option<SeatNo>)> + '_ {
        (1u16..)
            .zip(&self.0)
            .map(|(seat, to)| (SeatNo(seat), (*to != 0).then_some(SeatNo(*to))))
    }
}

impl<C> minicbor::Encode<C> for SeatMoves {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.encode_with(&self.0, ctx)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for SeatMoves {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let to = bounded(d, ctx, SEATS_MAX)?;
        Self::checked(to)
            .ok_or_else(|| minicbor::decode::Error::message("two seats lead to the same one"))
    }
}

/// A list that ends before it fills the memory.
fn bounded<'b, C, T: minicbor::Decode<'b, C>>(
    d: &mut minicbor::Decoder<'b>,
    ctx: &mut C,
    most: usize,
) -> Result<Vec<T>, minicbor::decode::Error> {
    let mut list = vec![];
    for item in d.array_iter_with(ctx)? {
        if list.len() == most {
            return Err(minicbor::decode::Error::message("the list is too long"));
        }
        list.push(item?);
    }
    Ok(list)
}

/// One swap of a trip's bus.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SeatSwap {
    /// The numbering that it begins; later than any before.
    #[n(0)]
    pub numbering: LayoutVersion,
    /// The layout that it ends, by id.
    #[n(1)]
    pub layout: String,
    /// And which version of it.
    #[n(2)]
    pub layout_version: LayoutVersion,
    /// Where the seats go.
    #[n(3)]
    pub moves: SeatMoves,
    /// The numbering whose swap it takes back.
    #[n(4)]
    pub undoes: Option<LayoutVersion>,
}

/// The swaps of a trip, in order; none for nearly every trip.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swaps(Vec<SeatSwap>);

impl Swaps {
    /// None yet.
    pub const NONE: Self = Self(vec![]);

    /// Adds one; `None` where there were too many, or its numbering is no later one.
    pub fn push(&mut self, swap: SeatSwap) -> Option<()> {
        let later = self.0.last().is_none_or(|l| l.numbering < swap.numbering);
        if self.0.len() >= SWAPS_MAX || !later {
            return None;
        }
        self.0.push(swap);
        Some(())
    }

    /// In order.
    pub fn iter(&self) -> core::slice::Iter<'_, SeatSwap> {
        self.0.iter()
    }

    /// Whether the trip never changed its bus.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last swap.
    pub fn last(&self) -> Option<&SeatSwap> {
        self.0.last()
    }

    /// The last swap that is neither taken back nor takes one back.
    pub fn standing(&self) -> Option<&SeatSwap> {
        self.0
            .iter()
            .rev()
            .find(|s| s.undoes.is_none() && self.undone_at(s.numbering).is_none())
    }

    fn undone_at(&self, numbering: LayoutVersion) -> Option<usize> {
        self.0.iter().position(|s| s.undoes == Some(numbering))
    }

    /// Where a seat that was numbered under `under` is today; `None` where the bus of today has no
    /// place for it. A numbering that no swap knows counts as the one before or after them all.
    pub fn place(&self, seat: SeatNo, under: LayoutVersion) -> Option<SeatNo> {
        let mut seat = seat;
        let mut at = 0;
        while let Some(swap) = self.0.get(at) {
            if swap.numbering > under {
                // What lies between a swap and its undoing was taken back with it.
                if let Some(undone) = self.undone_at(swap.numbering).filter(|u| *u > at) {
                    at = undone + 1;
                    continue;
                }
                seat = swap.moves.get(seat)?;
            }
            at += 1;
        }
        Some(seat)
    }

    /// The layout that a numbering was painted on, where that is not today's.
    pub fn layout_under(&self, under: LayoutVersion) -> Option<(&str, LayoutVersion)> {
        let ended = self.0.iter().find(|s| s.numbering > under)?;
        Some((&ended.layout, ended.layout_version))
    }
}

impl<'a> IntoIterator for &'a Swaps {
    type Item = &'a SeatSwap;
    type IntoIter = core::slice::Iter<'a, SeatSwap>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<C> minicbor::Encode<C> for Swaps {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.encode_with(&self.0, ctx)?.ok()
    }

    fn is_nil(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Swaps {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let mut swaps = Self::default();
        for swap in bounded(d, ctx, SWAPS_MAX)? {
            swaps
                .push(swap)
                .ok_or_else(|| minicbor::decode::Error::message("numberings count upwards"))?;
        }
        Ok(swaps)
    }

    fn nil() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests;
