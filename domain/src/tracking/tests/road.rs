//! Along the real road: lines, stops on them, and buses that follow them.

use proptest::prelude::*;

use super::*;

const LAT: f64 = -15.0;
const LON: f64 = 28.0;
const M_PER_DEGREE: f64 = 111_195.0;

/// So many metres east and north of a place in Zambia.
fn at((east, north): (f64, f64)) -> Place {
    let lon = LON + east / (M_PER_DEGREE * LAT.to_radians().cos());
    Place::of_degrees(LAT + north / M_PER_DEGREE, lon).unwrap()
}

fn drawn(corners: &[(f64, f64)]) -> Line {
    let places: Vec<Place> = corners.iter().map(|corner| at(*corner)).collect();
    Line::new(&places).unwrap()
}

fn way(line: &Line, stops: &[(f64, f64)]) -> Route {
    let stops: Vec<Option<Place>> = stops.iter().map(|stop| Some(at(*stop))).collect();
    Route::along(line, &stops, &[]).unwrap()
}

/// A fix at a place, some seconds on.
fn seen(seq: u64, secs: i64, place: Place, bearing_deg: Option<u16>) -> Fix {
    Fix {
        lat_e7: place.lat_e7(),
        lon_e7: place.lon_e7(),
        bearing_deg,
        ..fix(seq, secs, 0.0)
    }
}

fn alongs(route: &Route) -> Vec<u32> {
    let stops = 0..route.stop_count() as u8;
    stops.map(|s| route.along_m(StopSeq(s)).unwrap()).collect()
}

fn near(found: &[u32], wanted: &[u32]) {
    let close = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= 60);
    assert!(
        close && found.len() == wanted.len(),
        "{found:?}, not {wanted:?}"
    );
}

/// Out of a town to a mine at the end of a road, and back on it; then on.
const SPUR: [(f64, f64); 5] = [
    (0.0, 0.0),
    (10_000.0, 0.0),
    (10_000.0, 6_000.0),
    (10_000.0, 0.0),
    (20_000.0, 0.0),
];
const SPUR_STOPS: [(f64, f64); 4] = [
    (0.0, 0.0),
    (10_000.0, 6_000.0),
    (10_010.0, 3_000.0),
    (20_000.0, 0.0),
];

#[test]
fn a_polyline_is_the_one_of_its_inventors() {
    let text = "_p~iF~ps|U_ulLnnqC_mqNvxq`@";
    let places = [(38.5, -120.2), (40.7, -120.95), (43.252, -126.453)];
    let places: Vec<Place> = places
        .iter()
        .map(|(lat, lon)| Place::of_degrees(*lat, *lon).unwrap())
        .collect();
    assert_eq!(to_polyline(places.iter().copied()), text);
    assert_eq!(of_polyline(text), Ok(places));
    assert_eq!(of_polyline(""), Ok(vec![]));
    assert_eq!(of_polyline("_p~iF"), Err(NoPolyline::Garbled(5)));
    assert_eq!(of_polyline("_p~iF~ps|U!"), Err(NoPolyline::Garbled(10)));
    assert_eq!(of_polyline("~~~~~~~~"), Err(NoPolyline::Garbled(0)));
    // The other way round it has latitude 120.
    let turned = of_polyline("~ps|U_p~iF");
    assert_eq!(turned, Err(NoPolyline::OffGlobe(0)));
    let long = "??".repeat(LINE_POINTS_MAX + 1);
    assert_eq!(of_polyline(&long), Err(NoPolyline::TooMany));
}

#[test]
fn what_is_no_line_is_refused() {
    let here = at((0.0, 0.0));
    assert_eq!(Line::new(&[]), Err(NoLine::TooFew));
    assert_eq!(Line::new(&[here, here]), Err(NoLine::TooFew));
    let many = vec![here; LINE_POINTS_MAX + 1];
    assert_eq!(Line::new(&many), Err(NoLine::TooMany(LINE_POINTS_MAX + 1)));
    let far = Place::of_degrees(60.0, -120.0).unwrap();
    let long = Line::new(&[here, far, here]);
    assert!(matches!(long, Err(NoLine::TooLong(_))), "{long:?}");
}

