//! A trip followed from stop to stop.
//!
//! A fence has two rings: one to come in by, a wider one to go out by, and two fixes in a row
//! have to agree before anything is believed. Between the rings nothing changes, so that a
//! receiver which trembles at the edge neither arrives nor leaves twice. What was passed without
//! a fix near it is skipped. A trip goes forward only: each stop is reached and left once.

use crate::ids::StopSeq;
use crate::time::Instant;

use super::fix::Fix;
use super::geo::Place;
use super::route::Route;

/// Within so many metres a bus is at a stop.
const IN_M: f64 = 150.0;
/// Beyond so many metres it has left.
const OUT_M: f64 = 300.0;
/// So far behind a bus that never was seen there, a stop was passed; in metres.
const PASSED_M: u32 = 600;
/// Farther beside its route a bus tells nothing of its progress, in metres. Roads bend.
const ASTRAY_M: u32 = 10_000;
/// A stop ahead is believed only to a bus that has come so near along its route, in metres.
const NEAR_M: u32 = 2_000;
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

    /// Takes a plausible fix; one that is not newer than the newest changes nothing.
    pub fn observe(&mut self, route: &Route, fix: &Fix) -> Option<Seen> {
        let place = fix.place()?;
        if self.newest.as_ref().is_some_and(|n| !fix.is_newer_than(n)) {
            return None;
        }
        self.newest = Some(fix.clone());
        let progress = route.locate(place, self.along_m);
        let on_route = progress.filter(|p| p.off_m <= ASTRAY_M);
        if let Some(progress) = on_route {
            self.along_m = progress.along_m;
        }
        if fix.accuracy_m.is_some_and(|m| m > SURE_M) {
            return None;
        }
        let Some((what, stop)) = self.hint(route, place, on_route.is_some()) else {
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
        Some(self.believe(&hinted))
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
