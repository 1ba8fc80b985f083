//! Where a bus is: which fixes count, how far it has come, where it called, when it is expected.
//!
//! Fixes come late, doubled, out of order and wrong. [`Fix::is_newer_than`] orders them by the
//! device's own time and count, [`plausible`] refuses what no bus does, [`Track`] follows a trip
//! from stop to stop with hysteresis, and [`expected`] says when the stops ahead are reached.
//! A [`Route`] leads along its road where that is known as a [`Line`], else straight from stop to
//! stop.

mod eta;
mod fix;
mod geo;
mod line;
mod placing;
mod polyline;
mod route;
mod track;

pub use eta::{Call, Expected, blend_leg, expected};
pub use fix::{FIX_AGE_MS_MAX, Fix, Implausible, Source, plausible};
pub use geo::Place;
pub use line::{LINE_M_MAX, LINE_POINTS_MAX, Line, NoLine};
pub use placing::{Misplaced, STOP_OFF_M_MAX};
pub use polyline::{NoPolyline, of_polyline, to_polyline};
pub use route::{Progress, Route};
pub use track::{Seen, Track};

#[cfg(test)]
mod tests;
