//! The roads of a network as `shapes.txt`, and what other files say of them. A network without
//! roads has neither the file nor the columns.

use std::collections::BTreeMap;

use domain::ids::StopCode;
use domain::tracking::Place;

use super::files::{FeedFile, file};
use super::{Group, Network, NetworkShape};
use crate::company::Route;
use crate::gtfs::plan::PatternKey;

/// The roads that the feed's trips and routes drive, by pattern; it is the shape's id too.
pub(super) struct Drawn<'n>(BTreeMap<String, &'n NetworkShape>);

fn pattern_of(route: &str, stops: impl Iterator<Item = String>) -> String {
    let stops: Vec<StopCode> = stops.map(StopCode).collect();
    PatternKey::of(route, &stops).to_string()
}

fn of_group(group: &Group) -> String {
    pattern_of(&group.route, group.calls.iter().map(|call| call.0.clone()))
}

fn of_route(route: &Route) -> String {
    pattern_of(&route.code, route.stops.iter().map(|s| s.stop.clone()))
}

impl<'n> Drawn<'n> {
    pub(super) fn of(network: &'n Network, groups: &[Group]) -> Self {
        if network.shapes.is_empty() {
            return Self(BTreeMap::new());
        }
        let patterns = groups.iter().map(of_group);
        let patterns = patterns.chain(network.routes.iter().map(of_route));
        let drawn = patterns.filter_map(|pattern| {
            let shape = network.shapes.get(&pattern)?;
            Some((pattern, shape))
        });
        Self(drawn.collect())
    }

    /// A column, where there are roads.
    pub(super) fn column(&self, name: &'static str) -> Option<&'static str> {
        (!self.0.is_empty()).then_some(name)
    }

    fn cell(&self, text: impl FnOnce() -> Option<String>) -> Option<String> {
        (!self.0.is_empty()).then(|| text().unwrap_or_default())
    }

    fn id(&self, pattern: String) -> Option<String> {
        self.0.contains_key(&pattern).then_some(pattern)
    }

    /// The shape of a group of trips.
    pub(super) fn trip_cell(&self, group: &Group) -> Option<String> {
        self.cell(|| self.id(of_group(group)))
    }

    /// The shape of a route's own stops.
    pub(super) fn route_cell(&self, route: &Route) -> Option<String> {
        self.cell(|| self.id(of_route(route)))
    }

    /// How far along its shape a call is, counted from 1.
    pub(super) fn call_cell(&self, group: &Group, no: u32) -> Option<String> {
        self.cell(|| {
            let shape = self.0.get(&of_group(group))?;
            let along_m = *shape.stops_along_m.get(no.checked_sub(1)? as usize)?;
            Some(along_m?.to_string())
        })
    }

    /// `shapes.txt`, distances in metres.
    pub(super) fn file(&self) -> Option<FeedFile> {
        let degrees = |e7: i32| format!("{:.5}", f64::from(e7) / 1e7);
        let row = |id: &String, no: u32, place: Place, along_m: f64| {
            [
                id.clone(),
                degrees(place.lat_e7()),
                degrees(place.lon_e7()),
                no.to_string(),
                format!("{along_m:.3}"),
            ]
        };
        let rows = self.0.iter().flat_map(|(id, shape)| {
            let points = shape.line.places().zip(shape.line.alongs_m());
            (1_u32..)
                .zip(points)
                .map(move |(no, (place, along_m))| row(id, no, place, along_m))
        });
        let columns = [
            "shape_id",
            "shape_pt_lat",
            "shape_pt_lon",
            "shape_pt_sequence",
            "shape_dist_traveled",
        ];
        (!self.0.is_empty()).then(|| file("shapes.txt", &columns, rows))
    }
}
