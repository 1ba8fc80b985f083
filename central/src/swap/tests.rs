//! Swaps on a real database: a full bus with parties, wheelchair users and a dark station.

mod race;
mod restored;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{SeatNo, TicketId};
use domain::scan::{ScanAnswer, ScanReason, decide_scan, record};
use domain::time::Instant;
use serde_json::{Value, json};

use self::world::{Row, World};

const NOW: Instant = Instant(2_000_000_000_000);

/// Scans every ticket that is live as the driver's device would, each once, or types its code:
/// where it sits.
async fn everybody_boards(world: &World) -> BTreeMap<TicketId, SeatNo> {
    let mut view = world.door().await;
    let mut seats = BTreeMap::new();
    let live = world.rows().await.into_iter().filter(|r| r.state == 0);
    for (n, row) in live.enumerate() {
        let text = if n % 2 == 0 { &row.qr } else { &row.code };
        let decision = decide_scan(&view, text, NOW);
        assert_eq!(
            decision.answer,
            ScanAnswer::Valid,
            "{} {row:?}",
            decision.reason
        );
        assert_eq!(decision.seat, Some(row.seat), "{row:?}");
        record(&mut view, &decision, NOW, world.bus.id());
        seats.insert(row.ticket, row.seat);
    }
    seats
}

fn seats_of(rows: &[Row]) -> BTreeMap<TicketId, (SeatNo, i16)> {
    rows.iter().map(|r| (r.ticket, (r.seat, r.state))).collect()
}

