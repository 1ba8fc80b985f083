mod road;

use proptest::prelude::*;

use super::*;
use crate::codec::{from_cbor, to_cbor};
use crate::ids::{StopSeq, TripId};
use crate::time::Instant;

const NOW: Instant = Instant(1_800_000_000_000);
/// Ten-millionths of a degree of latitude in a metre, nearly.
const E7_PER_M: f64 = 90.0;

/// Stops on a meridian, so many metres apart.
fn line(gaps_m: &[i32]) -> Route {
    let mut north = -150_000_000;
    let mut stops = vec![Place::new(north, 280_000_000)];
    for gap in gaps_m {
        north += (f64::from(*gap) * E7_PER_M) as i32;
        stops.push(Place::new(north, 280_000_000));
    }
    Route::new(&stops)
}

fn fix(seq: u64, secs: i64, north_m: f64) -> Fix {
    Fix {
        trip: TripId(7),
        seq,
        at: NOW.plus_ms(secs * 1_000),
        lat_e7: -150_000_000 + (north_m * E7_PER_M) as i32,
        lon_e7: 280_000_000,
        speed_cm_s: Some(2_000),
        bearing_deg: None,
        accuracy_m: Some(5),
        source: Source::Receiver,
    }
}

/// Drives along the line at 20 m/s and says what was seen.
fn drive(route: &Route, from_m: f64, to_m: f64) -> (Track, Vec<Seen>) {
    let (mut track, mut seen) = (Track::default(), vec![]);
    let steps = ((to_m - from_m) / 20.0) as u64;
    for step in 0..=steps {
        let at = fix(step, step as i64, from_m + step as f64 * 20.0);
        seen.extend(track.observe(route, &at));
    }
    (track, seen)
}

#[test]
fn a_drive_arrives_and_leaves_once_per_stop_in_order() {
    let route = line(&[5_000, 7_000]);
    let (track, seen) = drive(&route, 0.0, 12_000.0);
    let stops: Vec<(bool, u8)> = seen
        .iter()
        .map(|s| match s {
            Seen::Arrived { stop, .. } => (true, stop.0),
            Seen::Left { stop, .. } => (false, stop.0),
        })
        .collect();
    let whole = [(true, 0), (false, 0), (true, 1), (false, 1), (true, 2)];
    assert_eq!(stops, whole);
    assert!((11_900..=12_100).contains(&track.along_m()), "{track:?}");
}

#[test]
fn a_receiver_that_trembles_between_the_rings_neither_leaves_nor_arrives_again() {
    let route = line(&[5_000, 7_000]);
    let (mut track, seen) = drive(&route, 4_000.0, 5_000.0);
    assert!(matches!(seen.last(), Some(Seen::Arrived { stop, .. }) if stop.0 == 1));
    for n in 0..200 {
        let off = if n % 2 == 0 { 160.0 } else { 290.0 };
        let again = track.observe(&route, &fix(1_000 + n, 1_000 + n as i64, 5_000.0 + off));
        assert_eq!(again, None, "at {off} m");
    }
    // One fix that is far away is not believed; two are.
    assert_eq!(track.observe(&route, &fix(2_000, 2_000, 5_400.0)), None);
    assert_eq!(track.observe(&route, &fix(2_001, 2_001, 5_000.0)), None);
    assert_eq!(track.observe(&route, &fix(2_002, 2_002, 5_420.0)), None);
    let left = track.observe(&route, &fix(2_003, 2_003, 5_440.0));
    let at = NOW.plus_ms(2_002_000);
    assert_eq!(
        left,
        Some(Seen::Left {
            stop: StopSeq(1),
            at
        })
    );
}

