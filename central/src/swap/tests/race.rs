//! Selling and swapping at the same time.

use serde_json::json;

use super::world::World;
use crate::testing::deliver;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sold_while_buses_are_swapped_has_a_seat_of_its_own() {
    let mut world = World::leased_only("T45").await;
    let (trip, last) = (world.trip, world.trip_now().await.leg_count());
    let bookings = |who: &'static str| {
        let (base, office) = (world.site.base.clone(), world.office.clone());
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            let mut sold = 0;
            for n in 0..8 {
                let mut body = crate::http::tests::site::booking(trip, 2);
                body["pay"] = "cash".into();
                let answer = agent
                    .post(format!("{base}/bookings"))
                    .header("content-type", "application/json")
                    .header("idempotency-key", format!("{who}-{n}"))
                    .header("authorization", format!("Bearer {office}"))
                    .send(body.to_string().as_bytes())
                    .unwrap();
                let status = answer.status().as_u16();
                assert!(matches!(status, 201 | 409 | 503), "{status}");
                sold += usize::from(status == 201);
            }
            sold
        })
    };
    let (one, two) = (bookings("one"), bookings("two"));
    let (mut node, grant) = (world.node.clone(), world.grant.clone());
    let db = world.site.db.db.clone();
    let counter = tokio::spawn(async move {
        let mut ingest = node.ingest(&db);
        for claim in &grant.claims {
            let sale = node.sell(1, &grant, &[(claim.seat.0, 0, last)]);
            deliver(&mut ingest, vec![sale]).await.unwrap();
        }
    });
    let over = || one.is_finished() && two.is_finished() && counter.is_finished();
    let swaps = swap_to_and_fro(&mut world, over).await;
    let sold = one.await.unwrap() + two.await.unwrap();
    counter.await.unwrap();
    world.books_are_right().await;
    let run = world.trip_now().await;
    let rows = world.rows().await;
    assert!(swaps >= 1 && sold > 0, "{swaps} swaps, {sold} sales");
    assert_eq!(rows.len(), 2 * sold + world.grant.claims.len());
    assert!(
        rows.iter().all(|r| r.state == 0),
        "nobody loses a seat to a larger bus"
    );
    assert!(
        rows.iter()
            .all(|r| r.seat.0 >= 1 && r.seat.0 <= run.seat_count)
    );
    let seats: std::collections::BTreeSet<_> = rows.iter().map(|r| r.seat).collect();
    assert_eq!(seats.len(), rows.len());
    super::everybody_boards(&world).await;
}

/// Swaps and undoes by turns until the others are through; gives how often it was done.
async fn swap_to_and_fro(world: &mut World, over: impl Fn() -> bool) -> usize {
    let mut swaps = 0;
    let mut standing: Option<i64> = None;
    let mut next = ["T65", "T66"];
    while (swaps < 6 || !over()) && swaps < 24 {
        let undone = standing.take();
        let done = if let Some(swap) = undone {
            world
                .post("undo", &format!("/{swap}/undo"), &json!({}))
                .await
        } else {
            let asked = json!({"layout": next[0]});
            let preview = world.post("preview", "/preview", &asked).await;
            if preview.status == 200 {
                let mark = &preview.json()["preview"];
                let body = json!({"layout": next[0], "preview": mark});
                world.post("swap", "", &body).await
            } else {
                preview
            }
        };
        if done.status < 300 {
            swaps += 1;
            standing = done.json()["swap"].as_i64().filter(|_| done.status == 201);
            continue;
        }
        match done.problem().as_str() {
            // Undone again later, or swapped once more where something is in the way.
            "busy" | "unavailable" | "changed" => standing = undone,
            "in-the-way" | "same-seats" => next.swap(0, 1),
            _ => panic!("{done:?}"),
        }
    }
    swaps
}
