//! A road as a line of places: measured along, thinned out, cut.

use super::geo::{Place, Plane};

/// The most places of a line as it is given; a thousand kilometres with one every 20 m.
pub const LINE_POINTS_MAX: usize = 50_000;
/// The longest line, in metres.
pub const LINE_M_MAX: u32 = 10_000_000;
/// A place that lies so near the line between its neighbours says nothing of the road, in metres:
/// as far as a receiver is off, and less than a road is wide with its verges.
const THIN_M: f64 = 10.0;
/// So many looks at a place thinning may take; a road needs some hundred thousand.
const THIN_LOOKS_MAX: usize = 20_000_000;

/// A place with how far along it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corner {
    pub(super) place: Place,
    pub(super) along_m: f64,
}

/// Why places are no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLine {
    /// Fewer than two that differ.
    #[error("a line needs two places that differ")]
    TooFew,
    /// More than are read.
    #[error("a line has at most {LINE_POINTS_MAX} places, and this one {0}")]
    TooMany(usize),
    /// Farther than a bus drives.
    #[error("a line is at most {} km long, and this one {} km", LINE_M_MAX / 1_000, .0 / 1_000)]
    TooLong(u64),
}

/// A line of at least two places, each rounded to hundred-thousandths of a degree: what is
/// written as text comes back the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    corners: Vec<Corner>,
}

/// A place beside a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Beside {
    /// Of the nearest place of a piece of the line, in metres.
    pub(super) along_m: f64,
    /// How far from there, in metres.
    pub(super) off_m: f64,
    /// Which way the line goes there: metres east and north.
    pub(super) ahead: (f64, f64),
    /// Which piece, from 0.
    pub(super) piece: usize,
}

impl Line {
    /// Over places in order; what repeats the place before is passed over.
    pub fn new(places: &[Place]) -> Result<Self, NoLine> {
        if places.len() > LINE_POINTS_MAX {
            return Err(NoLine::TooMany(places.len()));
        }
        let mut rounded: Vec<Place> = places.iter().map(|place| place.to_e5()).collect();
        rounded.dedup();
        let line = Self::measured(rounded.into_iter());
        let longest = f64::from(LINE_M_MAX);
        if line.corners.len() < 2 {
            Err(NoLine::TooFew)
        } else if line.length_m() > longest {
            Err(NoLine::TooLong(line.length_m() as u64))
        } else {
            Ok(line)
        }
    }

    fn measured(places: impl Iterator<Item = Place>) -> Self {
        let (mut along_m, mut last): (f64, Option<Place>) = (0.0, None);
        let corners = places.map(|place| {
            along_m += last.map_or(0.0, |last| last.metres_to(place));
            last = Some(place);
            Corner { place, along_m }
        });
        Self {
            corners: corners.collect(),
        }
    }

