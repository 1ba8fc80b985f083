//! Swaps on a hub that was restored.

use domain::ids::TripId;
use domain::time::Instant;
use serde_json::json;

use super::world::World;
use crate::audit::Actor;
use crate::clock;
use crate::restore::{accept_risk, begin_incarnation};

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
