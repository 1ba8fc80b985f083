use axum::http::Method;
use serde_json::{Value, json};

use super::desk::Desk;

fn coach() -> Value {
    json!({"id": "C49", "draw": {"generate": {"rows": 12, "left": 2, "right": 2, "back_row": 5}}})
}

fn route(stops: &Value) -> Value {
    json!({"code": "R1", "name": "North", "layout": "C49", "stops": stops})
}

async fn with_layout() -> Desk {
    let desk = Desk::new().await;
    assert_eq!(desk.post("/layouts", &coach()).await.status, 201);
    desk
}

/// Each kind of row: its address, a good row, its key, and the row with one change.
fn kinds() -> Vec<(&'static str, Value, &'static str, Value)> {
    vec![
        (
            "/stops",
            json!({"code": "X 1", "name": "X", "zone": "Africa/Lusaka"}),
            "X%201",
            json!({"code": "X 1", "name": "X two", "lat": -1.5, "lon": 2.0, "zone": "Africa/Lusaka"}),
        ),
        (
            "/stations",
            json!({"code": "K1", "name": "Kiosk", "stop": "S1"}),
            "K1",
            json!({"code": "K1", "name": "Kiosk", "stop": "S2", "phone": "+260 97 000 0001"}),
        ),
        (
            "/buses",
            json!({"registration": "bae 1", "layout": "C49", "state": "in_service"}),
            "BAE%201",
            json!({"registration": "BAE 1", "layout": "C49", "state": "workshop", "year": 2019}),
        ),
        (
            "/routes",
            route(&json!([])),
            "R1",
            route(&json!([{"stop": "S0", "arrives_s": 0, "departs_s": 0},
                {"stop": "S1", "arrives_s": 60, "departs_s": 90}])),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_row_is_made_changed_listed_and_taken_away() {
    let desk = with_layout().await;
    for (path, row, key, changed) in kinds() {
        let made = desk.post(path, &row).await;
        assert_eq!(
            (made.status, made.etag.as_str()),
            (201, "\"1\""),
            "{}",
            made.text()
        );
        assert_eq!(
            desk.post(path, &row).await.problem(),
            (409, "exists".into())
        );
        let one = format!("{path}/{key}");
        let read = desk.get(&one).await;
        assert_eq!((read.json(), &read.etag), (made.json(), &made.etag));

        let none = desk
            .send_as(&desk.token, Method::PUT, &one, None, &changed)
            .await;
        assert_eq!(none.problem(), (428, "if-match-needed".into()));
        let stale = desk.put(&one, "\"7\"", &changed).await;
        assert_eq!(stale.problem(), (412, "changed".into()));
        let put = desk.put(&one, "\"1\"", &changed).await;
        assert_eq!(
            (put.status, put.etag.as_str()),
            (200, "\"2\""),
            "{}",
            put.text()
        );
        assert_ne!(put.json(), made.json());
        let same = desk.put(&one, "\"2\"", &changed).await;
        assert_eq!(
            (same.status, same.etag.as_str()),
            (200, "\"2\""),
            "no change, no version"
        );
        assert_eq!(desk.put(&one, "\"1\"", &row).await.problem().0, 412);

        let list = desk.get(&format!("{path}?limit=500")).await.json();
        let rows = list["items"].as_array().unwrap();
        assert!(rows.contains(&put.json()), "{list}");

        assert_eq!(desk.delete(&one, "\"1\"").await.problem().0, 412);
        assert_eq!(desk.delete(&one, "*").await.status, 204);
        assert_eq!(desk.get(&one).await.problem(), (404, "not-found".into()));
        let kind = path.trim_start_matches('/').trim_end_matches('s');
        let kind = if kind == "buse" { "bus" } else { kind };
        for verb in ["create", "update", "delete"] {
            assert_eq!(
                desk.audited(&format!("{kind}.{verb}")).await,
                1,
                "{kind}.{verb}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_sees_and_changes_and_nobody_another_company() {
    let desk = with_layout().await;
    for (path, row, key, changed) in kinds() {
        let one = format!("{path}/{key}");
        assert_eq!(desk.post(path, &row).await.status, 201);
        for address in [path, one.as_str()] {
            assert_eq!(desk.get_as("mwt_00", address).await.status, 401);
            assert_eq!(desk.get_as(&desk.reader, address).await.status, 200);
        }
        let as_reader = desk
            .send_as(&desk.reader, Method::POST, path, None, &row)
            .await;
        assert_eq!(as_reader.problem(), (403, "forbidden".into()));
        for (method, body) in [(Method::PUT, &changed), (Method::DELETE, &Value::Null)] {
            let read = desk
                .send_as(&desk.reader, method.clone(), &one, None, body)
                .await;
            assert_eq!(read.problem().0, 403, "{method} {one}");
            let foreign = desk
                .send_as(&desk.foreign, method.clone(), &one, Some("*"), body)
                .await;
            assert_eq!(foreign.problem().0, 404, "{method} {one}");
        }
        assert_eq!(desk.get_as(&desk.foreign, &one).await.problem().0, 404);
        let list = desk.get_as(&desk.foreign, path).await.text();
        let key = key.replace("%20", " ");
        assert!(!list.contains(&format!("\"{key}\"")), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_stays_and_says_who_needs_it() {
    let desk = with_layout().await;
    let stops = json!([{"stop": "S0", "arrives_s": 0, "departs_s": 0},
        {"stop": "S1", "arrives_s": 60, "departs_s": 60}]);
    assert_eq!(desk.post("/routes", &route(&stops)).await.status, 201);
    let kiosk = json!({"code": "K1", "name": "Kiosk", "stop": "S2"});
    assert_eq!(desk.post("/stations", &kiosk).await.status, 201);
    desk.company.station(3).await.unwrap();
    for (path, needed_by) in [
        ("/stops/S1", "routes"),
        ("/stops/S2", "stations"),
        ("/stops/S3", "nodes"),
        ("/layouts/C49", "routes"),
    ] {
        let refused = desk.delete(path, "*").await;
        assert_eq!(refused.problem(), (409, "in-use".into()), "{path}");
        assert_eq!(refused.json()["uses"][0]["what"], needed_by, "{path}");
    }
    assert_eq!(desk.delete("/stops/S4", "*").await.status, 204);
    assert_eq!(desk.delete("/routes/R1", "*").await.status, 204);
    assert_eq!(desk.delete("/stops/S1", "*").await.status, 204);
    assert_eq!(desk.delete("/layouts/C49", "*").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_with_trips_to_come_stays() {
    let desk = with_layout().await;
    let mut north = route(&json!([]));
    north["code"] = json!("R");
    assert_eq!(desk.post("/routes", &north).await.status, 201);
    desk.company.trip("one", 2, 4).await.unwrap();
    let refused = desk.delete("/routes/R", "*").await.json();
    assert_eq!(refused["uses"][0]["what"], "trips to come", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_member_is_named_with_what_to_do() {
    let desk = with_layout().await;
    let stop = |member: &str, value: Value| {
        let mut stop = json!({"code": "X", "name": "X", "zone": "Africa/Lusaka"});
        stop[member] = value;
        stop
    };
    for (member, value) in [
        ("code", json!("")),
        ("code", json!("x".repeat(65))),
        ("name", json!("a\u{0}b")),
        ("zone", json!("Lusaka")),
        ("lat", json!(3.0)),
        ("lat", json!(91.0)),
    ] {
        let refused = desk.post("/stops", &stop(member, value.clone())).await;
        assert_eq!(
            refused.problem(),
            (422, "wrong-member".into()),
            "{member} {value}"
        );
        assert_eq!(refused.json()["member"], member);
        assert!(
            refused.json()["remedy"]
                .as_str()
                .is_some_and(|r| !r.is_empty())
        );
    }
    assert_eq!(
        desk.post("/stops", &stop("colour", json!("red")))
            .await
            .problem()
            .0,
        422
    );
    for (path, row, member) in [
        (
            "/stations",
            json!({"code": "K", "name": "K", "stop": "nowhere"}),
            "stop",
        ),
        (
            "/buses",
            json!({"registration": "B", "layout": "none", "state": "retired"}),
            "layout",
        ),
        (
            "/routes",
            json!({"code": "R", "name": "R", "layout": "none"}),
            "layout",
        ),
        (
            "/routes",
            route(&json!([{"stop": "S0", "arrives_s": 0, "departs_s": 0},
                {"stop": "none", "arrives_s": 1, "departs_s": 1}])),
            "stops",
        ),
    ] {
        let refused = desk.post(path, &row).await.json();
        assert_eq!(refused["member"], member, "{refused}");
    }
    let other = desk.put("/stops/S1", "*", &stop("code", json!("S2"))).await;
    assert_eq!(other.problem().0, 422);
    for (path, status) in [
        ("/stops/a%00b", 404),
        ("/stops?after=a%00b", 400),
        ("/stops?q=%07", 400),
        ("/stops?colour=red", 400),
        ("/buses?state=lost", 400),
        ("/layouts/a%00b", 404),
        ("/layouts/C49/versions/99999", 400),
        ("/layouts/C49/versions/9", 404),
    ] {
        assert_eq!(desk.get(path).await.problem().0, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let desk = with_layout().await;
    let mut seen = vec![];
    let mut path = "/stops?limit=3".to_owned();
    loop {
        let page = desk.get(&path).await.json();
        for stop in page["items"].as_array().unwrap() {
            seen.push(stop["code"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/stops?limit=3&after={next}");
    }
    let wanted: Vec<String> = (0..10).map(|n| format!("S{n}")).collect();
    assert_eq!(seen, wanted);
    let count = |page: Value| page["items"].as_array().unwrap().len();
    assert_eq!(count(desk.get("/stops?q=sTOp%203").await.json()), 1);
    assert_eq!(count(desk.get("/stops?fare_zone=S4").await.json()), 1);
    for (registration, state) in [("A1", "in_service"), ("A2", "retired")] {
        let bus = json!({"registration": registration, "layout": "C49", "state": state});
        assert_eq!(desk.post("/buses", &bus).await.status, 201);
    }
    assert_eq!(count(desk.get("/buses?state=retired").await.json()), 1);
    assert_eq!(count(desk.get("/buses?layout=C49").await.json()), 2);
    let stops = json!([{"stop": "S0", "arrives_s": 0, "departs_s": 0},
        {"stop": "S1", "arrives_s": 60, "departs_s": 60}]);
    assert_eq!(desk.post("/routes", &route(&stops)).await.status, 201);
    assert_eq!(count(desk.get("/routes?stop=S1").await.json()), 1);
    assert_eq!(count(desk.get("/routes?stop=S2").await.json()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_company_changes_what_it_says_but_not_its_currency_once_it_has_prices() {
    let desk = Desk::new().await;
    let read = desk.get("/company").await;
    assert_eq!(
        (read.json()["currency"].as_str(), read.etag.as_str()),
        (Some("ZMW"), "\"1\"")
    );
    let change = async |etag: &str, body: Value| {
        let token = &desk.token;
        desk.send_as(token, Method::PATCH, "/company", Some(etag), &body)
            .await
    };
    let changed = change(
        "\"1\"",
        json!({"currency": "USD", "contact_phone": "+260 971"}),
    )
    .await;
    assert_eq!(changed.problem().0, 422, "{}", changed.text());
    let changed = change(
        "\"1\"",
        json!({"currency": "USD", "contact_phone": "+260 97 1234567", "zone": "africa/harare"}),
    )
    .await;
    assert_eq!(
        (changed.status, changed.etag.as_str()),
        (200, "\"2\""),
        "{}",
        changed.text()
    );
    assert_eq!(changed.json()["contact_phone"], "+260971234567");
    assert_eq!(changed.json()["zone"], "Africa/Harare");
    assert_eq!(change("\"1\"", json!({"name": "Z"})).await.problem().0, 412);
    let taken = change("\"2\"", json!({"name": "Company 2"})).await;
    assert_eq!(taken.problem(), (409, "exists".into()));
    assert_eq!(desk.post("/layouts", &coach()).await.status, 201);
    assert_eq!(desk.post("/routes", &route(&json!([]))).await.status, 201);
    let refused = change("*", json!({"currency": "ZMW"})).await;
    assert_eq!(refused.json()["member"], "currency");
    let as_reader = desk
        .send_as(
            &desk.reader,
            Method::PATCH,
            "/company",
            Some("*"),
            &json!({}),
        )
        .await;
    assert_eq!(as_reader.problem().0, 403);
    assert_eq!(desk.audited("company.update").await, 1);
}
