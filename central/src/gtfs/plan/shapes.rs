//! Which shape is the road of a pattern.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use domain::ids::StopCode;
use domain::tracking::{Place, Route, to_polyline};

use crate::gtfs::feed::{Feed, Shape, TripRow};
use crate::gtfs::report::{Note, Recorder, quote};

use super::{PatternKey, PlanPattern, PlanShape};

const FILE: &str = "shapes.txt";

/// The shapes that the trips of each pattern name.
#[derive(Default)]
pub(super) struct Votes(BTreeMap<PatternKey, BTreeMap<String, Vote>>);

struct Vote {
    trips: usize,
    /// The trip that the distances are of: the first by its id, whatever the order of the file.
    trip_id: String,
    /// How far along each stop is, in millionths of the feed's unit.
    distances: Vec<Option<i64>>,
}

impl Votes {
    pub(super) fn add(&mut self, key: PatternKey, trip: &TripRow, distances: Vec<Option<i64>>) {
        if trip.shape_id.is_empty() {
            return;
        }
        let votes = self.0.entry(key).or_default();
        let vote = votes.entry(trip.shape_id.clone()).or_insert_with(|| Vote {
            trips: 0,
            trip_id: trip.id.clone(),
            distances: distances.clone(),
        });
        vote.trips += 1;
        if trip.id < vote.trip_id {
            vote.trip_id.clone_from(&trip.id);
            vote.distances = distances;
        }
    }

    /// Gives each pattern the shape that most of its trips name and that leads along its stops.
    pub(super) fn settle(
        mut self,
        feed: &Feed,
        patterns: &BTreeMap<PatternKey, PlanPattern>,
        recorder: &mut Recorder,
    ) -> Vec<PlanShape> {
        let mut stops: BTreeMap<PatternKey, (&str, Vec<StopCode>)> = patterns
            .iter()
            .map(|(key, pattern)| (*key, (pattern.route_id.as_str(), pattern.stops.clone())))
            .collect();
        for (route, shape) in &feed.own.route_shapes {
            let Some(own) = feed.own.route_stops.get(route) else {
                continue;
            };
            let own: Vec<StopCode> = own.iter().map(|s| StopCode(s.stop.clone())).collect();
            let key = PatternKey::of(route, &own);
            self.0.entry(key).or_insert_with(|| {
                let vote = Vote {
                    trips: 0,
                    trip_id: String::new(),
                    distances: vec![],
                };
                [(shape.clone(), vote)].into()
            });
            stops.entry(key).or_insert((route.as_str(), own));
        }
        let mut outvoted = 0;
        let mut shapes = vec![];
        for (key, votes) in self.0 {
            let Some((route, stops)) = stops.get(&key) else {
                continue;
            };
            let mut by_votes: Vec<(String, Vote)> = votes.into_iter().collect();
            by_votes.sort_by_key(|(id, vote)| (Reverse(vote.trips), id.clone()));
            let all: usize = by_votes.iter().map(|(_, vote)| vote.trips).sum();
            let fits = by_votes.into_iter().find_map(|(id, vote)| {
                let shape = feed.shapes.get(&id)?;
                let placed = placed(feed, (route, stops), shape, &vote);
                let alongs = match placed {
                    Ok(alongs) => alongs,
                    Err(note) => {
                        recorder.refused(FILE, shape.row, note);
                        return None;
                    }
                };
                Some((vote.trips, shape, alongs))
            });
            if let Some((trips, shape, stops_along_m)) = fits {
                outvoted += all - trips;
                shapes.push(PlanShape {
                    pattern: key,
                    route_id: (*route).to_owned(),
                    line: to_polyline(shape.road.places()),
                    stops_along_m,
                });
            }
        }
        if outvoted > 0 {
            let text = format!(
                "{outvoted} trips name another shape than most trips of their stops, and are followed along that one"
            );
            recorder.file_note(FILE, Note::new("other_shape", text));
        }
        shapes
    }
}

fn placed(
    feed: &Feed,
    (route, stops): (&str, &[StopCode]),
    shape: &Shape,
    vote: &Vote,
) -> Result<Vec<Option<u32>>, Note> {
    let place = |code: &StopCode| {
        let (lat, lon) = feed.stops.get(&code.0)?.position?;
        Place::of_degrees(lat, lon)
    };
    let places: Vec<Option<Place>> = stops.iter().map(place).collect();
    let stated: Vec<Option<u32>> = vote
        .distances
        .iter()
        .map(|distance| shape.along_m((*distance)?))
        .collect();
    // Distances that do not rise with the stops are none.
    let known: Vec<u32> = stated.iter().copied().flatten().collect();
    let rises = known.windows(2).all(|pair| pair.first() < pair.last());
    let stated = if rises { stated.as_slice() } else { &[] };
    Route::stops_along_m(&shape.road, &places, stated).map_err(|error| {
        let stop = error.stop().and_then(|stop| stops.get(stop));
        let stop = stop.map_or(String::new(), |code| format!(", stop {}", quote(&code.0)));
        let text = format!(
            "it is not the road of route {}{stop}: {error}",
            quote(route)
        );
        Note::new("not_its_shape", text)
    })
}
