//! Which legs of which seats may be sold, and the seat that fits a journey best.

use crate::ids::SeatNo;
use crate::layout::SeatLayout;
use crate::trip::Legs;

/// The seat-legs a seller owns and those already taken, one word of leg bits a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatMap {
    owned: Vec<u64>,
    taken: Vec<u64>,
}

/// A seat-leg that was to be taken but is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("seat {seat} is not free on legs {legs}")]
pub struct NotFree {
    /// The seat.
    pub seat: SeatNo,
    /// The legs asked for.
    pub legs: Legs,
}

impl SeatMap {
    /// A map in which every leg of every seat is owned and free.
    pub fn whole(seat_count: u16) -> Self {
        Self {
            owned: vec![u64::MAX; seat_count.into()],
            taken: vec![0; seat_count.into()],
        }
    }

    /// A map that owns nothing yet.
    pub fn nothing(seat_count: u16) -> Self {
        Self {
            owned: vec![0; seat_count.into()],
            taken: vec![0; seat_count.into()],
        }
    }

    fn index(seat: SeatNo) -> usize {
        // Seat 0 does not exist; it wraps to an index that no map has.
        usize::from(seat.0).wrapping_sub(1)
    }

    /// How many seats it knows.
    pub fn seat_count(&self) -> u16 {
        self.owned.len() as u16
    }

    /// Adds a right.
    pub fn own(&mut self, seat: SeatNo, legs: Legs) {
        if let Some(word) = self.owned.get_mut(Self::index(seat)) {
            *word |= legs.mask();
        }
    }

    /// Gives up a right.
    pub fn disown(&mut self, seat: SeatNo, legs: Legs) {
        if let Some(word) = self.owned.get_mut(Self::index(seat)) {
            *word &= !legs.mask();
        }
    }

    fn free_mask(&self, index: usize) -> u64 {
        match (self.owned.get(index), self.taken.get(index)) {
            (Some(owned), Some(taken)) => owned & !taken,
            _ => 0,
        }
    }

    /// Whether the whole journey can be sold on this seat.
    pub fn is_free(&self, seat: SeatNo, legs: Legs) -> bool {
        let mask = legs.mask();
        self.free_mask(Self::index(seat)) & mask == mask
    }

    /// The free legs of a seat, as bits.
    pub fn free_legs(&self, seat: SeatNo) -> u64 {
        self.free_mask(Self::index(seat))
    }

    /// Takes a journey, or says that it is not free.
    pub fn take(&mut self, seat: SeatNo, legs: Legs) -> Result<(), NotFree> {
        if !self.is_free(seat, legs) {
            return Err(NotFree { seat, legs });
        }
        self.mark_taken(seat, legs);
        Ok(())
    }

    /// Marks legs taken, whether or not they were free: for laying out what already happened.
    pub fn mark_taken(&mut self, seat: SeatNo, legs: Legs) {
        if let Some(word) = self.taken.get_mut(Self::index(seat)) {
            *word |= legs.mask();
        }
    }

    /// Gives a journey back.
    pub fn release(&mut self, seat: SeatNo, legs: Legs) {
        if let Some(word) = self.taken.get_mut(Self::index(seat)) {
            *word &= !legs.mask();
        }
    }

