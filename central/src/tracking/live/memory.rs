//! For one process.

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant as Moment;

use domain::ids::{CompanyId, TripId};
use domain::tracking::{Fix, Place};
use tokio::sync::broadcast;

use super::{HEARD_MAX, Kept, Near, REMEMBERED, Store, TRAIL_MAX};
use crate::cache::Reply;

#[derive(Debug)]
struct Trip {
    latest: Kept,
    trail: VecDeque<Fix>,
    until: Moment,
}

/// What is known this minute, in this process.
#[derive(Debug)]
pub struct MemoryLive {
    trips: Mutex<BTreeMap<TripId, Trip>>,
    tell: broadcast::Sender<Kept>,
}

impl Default for MemoryLive {
    fn default() -> Self {
        Self {
            trips: Mutex::default(),
            tell: broadcast::Sender::new(HEARD_MAX),
        }
    }
}

impl MemoryLive {
    fn trips(&self) -> MutexGuard<'_, BTreeMap<TripId, Trip>> {
        let mut trips = self.trips.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Moment::now();
        trips.retain(|_, trip| trip.until > now);
        trips
    }
}

fn done<T: Send + 'static>(value: T) -> Reply<'static, T> {
    Box::pin(ready(Ok(value)))
}

impl Store for MemoryLive {
    fn put<'a>(&'a self, kept: &'a Kept) -> Reply<'a, bool> {
        let mut trips = self.trips();
        let old = trips.remove(&kept.fix.trip);
        if let Some(old) = old {
            if !kept.fix.is_newer_than(&old.latest.fix) {
                trips.insert(kept.fix.trip, old);
                return done(false);
            }
            let mut trail = old.trail;
            trail.truncate(TRAIL_MAX - 1);
            trips.insert(kept.fix.trip, fresh(kept, trail));
        } else {
            trips.insert(kept.fix.trip, fresh(kept, VecDeque::new()));
        }
        drop(trips);
        // An error says that nobody listens.
        let _ = self.tell.send(kept.clone());
        done(true)
    }

    fn latest(&self, trip: TripId) -> Reply<'_, Option<Kept>> {
        done(self.trips().get(&trip).map(|t| t.latest.clone()))
    }

    fn trail(&self, trip: TripId) -> Reply<'_, Vec<Fix>> {
        let trips = self.trips();
        let trail = trips.get(&trip).map(|t| t.trail.iter().cloned().collect());
        done(trail.unwrap_or_default())
    }

    fn near(
        &self,
        company: CompanyId,
        at: Place,
        metres: u32,
        most: usize,
    ) -> Reply<'_, Vec<Near>> {
        let trips = self.trips();
        let own = trips.values().filter(|t| t.latest.company() == company);
        let mut near: Vec<Near> = own
            .filter_map(|t| {
                let metres = at.metres_to(t.latest.fix.place()?);
                let trip = t.latest.fix.trip;
                Some(Near { trip, metres })
            })
            .filter(|n| n.metres <= f64::from(metres))
            .collect();
        near.sort_by(|a, b| a.metres.total_cmp(&b.metres));
        near.truncate(most);
        done(near)
    }

    fn forget(&self, _: CompanyId, trip: TripId) -> Reply<'_, ()> {
        self.trips().remove(&trip);
        done(())
    }

    fn listen(&self) -> broadcast::Receiver<Kept> {
        self.tell.subscribe()
    }

    fn is_heard(&self) -> bool {
        true
    }
}

fn fresh(kept: &Kept, mut trail: VecDeque<Fix>) -> Trip {
    trail.push_front(kept.fix.clone());
    Trip {
        latest: kept.clone(),
        trail,
        until: Moment::now() + REMEMBERED,
    }
}
