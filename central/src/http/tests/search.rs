//! Search over all companies.

use serde_json::json;

use super::site::{DAY, Site};

#[tokio::test(flavor = "multi_thread")]
async fn buses_are_found_by_place_however_it_is_typed_with_prices_and_seats_left() {
    let site = Site::new().await;
    let (_, token) = site.company("A").await;
    site.company("B").await;
    let trip = site.trip("A").await;
    let exact = site
        .get(&format!("/search?from=LUN&to=LVI&date={DAY}"))
        .await;
    assert_eq!(exact.status, 200, "{exact:?}");
    let exact = exact.json();
    let departures = exact["departures"].as_array().unwrap();
    assert!(departures.iter().any(|d| d["company"] == "A"));
    assert!(departures.iter().any(|d| d["company"] == "B"));
    let times: Vec<&str> = departures
        .iter()
        .map(|d| d["departs_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let name = departures[0]["to_name"].as_str().unwrap();
    let typed = [
        "livingstone",
        "Livingston",
        "Lívingstöne",
        "Livngstone",
        "lvi",
    ];
    for typed in typed {
        let typed = typed.replace('í', "%C3%AD").replace('ö', "%C3%B6");
        let found = site
            .get(&format!("/search?from=LUN&to={typed}&date={DAY}"))
            .await;
        assert_eq!(found.status, 200, "{typed}: {found:?}");
        let found = found.json();
        assert_eq!(
            found["departures"], exact["departures"],
            "{typed} is not {name}"
        );
        let places = site.get(&format!("/places?q={typed}")).await.json();
        assert_eq!(places["items"][0]["code"], "LVI", "{typed}: {places}");
    }
    let nowhere = site
        .get(&format!("/search?from=LUN&to=Xqzw&date={DAY}"))
        .await;
    assert_eq!(
        (nowhere.status, nowhere.problem().as_str()),
        (404, "unknown-place")
    );

    let of = |found: &serde_json::Value| {
        let rows = found["departures"].as_array().unwrap();
        rows.iter().find(|d| d["trip"] == trip).cloned().unwrap()
    };
    let sold = site.book(trip, "two", 2).await.json();
    let two = site
        .get(&format!("/search?from=LUN&to=LVI&date={DAY}&passengers=2"))
        .await
        .json();
    assert_eq!(of(&two)["price_minor"], sold["total_minor"]);
    let left = of(&exact)["seats_left"].as_i64().unwrap();
    assert_eq!(of(&two)["seats_left"], left - 2);
    let seats = site
        .get_as(&token, &format!("/trips/{trip}/seats"))
        .await
        .json();
    assert!(seats["free_seats"].as_i64().unwrap() <= left - 2);
    for wrong in [
        "passengers=0",
        "passengers=11",
        "passengers=ghost",
        "changes=perhaps",
    ] {
        let path = format!("/search?from=LUN&to=LVI&date={DAY}&{wrong}");
        assert_eq!(site.get(&path).await.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_trip_is_not_found_and_one_with_another_price_costs_that() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let trip = site.trip("A").await;
    let path = format!("/search?from=LUN&to=LVI&date={DAY}");
    let before = site.get(&path).await.json();
    let rows = before["departures"].as_array().unwrap().clone();
    assert!(rows.iter().any(|d| d["trip"] == trip));
    let mut tx = site.db.db.tenant(company).await.unwrap();
    sqlx::query("UPDATE trip SET state = 'cancelled' WHERE trip_id = $1")
        .bind(trip as i64)
        .execute(tx.conn())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO discount (company_id, discount_code, name, percent_bp)
         VALUES ($1, 'HALF', 'Half', 5000)",
    )
    .bind(company.0)
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let after = site.get(&path).await.json();
    let after = after["departures"].as_array().unwrap();
    assert_eq!(after.len(), rows.len() - 1);
    for row in after {
        let old = rows.iter().find(|d| d["trip"] == row["trip"]).unwrap();
        let half = old["price_minor"].as_i64().unwrap() / 2;
        assert_eq!(row["price_minor"], half, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_buses_is_offered_with_time_for_it_and_can_be_held() {
    let site = Site::new().await;
    site.company("A").await;
    // From the south to the north there is no bus all the way.
    let found = site
        .get(&format!("/search?from=LVI&to=SOL&date={DAY}"))
        .await;
    assert_eq!(found.status, 200, "{found:?}");
    let found = found.json();
    assert_eq!(found["departures"], json!([]));
    let connections = found["connections"].as_array().unwrap();
    assert!(!connections.is_empty(), "{found}");
    for c in connections {
        assert!(c["wait_min"].as_i64().unwrap() >= 15, "{c}");
        assert_eq!(c["rides"][0]["to_stop"], c["rides"][1]["from_stop"]);
    }
    let rides = &connections[0]["rides"];
    let journey = |i: usize| {
        json!({
            "trip": rides[i]["trip"], "from": rides[i]["from_stop"], "to": rides[i]["to_stop"],
            "passengers": ["adult"],
        })
    };
    let held = site
        .ask(
            "/holds",
            "h",
            &json!({"journeys": [journey(0), journey(1)]}),
        )
        .await;
    assert_eq!(held.status, 201, "{held:?}");
    assert_eq!(held.json()["total_minor"], connections[0]["price_minor"]);
}