    /// The seats on which the whole journey is free, in order of their numbers.
    pub fn free_seats(&self, legs: Legs) -> impl Iterator<Item = SeatNo> + '_ {
        (1..=self.seat_count())
            .map(SeatNo)
            .filter(move |s| self.is_free(*s, legs))
    }

    /// How many free legs around the journey would be cut off by taking it.
    fn gap(&self, seat: SeatNo, legs: Legs) -> u32 {
        let free = self.free_legs(seat);
        let before = (free << (64 - u32::from(legs.from().0)).min(63)).leading_ones();
        let before = if legs.from().0 == 0 { 0 } else { before };
        let after = if legs.to().0 >= 64 {
            0
        } else {
            (free >> legs.to().0).trailing_ones()
        };
        before + after
    }

    /// Best fit: the free seat whose free run around the journey is the shortest, the lowest
    /// number among equals; `None` only when no seat is free on all the legs.
    pub fn best_fit(&self, legs: Legs) -> Option<SeatNo> {
        self.free_seats(legs)
            .min_by_key(|s| (self.gap(*s, legs), *s))
    }

    /// Seats for a party that sit together where they can: the group with the least spread of
    /// rows and columns, then the least gap. `None` only when fewer seats are free than asked.
    pub fn best_fit_party(
        &self,
        legs: Legs,
        count: usize,
        layout: Option<&SeatLayout>,
    ) -> Option<Vec<SeatNo>> {
        if count == 1 {
            return self.best_fit(legs).map(|s| vec![s]);
        }
        let mut free: Vec<SeatNo> = self.free_seats(legs).collect();
        if count == 0 || free.len() < count {
            return None;
        }
        let place = |seat: SeatNo| {
            layout
                .and_then(|l| l.seat(seat))
                .map_or((u32::from(seat.0), 0), |s| {
                    (u32::from(s.row), u32::from(s.column))
                })
        };
        free.sort_by_key(|s| (place(*s), *s));
        let cost = |group: &[SeatNo]| {
            let rows = group.iter().map(|s| place(*s).0);
            let columns = group.iter().map(|s| place(*s).1);
            let spread = |lo: Option<u32>, hi: Option<u32>| hi.unwrap_or(0) - lo.unwrap_or(0);
            let gaps: u32 = group.iter().map(|s| self.gap(*s, legs)).sum();
            (
                spread(rows.clone().min(), rows.max()),
                spread(columns.clone().min(), columns.max()),
                gaps,
            )
        };
        free.windows(count)
            .min_by_key(|g| cost(g))
            .map(<[SeatNo]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::StopSeq;

    fn legs(a: u8, b: u8) -> Legs {
        Legs::new(StopSeq(a), StopSeq(b)).unwrap()
    }

    #[test]
    fn the_seat_with_the_shortest_free_run_is_taken_first() {
        let mut map = SeatMap::whole(3);
        map.take(SeatNo(2), legs(0, 2)).unwrap();
        assert_eq!(map.best_fit(legs(2, 4)), Some(SeatNo(2)));
        map.take(SeatNo(3), legs(4, 64)).unwrap();
        map.take(SeatNo(3), legs(0, 1)).unwrap();
        assert_eq!(map.best_fit(legs(2, 4)), Some(SeatNo(3)));
    }

    #[test]
    fn a_party_sits_in_one_row_where_it_can() {
        let seats = (1..=12)
            .map(|n| crate::layout::Seat {
                label: n.to_string(),
                row: (n - 1) / 4 + 1,
                column: ((n - 1) % 4 + 1) as u8,
                attributes: crate::layout::SeatAttributes::default(),
            })
            .collect();
        let layout = SeatLayout::new("x", crate::ids::LayoutVersion(1), seats).unwrap();
        let mut map = SeatMap::whole(12);
        map.take(SeatNo(2), legs(0, 4)).unwrap();
        let party = map.best_fit_party(legs(0, 4), 3, Some(&layout)).unwrap();
        assert_eq!(party, vec![SeatNo(5), SeatNo(6), SeatNo(7)]);
    }

    proptest! {
        #[test]
        fn best_fit_never_refuses_what_some_seat_could_carry(
            sales in prop::collection::vec((1u16..20, 0u8..10, 1u8..10), 0..200),
            a in 0u8..10, len in 1u8..10, party in 1usize..6,
        ) {
            let mut map = SeatMap::whole(20);
            let mut truth = vec![[false; 64]; 20];
            for (seat, from, len) in sales {
                let journey = legs(from, from + len);
                let cells = &mut truth[usize::from(seat) - 1][usize::from(from)..usize::from(from + len)];
                let free = cells.iter().all(|taken| !taken);
                prop_assert_eq!(map.take(SeatNo(seat), journey).is_ok(), free);
                if free {
                    cells.fill(true);
                }
            }
            let able = truth
                .iter()
                .filter(|row| row[usize::from(a)..usize::from(a + len)].iter().all(|t| !t))
                .count();
            prop_assert_eq!(map.best_fit(legs(a, a + len)).is_some(), able > 0);
            let group = map.best_fit_party(legs(a, a + len), party, None);
            prop_assert_eq!(group.is_some(), able >= party);
            for seat in group.into_iter().flatten() {
                prop_assert!(map.take(seat, legs(a, a + len)).is_ok());
            }
        }

        #[test]
        fn a_taken_seat_leg_is_never_handed_out_again(
            wishes in prop::collection::vec((0u8..12, 1u8..12), 1..120),
        ) {
            let mut map = SeatMap::whole(7);
            let mut live: Vec<(SeatNo, Legs)> = vec![];
            for (from, len) in wishes {
                let journey = legs(from, from + len);
                if let Some(seat) = map.best_fit(journey) {
                    map.take(seat, journey).unwrap();
                    prop_assert!(live.iter().all(|(s, l)| *s != seat || !l.overlaps(journey)));
                    live.push((seat, journey));
                }
            }
        }
    }
}