#[test]
fn thinning_keeps_what_tells_of_the_road() {
    // A bay of 8 m goes, a spur of 40 m stays.
    let line = drawn(&[
        (0.0, 0.0),
        (500.0, 8.0),
        (1_000.0, 0.0),
        (1_000.0, 40.0),
        (1_000.0, 0.0),
        (3_000.0, 0.0),
    ]);
    assert_eq!(line.telling(), [0, 2, 3, 4, 5]);
    let closed = drawn(&[(0.0, 0.0), (500.0, 500.0), (900.0, 0.0), (0.0, 0.0)]);
    assert_eq!(closed.telling(), [0, 1, 2, 3]);
}

#[test]
fn stops_lie_on_their_line_in_order_where_it_passes_twice() {
    let line = drawn(&SPUR);
    let route = way(&line, &SPUR_STOPS);
    // The third stop lies beside both ways of the spur: it is called at on the way back.
    near(&alongs(&route), &[0, 16_000, 19_000, 32_000]);
    // Before the mine it is called at on the way out.
    let out = [SPUR_STOPS[0], SPUR_STOPS[2], SPUR_STOPS[1], SPUR_STOPS[3]];
    near(&alongs(&way(&line, &out)), &[0, 13_000, 16_000, 32_000]);
    // Between its ends alone the first pass counts.
    let plain = [SPUR_STOPS[0], SPUR_STOPS[2], SPUR_STOPS[3]];
    near(&alongs(&way(&line, &plain)), &[0, 13_000, 32_000]);
    // A feed that says better is believed.
    let places: Vec<Option<Place>> = plain.iter().map(|stop| Some(at(*stop))).collect();
    let stated = Route::along(&line, &places, &[None, Some(19_000), None]).unwrap();
    near(&alongs(&stated), &[0, 19_000, 32_000]);
    // Not where that is nowhere near.
    let wrong = Route::along(&line, &places, &[None, Some(2_000), None]).unwrap();
    near(&alongs(&wrong), &[0, 13_000, 32_000]);
    // A round trip ends at its end.
    let ring = drawn(&[(0.0, 0.0), (5_000.0, 0.0), (5_000.0, 5_000.0), (0.0, 0.0)]);
    let round = way(&ring, &[(0.0, 0.0), (5_000.0, 5_000.0), (0.0, 0.0)]);
    near(&alongs(&round), &[0, 10_000, 17_071]);
    assert!((round.length_m() - 17_071.0).abs() < 3.0);
}

#[test]
fn one_road_out_and_back_serves_stops_in_both_orders() {
    let line = drawn(&[(0.0, 0.0), (10_000.0, 0.0), (0.0, 0.0)]);
    let stops = [(0.0, 0.0), (7_000.0, 0.0), (3_000.0, 0.0), (0.0, 0.0)];
    near(&alongs(&way(&line, &stops)), &[0, 7_000, 17_000, 20_000]);
}

#[test]
fn a_line_that_is_not_that_of_the_stops_is_refused_and_says_why() {
    let line = drawn(&SPUR);
    let along = |stops: &[(f64, f64)]| {
        let stops: Vec<Option<Place>> = stops.iter().map(|stop| Some(at(*stop))).collect();
        Route::along(&line, &stops, &[]).map(|_| ())
    };
    let mut backwards = SPUR_STOPS;
    backwards.reverse();
    assert_eq!(along(&backwards), Err(Misplaced::OutOfOrder { stop: 1 }));
    let straight = drawn(&[(0.0, 0.0), (10_000.0, 0.0)]);
    let stops = [Some(at((9_000.0, 0.0))), Some(at((1_000.0, 0.0)))];
    let turned = Route::along(&straight, &stops, &[]);
    assert_eq!(turned, Err(Misplaced::OutOfOrder { stop: 1 }));
    let beside = along(&[SPUR[0], (5_000.0, -2_500.0), SPUR[4]]);
    assert_eq!(
        beside,
        Err(Misplaced::Beside {
            stop: 1,
            off_m: 2_500
        })
    );
    assert_eq!(along(&[SPUR[0]]), Err(Misplaced::NoPlaces));
    let blank = Route::along(&line, &[Some(at(SPUR[0])), None, Some(at(SPUR[4]))], &[]).unwrap();
    assert_eq!(blank.along_m(StopSeq(1)), None);
    assert_eq!(blank.stop_count(), 3);
}

