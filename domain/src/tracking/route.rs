//! The way of a trip: along its road where that is known, else straight lines between those of
//! its stops whose place is known.

use crate::ids::StopSeq;

use super::geo::Place;
use super::line::{Corner, Line, at_m, part_of};
use super::placing::{Misplaced, placed};

/// What a metre back along the route costs against a metre beside it: receivers tremble.
const BACK_COSTS: f64 = 0.2;
/// What a metre ahead costs: where a route meets itself, the nearer meeting counts.
const AHEAD_COSTS: f64 = 0.02;
/// Beyond so many metres ahead one more costs less: after a gap the bus is far.
const FAR_AHEAD_M: f64 = 1_000.0;
/// What such a metre costs.
const FAR_AHEAD_COSTS: f64 = 0.002;
/// What it costs to lie where the road leads the other way than the bus heads, in metres.
const AGAINST_COSTS_M: f64 = 200.0;

/// The way of a trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    stops: Vec<Option<Corner>>,
    /// The road from the first known stop to the last.
    road: Option<Line>,
}

/// How far along its route a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// From the first known stop, in metres.
    pub along_m: u32,
    /// Beside the road, or the straight line between two stops, in metres.
    pub off_m: u32,
}

/// A bus, as far as its place on a road depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeking {
    pub(super) place: Place,
    /// How far along it was before, in metres.
    pub(super) from_m: f64,
    /// Where it heads: degrees clockwise from north.
    pub(super) bearing_deg: Option<u16>,
    /// Only so far beside the road, in metres.
    pub(super) reach_m: f64,
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
            road: None,
        }
    }

    /// Along a road. `stated` is how far along it stops are, in metres, where that is known.
    pub fn along(
        road: &Line,
        stops: &[Option<Place>],
        stated: &[Option<u32>],
    ) -> Result<Self, Misplaced> {
        let alongs = placed(road, stops, stated)?;
        let known = || alongs.iter().copied().flatten();
        let (Some(from_m), Some(to_m)) = (known().next(), known().last()) else {
            return Err(Misplaced::NoPlaces);
        };
        let last = stops.iter().rposition(Option::is_some).unwrap_or(0);
        let out_of_order = Misplaced::OutOfOrder { stop: last };
        let road = road.cut(from_m, to_m).ok_or(out_of_order)?;
        let stops = stops.iter().zip(&alongs).map(|(place, along_m)| {
            Some(Corner {
                place: (*place)?,
                along_m: (*along_m)? - from_m,
            })
        });
        Ok(Self {
            stops: stops.collect(),
            road: Some(road),
        })
    }

    /// How far along a line each stop with a place is, in metres, as [`Route::along`] has it.
    pub fn stops_along_m(
        road: &Line,
        stops: &[Option<Place>],
        stated: &[Option<u32>],
    ) -> Result<Vec<Option<u32>>, Misplaced> {
        let alongs = placed(road, stops, stated)?;
        let metres = alongs.into_iter().map(|m| m.map(|m| m.round() as u32));
        Ok(metres.collect())
    }

    /// The road from the first known stop to the last, where it is known.
    pub const fn road(&self) -> Option<&Line> {
        self.road.as_ref()
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

    /// How far along the straight lines a place is, for a bus that was `from_m` along them
    /// before; `None` of a route with fewer than two known places.
    pub fn locate(&self, place: Place, from_m: u32) -> Option<Progress> {
        let corners: Vec<Corner> = self.stops.iter().copied().flatten().collect();
        let from_m = f64::from(from_m);
        let mut best: Option<(f64, f64, f64)> = None;
        for pair in corners.windows(2) {
            let [a, b] = pair else { continue };
            let (bx, by) = a.place.plane(b.place);
            let (px, py) = a.place.plane(place);
            let part = part_of((bx, by), (px, py));
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

    /// Where on its road a bus most likely is, between two distances along; `None` where it is
    /// beside the road there.
    pub(super) fn seek(&self, bus: &Seeking, window_m: (f64, f64)) -> Option<f64> {
        let heading = bus.bearing_deg.map(|degrees| {
            let radians = f64::from(degrees).to_radians();
            (radians.sin(), radians.cos())
        });
        let mut best: Option<(f64, f64)> = None;
        for beside in self.road.as_ref()?.beside(bus.place, window_m) {
            if beside.off_m > bus.reach_m {
                continue;
            }
            let (east, north) = beside.ahead;
            let against = heading.is_some_and(|(x, y)| x * east + y * north < 0.0);
            let ahead_m = (beside.along_m - bus.from_m).max(0.0);
            let cost = beside.off_m
                + if against { AGAINST_COSTS_M } else { 0.0 }
                + BACK_COSTS * (bus.from_m - beside.along_m).max(0.0)
                + AHEAD_COSTS * ahead_m.min(FAR_AHEAD_M)
                + FAR_AHEAD_COSTS * (ahead_m - FAR_AHEAD_M).max(0.0);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, beside.along_m));
            }
        }
        best.map(|(_, along_m)| along_m)
    }

    /// The place so many metres along, for whoever makes a drive up.
    pub fn at_m(&self, along_m: f64) -> Option<Place> {
        if let Some(road) = &self.road {
            return road.at_m(along_m);
        }
        let corners: Vec<Corner> = self.stops.iter().copied().flatten().collect();
        at_m(&corners, along_m)
    }

    /// Its whole length, in metres.
    pub fn length_m(&self) -> f64 {
        let corners = self.stops.iter().flatten();
        corners.last().map_or(0.0, |corner| corner.along_m)
    }
}
