//! Fares by stop pair and passenger class, resolved from zones and rules.

use std::collections::{BTreeSet, HashMap};

use domain::fare::{FareRow, FareTable};
use domain::ids::StopCode;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;

use super::feed::Feed;

/// The conditions of a GTFS fare; `None` holds everywhere.
type Rule<'f> = (Option<&'f str>, Option<&'f str>, Option<&'f str>);

/// The feed's prices laid out for look-up.
pub(super) struct Prices<'f> {
    feed: &'f Feed,
    /// The lowest price under each set of conditions (route, origin, destination).
    general: HashMap<Rule<'f>, Minor>,
}

impl<'f> Prices<'f> {
    pub(super) fn of(feed: &'f Feed) -> Self {
        let mut general = HashMap::new();
        for fare in &feed.fares.general {
            let rule = (
                fare.route_id.as_deref(),
                fare.from_zone.as_deref(),
                fare.to_zone.as_deref(),
            );
            let lowest = general.entry(rule).or_insert(fare.price);
            *lowest = (*lowest).min(fare.price);
        }
        Self { feed, general }
    }

    /// What a class pays between two stops of a route. A price of its own in the extension file
    /// comes first, then the adult's there, then the lowest GTFS fare that holds.
    pub(super) fn price(
        &self,
        route_id: &str,
        from: &StopCode,
        to: &StopCode,
        class: PassengerClass,
    ) -> Option<Minor> {
        let from = self.feed.stops.get(&from.0)?.fare_zone.as_str();
        let to = self.feed.stops.get(&to.0)?.fare_zone.as_str();
        let classed = |class| {
            let key = (from.to_owned(), to.to_owned(), class);
            self.feed.fares.classed.get(&key).copied()
        };
        classed(class)
            .or_else(|| classed(PassengerClass::Adult))
            .or_else(|| self.general(route_id, from, to))
    }

    fn general(&self, route_id: &str, from: &str, to: &str) -> Option<Minor> {
        let both = |value| [None, Some(value)];
        both(route_id)
            .into_iter()
            .flat_map(|r| both(from).map(|f| (r, f)))
            .flat_map(|(r, f)| both(to).map(|t| (r, f, t)))
            .filter_map(|rule| self.general.get(&rule).copied())
            .min()
    }

    /// The fare table of one route: every pair of stops that a pattern serves in that order.
    pub(super) fn table<'p>(
        &self,
        route_id: &str,
        patterns: impl Iterator<Item = &'p [StopCode]>,
        currency: Currency,
    ) -> FareTable {
        let mut pairs: BTreeSet<(&StopCode, &StopCode)> = BTreeSet::new();
        for stops in patterns {
            for (i, from) in stops.iter().enumerate() {
                pairs.extend(
                    stops[i + 1..]
                        .iter()
                        .filter(|to| *to != from)
                        .map(|to| (from, to)),
                );
            }
        }
        let mut rows = Vec::new();
        for (from, to) in pairs {
            for class in PassengerClass::ALL {
                if let Some(fare_minor) = self.price(route_id, from, to, class) {
                    rows.push(FareRow {
                        from: from.clone(),
                        to: to.clone(),
                        class,
                        fare_minor,
                    });
                }
            }
        }
        FareTable {
            id: route_id.to_owned(),
            currency,
            rows,
        }
    }
}