    /// Its places in order.
    pub fn places(&self) -> impl ExactSizeIterator<Item = Place> + '_ {
        self.corners.iter().map(|corner| corner.place)
    }

    /// How far along each of its places is, in metres.
    pub fn alongs_m(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.corners.iter().map(|corner| corner.along_m)
    }

    /// How many places.
    pub fn point_count(&self) -> usize {
        self.corners.len()
    }

    /// In metres.
    pub fn length_m(&self) -> f64 {
        self.corners.last().map_or(0.0, |corner| corner.along_m)
    }

    /// The place so many metres along; an end beyond it.
    pub fn at_m(&self, along_m: f64) -> Option<Place> {
        at_m(&self.corners, along_m)
    }

    /// Which of its places say something of the road (Douglas and Peucker), both ends among them.
    /// The same again of what is left. All, where that would take too long.
    pub fn telling(&self) -> Vec<usize> {
        let count = self.corners.len();
        let mut told = vec![false; count];
        if let (Some(first), Some(last)) = (told.first_mut(), count.checked_sub(1)) {
            *first = true;
            told[last] = true;
            let mut looks = 0;
            let mut pieces = vec![(0, last)];
            while let Some((from, to)) = pieces.pop() {
                looks += to - from;
                if looks > THIN_LOOKS_MAX {
                    return (0..count).collect();
                }
                if let Some(farthest) = self.farthest(from, to) {
                    told[farthest] = true;
                    pieces.extend([(from, farthest), (farthest, to)]);
                }
            }
        }
        let kept = told.iter().enumerate().filter(|(_, told)| **told);
        kept.map(|(index, _)| index).collect()
    }

    /// The place that lies farthest from the straight line between two, where one lies far.
    fn farthest(&self, from: usize, to: usize) -> Option<usize> {
        let (a, b) = (self.corners.get(from)?.place, self.corners.get(to)?.place);
        let plane = Plane::at(a);
        let (bx, by) = plane.of(b);
        let mut farthest: Option<(usize, f64)> = None;
        for (index, corner) in self.corners.iter().enumerate().take(to).skip(from + 1) {
            let (px, py) = plane.of(corner.place);
            let part = part_of((bx, by), (px, py));
            let off_m = (px - part * bx).hypot(py - part * by);
            if off_m > THIN_M && farthest.is_none_or(|(_, most)| off_m > most) {
                farthest = Some((index, off_m));
            }
        }
        farthest.map(|(index, _)| index)
    }

    /// Only some of its places, by index and in order; `None` of fewer than two.
    pub fn picked(&self, indices: &[usize]) -> Option<Self> {
        let places = indices.iter().filter_map(|index| self.corners.get(*index));
        let line = Self::measured(places.map(|corner| corner.place));
        (line.corners.len() >= 2).then_some(line)
    }

    /// How far along a piece of it comes nearest to a place, in metres.
    pub fn nearest_on_piece_m(&self, piece: usize, place: Place) -> Option<f64> {
        self.beside_piece(piece, &Plane::at(place), None)
            .map(|beside| beside.along_m)
    }

    /// From one distance along to another.
    pub(super) fn cut(&self, from_m: f64, to_m: f64) -> Option<Self> {
        let (first, last) = (self.at_m(from_m)?, self.at_m(to_m)?);
        let inside = self.corners.iter();
        let inside = inside.filter(|corner| corner.along_m > from_m && corner.along_m < to_m);
        let first = Corner {
            place: first,
            along_m: 0.0,
        };
        let last = Corner {
            place: last,
            along_m: to_m - from_m,
        };
        let inside = inside.map(|corner| Corner {
            along_m: corner.along_m - from_m,
            ..*corner
        });
        let corners = std::iter::once(first).chain(inside).chain([last]);
        (to_m > from_m).then(|| Self {
            corners: corners.collect(),
        })
    }

    /// The nearest place of each piece between two distances along.
    pub(super) fn beside(
        &self,
        place: Place,
        (from_m, to_m): (f64, f64),
    ) -> impl Iterator<Item = Beside> + '_ {
        let before = self.corners.partition_point(|c| c.along_m <= from_m);
        let behind = self.corners.partition_point(|c| c.along_m < to_m);
        let last = self.corners.len().saturating_sub(1);
        let pieces = before.saturating_sub(1)..behind.min(last);
        let plane = Plane::at(place);
        pieces.filter_map(move |piece| self.beside_piece(piece, &plane, Some((from_m, to_m))))
    }

    fn beside_piece(
        &self,
        piece: usize,
        plane: &Plane,
        within: Option<(f64, f64)>,
    ) -> Option<Beside> {
        let (a, b) = (self.corners.get(piece)?, self.corners.get(piece + 1)?);
        let (ax, ay) = plane.of(a.place);
        let (bx, by) = plane.of(b.place);
        let ahead = (bx - ax, by - ay);
        let mut part = part_of(ahead, (-ax, -ay));
        let length = b.along_m - a.along_m;
        if let Some((from_m, to_m)) = within
            && length > 0.0
        {
            part = part.min((to_m - a.along_m) / length);
            part = part.max((from_m - a.along_m) / length).clamp(0.0, 1.0);
        }
        Some(Beside {
            along_m: a.along_m + part * length,
            off_m: (ax + part * ahead.0).hypot(ay + part * ahead.1),
            ahead,
            piece,
        })
    }
}

/// Which part of the way from nothing to one place another is nearest to, 0 to 1.
pub(super) fn part_of((bx, by): (f64, f64), (px, py): (f64, f64)) -> f64 {
    let length2 = bx * bx + by * by;
    if length2 > 0.0 {
        ((px * bx + py * by) / length2).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// The place so many metres along corners; an end beyond it.
pub(super) fn at_m(corners: &[Corner], along_m: f64) -> Option<Place> {
    let next = corners.partition_point(|corner| corner.along_m < along_m);
    let (Some(b), Some(a)) = (corners.get(next), next.checked_sub(1)) else {
        let end = if next == 0 {
            corners.first()
        } else {
            corners.last()
        };
        return end.map(|corner| corner.place);
    };
    let a = corners.get(a)?;
    let length = b.along_m - a.along_m;
    let part = if length > 0.0 {
        (along_m - a.along_m) / length
    } else {
        0.0
    };
    Some(a.place.towards(b.place, part))
}
