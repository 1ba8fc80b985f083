//! Routes: a name, the seats and fares of its trips, and its stops with their run times.

use std::collections::BTreeSet;

use domain::time::Instant;
use domain::trip::LEGS_MAX;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::db;
use super::records::{Record, Use};
use super::rules;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The longest run, in seconds.
const RUN_S_MAX: i32 = 240 * 3600;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "LUN-KIT", "name": "Lusaka - Kitwe", "short_name": "LUN-KIT",
    "layout": "COACH-49", "fare_table": "LUN-KIT", "colour": "C8102E", "gtfs_type": 3,
    "stops": [{"stop": "LUN", "arrives_s": 0, "departs_s": 0, "board": true},
              {"stop": "KAB", "arrives_s": 8400, "departs_s": 8700, "board": true},
              {"stop": "KIT", "arrives_s": 18000, "departs_s": 18000, "board": false}]}))]
pub struct Route {
    /// Its code, 1 to 64 characters; never changes.
    #[schema(max_length = 64)]
    pub code: String,
    /// Its name for people.
    #[schema(max_length = 120)]
    pub name: String,
    /// What stands on the bus and the ticket; the code when left out.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub short_name: String,
    /// The seats of its trips: the newest version of this layout.
    #[schema(max_length = 64)]
    pub layout: String,
    /// The fares of its trips; the table of its own code when left out. One that is not there yet
    /// begins empty.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub fare_table: String,
    /// Six hexadecimal digits.
    #[serde(default)]
    #[schema(max_length = 7)]
    pub colour: Option<String>,
    /// The GTFS route type.
    #[serde(default = "bus_type")]
    #[schema(minimum = 0, maximum = 1702)]
    pub gtfs_type: u16,
    /// Its stops in order, none or 2 to 65. Schedules are made of them.
    #[serde(default)]
    #[schema(max_items = 65)]
    pub stops: Vec<RouteStop>,
}

const fn bus_type() -> u16 {
    3
}

/// A stop of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteStop {
    /// The stop's code.
    #[schema(max_length = 64)]
    pub stop: String,
    /// Seconds from the departure at the first stop to the arrival here.
    #[schema(minimum = 0, maximum = 864_000)]
    pub arrives_s: i32,
    /// Seconds from the departure at the first stop to the departure here.
    #[schema(minimum = 0, maximum = 864_000)]
    pub departs_s: i32,
    /// Whether passengers may get on.
    #[serde(default = "yes")]
    pub board: bool,
}

const fn yes() -> bool {
    true
}

/// Which routes.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteFilter {
    /// Code or name has this in it.
    pub(crate) text: Option<String>,
    /// That call at a stop.
    pub(crate) stop: Option<String>,
    /// Of one layout.
    pub(crate) layout: Option<String>,
}

/// What is wrong with a route's stops; `None` when nothing is.
pub(crate) fn stops_fault(stops: &[RouteStop]) -> Option<Fault> {
    let fault = |wrong: String, remedy: &str| Some(Fault::new("stops", wrong, remedy));
    if stops.is_empty() {
        return None;
    }
    if stops.len() < 2 || stops.len() > usize::from(LEGS_MAX) + 1 {
        let wrong = format!("there are {} stops", stops.len());
        return fault(wrong, "a route has none yet, or 2 to 65");
    }
    if stops
        .first()
        .is_some_and(|s| s.departs_s != 0 || s.arrives_s != 0)
    {
        let remedy = "run times count from the departure at the first stop: write 0 there";
        return fault("the first stop's times are not 0".to_owned(), remedy);
    }
    let mut seen = BTreeSet::new();
    let mut latest = 0;
    for stop in stops {
        if !seen.insert(&stop.stop) {
            let remedy = "a route calls at a stop once; make two routes of it";
            return fault(format!("the stop {:?} stands twice", stop.stop), remedy);
        }
        if stop.arrives_s < latest || stop.departs_s < stop.arrives_s {
            let wrong = format!("at {:?} the time runs backwards", stop.stop);
            return fault(
                wrong,
                "no stop is reached before the one ahead of it is left",
            );
        }
        latest = stop.departs_s;
    }
    if latest > RUN_S_MAX {
        return fault("the run takes more than ten days".to_owned(), "shorten it");
    }
    let boards = stops.iter().rev().skip(1).any(|s| s.board);
    if !boards {
        let wrong = "nobody may get on anywhere before the last stop".to_owned();
        return fault(wrong, "let passengers board at one stop at least");
    }
    None
}

