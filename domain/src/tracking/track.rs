//! A trip followed from stop to stop.
//!
//! A fence has two rings: one to come in by, a wider one to go out by, and two fixes in a row
//! have to agree before anything is believed. Between the rings nothing changes, so that a
//! receiver which trembles at the edge neither arrives nor leaves twice. What was passed without
//! a fix near it is skipped. A trip goes forward only: each stop is reached and left once.

use crate::ids::StopSeq;
use crate::time::Instant;

use super::fix::{Fix, SPEED_M_S_MAX, Source};
use super::geo::Place;
use super::route::{Route, Seeking};

/// Within so many metres a bus is at a stop.
const IN_M: f64 = 150.0;
/// Beyond so many metres it has left.
const OUT_M: f64 = 300.0;
/// So far behind a bus that never was seen there, a stop was passed; in metres.
const PASSED_M: u32 = 600;
/// Farther beside straight lines a bus tells nothing of its progress, in metres. Roads bend.
const ASTRAY_M: u32 = 10_000;
/// Farther beside its known road a bus is off it, in metres.
const OFF_M: f64 = 300.0;
/// So many fixes in a row make it off its road.
const OFF_AGREE: u8 = 3;
/// So far behind and ahead of where a bus was it may be found at any time, in metres.
const TREMBLE_M: f64 = 100.0;
/// A bus that for so long is elsewhere on its road than it can have come to is there, in ms.
const ELSEWHERE_MS: i64 = 120_000;
/// A stop ahead is believed only to a bus that has come so near along its route, in metres.
const NEAR_M: u32 = 2_000;
/// The same along a known road, the next stop not excepted, in metres.
const ROAD_NEAR_M: u32 = 500;
/// So many fixes in a row have to agree.
const AGREE: u8 = 2;
/// A fix that is less sure moves the bus but neither arrives nor leaves, in metres.
const SURE_M: u16 = 100;

/// Something that the fixes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The bus came to a stop.
    Arrived {
        /// Which.
        stop: StopSeq,
        /// By the first fix that shows it.
        at: Instant,
    },
    /// The bus left a stop; perhaps without having been seen there.
    Left {
        /// Which.
        stop: StopSeq,
        /// By the first fix that shows it.
        at: Instant,
    },
}

/// What the last fixes hint at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
enum Hint {
    #[n(0)]
    Comes,
    #[n(1)]
    Leaves,
    #[n(2)]
    Passed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Hinted {
    #[n(0)]
    what: Hint,
    #[n(1)]
    stop: u8,
    /// By the first fix that hinted at it.
    #[n(2)]
    at: Instant,
    #[n(3)]
    times: u8,
}

/// How a trip stands by its fixes.
#[derive(Debug, Clone, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Track {
    #[n(0)]
    newest: Option<Fix>,
    #[n(1)]
    along_m: u32,
    /// The first stop that the bus has not left.
    #[n(2)]
    next: u8,
    /// Since when it is there.
    #[n(3)]
    there_since: Option<Instant>,
    #[n(4)]
    hinted: Option<Hinted>,
    /// Of the last fix that showed where along its known road the bus is.
    #[n(5)]
    on_road_at: Option<Instant>,
    /// So many fixes in a row were beside it.
    #[n(6)]
    off_times: Option<u8>,
}

impl Track {
    /// The newest fix.
    pub fn newest(&self) -> Option<&Fix> {
        self.newest.as_ref()
    }

    /// How far along its route, in metres.
    pub const fn along_m(&self) -> u32 {
        self.along_m
    }

    /// The first stop that it has not left.
    pub const fn next(&self) -> StopSeq {
        StopSeq(self.next)
    }

    /// Since when it is at that stop, if it is.
    pub const fn there_since(&self) -> Option<Instant> {
        self.there_since
    }

    /// Whether it has left its road; unknown where its road is.
    pub fn is_off_route(&self, route: &Route) -> Option<bool> {
        route.road()?;
        Some(self.off_times.is_some_and(|times| times >= OFF_AGREE))
    }

    /// Takes a plausible fix; one that is not newer than the newest changes nothing.
    pub fn observe(&mut self, route: &Route, fix: &Fix) -> Option<Seen> {
        let place = fix.place()?;
        if self.newest.as_ref().is_some_and(|n| !fix.is_newer_than(n)) {
            return None;
        }
        self.newest = Some(fix.clone());
        let on_route = if route.road().is_some() {
            self.follow(route, place, fix)
        } else {
            let progress = route.locate(place, self.along_m);
            let on_route = progress.filter(|p| p.off_m <= ASTRAY_M);
            self.along_m = on_route.map_or(self.along_m, |p| p.along_m);
            on_route.is_some()
        };
        if fix.accuracy_m.is_some_and(|m| m > SURE_M) {
            return None;
        }
        let Some((what, stop)) = self.hint(route, place, on_route) else {
            self.hinted = None;
            return None;
        };
        let mut hinted = match self.hinted {
            Some(hinted) if hinted.what == what && hinted.stop == stop => hinted,
            Some(_) | None => Hinted {
                what,
                stop,
                at: fix.at,
                times: 0,
            },
        };
        hinted.times += 1;
        if hinted.times < AGREE {
            self.hinted = Some(hinted);
            return None;
        }
        self.hinted = None;
        let seen = self.believe(&hinted);
        if let (Seen::Arrived { stop, .. }, Some(_), false) = (seen, route.road(), on_route) {
            // Where it stands it is, wherever its road was drawn.
            self.along_m = self.along_m.max(route.along_m(stop).unwrap_or(0));
            self.on_road_at = Some(fix.at);
        }
        Some(seen)
    }