fn texts(list: &Value, key: &str) -> Vec<String> {
    let texts = list.as_array().unwrap().iter();
    texts
        .map(|v| v[key].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bus_moves_into_a_larger_one_and_back() {
    let mut world = World::full("T49").await;
    let before = world.rows().await;
    assert_eq!(before.iter().filter(|r| r.state == 0).count(), 45);
    let asked = json!({"layout": "T65"});
    let preview = world.post("preview", "/preview", &asked).await;
    assert_eq!(preview.status, 200, "{preview:?}");
    assert_eq!(world.rows().await, before, "a preview changes nothing");
    assert_eq!(world.count("SELECT count(*) FROM trip_swap").await, 0);
    let preview = preview.json();
    assert_eq!(preview["without_place"], 0);
    assert_eq!(preview["legs"][0]["needed"], 49);
    assert_eq!(preview["legs"][0]["seats"], 65);

    let done = world.swap("T65").await;
    assert_eq!(
        done["passengers"],
        json_with_told(&preview["passengers"], &done)
    );
    // The counter sold four more under its lease before it heard of anything.
    world.late_sale(4).await;
    let rows = world.rows().await;
    assert_eq!(rows.iter().filter(|r| r.state == 0).count(), 49);
    assert_eq!(world.count("SELECT count(*) FROM conflict_case").await, 0);
    let seats = everybody_boards(&world).await;
    assert_eq!(seats.values().collect::<BTreeSet<_>>().len(), 49);
    wheelchairs_and_parties_sit_well(&world, &seats);
    told_once(&world, &done).await;
    world.books_are_right().await;

    let undone = world.undo(1).await;
    assert_eq!(
        (undone["undoes"].as_i64(), undone["swap"].as_i64()),
        (Some(1), Some(2))
    );
    let now = seats_of(&world.rows().await);
    for (ticket, seat) in seats_of(&before) {
        assert_eq!(now[&ticket], seat, "undo restores every seat");
    }
    assert_eq!(everybody_boards(&world).await.len(), 49);
    for row in world.rows().await {
        assert_eq!(row.seat, row.printed, "what is printed is true again");
    }
    let again = world.events("booking.reseated").await;
    let first = told(&done);
    let twice = again
        .iter()
        .map(|e| texts(&e["seats"], "ticket").len())
        .sum::<usize>();
    let counters = world.events("ticket.reseated").await.len();
    // The late sales of the counter were never told of the first swap, but their labels changed.
    let late = told(&undone) - first;
    assert_eq!(twice + counters, 2 * first + late);
    let again = world.post("again", "/1/undo", &json!({})).await;
    assert_eq!(
        (again.status, again.problem().as_str()),
        (409, "not-standing")
    );
    let listed = world.get("").await.json();
    assert_eq!(listed["items"][0]["undone_by"], 2);
    assert_eq!(listed["items"][1]["undoes"], 1);
    world.books_are_right().await;
}

fn wheelchairs_and_parties_sit_well(world: &World, seats: &BTreeMap<TicketId, SeatNo>) {
    let layout = World::layout("T65");
    for prm in world.wheelchairs() {
        let seat = layout.seat(seats[&prm]).unwrap();
        assert!(
            seat.attributes
                .has(domain::layout::SeatAttributes::WHEELCHAIR)
        );
    }
    for party in world.parties() {
        let rows: Vec<u16> = party
            .iter()
            .map(|t| layout.seat(seats[t]).unwrap().row)
            .collect();
        let (first, last) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
        let needed = (party.len() as u16 - 1) / 4;
        assert!(last - first <= needed + 1, "a party sits in rows {rows:?}");
    }
}

fn told(done: &Value) -> usize {
    let passengers = done["passengers"].as_array().unwrap().iter();
    passengers.filter(|p| p["told"] == true).count()
}

/// The preview's passengers as the confirmation shows them.
fn json_with_told(preview: &Value, done: &Value) -> Value {
    let told: BTreeMap<&str, &Value> = done["passengers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["ticket"].as_str().unwrap(), &p["told"]))
        .collect();
    let mut rows: Vec<Value> = preview.as_array().unwrap().clone();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.remove("lost");
        row.remove("detail");
        let ticket = row["ticket"].as_str().unwrap().to_owned();
        let changed = row["old"] != row["new"];
        assert_eq!(told[ticket.as_str()], &Value::Bool(changed));
        row.insert("told".to_owned(), Value::Bool(changed));
    }
    Value::Array(rows)
}

/// Every passenger whose label changed is in one event, nobody else in any.
async fn told_once(world: &World, done: &Value) {
    let mut heard: Vec<String> = vec![];
    for event in world.events("booking.reseated").await {
        assert_eq!(event["trip"], world.trip);
        heard.extend(texts(&event["seats"], "ticket"));
    }
    heard.extend(world.events("ticket.reseated").await.iter().map(|e| {
        assert!(e["old"] != e["new"]);
        e["ticket"].as_str().unwrap().to_owned()
    }));
    let mut expected: Vec<String> = done["passengers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| !p["new"].is_null() && p["old"] != p["new"])
        .map(|p| p["ticket"].as_str().unwrap().to_owned())
        .collect();
    heard.sort();
    expected.sort();
    assert!(!expected.is_empty());
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bus_moves_into_a_smaller_one_and_nobody_is_lost() {
    let mut world = World::full("T49").await;
    let before = world.rows().await;
    let done = world.swap("T45").await;
    assert_eq!(done["without_place"], 4);
    assert_eq!(
        done["rights_without_place"], 0,
        "what may be sold keeps its seats"
    );
    world.late_sale(4).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 49, "nobody is lost");
    let (live, without): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|r| r.state == 0);
    assert_eq!((live.len(), without.len()), (45, 4));
    let seats = everybody_boards(&world).await;
    assert_eq!(seats.values().collect::<BTreeSet<_>>().len(), 45);
    let view = world.door().await;
    for row in &without {
        let decision = decide_scan(&view, &row.qr, NOW);
        assert_eq!(decision.answer, ScanAnswer::SeatConflict);
        assert!(
            matches!(decision.reason, ScanReason::NoPlace { .. }),
            "{}",
            decision.reason
        );
        assert!(!world.wheelchairs().contains(&row.ticket));
    }
    told_once(&world, &done).await;
    let offers = world.events("rebooking.offered").await;
    let offered: usize = offers
        .iter()
        .map(|o| o["tickets"].as_array().unwrap().len())
        .sum();
    assert_eq!(
        (offered, done["offers"].as_u64()),
        (4, Some(offers.len() as u64))
    );
    let fares: i64 = without.iter().map(|r| r.fare_minor).sum();
    assert_eq!(world.suspense().await, fares);
    world.books_are_right().await;

    // One party takes its money; the others come back.
    let offer = offers[0]["offer"].as_str().unwrap();
    let refunded = texts(&json!(offers[0]["tickets"]), "").len();
    let confirmed = world.confirm_offer(offer).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    world.books_are_right().await;
    let undone = world.undo(1).await;
    assert_eq!(undone["without_place"], 0);
    let now = seats_of(&world.rows().await);
    let mut void = 0;
    for (ticket, (seat, _)) in seats_of(&before) {
        assert_eq!(now[&ticket].0, seat, "undo restores every seat");
        void += usize::from(now[&ticket].1 == 1);
    }
    assert_eq!(void, refunded);
    assert_eq!(everybody_boards(&world).await.len(), 49 - refunded);
    assert_eq!(world.suspense().await, 0);
    let open = "SELECT count(*) FROM aftersale_offer WHERE state = 'open'";
    assert_eq!(world.count(open).await, 0);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_sale_of_a_seat_without_a_place_is_a_case_with_its_money() {
    let mut world = World::leased_only("T49").await;
    let done = world.swap("T4").await;
    assert_eq!(done["rights_without_place"], 2);
    world.late_sale(6).await;
    let rows = world.rows().await;
    let live = rows.iter().filter(|r| r.state == 0).count();
    assert_eq!((rows.len(), live), (6, 4));
    let cases = "SELECT count(*) FROM conflict_case WHERE reason = 'no_place'";
    assert_eq!(world.count(cases).await, 2);
    let lost: Vec<&Row> = rows.iter().filter(|r| r.state == 2).collect();
    assert!(lost.iter().all(|r| r.seat == SeatNo(0)));
    assert_eq!(
        world.suspense().await,
        lost.iter().map(|r| r.fare_minor).sum::<i64>()
    );
    assert_eq!(everybody_boards(&world).await.len(), 4);
    world.books_are_right().await;
    world.undo(1).await;
    let rows = world.rows().await;
    assert!(
        rows.iter().all(|r| r.seat == r.printed),
        "each is where it was sold"
    );
    assert!(
        rows.iter().all(|r| r.state == 0),
        "and good again: {rows:?}"
    );
    assert_eq!(world.suspense().await, 0);
    let closed = "SELECT count(*) FROM conflict_case WHERE reason = 'no_place'
                  AND state = 'settled' AND decision_reason LIKE '%taken back%'";
    assert_eq!(world.count(closed).await, 2);
    assert_eq!(everybody_boards(&world).await.len(), 6);
    assert_eq!(
        world
            .count("SELECT count(*) FROM claim WHERE kind = 'lease'")
            .await,
        6
    );
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_since_the_preview_or_the_swap_is_in_its_way() {
    let mut world = World::leased_only("T45").await;
    let preview = world
        .post("p", "/preview", &json!({"layout": "T65"}))
        .await
        .json();
    let body = json!({"layout": "T65", "preview": preview["preview"]});
    assert_eq!(world.site.book(world.trip, "between", 2).await.status, 201);
    let refused = world.post("late", "", &body).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "changed")
    );
    let done = world.swap("T65").await;
    assert_eq!(done["without_place"], 0);
    // The same request again is the same answer, and no second swap.
    let again = world.repeat().await;
    assert_eq!(again.json(), done);
    assert_eq!(world.count("SELECT count(*) FROM trip_swap").await, 1);
    let same = world
        .post("same", "/preview", &json!({"layout": "T65"}))
        .await;
    assert_eq!((same.status, same.problem().as_str()), (409, "same-seats"));
    // 65 seats, 6 leased, 2 sold: fill more than the former bus has.
    for n in 0..5 {
        let booked = world.site.book(world.trip, &format!("fill-{n}"), 10).await;
        assert_eq!(booked.status, 201, "{booked:?}");
    }
    let refused = world.post("undo", "/1/undo", &json!({})).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "in-the-way")
    );
    for (asked, kind) in [
        (json!({}), "unprocessable"),
        (json!({"layout": "T65", "bus": "X"}), "unprocessable"),
        (json!({"layout": "none"}), "unknown-layout"),
        (json!({"bus": "none"}), "unknown-bus"),
    ] {
        let refused = world.post("wrong", "/preview", &asked).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, kind));
    }
    let unknown = world.post("unknown", "/9/undo", &json!({})).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_volunteers_is_offered_something_and_others_keep_their_seats() {
    let mut world = World::full("T49").await;
    let party = world.parties().into_iter().find(|p| p.len() == 4).unwrap();
    let volunteers: Vec<String> = party.iter().map(ToString::to_string).collect();
    let done = world
        .swap_as(json!({"layout": "T45", "volunteers": volunteers}))
        .await;
    let passengers = done["passengers"].as_array().unwrap().iter();
    let without: BTreeSet<String> = passengers
        .filter(|p| p["reason"] == "volunteered")
        .map(|p| p["ticket"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(without, volunteers.into_iter().collect());
    assert_eq!(done["without_place"], 4);
    assert_eq!(done["offers"], 1);
}
