//! Swaps on a hub that was restored.

use domain::event::{EventBody, ScanRecord};
use domain::ids::{SaleOrdinal, SeatNo, StopSeq, TicketId, TripId};
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
    let trip = TripId(world.trip);
    let under = world.trip_now().await.numbering();
    world.swap("T65").await;
    let swaps = world.trip_now().await.swaps;
    let leased = |seat: SeatNo| world.grant.claims.iter().any(|c| c.seat == seat);
    let mut seats = (1..=49).map(SeatNo).filter(|seat| !leased(*seat));
    let moved =
        seats.find_map(|seat| Some((seat, swaps.place(seat, under)?)).filter(|s| s.0 != s.1));
    let (printed, today) = moved.unwrap();
    restore(&world, clock::now()).await;
    let claim = TicketClaim {
        id: TicketId(uuid::Uuid::from_u128(77)),
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
    thaw(&world).await;
    let mut owner = world.site.db.owner().await.unwrap();
    let kept: Vec<i32> = sqlx::query_scalar("SELECT seat FROM claim WHERE kind = 'block'")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert_eq!(kept, [i32::from(today.0)], "printed {printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_hub_gives_a_swap_a_number_that_no_lost_swap_can_have() {
    let mut world = World::leased_only("T49").await;
    let in_backup = world.trip_now().await.numbering().0;
    let first_lost = in_backup + 1;
    let last_lost = in_backup + SWAPS_MAX as u16;
    restore(&world, clock::now()).await;
    thaw(&world).await;
    let number = |done: &Value| done["numbering"].as_u64().unwrap() as u16;
    let swapped = number(&world.swap("T65").await);
    assert!(
        !(first_lost..=last_lost).contains(&swapped),
        "{swapped} may be known to nodes with another map"
    );
    let undone = number(&world.undo(1).await);
    assert_eq!(undone, swapped + 1, "one installation counts on");
    // The next one was not told of what this one did after its backup.
    restore(&world, clock::now().plus_ms(60_000)).await;
    thaw(&world).await;
    let mut other = json!({"layout": "T66"});
    let preview = world.post("again", "/preview", &other).await.json();
    other["preview"] = preview["preview"].clone();
    let again = world.post("again", "", &other).await;
    assert_eq!(again.status, 201, "{again:?}");
    let again = number(&again.json());
    assert!(again > undone + SWAPS_MAX as u16, "{again} after {undone}");
    world.books_are_right().await;
}
