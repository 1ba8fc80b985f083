//! What is shown of a trip on its way. Nobody on board is named.

use domain::time::Instant;
use domain::tracking::{Expected, Track, expected};
use serde::Serialize;
use utoipa::ToSchema;

use super::db::SeenCall;
use super::known::Facts;

/// A stop of a trip on its way.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TrackedStopView, example = json!({"place": 1, "code": "KAF", "name": "Kafue",
    "arrives_at": "2026-11-23T05:00:00Z", "departs_at": "2026-11-23T05:10:00Z",
    "expected_at": "2026-11-23T05:12:30Z", "expected_to_leave_at": "2026-11-23T05:22:30Z"}))]
pub struct StopView {
    /// Its place on the trip, from 0.
    place: usize,
    /// Its code.
    code: String,
    /// For people.
    name: String,
    /// By the timetable, RFC 3339 UTC.
    arrives_at: String,
    /// By the timetable, RFC 3339 UTC.
    departs_at: String,
    /// When the bus came, as its fixes show, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_at: Option<String>,
    /// When it left, as its fixes show, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_at: Option<String>,
    /// When the bus is expected, RFC 3339 UTC; of stops that it has not left.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_at: Option<String>,
    /// When it is expected to leave, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_to_leave_at: Option<String>,
}

/// Where a bus is.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"age_ms": 850, "trip": 4711, "state": "departed", "delay_ms": 0,
    "position": {"at": "2026-11-23T04:31:07Z", "lat": -15.61, "lon": 28.18, "speed_kmh": 78.1,
        "bearing_deg": 187, "accuracy_m": 6, "source": "receiver"},
    "along_m": 24_100, "length_m": 478_200, "off_route": false, "next": 1, "there": false,
    "stops": [{"place": 1, "code": "KAF", "name": "Kafue", "arrives_at": "2026-11-23T05:00:00Z",
        "departs_at": "2026-11-23T05:10:00Z", "expected_at": "2026-11-23T05:12:30Z",
        "expected_to_leave_at": "2026-11-23T05:22:30Z"}]}))]
pub struct PositionView {
    /// How old the position is, in ms; null without one.
    age_ms: Option<i64>,
    #[serde(flatten)]
    on_way: OnWay,
}

/// The rest of it, which does not age.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct OnWay {
    /// The trip's number.
    trip: u64,
    /// `boarding` or `departed`.
    state: &'static str,
    /// How late the company says it is, in ms.
    delay_ms: i64,
    /// Where the bus was last; null before its first fix.
    position: Option<FixView>,
    /// How far along its route, in metres.
    along_m: u32,
    /// How long its route is, in metres.
    length_m: u32,
    /// Whether it has left its road, by several fixes; absent where its road is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    off_route: Option<bool>,
    /// The place of the first stop that it has not left.
    next: u8,
    /// Whether it is there.
    there: bool,
    /// The stops; in a stream only those ahead.
    stops: Vec<StopView>,
    /// Where it was before, the newest first: latitude, longitude, ms since 1970.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<f64>>)]
    trail: Vec<(f64, f64, i64)>,
}

/// A fix.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"at": "2026-11-23T04:31:07Z", "lat": -15.61, "lon": 28.18,
    "speed_kmh": 78.1, "bearing_deg": 187, "accuracy_m": 6, "source": "receiver"}))]
pub struct FixView {
    /// By the device's clock, RFC 3339 UTC.
    at: String,
    /// Degrees north.
    lat: f64,
    /// Degrees east.
    lon: f64,
    /// Over the ground.
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_kmh: Option<f64>,
    /// Clockwise from north.
    #[serde(skip_serializing_if = "Option::is_none")]
    bearing_deg: Option<u16>,
    /// The true place is within so many metres, mostly.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy_m: Option<u16>,
    /// `receiver`, `phone` or `simulated`.
    source: &'static str,
}

fn fix_view(track: &Track) -> Option<FixView> {
    let fix = track.newest()?;
    let place = fix.place()?;
    let kmh = |cm_s: u16| (f64::from(cm_s) * 0.36).round() / 10.0;
    Some(FixView {
        at: fix.at.to_string(),
        lat: place.lat(),
        lon: place.lon(),
        speed_kmh: fix.speed_cm_s.map(kmh),
        bearing_deg: fix.bearing_deg,
        accuracy_m: fix.accuracy_m,
        source: fix.source.as_str(),
    })
}