    /// Moves the bus on along its known road; whether it is where it can have come to. A road
    /// may lead by one place twice, so only as far ahead is looked as a bus can have driven since
    /// it was last seen on it. Progress does not go back, except for a bus that has been elsewhere
    /// on its road for minutes.
    fn follow(&mut self, route: &Route, place: Place, fix: &Fix) -> bool {
        let unsure_m = f64::from(fix.accuracy_m.unwrap_or(0));
        let (from_m, length_m) = (f64::from(self.along_m), route.length_m());
        let bus = Seeking {
            place,
            from_m,
            bearing_deg: fix.bearing_deg.filter(|_| fix.speed_cm_s != Some(0)),
            reach_m: OFF_M + unsure_m,
        };
        let since_ms = self.on_road_at.map(|at| (fix.at.0 - at.0).max(0));
        let window_m = match since_ms {
            None => (0.0, length_m),
            // A drive that was made up may be told faster than it could be driven.
            Some(_) if fix.source == Source::Simulated => (from_m - TREMBLE_M, length_m),
            Some(ms) => {
                let slack_m = TREMBLE_M + unsure_m;
                let driven_m = SPEED_M_S_MAX * ms as f64 / 1_000.0;
                (from_m - slack_m, from_m + driven_m + slack_m)
            }
        };
        let window_m = (window_m.0.max(0.0), window_m.1.min(length_m));
        if let Some(along_m) = route.seek(&bus, window_m) {
            // Before its first fix on the road its progress was measured otherwise, if at all.
            let least_m = since_ms.map_or(0.0, |_| from_m);
            self.come_to(along_m.max(least_m), fix.at);
            return true;
        }
        let Some(elsewhere_m) = route.seek(&bus, (0.0, length_m)) else {
            // On its way to where it begins it has left nothing.
            let times = self.off_times.unwrap_or(0).saturating_add(1);
            self.off_times = since_ms.map(|_| times);
            return false;
        };
        self.off_times = None;
        let lost = since_ms.is_none_or(|ms| ms >= ELSEWHERE_MS);
        if lost {
            self.come_to(elsewhere_m, fix.at);
        }
        lost
    }

    fn come_to(&mut self, along_m: f64, at: Instant) {
        self.along_m = along_m.round() as u32;
        self.on_road_at = Some(at);
        self.off_times = None;
    }

    fn hint(&self, route: &Route, place: Place, on_route: bool) -> Option<(Hint, u8)> {
        let last = route.stop_count().checked_sub(1)?;
        let metres = |stop: u8| Some(place.metres_to(route.place(StopSeq(stop))?));
        if self.there_since.is_some() {
            let gone = metres(self.next).is_some_and(|m| m > OUT_M);
            let ends_here = usize::from(self.next) >= last;
            return (gone && !ends_here).then_some((Hint::Leaves, self.next));
        }
        let ahead = self.next..=u8::try_from(last).unwrap_or(u8::MAX);
        let near = |stop: u8| {
            let along = route.along_m(StopSeq(stop));
            // A known road may lead by a stop before it comes to it.
            if route.road().is_some() && on_route {
                return along.is_some_and(|m| m <= self.along_m + ROAD_NEAR_M);
            }
            stop == self.next || along.is_some_and(|m| m <= self.along_m + NEAR_M)
        };
        let comes = ahead
            .into_iter()
            .find(|stop| near(*stop) && metres(*stop).is_some_and(|m| m <= IN_M));
        if let Some(stop) = comes {
            return Some((Hint::Comes, stop));
        }
        let passed = route
            .along_m(StopSeq(self.next))
            .is_some_and(|m| on_route && self.along_m > m + PASSED_M);
        let ends_here = usize::from(self.next) >= last;
        (passed && !ends_here).then_some((Hint::Passed, self.next))
    }

    fn believe(&mut self, hinted: &Hinted) -> Seen {
        let (stop, at) = (StopSeq(hinted.stop), hinted.at);
        match hinted.what {
            Hint::Comes => {
                self.next = hinted.stop;
                self.there_since = Some(at);
                Seen::Arrived { stop, at }
            }
            Hint::Leaves | Hint::Passed => {
                self.next = hinted.stop.saturating_add(1);
                self.there_since = None;
                Seen::Left { stop, at }
            }
        }
    }
}