impl Record for Route {
    const KIND: &'static str = "route";
    type Filter = RouteFilter;

    fn key(&self) -> String {
        self.code.clone()
    }

    fn checked(self) -> Result<Self, Fault> {
        let code = rules::code("code", &self.code)?;
        let or_code = |field: &str, value: &str| {
            let value = rules::text(field, value, rules::CODE_CHARS_MAX)?;
            Ok(if value.is_empty() {
                code.clone()
            } else {
                value
            })
        };
        if self.gtfs_type > 1702 {
            let remedy = "write 3 for a bus, 200 for a coach, or another type of GTFS";
            return Err(Fault::new("gtfs_type", "there is no such type", remedy));
        }
        let mut stops = self.stops;
        for stop in &mut stops {
            stop.stop = rules::code("stops", &stop.stop)?;
        }
        if let Some(fault) = stops_fault(&stops) {
            return Err(fault);
        }
        Ok(Self {
            name: rules::name("name", &self.name, rules::NAME_CHARS_MAX)?,
            short_name: or_code("short_name", &self.short_name)?,
            layout: rules::code("layout", &self.layout)?,
            fare_table: or_code("fare_table", &self.fare_table)?,
            colour: match self.colour.as_deref().map(str::trim) {
                None | Some("") => None,
                Some(colour) => Some(rules::colour("colour", colour)?),
            },
            gtfs_type: self.gtfs_type,
            stops,
            code,
        })
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &RouteFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        db::routes::list(tx, filter, after, limit).await
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        db::routes::lock(tx, key).await
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        if let Some(fault) = db::layouts::missing(tx, "layout", &self.layout).await? {
            return Ok(Some(fault));
        }
        let codes: Vec<String> = self.stops.iter().map(|s| s.stop.clone()).collect();
        db::stops::any_missing(tx, "stops", &codes).await
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        db::routes::insert(tx, self).await?;
        super::fares::ensure_table(tx, &self.fare_table).await
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        let version = db::routes::update(tx, self).await?;
        super::fares::ensure_table(tx, &self.fare_table).await?;
        Ok(version)
    }

    async fn uses(tx: &mut TenantTx, key: &str, now: Instant) -> Result<Vec<Use>, DbError> {
        db::routes::uses(tx, key, now).await
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        db::routes::delete(tx, key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(code: &str, arrives_s: i32, departs_s: i32) -> RouteStop {
        RouteStop {
            stop: code.to_owned(),
            arrives_s,
            departs_s,
            board: true,
        }
    }

    #[test]
    fn a_route_runs_forward_from_zero_and_calls_at_each_stop_once() {
        let good = vec![stop("A", 0, 0), stop("B", 60, 90), stop("C", 90, 90)];
        assert_eq!(stops_fault(&good), None);
        assert_eq!(stops_fault(&[]), None);
        let mut closed = good.clone();
        closed[0].board = false;
        closed[1].board = false;
        for bad in [
            vec![stop("A", 0, 0)],
            vec![stop("A", 0, 60), stop("B", 60, 90)],
            vec![stop("A", 0, 0), stop("A", 60, 90)],
            vec![stop("A", 0, 0), stop("B", 90, 60)],
            vec![stop("A", 0, 0), stop("B", 60, 90), stop("C", 80, 90)],
            vec![stop("A", 0, 0), stop("B", RUN_S_MAX + 1, RUN_S_MAX + 1)],
            (0..66).map(|n| stop(&n.to_string(), n, n)).collect(),
            closed,
        ] {
            assert!(stops_fault(&bad).is_some(), "{bad:?}");
        }
    }
}