fn on_way(facts: &Facts, track: &Track, now: Instant) -> OnWay {
    let ahead = ahead(facts, track, now);
    let stops = ahead.iter().filter_map(|told| {
        let place = usize::from(told.stop.0);
        let stop = facts.stops.get(place)?;
        Some(StopView {
            place,
            code: stop.code.0.clone(),
            name: stop.name.clone(),
            arrives_at: stop.arrives.to_string(),
            departs_at: stop.departs.to_string(),
            arrived_at: None,
            left_at: None,
            expected_at: Some(told.arrives.to_string()),
            expected_to_leave_at: Some(told.departs.to_string()),
        })
    });
    OnWay {
        trip: facts.trip.0,
        state: facts.state.as_str(),
        delay_ms: facts.delay_ms,
        position: fix_view(track),
        along_m: track.along_m(),
        length_m: facts.route.length_m().round() as u32,
        off_route: track.is_off_route(&facts.route),
        next: track.next().0,
        there: track.there_since().is_some(),
        stops: stops.collect(),
        trail: vec![],
    }
}

/// The stops ahead with when they are reached.
pub(super) fn ahead(facts: &Facts, track: &Track, now: Instant) -> Vec<Expected> {
    let along = (track, facts.route.as_ref());
    expected(&facts.calls(), &facts.legs_ms, along, facts.delay_ms, now)
}

fn age_ms(track: &Track, now: Instant) -> Option<i64> {
    track.newest().map(|fix| (now.0 - fix.at.0).max(0))
}

impl PositionView {
    /// With every stop as it was seen, and the way that the bus came.
    pub(super) fn whole(
        facts: &Facts,
        track: &Track,
        seen: &std::collections::BTreeMap<u8, SeenCall>,
        trail: &[domain::tracking::Fix],
        now: Instant,
    ) -> Self {
        let mut on_way = on_way(facts, track, now);
        let ahead = std::mem::take(&mut on_way.stops);
        let stops = facts.stops.iter().enumerate().map(|(place, stop)| {
            let told = ahead.iter().find(|view| view.place == place);
            let call = u8::try_from(place).ok().and_then(|seq| seen.get(&seq));
            let call = call.copied().unwrap_or_default();
            StopView {
                place,
                code: stop.code.0.clone(),
                name: stop.name.clone(),
                arrives_at: stop.arrives.to_string(),
                departs_at: stop.departs.to_string(),
                arrived_at: call.arrived_at.map(|at| at.to_string()),
                left_at: call.left_at.map(|at| at.to_string()),
                expected_at: told.and_then(|view| view.expected_at.clone()),
                expected_to_leave_at: told.and_then(|view| view.expected_to_leave_at.clone()),
            }
        });
        on_way.stops = stops.collect();
        let trail = trail.iter().filter_map(|fix| {
            let place = fix.place()?;
            Some((place.lat(), place.lon(), fix.at.0))
        });
        on_way.trail = trail.collect();
        Self {
            age_ms: age_ms(track, now),
            on_way,
        }
    }
}

/// What all listeners of a trip are told: written once, aged for each.
#[derive(Debug)]
pub(super) struct Told {
    at: Instant,
    seq: u64,
    /// The JSON behind its first brace.
    rest: String,
}

impl Told {
    pub(super) fn new(facts: &Facts, track: &Track, heard_at: Instant) -> Self {
        let on_way = on_way(facts, track, heard_at);
        let rest = serde_json::to_string(&on_way).unwrap_or_default();
        let newest = track.newest();
        Self {
            at: newest.map_or(Instant(0), |fix| fix.at),
            seq: newest.map_or(0, |fix| fix.seq),
            rest: rest.strip_prefix('{').unwrap_or("}").to_owned(),
        }
    }

    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        (self.at, self.seq) > (other.at, other.seq)
    }

    /// By which a listener knows a repetition.
    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.at.0, self.seq)
    }

    /// The whole, with its age at this moment.
    pub(super) fn json(&self, now: Instant) -> String {
        let age_ms = (now.0 - self.at.0).max(0);
        format!("{{\"age_ms\":{age_ms},{}", self.rest)
    }
}