/// Drives along the road at a speed, a fix a second, and says where it was held to be.
fn driven(route: &Route, m_s: f64, bearing: bool) -> (Track, Vec<(f64, u32)>, Vec<Seen>) {
    let (mut track, mut told, mut events) = (Track::default(), vec![], vec![]);
    let steps = (route.length_m() / m_s) as u64;
    for step in 0..=steps {
        let along = step as f64 * m_s;
        let place = route.at_m(along).unwrap();
        let ahead = route.at_m(along + 5.0).unwrap();
        let bearing = (bearing && ahead != place).then(|| place.bearing_to(ahead));
        events.extend(track.observe(route, &seen(step, step as i64, place, bearing)));
        told.push((along, track.along_m()));
    }
    (track, told, events)
}

#[test]
fn a_bus_out_and_back_on_one_road_stays_on_the_branch_that_it_drives() {
    let route = way(&drawn(&SPUR), &SPUR_STOPS);
    for bearing in [false, true] {
        let (track, told, events) = driven(&route, 20.0, bearing);
        let lost = told
            .iter()
            .find(|(true_m, m)| (true_m - f64::from(*m)).abs() > 45.0);
        assert_eq!(lost, None);
        assert_eq!(track.along_m(), 32_000, "{bearing}");
        let arrived = events.iter().filter_map(|seen| match seen {
            Seen::Arrived { stop, .. } => Some(stop.0),
            Seen::Left { .. } => None,
        });
        // The third stop is passed on the way out, and arrived at on the way back only.
        assert_eq!(arrived.collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(track.is_off_route(&route), Some(false));
    }
}

#[test]
fn a_bus_that_leaves_its_road_is_said_to_and_its_progress_waits() {
    let line = drawn(&[(0.0, 0.0), (30_000.0, 0.0)]);
    let route = way(&line, &[(0.0, 0.0), (30_000.0, 0.0)]);
    let mut track = Track::default();
    let mut tell = |secs: u64, east: f64, north: f64| {
        track.observe(&route, &seen(secs, secs as i64, at((east, north)), None));
        (track.along_m(), track.is_off_route(&route))
    };
    // From the depot to its first stop it has left nothing.
    for secs in 0..5 {
        assert_eq!(tell(secs, -3_000.0, 2_000.0), (0, Some(false)));
    }
    for secs in 5..100 {
        tell(secs, (secs - 5) as f64 * 20.0, 0.0);
    }
    assert_eq!(tell(100, 1_900.0, 250.0), (1_900, Some(false)));
    assert_eq!(tell(101, 1_920.0, 400.0), (1_900, Some(false)));
    assert_eq!(tell(102, 1_940.0, 400.0), (1_900, Some(false)));
    assert_eq!(tell(103, 1_960.0, 400.0), (1_900, Some(true)));
    // A detour of ten minutes, and it is found again ahead.
    for secs in 104..700 {
        let (along, off) = tell(secs, 1_900.0 + (secs - 100) as f64 * 20.0, 3_000.0);
        assert_eq!((along, off), (1_900, Some(true)));
    }
    assert_eq!(tell(700, 13_900.0, 100.0), (13_900, Some(false)));
    let plain = Route::new(&[Some(at((0.0, 0.0))), Some(at((30_000.0, 0.0)))]);
    assert_eq!(track.is_off_route(&plain), None, "nobody knows its road");
}

#[test]
fn a_bus_on_the_wrong_branch_comes_right_and_does_not_run_ahead() {
    let route = way(&drawn(&SPUR), &SPUR_STOPS);
    // Silent for five minutes, it is 3 km before the mine, on its way back, and does not say
    // where it heads: it may well be on its way out.
    let mut track = Track::default();
    for secs in 0..10 {
        let place = route.at_m(9_000.0 + secs as f64 * 20.0).unwrap();
        track.observe(&route, &seen(secs, secs as i64, place, None));
    }
    let mut right = None;
    for secs in 310..900 {
        let true_m = 19_000.0 + (secs - 310) as f64 * 20.0;
        let place = route.at_m(true_m).unwrap();
        track.observe(&route, &seen(secs, secs as i64, place, None));
        let ahead_m = f64::from(track.along_m()) - true_m;
        assert!(ahead_m < 50.0, "{ahead_m} m ahead after {secs} s");
        if right.is_none() && ahead_m.abs() < 50.0 {
            right = Some(secs);
        }
    }
    assert!(right.is_some_and(|secs| secs < 310 + 240), "{right:?}");
    // One that says where it heads is right at once.
    let mut sure = Track::default();
    sure.observe(&route, &seen(0, 0, route.at_m(9_000.0).unwrap(), Some(90)));
    sure.observe(
        &route,
        &seen(1, 300, route.at_m(19_000.0).unwrap(), Some(180)),
    );
    near(&[sure.along_m()], &[19_000]);
}

#[test]
fn a_bus_that_turned_back_is_found_where_it_is_after_minutes() {
    let line = drawn(&[(0.0, 0.0), (30_000.0, 0.0)]);
    let route = way(&line, &[(0.0, 0.0), (30_000.0, 0.0)]);
    let mut track = Track::default();
    track.observe(&route, &seen(0, 0, at((20_000.0, 0.0)), None));
    for secs in 1..110 {
        let place = at((20_000.0 - f64::from(secs) * 20.0, 0.0));
        track.observe(&route, &seen(secs as u64, i64::from(secs), place, None));
        assert_eq!(track.along_m(), 20_000);
        assert_eq!(track.is_off_route(&route), Some(false));
    }
    for secs in 110..200 {
        let place = at((20_000.0 - f64::from(secs) * 20.0, 0.0));
        track.observe(&route, &seen(secs as u64, i64::from(secs), place, None));
    }
    assert!(track.along_m() < 18_000, "{}", track.along_m());
}

/// A road of some kilometres with what roads have: straights, bends, hairpins, spurs, rings.
fn any_road() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let piece = (0_u8..5, 400.0_f64..3_000.0, -80.0_f64..80.0);
    prop::collection::vec(piece, 2..8).prop_map(|pieces| {
        let (mut road, mut heading) = (vec![(0.0, 0.0)], 0.0_f64);
        let mut go = |degrees: f64, metres: f64, road: &mut Vec<(f64, f64)>| {
            heading += degrees;
            let (x, y): (f64, f64) = road[road.len() - 1];
            let (sin, cos) = heading.to_radians().sin_cos();
            road.push((x + metres * sin, y + metres * cos));
        };
        for (kind, metres, turn) in pieces {
            match kind {
                0 | 1 => go(turn, metres, &mut road),
                // Hairpins, 60 m from one to the next.
                2 => {
                    for _ in 0..2 {
                        go(90.0, metres, &mut road);
                        go(90.0, 60.0, &mut road);
                        go(90.0, metres, &mut road);
                        go(-90.0, 60.0, &mut road);
                        go(-180.0, 1.0, &mut road);
                    }
                }
                // Into a town and out again.
                3 => {
                    go(turn, metres, &mut road);
                    go(180.0, metres, &mut road);
                    go(90.0, metres, &mut road);
                }
                _ => {
                    for _ in 0..4 {
                        go(90.0, metres, &mut road);
                    }
                    go(turn, metres, &mut road);
                }
            }
        }
        road
    })
}