#[test]
fn a_bus_that_is_first_seen_on_its_way_has_passed_what_lies_behind() {
    let route = line(&[5_000, 7_000, 9_000]);
    let (track, seen) = drive(&route, 6_000.0, 8_000.0);
    assert_eq!(track.next(), StopSeq(2));
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_round_trip_does_not_end_where_it_begins() {
    let at = |lat, lon| Place::new(lat, lon);
    let start = at(-150_000_000, 280_000_000);
    let route = Route::new(&[start, at(-149_000_000, 281_000_000), start]);
    let mut track = Track::default();
    for n in 0..10 {
        track.observe(&route, &fix(n, n as i64, n as f64));
    }
    assert_eq!(track.next(), StopSeq(0));
    assert!(track.along_m() <= 9, "{track:?}");
}

#[test]
fn what_no_bus_does_is_refused_and_named() {
    let good = fix(1, 0, 0.0);
    let with = |change: fn(&mut Fix)| {
        let mut fix = good.clone();
        change(&mut fix);
        plausible(&fix, Some(&good), NOW)
    };
    assert_eq!(plausible(&good, None, NOW), Ok(()));
    assert_eq!(with(|f| f.lat_e7 = 900_000_001), Err(Implausible::OffGlobe));
    let zero = with(|f| (f.lat_e7, f.lon_e7) = (0, 0));
    assert_eq!(zero, Err(Implausible::NullIsland));
    assert_eq!(
        with(|f| f.bearing_deg = Some(360)),
        Err(Implausible::NoBearing)
    );
    assert_eq!(
        with(|f| f.accuracy_m = Some(501)),
        Err(Implausible::Vague(501))
    );
    let ahead = with(|f| f.at = NOW.plus_ms(120_001));
    assert_eq!(ahead, Err(Implausible::Ahead(120_001)));
    let old = with(|f| f.at = NOW.plus_ms(-FIX_AGE_MS_MAX - 1));
    assert_eq!(old, Err(Implausible::TooOld));
    let far = fix(2, 10, 2_000.0);
    let jump = plausible(&far, Some(&good), NOW.plus_ms(10_000));
    assert!(
        matches!(jump, Err(Implausible::Jump { ms: 10_000, .. })),
        "{jump:?}"
    );
    let near = fix(2, 10, 500.0);
    assert_eq!(plausible(&near, Some(&good), NOW.plus_ms(10_000)), Ok(()));
    let mut made_up = far;
    made_up.source = Source::Simulated;
    assert_eq!(
        plausible(&made_up, Some(&good), NOW.plus_ms(10_000)),
        Ok(())
    );
}

fn timetable(stops: i64) -> Vec<Call> {
    (0..stops)
        .map(|n| Call {
            arrives: NOW.plus_ms(n * 600_000 - 60_000),
            departs: NOW.plus_ms(n * 600_000),
        })
        .collect()
}

#[test]
fn a_late_bus_takes_its_lateness_along_and_an_early_one_waits() {
    let route = line(&[10_000, 10_000]);
    let calls = timetable(3);
    let mut track = Track::default();
    let legs = [None, None];
    let by_table = expected(&calls, &legs, (&track, &route), 300_000, NOW);
    assert_eq!(by_table[0].departs, NOW.plus_ms(300_000));
    assert_eq!(by_table[1].arrives, NOW.plus_ms(300_000 + 540_000));
    // Half of the first leg is done at the time when the stop should be left.
    for n in 0..3 {
        track.observe(&route, &fix(n, 600 + n as i64, 5_000.0));
    }
    let now = NOW.plus_ms(602_000);
    let late = expected(&calls, &legs, (&track, &route), 0, now);
    assert_eq!(late.len(), 2);
    assert_eq!(late[0].arrives.0 - now.0, 270_000);
    assert_eq!(late[1].arrives, late[0].departs.plus_ms(540_000));
    // Past drives count more than the timetable.
    let quick = expected(&calls, &[Some(100_000), None], (&track, &route), 0, now);
    assert_eq!(quick[0].arrives.0 - now.0, 50_000);
    // Ten minutes early it waits until its time.
    let mut early = Track::default();
    for n in 0..3 {
        early.observe(&route, &fix(n, n as i64, 9_000.0));
    }
    let told = expected(&calls, &legs, (&early, &route), 0, NOW);
    assert!(told[0].arrives < calls[1].arrives);
    assert_eq!(told[0].departs, calls[1].departs);
}

#[test]
fn a_leg_is_the_mean_of_its_last_drives() {
    assert_eq!(blend_leg(0, 0, 600), (600, 1));
    assert_eq!(blend_leg(600, 1, 800), (700, 2));
    assert_eq!(blend_leg(600, 1, -5), (600, 1));
    assert_eq!(blend_leg(1_000, 20, 3_000), (1_100, 20));
}

fn any_fix() -> impl Strategy<Value = Fix> {
    (
        0_u64..50,
        -20_i64..2_000,
        -2_000.0_f64..25_000.0,
        0_u16..200,
    )
        .prop_map(|(seq, secs, north_m, accuracy)| Fix {
            accuracy_m: Some(accuracy),
            ..fix(seq, secs, north_m)
        })
}

proptest! {
    #[test]
    fn whatever_comes_in_whatever_order_the_newest_fix_stands(
        fixes in prop::collection::vec(any_fix(), 1..40),
    ) {
        let route = line(&[5_000, 7_000, 9_000]);
        let mut track = Track::default();
        for fix in &fixes {
            track.observe(&route, fix);
        }
        let newest = fixes.iter().map(|f| (f.at, f.seq)).max().unwrap();
        let stands = track.newest().unwrap();
        prop_assert_eq!((stands.at, stands.seq), newest);
        // What is old news changes nothing at all.
        let before = track.clone();
        for fix in &fixes {
            track.observe(&route, fix);
        }
        prop_assert_eq!(&track, &before);
        prop_assert_eq!(from_cbor::<Track>(&to_cbor(&track)).unwrap(), track);
    }

    #[test]
    fn each_stop_is_reached_and_left_once_at_most_and_never_backwards(
        mut fixes in prop::collection::vec(any_fix(), 1..80),
    ) {
        fixes.sort_by_key(|f| (f.at, f.seq));
        let route = line(&[5_000, 7_000, 9_000]);
        let mut track = Track::default();
        let (mut came, mut left) = (vec![], vec![]);
        let mut last = i64::MIN;
        for fix in &fixes {
            let next = track.next();
            match track.observe(&route, fix) {
                Some(Seen::Arrived { stop, at }) => {
                    came.push(stop.0);
                    prop_assert!(at.0 >= last);
                    last = at.0;
                }
                Some(Seen::Left { stop, at }) => {
                    left.push(stop.0);
                    prop_assert!(at.0 >= last);
                    last = at.0;
                }
                None => {}
            }
            prop_assert!(track.next() >= next);
        }
        for stops in [came, left] {
            prop_assert!(stops.windows(2).all(|w| w[0] < w[1]), "{:?}", stops);
        }
    }

    #[test]
    fn what_is_expected_is_in_order_and_not_in_the_past(
        fixes in prop::collection::vec(any_fix(), 0..20),
        delay_ms in 0_i64..7_200_000,
        legs in prop::collection::vec(prop::option::of(-5_i64..2_000_000), 3),
    ) {
        let route = line(&[5_000, 7_000, 9_000]);
        let calls = timetable(4);
        let mut track = Track::default();
        for fix in &fixes {
            track.observe(&route, fix);
        }
        let now = NOW.plus_ms(2_000_000);
        let told = expected(&calls, &legs, (&track, &route), delay_ms, now);
        prop_assert_eq!(told.len(), calls.len().saturating_sub(usize::from(track.next().0)));
        let mut last = Instant(i64::MIN);
        for stop in &told {
            prop_assert!(stop.arrives >= last && stop.departs >= stop.arrives);
            last = stop.departs;
            let there = track.there_since().is_some() && stop.stop == track.next();
            prop_assert!(track.newest().is_none() || there || stop.arrives >= now);
            prop_assert!(stop.departs >= calls[usize::from(stop.stop.0)].departs);
        }
    }

    #[test]
    fn a_place_on_the_route_is_found_there(along_m in 0.0_f64..21_000.0) {
        let route = line(&[5_000, 7_000, 9_000]);
        let place = route.at_m(along_m).unwrap();
        let found = route.locate(place, along_m as u32).unwrap();
        prop_assert!((f64::from(found.along_m) - along_m).abs() < 30.0, "{:?}", found);
        prop_assert!(found.off_m < 5);
    }
}
