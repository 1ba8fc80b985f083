//! Swaps on a hub that was restored.

use domain::event::{EventBody, ScanRecord};
use domain::ids::{
    LayoutVersion, LeaseEpoch, LeaseNo, RequestId, SaleOrdinal, SeatNo, StopSeq, TicketId, TripId,
};
use domain::lease::{Grant, SeatClaim};
use domain::passenger::PassengerClass;
use domain::scan::ScanAnswer;
use domain::swap::SWAPS_MAX;
use domain::ticket::{TicketClaim, sign_ticket, signing_kid};
use domain::time::Instant;
use serde_json::{Value, json};
use sync_protocol::frame::{Known, LogHead};

use super::world::World;
use crate::audit::Actor;
use crate::clock;
use crate::restore::{accept_risk, begin_incarnation, take_grants};
use crate::testing::deliver;

/// The hub as it begins anew on its database.
async fn restore(world: &World, now: Instant) {
    let site = &world.site;
    let begun = begin_incarnation(&site.db.url, &site.keys, now, now).await;
    assert!(begun.unwrap().frozen > 0);
}

async fn thaw(world: &World) {
    let mut tx = world.site.db.db.tenant(world.company.id).await.unwrap();
    let by = (Actor::System, "no bus left");
    let accepted = accept_risk(&mut tx, TripId(world.trip), by, clock::now());
    assert!(accepted.await.unwrap().was_frozen);
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_trip_keeps_its_bus_until_it_is_thawed() {
    let mut world = World::leased_only("T49").await;
    world.swap("T65").await;
    let other = json!({"layout": "T66"});
    let preview = world.post("before", "/preview", &other).await.json();
    let seen = json!({"layout": "T66", "preview": preview["preview"]});
    let before = world.trip_now().await;
    restore(&world, clock::now()).await;
    for (path, body) in [("/preview", &other), ("", &seen), ("/1/undo", &json!({}))] {
        let refused = world.post("frozen", path, body).await;
        assert_eq!(refused.status, 409, "{path}: {refused:?}");
        let said = refused.json();
        assert_eq!(said["type"], "urn:mwimule:problem:trip-frozen", "{said}");
        assert_eq!(said["trip"], world.trip);
        assert!(said["detail"].as_str().unwrap().contains("restored"));
    }
    assert_eq!(world.trip_now().await, before);
    assert_eq!(world.get("").await.status, 200, "the list can be read");
    thaw(&world).await;
    assert_eq!(world.undo(1).await["undoes"], 1);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ticket_keeps_the_seat_that_its_own_became() {
    let mut world = World::leased_only("T49").await;
    let under = world.trip_now().await.numbering();
    world.swap("T65").await;
    let swaps = world.trip_now().await.swaps;
    let leased = |seat: SeatNo| world.grant.claims.iter().any(|c| c.seat == seat);
    let mut seats = (1..=49).map(SeatNo).filter(|seat| !leased(*seat));
    let moved =
        seats.find_map(|seat| Some((seat, swaps.place(seat, under)?)).filter(|s| s.0 != s.1));
    let (printed, today) = moved.unwrap();
    restore(&world, clock::now()).await;
    shown(&mut world, printed, under).await;
    thaw(&world).await;
    assert_eq!(
        blocked(&world).await,
        [i32::from(today.0)],
        "printed {printed}"
    );
}

/// The seats that are kept for lost tickets.
async fn blocked(world: &World) -> Vec<i32> {
    let mut owner = world.site.db.owner().await.unwrap();
    sqlx::query_scalar("SELECT seat FROM claim WHERE kind = 'block' ORDER BY seat")
        .fetch_all(&mut owner)
        .await
        .unwrap()
}

/// A ticket of the hub's own that it does not know is shown to the bus, which tells of it.
async fn shown(world: &mut World, printed: SeatNo, under: LayoutVersion) {
    let trip = TripId(world.trip);
    let claim = TicketClaim {
        id: TicketId(uuid::Uuid::from_u128(u128::from(printed.0))),
        trip,
        seat: printed,
        from: StopSeq(0),
        to: StopSeq(1),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: Instant(1_790_000_000_000),
        lease: None,
        layout_version: under,
        test: false,
    };
    let key = world.site.keys.signing_key();
    let scan = world.bus.log(&EventBody::Scan(ScanRecord {
        trip,
        answer: ScanAnswer::GoodButUnlisted,
        ticket: Some(claim.id),
        text: Some(sign_ticket(&claim, signing_kid(&key.verifying_key()), key).to_qr()),
    }));
    let (db, keys, now) = (&world.site.db.db, &world.site.keys, clock::now());
    let logs = [LogHead::from(world.bus.head)];
    take_grants(db, keys, &world.bus.context, &logs, &Known::default(), now)
        .await
        .unwrap();
    deliver(&mut world.bus.ingest(db), vec![scan])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seat_of_a_lost_ticket_is_kept_again_when_the_bus_that_has_it_comes_back() {
    let mut world = World::leased_only("T49").await;
    let under = world.trip_now().await.numbering();
    restore(&world, clock::now()).await;
    // One is shown before the swap, one while a bus drives that has none of their seats.
    shown(&mut world, SeatNo(40), under).await;
    thaw(&world).await;
    assert_eq!(blocked(&world).await, [40]);
    world.swap("T4").await;
    assert!(
        blocked(&world).await.is_empty(),
        "the four seats are leased"
    );
    shown(&mut world, SeatNo(41), under).await;
    assert!(blocked(&world).await.is_empty());
    world.undo(1).await;
    assert_eq!(blocked(&world).await, [40, 41]);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_told_after_a_swap_lies_on_the_seats_that_its_own_became() {
    let mut world = World::leased_only("T49").await;
    let trip = TripId(world.trip);
    world.swap("T65").await;
    let swaps = world.trip_now().await.swaps;
    let under = world.grant.layout_version;
    let leased = |seat: SeatNo| world.grant.claims.iter().any(|c| c.seat == seat);
    let free = (1..=49).map(SeatNo).filter(|seat| !leased(*seat));
    let moved: Vec<(SeatNo, SeatNo)> = free
        .filter_map(|seat| Some((seat, swaps.place(seat, under)?)))
        .filter(|(told, today)| told != today)
        .take(3)
        .collect();
    assert_eq!(moved.len(), 3);
    let legs = world.grant.claims[0].legs;
    let lost = Grant {
        lease_no: LeaseNo(9),
        epoch: LeaseEpoch(900),
        claims: moved
            .iter()
            .map(|(seat, _)| SeatClaim { seat: *seat, legs })
            .collect(),
        request: RequestId(uuid::Uuid::from_u128(900)),
        ..world.grant.clone()
    };
    restore(&world, clock::now()).await;
    let (db, keys, now) = (&world.site.db.db, &world.site.keys, clock::now());
    let known = Known {
        grants: vec![keys.sign_grant(&lost)],
        ..Known::default()
    };
    let logs = [LogHead::from(world.node.head)];
    let told = take_grants(db, keys, &world.node.context, &logs, &known, now);
    told.await.unwrap();
    let mut owner = world.site.db.owner().await.unwrap();
    let mut covered: Vec<i32> = sqlx::query_scalar("SELECT seat FROM claim WHERE lease_no = 9")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let mut expected: Vec<i32> = moved.iter().map(|(_, today)| today.0.into()).collect();
    covered.sort_unstable();
    expected.sort_unstable();
    assert_eq!(covered, expected, "told {moved:?} of trip {trip}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_hub_gives_a_swap_a_number_that_no_lost_swap_can_have() {
    let mut world = World::leased_only("T49").await;
    let in_backup = world.trip_now().await.numbering().0;
    let first_lost = in_backup + 1;
    let last_lost = in_backup + SWAPS_MAX as u32;
    restore(&world, clock::now()).await;
    thaw(&world).await;
    let number = |done: &Value| done["numbering"].as_u64().unwrap() as u32;
    let swapped = number(&world.swap("T65").await);
    assert!(
        !(first_lost..=last_lost).contains(&swapped),
        "{swapped} may be known to nodes with another map"
    );
    let undone = number(&world.undo(1).await);
    assert_eq!(undone, swapped + 1, "one installation counts on");
    // The next one was not told of what this one did after its backup. How many minutes lie between
    // the two must not matter.
    restore(&world, clock::now().plus_ms(128 * 60_000)).await;
    thaw(&world).await;
    let mut other = json!({"layout": "T66"});
    let preview = world.post("again", "/preview", &other).await.json();
    other["preview"] = preview["preview"].clone();
    let again = world.post("again", "", &other).await;
    assert_eq!(again.status, 201, "{again:?}");
    let again = number(&again.json());
    assert!(again > undone + SWAPS_MAX as u32, "{again} after {undone}");
    world.books_are_right().await;
}