proptest! {
    #[test]
    fn text_brings_any_places_back(
        places in prop::collection::vec((-9_000_000_i32..=9_000_000, -18_000_000_i32..=18_000_000), 0..50),
    ) {
        let places: Vec<Place> = places
            .iter()
            .map(|(lat, lon)| Place::new(lat * 100, lon * 100).unwrap())
            .collect();
        let text = to_polyline(places.iter().copied());
        prop_assert_eq!(of_polyline(&text), Ok(places));
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[ -~]{0,60}|\\PC{0,20}") {
        if let Ok(places) = of_polyline(&text) {
            prop_assert!(places.len() <= text.len());
        }
    }

    #[test]
    fn a_thinned_line_is_near_every_place_and_thinned_again_the_same(
        road in any_road(),
        bends in prop::collection::vec((0.0_f64..1.0, -25.0_f64..25.0, -25.0_f64..25.0), 0..150),
    ) {
        let mut bends = bends;
        bends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let whole = drawn(&road);
        let mut places: Vec<Place> = bends
            .iter()
            .map(|(part, east, north)| {
                let place = whole.at_m(part * whole.length_m()).unwrap();
                let (x, y) = at((0.0, 0.0)).plane(place);
                at((x + east, y + north))
            })
            .collect();
        places.insert(0, at(road[0]));
        places.push(at(road[road.len() - 1]));
        let Ok(line) = Line::new(&places) else { return Ok(()); };
        let kept = line.telling();
        let thin = line.picked(&kept).unwrap();
        let again = Line::new(&thin.places().collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(again.telling().len(), again.point_count());
        prop_assert_eq!(&again, &thin);
        for (index, place) in line.places().enumerate() {
            let piece = kept.partition_point(|k| *k <= index).saturating_sub(1);
            let along = thin.nearest_on_piece_m(piece.min(kept.len() - 2), place).unwrap();
            let off_m = thin.at_m(along).unwrap().metres_to(place);
            prop_assert!(off_m < 10.5, "{} m", off_m);
        }
    }

    #[test]
    fn a_bus_on_any_road_is_found_on_it_and_never_goes_back(
        road in any_road(),
        m_s in 3.0_f64..33.0,
        gaps in prop::collection::vec(1_i64..20, 30),
        noise in prop::collection::vec((-12.0_f64..12.0, -12.0_f64..12.0), 40),
    ) {
        let line = drawn(&road);
        let route = way(&line, &[road[0], road[road.len() - 1]]);
        prop_assert!((route.length_m() - line.length_m()).abs() < 60.0);
        let (mut track, mut secs, mut last) = (Track::default(), 0, 0);
        for n in 0_u64.. {
            let true_m = m_s * secs as f64;
            if true_m > route.length_m() {
                break;
            }
            let place = route.at_m(true_m).unwrap();
            let ahead = route.at_m(true_m + 5.0).unwrap();
            let heads = (place != ahead).then(|| place.bearing_to(ahead));
            let (x, y) = at((0.0, 0.0)).plane(place);
            let (east, north) = noise[n as usize % noise.len()];
            track.observe(&route, &seen(n, secs, at((x + east, y + north)), heads));
            let off_m = (f64::from(track.along_m()) - true_m).abs();
            prop_assert!(off_m < 150.0, "{} m off at {} m", off_m, true_m);
            prop_assert!(track.along_m() >= last);
            prop_assert_eq!(track.is_off_route(&route), Some(false));
            last = track.along_m();
            // Mostly a fix a second, at times none for a while.
            secs += if n % 17 == 0 { gaps[n as usize % gaps.len()] } else { 1 };
        }
        prop_assert_eq!(from_cbor::<Track>(&to_cbor(&track)).unwrap(), track);
    }
}
