use std::collections::BTreeSet;

use serde_json::Value;

use super::site::{DAY, Site};
use crate::testing::TestCompany;

fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_company_never_sees_another_ones_rows() {
    let site = Site::new().await;
    let (a, token_a) = site.company("A").await;
    let (_, token_b) = site.company("B").await;
    let (trip_a, trip_b) = (site.trip("A").await, site.trip("B").await);
    site.book(trip_b, "one", 1).await;
    let company_a = TestCompany {
        id: a,
        db: site.db.db.clone(),
        keys: site.keys.clone(),
    };
    let mut station = company_a.station(1).await.unwrap();
    let grant = domain::ids::TripId(trip_a);
    company_a
        .lease(&mut station, grant, (0, 3), 2)
        .await
        .unwrap();
    for path in [
        "/nodes",
        "/leases",
        "/tickets",
        "/reconciliation/shifts",
        "/reconciliation/conflicts",
    ] {
        let of_a = site.get_as(&token_a, path).await.json();
        let of_b = site.get_as(&token_b, path).await.json();
        let both = items(&of_a).iter().filter(|row| items(&of_b).contains(row));
        assert_eq!(both.count(), 0, "{path}");
    }
    let seen = |page: Value| items(&page).len();
    assert_eq!(seen(site.get_as(&token_a, "/leases").await.json()), 1);
    assert_eq!(seen(site.get_as(&token_b, "/leases").await.json()), 0);
    assert_eq!(seen(site.get_as(&token_a, "/nodes").await.json()), 1);
    assert_eq!(seen(site.get_as(&token_b, "/nodes").await.json()), 0);
    let path = format!("/tickets?trip={trip_b}");
    assert_eq!(seen(site.get_as(&token_a, &path).await.json()), 0);
    assert_eq!(seen(site.get_as(&token_b, &path).await.json()), 1);
    let ledger = site.get_as(&token_a, "/reconciliation/ledger").await.json();
    assert_eq!(
        (&ledger["company"], &ledger["entries"]),
        (&"A".into(), &0.into())
    );
    let seats = site
        .get_as(&token_b, &format!("/trips/{trip_a}/seats"))
        .await;
    assert!(
        seats.text.contains("leased"),
        "the public sees that a seat is not in the pool"
    );
    assert!(!seats.text.contains("\"node\""), "but not who holds it");
    let own = site
        .get_as(&token_a, &format!("/trips/{trip_a}/seats"))
        .await;
    assert!(own.text.contains(&station.id().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn office_routes_open_to_a_known_token_only() {
    let site = Site::new().await;
    site.company("A").await;
    for path in [
        "/nodes",
        "/leases",
        "/tickets",
        "/reconciliation/shifts",
        "/reconciliation/ledger",
        "/reconciliation/conflicts",
    ] {
        let without = site.get(path).await;
        assert_eq!(
            (without.status, without.problem().as_str()),
            (401, "unauthorized"),
            "{path}"
        );
        let wrong = site.get_as("mwt_0000", path).await;
        assert_eq!(
            (wrong.status, wrong.problem().as_str()),
            (401, "unauthorized"),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_trips_show_every_trip_once_whatever_their_length() {
    let site = Site::new().await;
    site.company("A").await;
    site.company("B").await;
    let whole = site.get("/trips?limit=500").await.json();
    assert!(whole["next"].is_null());
    let count = site.db.number("SELECT count(*) FROM trip").await.unwrap();
    assert_eq!(items(&whole).len() as i64, count);
    let mut seen = BTreeSet::new();
    let mut path = "/trips?limit=7".to_owned();
    loop {
        let page = site.get(&path).await.json();
        for trip in items(&page) {
            assert!(seen.insert(trip["trip"].as_u64().unwrap()), "twice: {trip}");
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/trips?limit=7&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len() as i64, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn trips_are_found_by_day_and_journey() {
    let site = Site::new().await;
    site.company("A").await;
    let found = site
        .get(&format!("/trips?date={DAY}&from=LUN&to=SOL"))
        .await
        .json();
    assert!(!items(&found).is_empty());
    for trip in items(&found) {
        let place = |code: &str| {
            let stops = trip["stops"].as_array().unwrap();
            stops.iter().position(|s| s["code"] == code)
        };
        assert!(place("LUN").unwrap() < place("SOL").unwrap());
    }
    let id = items(&found)[0]["trip"].as_u64().unwrap();
    let one = site.get(&format!("/trips/{id}")).await.json();
    let fares = one["fares"].as_array().unwrap();
    assert!(
        fares
            .iter()
            .any(|f| f["class"] == "child" && f["fare_minor"].as_i64() > Some(0))
    );
    assert!(items(&site.get("/trips?date=2001-01-01").await.json()).is_empty());
    for bad in ["/trips?date=tomorrow", "/trips?colour=red", "/trips/one"] {
        let answer = site.get(bad).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "bad-request"),
            "{bad}"
        );
    }
    assert_eq!(site.get("/nowhere").await.problem(), "not-found");
    assert_eq!(
        site.post("/trips", &[], "").await.problem(),
        "method-not-allowed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_the_document_are_there() {
    let site = Site::new().await;
    let empty = site.get("/").await;
    assert!(
        empty.text.contains("mwimule-hub company create"),
        "{}",
        empty.text
    );
    site.company("Banda <& Sons>").await;
    let page = site.get("/").await;
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.text.contains("Banda &lt;&amp; Sons&gt;"),
        "{}",
        page.text
    );
    assert_eq!(site.get("/readyz").await.status, 200);
    let document = site.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for path in [
        "/trips",
        "/trips/{trip}/seats",
        "/bookings",
        "/reconciliation/shifts",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let keys = site.get("/keys").await.json();
    assert_eq!(keys[0]["kid"], site.keys.kid().to_string());
    assert_eq!(
        (&keys[0]["alg"], &keys[0]["issuer"]),
        (&"EdDSA".into(), &"hub".into())
    );
}
