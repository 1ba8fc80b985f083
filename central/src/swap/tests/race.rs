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
    let mut swaps = 0;
    let mut standing: Option<i64> = None;
    while swaps < 6 || !(one.is_finished() && two.is_finished() && counter.is_finished()) {
        let done = if let Some(swap) = standing.take() {
            let path = format!("/{swap}/undo");
            world.post("undo", &path, &json!({})).await
        } else {
            let asked = json!({"layout": "T65"});
            let preview = world.post("preview", "/preview", &asked).await;
            if preview.status != 200 {
                let kind = preview.problem();
                assert!(
                    matches!(kind.as_str(), "busy" | "unavailable"),
                    "{preview:?}"
                );
                continue;
            }
            let body = json!({"layout": "T65", "preview": preview.json()["preview"]});
            world.post("swap", "", &body).await
        };
        match done.status {
            201 => standing = done.json()["swap"].as_i64(),
            200 => {}
            _ => {
                let kind = done.problem();
                let known = [
                    "changed",
                    "busy",
                    "in-the-way",
                    "unavailable",
                    "same-seats",
                    "too-many-swaps",
                    "not-standing",
                ];
                assert!(known.contains(&kind.as_str()), "{done:?}");
                if kind == "too-many-swaps" {
                    break;
                }
            }
        }
        if done.status < 300 {
            swaps += 1;
        }
        if swaps >= 24 {
            break;
        }
    }
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
