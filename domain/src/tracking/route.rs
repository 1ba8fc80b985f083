//! The way of a trip: straight lines between those of its stops whose place is known.

use crate::ids::StopSeq;

use super::geo::Place;

/// What a metre back along the route costs against a metre beside it: receivers tremble.
const BACK_COSTS: f64 = 0.2;
/// What a metre ahead costs: where a route meets itself, the nearer meeting counts.
const AHEAD_COSTS: f64 = 0.02;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Corner {
    place: Place,
    along_m: f64,
}

/// The way of a trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    stops: Vec<Option<Corner>>,
}

/// How far along its route a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// From the first known stop, in metres.
    pub along_m: u32,
    /// Beside the straight line between two stops, in metres.
    pub off_m: u32,
}

impl Route {
    /// Over the stops in order; a stop whose place is unknown is no corner and has no fence.
    pub fn new(stops: &[Option<Place>]) -> Self {
        let mut along_m = 0.0;
        let mut last: Option<Place> = None;
        let stops = stops.iter().map(|place| {
            let place = (*place)?;
            along_m += last.map_or(0.0, |last| last.metres_to(place));
            last = Some(place);
            Some(Corner { place, along_m })
        });
        Self {
            stops: stops.collect(),
        }
    }

    /// How many stops.
    pub fn stop_count(&self) -> usize {
        self.stops.len()
    }

    /// Where a stop is.
    pub fn place(&self, stop: StopSeq) -> Option<Place> {
        self.corner(stop).map(|corner| corner.place)
    }

    /// How far along a stop is, in metres.
    pub fn along_m(&self, stop: StopSeq) -> Option<u32> {
        self.corner(stop)
            .map(|corner| corner.along_m.round() as u32)
    }

    fn corner(&self, stop: StopSeq) -> Option<Corner> {
        self.stops.get(usize::from(stop.0)).copied().flatten()
    }

    /// How far along the route a place is, for a bus that was `from_m` along it before; `None`
    /// of a route with fewer than two known places.
    pub fn locate(&self, place: Place, from_m: u32) -> Option<Progress> {
        let corners: Vec<Corner> = self.stops.iter().copied().flatten().collect();
        let from_m = f64::from(from_m);
        let mut best: Option<(f64, f64, f64)> = None;
        for pair in corners.windows(2) {
            let [a, b] = pair else { continue };
            let (bx, by) = a.place.plane(b.place);
            let (px, py) = a.place.plane(place);
            let length2 = bx * bx + by * by;
            let part = if length2 > 0.0 {
                ((px * bx + py * by) / length2).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let off_m = (px - part * bx).hypot(py - part * by);
            let along_m = a.along_m + part * (b.along_m - a.along_m);
            let cost = off_m
                + BACK_COSTS * (from_m - along_m).max(0.0)
                + AHEAD_COSTS * (along_m - from_m).max(0.0);
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, along_m, off_m));
            }
        }
        best.map(|(_, along_m, off_m)| Progress {
            along_m: along_m.round() as u32,
            off_m: off_m.round() as u32,
        })
    }

    /// The place so many metres along, for whoever makes a drive up.
    pub fn at_m(&self, along_m: f64) -> Option<Place> {
        let corners: Vec<Corner> = self.stops.iter().copied().flatten().collect();
        let first = corners.first()?;
        let ahead = corners.windows(2).find_map(|pair| match pair {
            [a, b] if along_m <= b.along_m => {
                let length = b.along_m - a.along_m;
                let part = if length > 0.0 {
                    (along_m - a.along_m) / length
                } else {
                    0.0
                };
                Some(a.place.towards(b.place, part))
            }
            _ => None,
        });
        let end = corners.last().map(|corner| corner.place);
        if along_m <= 0.0 {
            Some(first.place)
        } else {
            ahead.or(end)
        }
    }

    /// Its whole length, in metres.
    pub fn length_m(&self) -> f64 {
        let corners = self.stops.iter().flatten();
        corners.last().map_or(0.0, |corner| corner.along_m)
    }
}
