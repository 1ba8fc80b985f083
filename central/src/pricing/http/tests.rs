//! Prices over the router and a real Postgres.

use axum::http::Method;
use serde_json::{Value, json};

use crate::company::http::tests::desk::Desk;

const ROWS: [(&str, &str); 4] = [
    ("fares", "fares:write"),
    ("discounts", "fares:write"),
    ("vouchers", "fares:write"),
    ("commission-rates", "fares:write"),
];

fn row(path: &str) -> Value {
    match path {
        "fares" => json!({"table": "STD", "from": "S0", "to": "S2", "class": "adult",
            "fare_minor": 10_000, "currency": "ZMW", "valid_from": "2026-01-01"}),
        "discounts" => json!({"code": "EARLY", "name": "Early", "percent_bp": 1_000}),
        "vouchers" => json!({"code": "sunny", "name": "Sunny", "amount_minor": 1_000,
            "currency": "ZMW"}),
        _ => json!({"kind": "agent", "seller": "Mutinta", "percent_bp": 500}),
    }
}

fn wrong(path: &str) -> Vec<Value> {
    let with = |name: &str, value: Value| {
        let mut row = row(path);
        row[name] = value;
        row
    };
    let mut rows = vec![
        with("colour", json!("red")),
        with("valid_until", json!("soon")),
    ];
    rows.extend(match path {
        "fares" => vec![
            with("fare_minor", json!(-1)),
            with("currency", json!("USD")),
            with("table", json!("NONE")),
            with("from", json!("S77")),
            with("from", json!("S2")),
            with("from", json!("a~b")),
            with("valid_until", json!("2025-01-01")),
        ],
        "discounts" => vec![
            with("percent_bp", json!(10_001)),
            with("percent_bp", json!(null)),
            with("amount_minor", json!(5)),
            with("weekdays", json!([8])),
            with("routes", json!(["NOWHERE"])),
            with("name", json!("a\u{0}b")),
        ],
        "vouchers" => vec![
            with("code", json!("no spaces, please")),
            with("currency", json!(null)),
            with("uses_max", json!(0)),
            with("min_spend_minor", json!(-1)),
        ],
        _ => vec![
            with("seller", json!("")),
            with("kind", json!("station")),
            with("kind", json!("company")),
            with("percent_bp", json!(0)),
        ],
    });
    rows
}

async fn desk() -> Desk {
    let desk = Desk::new().await;
    let table = json!({"table": "STD", "currency": "ZMW"});
    assert_eq!(desk.post("/fare-tables", &table).await.status, 201);
    assert_eq!(desk.post("/fare-tables", &table).await.problem().0, 409);
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_row_is_made_read_changed_and_taken_away_by_who_may() {
    let desk = desk().await;
    for (path, scope) in ROWS {
        let list = format!("/{path}");
        for bad in wrong(path) {
            let answer = desk.post(&list, &bad).await;
            assert_eq!(answer.problem().0, 422, "{path} {bad}: {}", answer.text());
        }
        let made = desk.post(&list, &row(path)).await;
        assert_eq!(made.status, 201, "{path}: {}", made.text());
        let key = made.json()["key"].as_str().unwrap().to_owned();
        let one = format!("/{path}/{}", key.replace(' ', "%20"));
        assert_eq!(
            desk.post(&list, &row(path)).await.problem(),
            (409, "exists".into())
        );
        let (token, body) = (&desk.reader, row(path));
        let refused = desk.send_as(token, Method::POST, &list, None, &body).await;
        assert_eq!(refused.json()["permission"], scope, "{path}");
        assert_eq!(desk.get_as(&desk.foreign, &one).await.status, 404, "{path}");
        let seen = desk.get(&list).await.json();
        assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{path}");
        let others = desk.get_as(&desk.foreign, &list).await.json();
        assert_eq!(others["items"], json!([]), "{path}");

        let mut changed = row(path);
        changed["valid_until"] = json!("2030-12-31");
        let unseen = desk
            .send_as(&desk.token, Method::PUT, &one, None, &changed)
            .await;
        assert_eq!(unseen.status, 428, "{path}");
        let done = desk.put(&one, &made.etag, &changed).await;
        assert_eq!(
            (done.status, done.etag.as_str()),
            (200, "\"2\""),
            "{}",
            done.text()
        );
        assert_eq!(
            desk.put(&one, &made.etag, &row(path)).await.status,
            412,
            "{path}"
        );
        assert_eq!(desk.get(&one).await.json()["valid_until"], "2030-12-31");
        assert_eq!(desk.delete(&one, &done.etag).await.status, 204, "{path}");
        assert_eq!(desk.get(&one).await.status, 404, "{path}");
        assert_eq!(desk.get(&format!("/{path}/a%00b")).await.status, 404);
    }
    assert_eq!(desk.audited("fare.create").await, 1);
    assert_eq!(desk.audited("voucher.delete").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_each_passenger_pays_and_why() {
    let desk = desk().await;
    let trip = desk.company.trip("1", 3, 10).await.unwrap();
    let mut owner = desk.db.owner().await.unwrap();
    // The trip of the test is sold at the table "fares".
    let table = json!({"table": "fares", "currency": "ZMW"});
    desk.post("/fare-tables", &table).await;
    for (class, fare) in [("adult", 10_000), ("child", 5_000)] {
        let fare = json!({"table": "fares", "from": "S0", "to": "S2", "class": class,
            "fare_minor": fare, "currency": "ZMW"});
        assert_eq!(desk.post("/fares", &fare).await.status, 201);
    }
    for path in ["discounts", "vouchers"] {
        assert_eq!(desk.post(&format!("/{path}"), &row(path)).await.status, 201);
    }
    let ask = json!({"trip": trip.id.0, "from": "S0", "to": "S2",
        "passengers": ["adult", "child"], "channel": "counter", "voucher": "Sunny"});
    let answer = desk.post("/prices/preview", &ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let price = answer.json();
    assert_eq!(price["total_minor"], 15_000 - 1_500 - 1_000, "{price}");
    let reasons = price["passengers"][0]["reasons"].as_array().unwrap();
    let kinds: Vec<&str> = reasons
        .iter()
        .map(|r| r["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["discount", "voucher"]);
    let tables = desk.get("/fare-tables").await.json();
    assert_eq!(tables["items"][1]["fares"], 2, "{tables}");
    // The nodes hear of the fares at once.
    let told = "SELECT count(*) FROM bucket_item WHERE item_key = 'fares:fares'";
    let told: i64 = sqlx::query_scalar(told)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(told, 1);
    for (name, value, status, kind) in [
        ("voucher", json!("RAINY"), 422, "voucher-unknown"),
        ("passengers", json!(["infant"]), 422, "no-fare"),
        ("to", json!("S9"), 422, "no-such-journey"),
        ("from", json!("S2"), 422, "no-such-journey"),
        ("trip", json!(u64::MAX), 404, "not-found"),
        ("passengers", json!([]), 422, "unprocessable"),
        ("at", json!("soon"), 422, "unprocessable"),
    ] {
        let mut ask = ask.clone();
        ask[name] = value;
        let answer = desk.post("/prices/preview", &ask).await;
        assert_eq!(answer.problem(), (status, kind.to_owned()), "{ask}");
    }
    let foreign = desk
        .send_as(&desk.foreign, Method::POST, "/prices/preview", None, &ask)
        .await;
    assert_eq!(foreign.status, 404);
    let uses = desk.get("/vouchers/SUNNY/uses").await;
    assert_eq!(uses.json()["items"], json!([]));
}
