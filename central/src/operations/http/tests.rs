//! Operations over the router and a real Postgres.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::company::http::tests::desk::{Answer, Desk};

async fn trip(desk: &Desk, run: &str) -> (u64, String) {
    let trip = desk.company.trip(run, 2, 4).await.unwrap().id.0;
    (trip, format!("/operations/trips/{trip}"))
}

async fn act(desk: &Desk, path: &str, etag: &str, body: &Value) -> Answer {
    let token = &desk.token;
    desk.send_as(token, Method::POST, path, Some(etag), body)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_late_boards_and_is_cancelled_by_who_may_in_the_version_they_read() {
    let desk = Desk::new().await;
    let (number, one) = trip(&desk, "1").await;
    let seen = desk.get(&one).await;
    assert_eq!((seen.status, seen.etag.as_str()), (200, "\"1\""));
    assert_eq!(seen.json()["state"], "scheduled");
    let late = json!({"delay_minutes": 20, "reason": "road works"});
    let path = format!("{one}/delay");
    let token = &desk.reader;
    let refused = desk
        .send_as(token, Method::POST, &path, Some("*"), &late)
        .await;
    assert_eq!(refused.problem(), (403, "forbidden".into()));
    let foreign = &desk.foreign;
    let refused = desk
        .send_as(foreign, Method::POST, &path, Some("*"), &late)
        .await;
    assert_eq!(refused.status, 404);
    let done = act(&desk, &path, &seen.etag, &late).await;
    assert_eq!(done.json()["delay_ms"], 1_200_000, "{}", done.text());
    assert_eq!(act(&desk, &path, &seen.etag, &late).await.status, 412);
    assert_eq!(desk.post(&path, &late).await.status, 428);
    for (bad, kind) in [
        (
            json!({"delay_minutes": 5_000, "reason": "x"}),
            "wrong-delay",
        ),
        (json!({"delay_minutes": 5, "reason": " "}), "unprocessable"),
        (json!({"delay_minutes": 5}), "unprocessable"),
    ] {
        let answer = act(&desk, &path, "*", &bad).await;
        assert_eq!(answer.problem(), (422, kind.to_owned()), "{bad}");
    }
    let board = act(&desk, &format!("{one}/boarding"), &done.etag, &json!({})).await;
    assert_eq!(board.json()["state"], "boarding", "{}", board.text());
    let early = act(&desk, &format!("{one}/departure"), "*", &json!({})).await;
    assert_eq!(early.problem(), (422, "wrong-moment".into()));
    let arrive = act(&desk, &format!("{one}/arrival"), "*", &json!({})).await;
    assert_eq!(arrive.problem(), (409, "trip-state".into()));
    let why = json!({"reason": "flood at Kafue"});
    let done = act(&desk, &format!("{one}/cancellation"), &board.etag, &why).await;
    assert_eq!(done.json()["state"], "cancelled", "{}", done.text());
    let events = desk.get(&format!("{one}/events")).await.json();
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["delayed", "boarding", "cancelled"]);
    let list = |query: &str| format!("/operations/trips?{query}");
    let cancelled = desk
        .get(&list("state=cancelled&date=2096-10-02"))
        .await
        .json();
    assert_eq!(cancelled["items"][0]["trip"], number);
    let none = desk.get(&list("state=departed")).await.json();
    assert_eq!(none["items"], json!([]));
    assert_eq!(desk.get(&list("state=flying")).await.status, 400);
    assert_eq!(
        desk.get("/operations/trips/18446744073709551615")
            .await
            .status,
        404
    );
    assert_eq!(desk.audited("trip.cancelled").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crew_is_named_once_and_told_what_is_too_much() {
    let desk = Desk::new().await;
    let ((one, path), (_, other)) = (trip(&desk, "1").await, trip(&desk, "2").await);
    let driver = json!({"crew": [{"person": Uuid::from_u128(1), "role": "driver"}]});
    let crew = format!("{path}/crew");
    let done = desk.put(&crew, "\"1\"", &driver).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["warnings"], json!([]));
    let busy = desk.put(&format!("{other}/crew"), "*", &driver).await;
    assert_eq!(busy.problem(), (409, "person-elsewhere".into()));
    assert_eq!(busy.json()["trip"], one);
    let settings = desk.get("/operations/settings").await;
    let mut changed = settings.json();
    changed["driving_day_ms_max"] = json!(3_600_000);
    let done = desk
        .put("/operations/settings", &settings.etag, &changed)
        .await;
    assert_eq!((done.status, done.etag.as_str()), (200, "\"1\""));
    changed["expand_days"] = json!(0);
    assert_eq!(
        desk.put("/operations/settings", "*", &changed).await.status,
        422
    );
    let warned = desk.get(&crew).await.json();
    assert_eq!(warned["warnings"][0]["kind"], "driving-day", "{warned}");
    let bus = desk
        .put(&format!("{path}/bus"), "*", &json!({"bus": "NONE"}))
        .await;
    assert_eq!(bus.problem(), (422, "unknown-bus".into()));
    let nobody = json!({"crew": [{"person": "me", "role": "driver"}]});
    assert_eq!(desk.put(&crew, "*", &nobody).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_kept_expanded_and_expanded_again_without_a_change() {
    let desk = Desk::new().await;
    let layouts = "layout,deck,row,seats\nDD,1,1,1A 1B\n";
    let routes = "code,name,layout\nR,North,DD\n";
    let stops = "route,no,stop,arrives,departs,board\nR,10,S0,0:00,,yes\nR,20,S1,1:30,,no\n";
    for (list, file) in [
        ("layouts", layouts),
        ("routes", routes),
        ("route_stops", stops),
    ] {
        let done = desk.send_csv(&format!("/csv/{list}"), file).await;
        assert_eq!(done.status, 200, "{list}: {}", done.text());
    }
    let rule = json!({"code": "A", "route": "R", "run": "0600", "departs": "06:00",
        "weekdays": [1, 2, 3, 4, 5, 6, 7],
        "exceptions": [{"date": "2034-01-03", "change": "removed"}]});
    let made = desk.post("/schedules", &rule).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        desk.post("/schedules", &rule).await.problem(),
        (409, "exists".into())
    );
    for (name, value) in [
        ("departs", json!("25:00")),
        ("weekdays", json!([0])),
        ("route", json!("NONE")),
        ("bus", json!("NONE")),
        ("valid_from", json!("today")),
        (
            "exceptions",
            json!([{"date": "2034-01-03", "change": "moved"}]),
        ),
    ] {
        let mut bad = rule.clone();
        bad["code"] = json!("B");
        bad[name] = value;
        let answer = desk.post("/schedules", &bad).await;
        assert_eq!(answer.problem().0, 422, "{bad}: {}", answer.text());
    }
    let days = json!({"from": "2034-01-01", "days": 7});
    let done = desk.post("/schedules/expand", &days).await.json();
    assert_eq!(
        (&done["created"], &done["kept"]),
        (&json!(6), &json!([])),
        "{done}"
    );
    let again = desk.post("/schedules/expand", &days).await.json();
    assert_eq!(
        (&again["created"], &again["unchanged"]),
        (&json!(0), &json!(6))
    );
    let trips = desk
        .get("/operations/trips?schedule=A&limit=1")
        .await
        .json();
    assert_eq!(trips["items"][0]["departs_at"], "2034-01-01T04:00:00Z");
    assert_eq!(trips["items"][0]["arrives_at"], "2034-01-01T05:30:00Z");
    assert!(trips["next"].is_string());
    let public = desk
        .get("/trips?date=2034-01-02&from=S0&to=S1")
        .await
        .json();
    assert_eq!(public["items"].as_array().unwrap().len(), 1, "{public}");
    for bad in [
        json!({"days": 0}),
        json!({"days": 121}),
        json!({"from": "x"}),
    ] {
        assert_eq!(
            desk.post("/schedules/expand", &bad).await.status,
            422,
            "{bad}"
        );
    }
    let mut stopped = rule.clone();
    stopped["active"] = json!(false);
    let changed = desk.put("/schedules/A", &made.etag, &stopped).await;
    assert_eq!((changed.status, changed.etag.as_str()), (200, "\"2\""));
    let done = desk.post("/schedules/expand", &days).await.json();
    assert_eq!(done["withdrawn"], 6, "{done}");
    assert_eq!(desk.delete("/schedules/A", &changed.etag).await.status, 204);
    assert_eq!(desk.get("/schedules/A").await.status, 404);
}
