use serde_json::{Value, json};

use super::desk::Desk;

fn rows(count: u8) -> Value {
    json!({"generate": {"rows": count, "left": 2, "right": 1}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_drawing_is_a_new_version_and_the_old_one_stays() {
    let desk = Desk::new().await;
    let made = desk
        .post("/layouts", &json!({"id": "VAN", "draw": rows(4)}))
        .await;
    assert_eq!((made.status, made.etag.as_str()), (201, "\"1\""));
    assert_eq!(made.json()["seat_count"], 12);
    assert_eq!(made.json()["aisles"], json!([3]));
    let again = desk
        .post("/layouts", &json!({"id": "VAN", "draw": rows(4)}))
        .await;
    assert_eq!(again.problem(), (409, "exists".into()));

    let drawn = json!({"decks": made.json()["decks"]});
    let same = desk.put("/layouts/VAN", "\"1\"", &drawn).await;
    assert_eq!(
        (same.status, same.etag.as_str()),
        (200, "\"1\""),
        "{}",
        same.text()
    );
    assert_eq!(
        desk.put("/layouts/VAN", "\"2\"", &rows(5))
            .await
            .problem()
            .0,
        412
    );
    let next = desk.put("/layouts/VAN", "\"1\"", &rows(5)).await;
    assert_eq!((next.status, next.etag.as_str()), (200, "\"2\""));

    let old = desk.get("/layouts/VAN/versions/1").await.json();
    assert_eq!(old, made.json());
    assert_eq!(desk.get("/layouts/VAN").await.json()["version"], 2);
    let versions = desk.get("/layouts/VAN/versions").await.json();
    let numbers: Vec<_> = versions["items"].as_array().unwrap().iter().collect();
    assert_eq!((numbers.len(), &numbers[0]["version"]), (2, &json!(2)));
    let list = desk.get("/layouts").await.json();
    assert_eq!(
        list["items"],
        json!([{"id": "VAN", "version": 2, "seat_count": 15, "decks": 1}])
    );

    let told =
        "SELECT count(*) FROM bucket_item WHERE bucket = 'company' AND item_key ~ '^layout:VAN:'";
    assert_eq!(
        desk.db.number(told).await.unwrap(),
        2,
        "nodes hear of each version"
    );
    for path in [
        "/layouts/VAN",
        "/layouts/VAN/versions",
        "/layouts/VAN/versions/1",
    ] {
        assert_eq!(
            desk.get_as(&desk.foreign, path).await.problem().0,
            404,
            "{path}"
        );
    }
    assert_eq!(desk.audited("layout.update").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seats_of_a_trip_cannot_be_taken_away() {
    let desk = Desk::new().await;
    let coach = json!({"id": "coach", "draw": rows(2)});
    assert_eq!(desk.post("/layouts", &coach).await.status, 201);
    desk.company.trip("one", 2, 6).await.unwrap();
    let refused = desk.delete("/layouts/coach", "*").await;
    assert_eq!(refused.problem(), (409, "in-use".into()));
    assert_eq!(refused.json()["uses"][0]["what"], "trips");
}
