//! `shapes.txt`. Nothing in it is ever fatal: without a shape a bus is followed along straight
//! lines, and the timetable is sold all the same.

use std::collections::{BTreeMap, BTreeSet};

use domain::tracking::{LINE_POINTS_MAX, Line, Place};

use crate::gtfs::own::Own;
use crate::gtfs::report::{FileState, Note, Recorder, quote};
use crate::gtfs::source::Source;
use crate::gtfs::table::{FileSpec, Row, Table};
use crate::gtfs::value;

use super::TripRow;

pub(in crate::gtfs) const SHAPES: FileSpec = FileSpec {
    name: "shapes.txt",
    required: &[
        "shape_id",
        "shape_pt_lat",
        "shape_pt_lon",
        "shape_pt_sequence",
    ],
    optional: &["shape_dist_traveled"],
};

/// The longest shape id, in characters.
const SHAPE_ID_CHARS_MAX: usize = 200;
/// The most places that are kept of a shape; what a road needs is a tenth of it.
const KEPT_POINTS_MAX: usize = 20_000;

/// A row that can be used.
struct Point {
    sequence: u32,
    place: Place,
    distance: Option<i64>,
    line: u64,
}

/// A road as the feed draws it.
#[derive(Debug)]
pub(in crate::gtfs) struct Shape {
    /// The line of its first row.
    pub(in crate::gtfs) row: u64,
    /// What tells of the road.
    pub(in crate::gtfs) road: Line,
    /// All of it, and which of its places `road` is made of.
    whole: Line,
    kept: Vec<usize>,
    /// Of each place of `whole`, in millionths of the feed's unit, never falling.
    distances: Option<Vec<i64>>,
}

/// The shapes that trips name, by id.
#[derive(Debug, Default)]
pub(in crate::gtfs) struct Shapes {
    by_id: BTreeMap<String, Shape>,
    /// The file was read.
    there: bool,
}

impl Shapes {
    pub(in crate::gtfs) fn get(&self, id: &str) -> Option<&Shape> {
        self.by_id.get(id)
    }

    /// Whether a trip names a shape that cannot be had.
    pub(in crate::gtfs) fn lacks(&self, id: &str) -> bool {
        self.there && !id.is_empty() && !self.by_id.contains_key(id)
    }
}

impl Shape {
    /// How far along the road a distance of the feed is, in metres.
    pub(in crate::gtfs) fn along_m(&self, distance: i64) -> Option<u32> {
        let distances = self.distances.as_ref()?;
        let (first, last) = (*distances.first()?, *distances.last()?);
        // A thousandth of the whole is how exactly people write.
        let slack = (last - first) / 1_000;
        if distance < first - slack || distance > last + slack {
            return None;
        }
        let distance = distance.clamp(first, last);
        let after = distances.partition_point(|d| *d < distance).max(1);
        let (from, to) = (*distances.get(after - 1)?, *distances.get(after)?);
        let part = if to > from {
            (distance - from) as f64 / (to - from) as f64
        } else {
            0.0
        };
        let at = |index: usize| self.whole.places().nth(index);
        let place = at(after - 1)?.towards(at(after)?, part);
        let piece = self.kept.partition_point(|k| *k < after).saturating_sub(1);
        let along_m = self.road.nearest_on_piece_m(piece, place)?;
        Some(along_m.round() as u32)
    }
}

/// Reads the shapes that are named.
pub(super) fn read(
    source: &mut Source,
    recorder: &mut Recorder,
    trips: &[TripRow],
    own: &Own,
) -> Shapes {
    let table = match Table::optional(source, &SHAPES, recorder) {
        Ok(Some(table)) => table,
        Ok(None) => return Shapes::default(),
        Err(error) => {
            let text = format!("{error}; buses are followed along straight lines");
            let entry = recorder.file(SHAPES.name, FileState::NotRead, 0);
            entry.notes.push(Note::new("shapes_not_read", text));
            return Shapes::default();
        }
    };
    let named = trips.iter().map(|trip| trip.shape_id.as_str());
    let named: BTreeSet<&str> = named
        .chain(own.route_shapes.values().map(String::as_str))
        .collect();
    let mut points: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
    let mut unused: BTreeSet<&str> = BTreeSet::new();
    for row in table.rows() {
        let id = row.get("shape_id");
        if id.is_empty() || id.chars().count() > SHAPE_ID_CHARS_MAX {
            let text = format!(
                "shape_id {} needs 1 to {SHAPE_ID_CHARS_MAX} characters",
                quote(id)
            );
            recorder.refused(SHAPES.name, row.line, Note::new("bad_shape_id", text));
        } else if !named.contains(id) {
            unused.insert(id);
        } else {
            match point(&row, recorder) {
                Ok(point) => points.entry(id).or_default().push(point),
                Err(note) => recorder.refused(SHAPES.name, row.line, note),
            }
        }
    }
    if !unused.is_empty() {
        let text = format!("{} shapes are named by no trip", unused.len());
        recorder.file_note(SHAPES.name, Note::new("shapes_not_named", text));
    }
    let mut shapes = Shapes {
        there: true,
        ..Shapes::default()
    };
    for (id, points) in points {
        let row = points.first().map_or(0, |point| point.line);
        match shape(points, recorder) {
            Ok(shape) => {
                shapes.by_id.insert(id.to_owned(), shape);
            }
            Err(text) => {
                let text = format!("shape {}: {text}", quote(id));
                recorder.refused(SHAPES.name, row, Note::new("bad_shape", text));
            }
        }
    }
    shapes
}

