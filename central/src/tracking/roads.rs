//! The ways of trips with the roads that they lead along, read once per stop sequence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use domain::ids::{CompanyId, StopCode};
use domain::tracking::{Line, Place, Route, of_polyline};

use super::db;
use super::tracker::locked;
use crate::db::DbError;
use crate::gtfs::PatternKey;
use crate::tenant::TenantTx;

/// So many places of roads are held at most, 16 bytes each.
const POINTS_MAX: usize = 2_000_000;

type Key = (CompanyId, String);

#[derive(Debug)]
struct Held {
    version: i32,
    /// Where the stops were when they were placed on the road.
    stops: Vec<Option<Place>>,
    way: Arc<Route>,
    used: u64,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<Key, Held>,
    points: usize,
    uses: u64,
}

/// What this process holds of them.
#[derive(Debug, Default)]
pub(super) struct Roads(Mutex<Inner>);

fn points(way: &Route) -> usize {
    way.road().map_or(0, Line::point_count) + way.stop_count()
}

impl Roads {
    fn find(&self, key: &Key, version: i32, stops: &[Option<Place>]) -> Option<Arc<Route>> {
        let mut inner = locked(&self.0);
        inner.uses += 1;
        let used = inner.uses;
        let held = inner.held.get_mut(key)?;
        if held.version != version || held.stops != stops {
            return None;
        }
        held.used = used;
        Some(Arc::clone(&held.way))
    }

    fn hold(&self, key: Key, version: i32, stops: Vec<Option<Place>>, way: &Arc<Route>) {
        let mut inner = locked(&self.0);
        inner.uses += 1;
        let held = Held {
            version,
            stops,
            way: Arc::clone(way),
            used: inner.uses,
        };
        inner.points += points(way);
        if let Some(before) = inner.held.insert(key, held) {
            inner.points -= points(&before.way);
        }
        while inner.points > POINTS_MAX {
            let oldest = inner.held.iter().min_by_key(|(_, held)| held.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some(gone) = inner.held.remove(&key) {
                inner.points -= points(&gone.way);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        locked(&self.0).held.len()
    }
}

/// The stops of a trip: its route, their codes, their places.
pub(super) type Wanted<'t> = (&'t str, Vec<StopCode>, Vec<Option<Place>>);

/// The way of each trip: along its road where one is known and leads by its stops, else straight.
pub(super) async fn ways(
    tx: &mut TenantTx,
    roads: &Roads,
    trips: Vec<Wanted<'_>>,
) -> Result<Vec<Arc<Route>>, DbError> {
    let keys: Vec<String> = trips
        .iter()
        .map(|(route, codes, _)| PatternKey::of(route, codes).to_string())
        .collect();
    let versions = db::road_versions(tx, &keys).await?;
    let company = tx.company();
    let (mut ways, mut missing) = (vec![], BTreeSet::new());
    for (key, (_, _, places)) in keys.iter().zip(&trips) {
        let way = match versions.get(key) {
            None => Some(Arc::new(Route::new(places))),
            Some(version) => roads.find(&(company, key.clone()), *version, places),
        };
        if way.is_none() {
            missing.insert(key.clone());
        }
        ways.push(way);
    }
    let missing: Vec<String> = missing.into_iter().collect();
    let read = if missing.is_empty() {
        BTreeMap::new()
    } else {
        db::roads(tx, &missing).await?
    };
    let all = ways.into_iter().zip(keys).zip(trips);
    let all = all.map(|((way, key), (_, _, places))| {
        if let Some(way) = way {
            return way;
        }
        let Some((version, line, alongs)) = read.get(&key) else {
            return Arc::new(Route::new(&places));
        };
        let way = Arc::new(along(line, alongs, &places));
        roads.hold((company, key), *version, places, &way);
        way
    });
    Ok(all.collect())
}

/// Along a road, unless its stops were moved away from it.
fn along(line: &str, alongs: &[Option<u32>], stops: &[Option<Place>]) -> Route {
    let line = of_polyline(line).ok().and_then(|p| Line::new(&p).ok());
    let way = line.and_then(|line| Route::along(&line, stops, alongs).ok());
    way.unwrap_or_else(|| Route::new(stops))
}
