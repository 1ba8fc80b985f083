//! What the rules have to know of a trip to follow it.

use std::sync::Arc;

use domain::ids::{CompanyId, NodeId, StopSeq, TripId};
use domain::time::{Instant, ServiceDate};
use domain::tracking::{Call, Route, Seen, Track};
use domain::trip::TripStop;

use super::settings::Settings;
use crate::operations::State;

/// A trip that has not arrived is followed for so long after its timetable, in ms.
const LATE_MS_MAX: i64 = 12 * 3_600_000;

/// A trip, as far as following it is concerned.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) company: CompanyId,
    pub(super) trip: TripId,
    pub(super) route_code: String,
    pub(super) run: String,
    pub(super) headsign: String,
    pub(super) service_date: ServiceDate,
    pub(super) stops: Vec<TripStop>,
    pub(super) route: Arc<Route>,
    /// How long each leg took lately, in ms.
    pub(super) legs_ms: Vec<Option<i64>>,
    pub(super) state: State,
    pub(super) delay_ms: i64,
    pub(super) reason: Option<String>,
    pub(super) arrived_at: Option<Instant>,
    /// The node on board.
    pub(super) onboard: Option<NodeId>,
    pub(super) settings: Settings,
}

impl Facts {
    /// The timetable.
    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.stops.iter().map(|stop| Call {
            arrives: stop.arrives,
            departs: stop.departs,
        });
        calls.collect()
    }

    /// Whether a fix of this moment is of the trip on its way, whenever it is heard of.
    pub(super) fn follows(&self, at: Instant) -> bool {
        let (Some(first), Some(last)) = (self.stops.first(), self.stops.last()) else {
            return false;
        };
        let begins = first.departs.plus_ms(-self.settings.before_ms());
        let ends = match self.state {
            State::Scheduled | State::Cancelled => return false,
            State::Boarding | State::Departed => {
                last.arrives.plus_ms(self.delay_ms.max(0) + LATE_MS_MAX)
            }
            State::Arrived => match self.arrived_at {
                Some(arrived) => arrived,
                None => return false,
            },
        };
        (begins..=ends).contains(&at)
    }

    /// Whether the trip is on its way at this moment: only then anybody sees where it is.
    pub(super) fn is_on_trip(&self, now: Instant) -> bool {
        self.state != State::Arrived && self.follows(now)
    }

    /// What a call that was seen would mean for the trip's day.
    pub(super) fn moves(&self, seen: Seen) -> Option<Move> {
        let last = self.stops.len().checked_sub(1)?;
        match seen {
            Seen::Left {
                stop: StopSeq(0),
                at,
            } if self.state == State::Boarding => Some(Move::Departed(at)),
            Seen::Arrived { stop, at }
                if usize::from(stop.0) == last && self.state == State::Departed =>
            {
                Some(Move::Arrived(at))
            }
            Seen::Left { .. } | Seen::Arrived { .. } => None,
        }
    }
}

/// A step of a trip's day that fixes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Departed(Instant),
    Arrived(Instant),
}

/// A trip with how it stands by its fixes.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) facts: Facts,
    pub(super) track: Track,
    /// When the hub heard of the newest fix.
    pub(super) heard_at: Instant,
}
