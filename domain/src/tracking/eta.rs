//! When the stops ahead are reached.

use crate::ids::StopSeq;
use crate::time::Instant;

use super::route::Route;
use super::track::Track;

/// So many past drives count at most: an old one is forgotten slowly.
const DRIVES_MAX: u32 = 20;
/// A leg that took longer broke down, and says nothing of the next one; in ms.
const LEG_MS_MAX: i64 = 24 * 3_600_000;

/// A stop by the timetable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When the bus comes.
    pub arrives: Instant,
    /// When it leaves, never earlier.
    pub departs: Instant,
}

/// A stop ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Which.
    pub stop: StopSeq,
    /// When the bus comes, or came if it is there.
    pub arrives: Instant,
    /// When it leaves.
    pub departs: Instant,
}

/// When the stops that a bus has not left are reached and left, in order and never going back.
///
/// `legs_ms` is how long legs took lately, where that is known; the timetable says it otherwise.
/// `delay_ms` is what the company announced, and counts until the bus shows where it is. A bus
/// that is early waits for its time.
pub fn expected(
    calls: &[Call],
    legs_ms: &[Option<i64>],
    (track, route): (&Track, &Route),
    delay_ms: i64,
    now: Instant,
) -> Vec<Expected> {
    let first = usize::from(track.next().0);
    let mut told: Vec<Expected> = Vec::with_capacity(calls.len().saturating_sub(first));
    let mut before: Option<Instant> = None;
    for (index, call) in calls.iter().enumerate().skip(first) {
        let there = track.there_since().filter(|_| index == first);
        let by_table = call.arrives.plus_ms(delay_ms);
        let arrives = match (before, there) {
            (_, Some(since)) => since,
            (Some(left), None) => left.plus_ms(leg_ms(calls, legs_ms, index - 1)),
            (None, None) => match approaching(calls, legs_ms, (track, route), index) {
                Some(at) => at.max(now),
                None if track.newest().is_some() => by_table.max(now),
                None => by_table,
            },
        };
        let dwell_ms = (call.departs.0 - call.arrives.0).max(0);
        let announced = if index == 0 { delay_ms.max(0) } else { 0 };
        let earliest = call.departs.plus_ms(announced);
        let departs = if there.is_some() {
            earliest.max(now)
        } else {
            earliest.max(arrives.plus_ms(dwell_ms))
        };
        let departs = departs.max(arrives);
        let stop = StopSeq(u8::try_from(index).unwrap_or(u8::MAX));
        told.push(Expected {
            stop,
            arrives,
            departs,
        });
        before = Some(departs);
    }
    told
}

/// How long the leg after a stop takes, in ms.
fn leg_ms(calls: &[Call], legs_ms: &[Option<i64>], from: usize) -> i64 {
    let lately = legs_ms.get(from).copied().flatten();
    let by_table = || match (calls.get(from), calls.get(from + 1)) {
        (Some(a), Some(b)) => b.arrives.0 - a.departs.0,
        _ => 0,
    };
    lately.unwrap_or_else(by_table).clamp(0, LEG_MS_MAX)
}

/// When a bus under way reaches the stop before it, by how much of the leg is left.
fn approaching(
    calls: &[Call],
    legs_ms: &[Option<i64>],
    (track, route): (&Track, &Route),
    index: usize,
) -> Option<Instant> {
    let newest = track.newest()?;
    let from = index.checked_sub(1)?;
    let along = |stop: usize| route.along_m(StopSeq(u8::try_from(stop).ok()?));
    let (start, end) = (f64::from(along(from)?), f64::from(along(index)?));
    if end <= start {
        return None;
    }
    let left = ((end - f64::from(track.along_m())) / (end - start)).clamp(0.0, 1.0);
    let ms = left * leg_ms(calls, legs_ms, from) as f64;
    Some(newest.at.plus_ms(ms.round() as i64))
}

/// The mean time of a leg after one more drive, and how many drives it is of; what no bus drives
/// changes nothing.
pub fn blend_leg(mean_ms: i64, drives: u32, took_ms: i64) -> (i64, u32) {
    if !(1..=LEG_MS_MAX).contains(&took_ms) {
        return (mean_ms, drives);
    }
    let counted = i64::from(drives.min(DRIVES_MAX - 1));
    let mean = (mean_ms * counted + took_ms) / (counted + 1);
    (mean, drives.saturating_add(1).min(DRIVES_MAX))
}