fn point(row: &Row<'_>, recorder: &mut Recorder) -> Result<Point, Note> {
    let (lat, lon) = (row.get("shape_pt_lat"), row.get("shape_pt_lon"));
    let degrees = value::degrees(lat, 90.0).zip(value::degrees(lon, 180.0));
    let place = degrees.and_then(|(lat, lon)| Place::of_degrees(lat, lon));
    // Where the fields of a form are that nobody filled in.
    let place = place.filter(|place| (place.lat_e7(), place.lon_e7()) != (0, 0));
    let place = place.ok_or_else(|| {
        let text = format!(
            "{} {} is no position of a road in degrees",
            quote(lat),
            quote(lon)
        );
        Note::new("bad_position", text)
    })?;
    let text = row.get("shape_pt_sequence");
    let sequence = text.parse().map_err(|_| {
        let text = format!("shape_pt_sequence {} is not a whole number", quote(text));
        Note::new("bad_shape_sequence", text)
    })?;
    let text = row.get("shape_dist_traveled");
    let distance = value::distance(text);
    if distance.is_none() && !text.is_empty() {
        let text = format!(
            "shape_dist_traveled {} is no distance; stops are looked for",
            quote(text)
        );
        let note = Note::new("bad_shape_distance", text);
        recorder.mended(SHAPES.name, row.line, note);
    }
    Ok(Point {
        sequence,
        place,
        distance,
        line: row.line,
    })
}

/// The road of a shape's points, or what is wrong with them.
fn shape(mut points: Vec<Point>, recorder: &mut Recorder) -> Result<Shape, String> {
    let row = points.first().map_or(0, |point| point.line);
    if points.len() > LINE_POINTS_MAX {
        return Err(format!(
            "it has {} points, and {LINE_POINTS_MAX} are the most; leave out what a map does not show",
            points.len()
        ));
    }
    let disorder = points.windows(2).find_map(|pair| match pair {
        [a, b] if b.sequence < a.sequence => Some(b.line),
        _ => None,
    });
    if let Some(line) = disorder {
        let text = "the shape's lines were put in order of shape_pt_sequence";
        recorder.mended(SHAPES.name, line, Note::new("sorted_by_sequence", text));
        points.sort_by_key(|point| point.sequence);
    }
    points.dedup_by(|next, before| {
        if next.sequence != before.sequence {
            return false;
        }
        let note = if next.place == before.place {
            let text = format!("the row repeats line {} and was dropped", before.line);
            recorder.mended(SHAPES.name, next.line, Note::new("duplicate_row", text));
            return true;
        } else {
            let text = format!(
                "shape_pt_sequence {} is on line {} already, which stays",
                next.sequence, before.line
            );
            Note::new("duplicate_sequence", text)
        };
        recorder.refused(SHAPES.name, next.line, note);
        true
    });
    points.dedup_by(|next, before| next.place.to_e5() == before.place.to_e5());
    let places: Vec<Place> = points.iter().map(|point| point.place).collect();
    let whole = Line::new(&places).map_err(|error| error.to_string())?;
    let kept = whole.telling();
    let road = whole.picked(&kept).ok_or("it has no two points")?;
    if kept.len() > KEPT_POINTS_MAX {
        return Err(format!(
            "{} of its points tell of the road, and {KEPT_POINTS_MAX} are the most",
            kept.len()
        ));
    }
    let distances: Option<Vec<i64>> = points.iter().map(|point| point.distance).collect();
    let rises = |d: &Vec<i64>| d.is_sorted() && d.first() < d.last();
    Ok(Shape {
        row,
        road,
        whole,
        kept,
        distances: distances.filter(rises),
    })
}
