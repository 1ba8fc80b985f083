//! A planned run on one of its days as the trip that sellers and validators know.

use domain::ids::TripId;
use domain::time::{Instant, ServiceDate};
use domain::trip::{Trip, TripStop};

use super::plan::{Plan, PlanPattern, PlanRoute, PlanRun, PlanStop};

impl Plan {
    /// The pattern of a run.
    pub fn pattern_of(&self, run: &PlanRun) -> Option<&PlanPattern> {
        let at = self
            .patterns
            .binary_search_by(|p| p.key.cmp(&run.pattern))
            .ok()?;
        self.patterns.get(at)
    }

    /// The route of a pattern.
    pub fn route_of(&self, pattern: &PlanPattern) -> Option<&PlanRoute> {
        let at = self
            .routes
            .binary_search_by(|r| r.id.cmp(&pattern.route_id))
            .ok()?;
        self.routes.get(at)
    }

    /// The trip that a run makes on a service day, under the number that the database gave it;
    /// `None` only for a run of another plan or a day outside the calendar.
    pub fn trip(&self, run: &PlanRun, date: ServiceDate, id: TripId) -> Option<Trip> {
        let pattern = self.pattern_of(run)?;
        let route = self.route_of(pattern)?;
        let layout = self.layouts.iter().find(|l| l.id == route.layout)?;
        let fares = self.fare_tables.iter().find(|t| t.id == route.fare_table)?;
        let zone = &self.company.zone;
        let stops: Option<Vec<TripStop>> = pattern
            .stops
            .iter()
            .zip(&run.calls)
            .map(|(code, call)| {
                let at = self
                    .stops
                    .binary_search_by(|s: &PlanStop| s.code.cmp(code))
                    .ok()?;
                let stop = self.stops.get(at)?;
                Some(TripStop {
                    code: code.clone(),
                    name: stop.name.clone(),
                    zone: stop.zone.clone(),
                    arrives: date.instant_at(i64::from(call.arrives_s), zone)?,
                    departs: date.instant_at(i64::from(call.departs_s), zone)?,
                })
            })
            .collect();
        Some(Trip {
            id,
            route: route.short_name.clone(),
            headsign: run.headsign.clone(),
            service_date: date,
            layout: layout.id.clone(),
            layout_version: layout.version,
            seat_count: layout.seat_count(),
            fare_table: fares.id.clone(),
            currency: fares.currency,
            stops: stops?,
            swaps: domain::swap::Swaps::NONE,
        })
    }

    /// Until when tickets that board at each stop may be sold: its departure, and the epoch where
    /// the timetable lets nobody on (the last stop always).
    pub fn boarding_closes(&self, run: &PlanRun, date: ServiceDate) -> Option<Vec<Instant>> {
        let last = run.calls.len().checked_sub(1)?;
        run.calls
            .iter()
            .enumerate()
            .map(|(i, call)| {
                if call.board && i < last {
                    date.instant_at(i64::from(call.departs_s), &self.company.zone)
                } else {
                    Some(Instant(0))
                }
            })
            .collect()
    }
}
